"""What a plan is to be good at."""
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.timeline import Prediction

LATENCY, ENERGY, WEIGHTED, DEADLINE = "latency", "energy", "weighted", "deadline"
KINDS = (LATENCY, ENERGY, WEIGHTED, DEADLINE)
#: Of LATENCY: by how much slower a robot counts that computes the whole time, for what it costs in energy.
_THRIFT = 0.13
#: And by how much slower than the fastest rival a plan may be at most: as exact as predictions are.
SLOWER = 1.05
_LATE = 1e6  # [J] more than any frame takes: plans that miss the deadline come last, the least late first


@dataclass(frozen=True)
class Objective:
    """Minimise latency [s]; or energy [J]; or ``latency + weight * energy``; or energy under a deadline.

    `LATENCY` takes of plans that are nearly as fast the one that costs the robot less: to let it compute for half of
    the frame in order to end it one per cent sooner is a bad trade.  `WEIGHTED` with weight 0 is latency alone.

    Raises:
        ValueError: another kind, a negative weight, a deadline that is not positive.
    """

    kind: str = LATENCY
    weight: float = 0.0  # of WEIGHTED: what a joule is worth [s/J]
    deadline_s: float = 1.0  # of DEADLINE: what the latency must not exceed [s]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError("no objective {!r}; there are: {}".format(self.kind, ", ".join(KINDS)))
        if not self.weight >= 0 or not self.deadline_s > 0:
            raise ValueError("objective: the weight must be >= 0 and the deadline > 0, not {} and {}".format(
                self.weight, self.deadline_s))

    def best(self, plans: Sequence[Prediction], power: PowerModel, rivals: Optional[int] = None) -> int:
        """Index of the plan that costs least, the first of equals.

        Args:
            plans: what is predicted for each.
            power: of the robot.
            rivals: so many of the first ones: of `LATENCY` no plan is taken that is clearly slower than the fastest of
                them (default: of all).
        """
        latency = np.array([p.latency_s for p in plans])
        costs = self.priced(power).cost(latency, [p.energy_j for p in plans])
        if self.kind == LATENCY:
            costs = np.where(latency <= SLOWER * latency[:rivals].min(), costs, np.inf)
        return int(np.argmin(costs))

    def priced(self, power: PowerModel) -> "Objective":
        """What is minimised for a robot of this power: `LATENCY` becomes `WEIGHTED`."""
        if self.kind != LATENCY:
            return self
        return Objective(WEIGHTED, _THRIFT / power.compute if power.compute > 0 else 0.0)

    def cost(self, latency_s, energy_j):
        """Of a `priced` objective; numbers or arrays of one shape, infinite where the latency is."""
        latency, energy = np.asarray(latency_s, float), np.asarray(energy_j, float)
        if self.kind == LATENCY:
            return latency
        with np.errstate(invalid="ignore"):
            if self.kind == ENERGY:
                found = energy
            elif self.kind == WEIGHTED:
                found = latency + self.weight * energy
            else:
                found = np.where(latency <= self.deadline_s, energy, _LATE + latency)
        return np.where(np.isfinite(latency), found, np.inf)
