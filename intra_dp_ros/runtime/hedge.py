"""When the robot should compute a frame alone beside the link, and when it may stop again.

A link that falls in the middle of a frame is noticed by what it does not deliver, within tens of milliseconds, when
nobody can tell yet whether it has fallen or stands still for a moment.  So the robot begins early, at a small cost, and
stops when the link is back and the server will be far sooner.

Threading: the frame thread.
"""
import math
import time
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Tuple

from intra_dp_ros.runtime.pulse import Pulse
from intra_dp_ros.runtime.sender import TileSender, Traffic

if TYPE_CHECKING:
    from intra_dp_ros.runtime.split import RobotFrame

#: A tile is overdue when it has been in flight this many times as long as the bytes before and behind it should take,
#: and this much longer [s]: on a shared air its acknowledgement waits behind what was sent after it.
_OVERDUE, _OVERDUE_S = 1.1, 0.012
#: A frame is late when it takes this many times what is expected of it, and this much longer [s].
_LATE, _LATE_S = 1.25, 0.02
#: The robot stops when the server is expected to need at most this share of what is left on the robot.
_WORTH = 0.5
#: How fast the link is again is known after so long since it moved [s].
_WATCH_S = 0.01


class Beside(NamedTuple):
    """How the robot computes a frame alone beside the link."""

    alone: Callable[[], "RobotFrame"]  # makes the frame of the local plan
    alone_s: float  # what that is expected to take [s]
    expected_s: float  # what the frame is expected to take as planned [s]


class Hedge:
    """Of one frame.

    Args:
        beside: what either way takes.
        began: of the frame; monotonic [s].
        sender: of its rows.
        pulse: of the server.
        rate: estimated bandwidth of the uplink when the frame begins [byte/s]; 0: unknown.
    """

    def __init__(self, beside: Beside, began: float, sender: TileSender, pulse: Pulse, rate: float) -> None:
        self._beside, self._sender, self._pulse = beside, sender, pulse
        # A tile that is late is late, though an estimate may have learnt why: by the rate when the frame began.
        self._rate = rate
        self._due = began + _LATE * beside.expected_s + _LATE_S
        self._alone_since = 0.0
        self._had = 0  # bytes that had arrived when that began
        self._moved: Optional[Tuple[float, int]] = None  # when more had since, and how many bytes then
        self._may_stop = True  # once a frame: a link that comes and goes must not keep the robot from ever finishing

    def is_late(self) -> bool:
        """Whether the frame, or a tile of it, takes clearly longer than it should."""
        return time.monotonic() > self._due or self._is_overdue(self._sender.traffic())

    def begin(self) -> "RobotFrame":
        """The frame of the local plan, which begins now."""
        self._alone_since, self._had, self._moved = time.monotonic(), _arrived(self._sender.traffic()), None
        return self._beside.alone()

    def has_recovered(self) -> bool:
        """Whether the robot should stop again: the link carries the rest in far less than what the robot still needs.

        How fast it is again is measured from when it moved: a first tile that comes late tells nothing about those
        behind it, and the estimate still remembers the link as it was.
        """
        traffic, now = self._sender.traffic(), time.monotonic()
        arrived = _arrived(traffic)
        if self._moved is None and arrived > self._had:
            self._moved = now, arrived
        if not self._may_stop or self._moved is None or self._rate <= 0.0 or self._is_overdue(traffic):
            return False
        left = traffic.in_flight + traffic.queued
        # What the plan takes beyond its rows' way up, all of it: how much is over already is not known here.
        left_s = max(0.0, self._beside.expected_s - (traffic.bytes + traffic.queued) / self._rate)
        if left > 0:
            watched = now - self._moved[0]
            rate = (arrived - self._moved[1]) / watched if watched >= _WATCH_S else 0.0
            left_s += left / rate if rate > 0.0 else math.inf
        if left_s > _WORTH * (self._alone_since + self._beside.alone_s - now):
            return False
        self._may_stop, self._due = False, now + _LATE * left_s + _LATE_S
        return True

    def _is_overdue(self, traffic: Traffic) -> bool:
        if self._rate <= 0.0:
            return False
        should_s = (traffic.oldest_bytes + traffic.in_flight) / self._rate + self._pulse.rtt
        return traffic.oldest_s > _OVERDUE * should_s + _OVERDUE_S


def _arrived(traffic: Traffic) -> int:
    """Bytes of the frame that the server has acknowledged."""
    return traffic.bytes - traffic.in_flight
