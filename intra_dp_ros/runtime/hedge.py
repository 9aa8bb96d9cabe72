"""When the robot should compute a frame alone beside the link, and when it should wait for the link again.

A link that falls in the middle of a frame is noticed by what it does not deliver, within tens of milliseconds, when
nobody can tell yet whether it has fallen or stands still for a moment.  So the robot begins early, and pauses when the
link is back and the server will be far sooner: that costs it little, and what it has computed is not lost.

Threading: the frame thread.
"""
import math
import time
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Tuple

from intra_dp_ros.runtime.sender import Traffic

if TYPE_CHECKING:
    from intra_dp_ros.runtime.split import RobotFrame

#: A tile is overdue when it has been in flight this many times as long as what was in flight when it was sent, and what
#: is now, should take, and this much longer [s]: in a shared air its acknowledgement waits behind what came after it.
_OVERDUE, _OVERDUE_S = 1.1, 0.009
#: A frame is late when it takes this many times what is expected of it, and this much longer [s].
_LATE, _LATE_S = 1.15, 0.015
#: The robot pauses when the server is expected to need at most this share of what is left on the robot.
_WORTH = 0.5
#: How fast the link is again is known after so long since it moved [s].
_WATCH_S = 0.01


class Beside(NamedTuple):
    """How the robot computes a frame alone beside the link."""

    alone: Callable[[], "RobotFrame"]  # makes the frame of the local plan
    alone_s: float  # what that is expected to take [s]
    expected_s: float  # what the frame is expected to take as planned, from when this is made [s]
    rate: float  # estimated bandwidth of the uplink when the frame begins [byte/s]; 0: unknown


class Hedge:
    """Of one frame.

    Args:
        beside: what either way takes.
        began: of the frame under its plan, on `clock` [s]; none of the plan's bytes is sent yet.
        traffic: what the frame has sent so far.
        rtt: round-trip time [s].
        is_shared: whether the robot computes rows of the plan.
    """

    def __init__(self, beside: Beside, began: float, traffic: Callable[[], Traffic], rtt: Callable[[], float],
                 clock: Callable[[], float] = time.monotonic, is_shared: bool = False) -> None:
        self._beside, self._traffic, self._rtt, self._clock = beside, traffic, rtt, clock
        self._before = traffic().bytes  # sent by another plan
        self._planned = began + beside.expected_s
        self._is_shared = is_shared
        # A tile that is late is late, though an estimate may have learnt why: by the rate when the frame began.
        self._rate = beside.rate
        self._due = began + _LATE * beside.expected_s + _LATE_S
        self._since: Optional[float] = None  # when the robot began or went on; None: it has not, or pauses
        self._left_s = beside.alone_s  # what it needed then
        self._moved: Optional[Tuple[float, int]] = None  # when the link delivered again, and the bytes there then
        self._had = 0  # bytes that were there before

    def is_late(self) -> bool:
        """Whether the frame, or a tile of it, takes clearly longer than it should."""
        return self._clock() > self._due or self._is_overdue(self._traffic())

    def begin(self) -> None:
        """The robot begins, or goes on, to compute alone now."""
        self._since = self._clock()
        self._watch(self._traffic())

    def may_pause(self) -> bool:
        """Whether the robot should pause: the link carries the rest in far less than what the robot still needs.

        From then on the frame is late when the rest of it is; `begin` when the robot goes on.

        How fast it is again is measured from when it delivered: a first tile that comes late tells nothing about those
        behind it, and the estimate still remembers the link as it was.
        """
        traffic, now = self._traffic(), self._clock()
        if self._is_overdue(traffic):
            self._watch(traffic)
        elif self._moved is None and traffic.arrived > self._had:
            self._moved = traffic.spans[-1][1], traffic.arrived
        if self._moved is None or self._rate <= 0.0:
            return False
        rate = self._rate
        if traffic.in_flight + traffic.queued > 0:
            watched = now - self._moved[0]
            rate = (traffic.arrived - self._moved[1]) / watched if watched >= _WATCH_S else 0.0
        left_s, still_s = self._planned_left_s(traffic, rate), self.alone_left_s
        if left_s > _WORTH * still_s:
            return False
        self._left_s, self._since = still_s, None
        self._rate, self._due = min(self._rate, rate), now + _LATE * left_s + _LATE_S
        return True

    @property
    def alone_left_s(self) -> float:
        """What the robot needs for the frame alone, from now on [s]."""
        return self._left_s - (0.0 if self._since is None else self._clock() - self._since)

    def left_s(self, rate: float) -> float:
        """What the plan still takes, from now on, if the link carries so much [byte/s]; in [s]."""
        traffic, now = self._traffic(), self._clock()
        left = traffic.in_flight + traffic.queued
        if self._is_shared and rate >= self._beside.rate:  # that makes the robot's own rows no faster
            return max(0.0, left / rate, self._planned - now)
        over_s = 0.0 if left or not traffic.spans else now - traffic.spans[-1][1]  # since all was there
        return max(0.0, self._planned_left_s(traffic, rate) - over_s)

    def _planned_left_s(self, traffic: Traffic, rate: float) -> float:
        left = traffic.in_flight + traffic.queued
        # What the plan takes beyond its rows' way up, all of it: how much is over already is not known here.
        beyond_s = max(0.0, self._beside.expected_s - (traffic.bytes - self._before + traffic.queued)
                       / self._beside.rate)
        return beyond_s + (0.0 if left <= 0 else left / rate if rate > 0.0 else math.inf)

    def _watch(self, traffic: Traffic) -> None:
        self._had, self._moved = traffic.arrived, None

    def _is_overdue(self, traffic: Traffic) -> bool:
        if self._rate <= 0.0:
            return False
        should_s = (traffic.oldest_bytes + traffic.in_flight) / self._rate + self._rtt()
        return traffic.oldest_s > _OVERDUE * should_s + _OVERDUE_S
