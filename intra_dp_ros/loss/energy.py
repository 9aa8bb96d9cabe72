"""Energy a robot spends on one frame, from what its processor and radio did (the paper's power table)."""
from dataclasses import dataclass


@dataclass(frozen=True)
class PowerModel:
    """Power of the robot's board in each state; read from ``config/power.yaml`` by the caller."""

    compute: float = 13.35  # [W] while the processor computes, whatever the radio does
    transmit: float = 4.25  # [W] while only the radio is busy
    standby: float = 4.04  # [W] while waiting

    def __post_init__(self) -> None:
        for name in ("compute", "transmit", "standby"):
            if not getattr(self, name) >= 0:
                raise ValueError("power model: {} must be a number of watts >= 0, not {}".format(
                    name, getattr(self, name)))

    @property
    def least(self) -> float:
        """What the board takes at least, whatever it does [W]; standby, as a rule."""
        return min(self.compute, self.transmit, self.standby)

    def energy(self, busy_compute_s, transmit_s, latency_s):
        """Energy of one frame [J]; numbers or numpy arrays of one shape.

        Args:
            busy_compute_s: time the processor computes.
            transmit_s: time the radio is busy while the processor is not.
            latency_s: the whole frame; what is left of it is standby.

        The three states exclude one another, so the first two together must not exceed the third.
        """
        standby_s = latency_s - busy_compute_s - transmit_s
        return self.compute * busy_compute_s + self.transmit * transmit_s + self.standby * standby_s
