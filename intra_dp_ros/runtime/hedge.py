"""When the robot should compute a frame alone beside the link, and when it may stop again.

A link that falls in the middle of a frame is noticed by what it does not deliver, within tens of milliseconds, when
nobody can tell yet whether it has fallen or stands still for a moment.  So the robot begins early, at a small cost, and
stops when the link is back and the server will be far sooner.

Threading: the frame thread.
"""
import time
from typing import TYPE_CHECKING, Callable, NamedTuple

from intra_dp_ros.runtime.pulse import Pulse
from intra_dp_ros.runtime.sender import TileSender, Traffic

if TYPE_CHECKING:
    from intra_dp_ros.runtime.split import RobotFrame

#: A tile is overdue when it is in flight this many times as long as its bytes should take, and this much longer.
_OVERDUE, _OVERDUE_S = 1.75, 0.012
#: A frame is late when it takes this many times what is expected of it, and this much longer [s].
_LATE, _LATE_S = 1.25, 0.02
#: The robot stops when the server is expected to need at most this share of what is left on the robot.
_WORTH = 0.5


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
        uplink: estimated bandwidth now [byte/s]; 0: unknown.
    """

    def __init__(self, beside: Beside, began: float, sender: TileSender, pulse: Pulse, uplink: Callable[[], float]
                 ) -> None:
        self._beside, self._sender, self._pulse, self._uplink = beside, sender, pulse, uplink
        # A tile that is late is late, though an estimate may have learnt why: by the rate when the frame began.
        self._rate = uplink()
        self._due = began + _LATE * beside.expected_s + _LATE_S
        self._alone_since = 0.0
        self._may_stop = True  # once a frame: a link that comes and goes must not keep the robot from ever finishing

    def is_late(self) -> bool:
        """Whether the frame, or a tile of it, takes clearly longer than it should."""
        return time.monotonic() > self._due or self._is_overdue(self._sender.traffic())

    def begin(self) -> "RobotFrame":
        """The frame of the local plan, which begins now."""
        self._alone_since = time.monotonic()
        return self._beside.alone()

    def has_recovered(self) -> bool:
        """Whether the robot should stop again: the link carries the rest in far less than what the robot still needs.
        """
        if not self._may_stop:
            return False
        traffic, rate = self._sender.traffic(), self._uplink()
        if rate <= 0.0 or self._rate <= 0.0 or self._is_overdue(traffic):
            return False
        left, now = traffic.in_flight + traffic.queued, time.monotonic()
        # What the plan takes beyond its rows' way up, all of it: how much is over already is not known here.
        rest_s = max(0.0, self._beside.expected_s - (traffic.bytes + traffic.queued) / self._rate)
        left_s = left / rate + rest_s
        if left_s > _WORTH * (self._alone_since + self._beside.alone_s - now):
            return False
        self._may_stop, self._due = False, now + _LATE * left_s + _LATE_S
        return True

    def _is_overdue(self, traffic: Traffic) -> bool:
        return (self._rate > 0.0
                and traffic.oldest_s > _OVERDUE * traffic.in_flight / self._rate + _OVERDUE_S + self._pulse.rtt)
