"""What the uplink carries: the newer of the robot's own estimate and a bandwidth monitor's.

Threading: anyone; what the monitor said is replaced as a whole.
"""
import time
from typing import Optional, Tuple

from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.wire.messages import BandwidthSample

STALE_S = 1.0  # an estimate of this age is worth a probe


class Uplink:
    """Args: own: the estimator of the robot's own traffic."""

    def __init__(self, own: BandwidthEstimator) -> None:
        self._own = own
        self._monitored: Optional[Tuple[float, BandwidthSample]] = None  # when it came, what the monitor said

    def hear(self, sample: BandwidthSample) -> None:
        """What a bandwidth monitor says."""
        self._monitored = (time.monotonic(), sample)

    @property
    def rate(self) -> float:
        """The newest estimate [byte/s]; 0: unknown."""
        own, monitored = self._own.sample(), self._monitored
        if monitored is not None:
            came, other = monitored
            if other.confidence > 0 and time.monotonic() - came + other.age < own.age:
                return other.up if time.monotonic() - came < STALE_S else 0.0
        return own.up if own.confidence > 0 else 0.0

    @property
    def age_s(self) -> float:
        """How old the newest sample behind it is [s]; infinite: there was none."""
        age, monitored = self._own.sample().age, self._monitored
        if monitored is not None and monitored[1].confidence > 0:
            age = min(age, time.monotonic() - monitored[0] + monitored[1].age)
        return age

    def needs_probe(self, every_s: float) -> bool:
        """Whether the estimate is old and nobody else measures.

        Args:
            every_s: how often an idle link is to be probed.
        """
        is_monitored = self._monitored is not None and time.monotonic() - self._monitored[0] < STALE_S
        return not is_monitored and self._own.sample().age > min(STALE_S, every_s)
