"""Latency against energy: the plans of which none is better in both."""
from typing import List, NamedTuple

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import ENERGY, WEIGHTED, Objective
from intra_dp_ros.loss.search import search
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.tiling import Tiling

#: What a joule is worth, from little to much [s/J]; a robot's whole frames take some tenths of either.
_WEIGHTS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class Choice(NamedTuple):
    """One plan of the front."""

    latency_s: float
    energy_j: float  # of the robot
    plan: Plan


def front(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw", power: PowerModel = PowerModel(),
          seed: int = 0) -> List[Choice]:
    """The front, the fastest plan first: each next one is slower and takes less energy."""
    objectives = [*(Objective(WEIGHTED, weight) for weight in _WEIGHTS), Objective(ENERGY)]
    found: List[Choice] = []
    for objective in objectives:
        plan = search(tiling, timeline, link, codec, objective=objective, power=power, seed=seed)
        expected = timeline.predict(plan, link, power)
        found.append(Choice(expected.latency_s, expected.energy_j, plan))
    kept: List[Choice] = []
    for choice in sorted(found, key=lambda c: (c.latency_s, c.energy_j)):
        if not kept or choice.energy_j < kept[-1].energy_j:
            kept.append(choice)
    return kept
