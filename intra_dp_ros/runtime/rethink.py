"""When a frame should go on by another plan, because the link is not what its plan was chosen for.

Rows that are not sent yet are taken back, or given to the server, by beginning anew with the plan for the link as it
is; the rows of the inputs that were sent stay at the server.  What either side has computed is lost, so another plan
must be clearly sooner.

Threading: the frame thread.
"""
import time
from typing import Callable, NamedTuple, Optional

from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.hedge import Hedge
from intra_dp_ros.runtime.part import Part

#: A bandwidth so many times higher or lower than the last one judged is a reason to look for another plan; where only
#: the newest tiles say so, as after a rise, so many times higher.
_CHANGED, _ROSE = 1.3, 2.0
#: The other plan must be expected to take at most this share of what is left by this one, or on the robot alone.
_WORTH = 0.8


class Other(NamedTuple):
    """Another plan to go on by."""

    part: Part
    expected_s: float  # from now on [s]
    rate: float  # of the uplink that it is for [byte/s]


#: Bandwidth of the uplink [byte/s] -> the plan for it, if a frame can go on by that.
Find = Callable[[float], Optional[Other]]


class Again(Exception):
    """The frame is to go on by another plan."""

    def __init__(self, other: Other, before: float) -> None:
        words = "the link {} from {:.1f} to {:.1f} MB/s".format(
            "fell" if other.rate < before else "rose", before / 1e6, other.rate / 1e6)
        if 1.0 / _CHANGED < other.rate / max(before, 1.0) < _CHANGED:
            words = "its plan could not be had before"
        super().__init__(words)
        self.other = other


class Rethink:
    """Of one frame under one plan.

    Args:
        hedge: what is left by either way.
        rate: of the uplink when the plan was chosen [byte/s]; 0: unknown.
        bandwidth: what it is now.
        find: see there.
        began: when the frame began, on the clock of `bandwidth` [s].
    """

    def __init__(self, hedge: Hedge, rate: float, bandwidth: BandwidthEstimator, find: Find, began: float) -> None:
        self._hedge, self._rate, self._judged, self._bandwidth, self._find = hedge, rate, rate, bandwidth, find
        self._began = began

    def look(self) -> None:
        """Asked every few milliseconds, whatever the robot is doing.

        Raises:
            Again: there is a plan that is clearly sooner.
        """
        sample, newest = self._bandwidth.sample(), self._bandwidth.newest_up(self._began)
        if sample.age > time.monotonic() - self._began:
            return  # no tile of the frame has told anything yet
        rate = sample.up
        if newest > _ROSE * self._judged or rate < self._judged <= _CHANGED * newest:
            rate = newest  # the estimate will follow
        if rate <= 0.0 or self._judged <= 0.0 or 1.0 / _CHANGED < rate / self._judged < _CHANGED:
            return
        self._judged = rate
        other = self._find(rate)
        if other is not None and other.expected_s < _WORTH * min(self._hedge.left_s(rate), self._hedge.alone_left_s):
            raise Again(other, self._rate)
