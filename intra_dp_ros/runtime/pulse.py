"""What heartbeats tell: the other side lives, the round-trip time, how far apart the two clocks are.

Thread-safe; one lock covers all state.
"""
import collections
import math
import threading
import time
from typing import Any, Callable, Deque, NamedTuple, Optional, Tuple

from intra_dp_ros.wire.messages import Heartbeat

IDLE_PERIOD_S = 0.1  # between heartbeats of a robot, and of a server whose robot has no frames
#: Between those of a server whose robot works on a frame, and has nothing for the server yet, or nothing more: it must
#: hear it within SILENCE_S.
WAITING_PERIOD_S = 0.04
BUSY_PERIOD_S = 0.02  # while the server works on a frame
#: A robot that has said that it works on a frame counts as doing so for this long: frames follow each other.
AWAKE_S = 1.0
#: A side that has sent nothing for this long plus a round trip is taken for dead while a frame waits for it.  With the
#: time between two looks at the link, death is noticed within 100 ms and a round trip.
SILENCE_S = 0.085
_MEMORY_S = 5.0  # round trips older than this are forgotten
_FRESH_S = 0.5  # a heartbeat echoed later than this tells of its own way as it was: its sender has fallen silent


class RoundTrip(NamedTuple):
    """What a heartbeat says of the link and of the two clocks."""

    seconds: float
    offset: float  # the other side's clock minus this one's [s]; both ways taken for equally long


def round_trip(beat: Heartbeat, now: float) -> Optional[RoundTrip]:
    """The round trip that a heartbeat closes which came `now`; None: it echoes nothing, or nothing of late.

    Args:
        now: on the clock of what it echoes [s].
    """
    if beat.echo <= 0.0 or beat.echo_delay > _FRESH_S:
        return None
    seconds = max(0.0, now - beat.echo - beat.echo_delay)
    return RoundTrip(seconds, beat.sent - (now - seconds / 2))


class Pulse:
    """One side's view of the other."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._heard = -math.inf
        self._echo: Tuple[float, float] = (0.0, 0.0)  # the other side's `sent`, when it came
        self._trips: Deque[Tuple[float, RoundTrip]] = collections.deque()  # when, which

    @property
    def heard(self) -> float:
        """When the other side was last heard; own clock [s]."""
        return self._heard

    @property
    def rtt(self) -> float:
        """Least round trip of the last seconds [s]; 0 when none was measured."""
        with self._lock:
            return min((trip.seconds for _, trip in self._trips), default=0.0)

    @property
    def offset(self) -> float:
        """The other side's clock minus this one's [s], from the fastest round trip; 0 when none was measured."""
        with self._lock:
            return min((trip for _, trip in self._trips), default=RoundTrip(0.0, 0.0)).offset

    def note(self) -> None:
        """Something was heard."""
        self._heard = self._clock()

    def received(self, beat: Heartbeat) -> Optional[RoundTrip]:
        """A heartbeat came; the round trip it closes, if it closes one."""
        now = self._clock()
        with self._lock:
            self._heard = now
            self._echo = (beat.sent, now)
            trip = round_trip(beat, now)
            if trip is None:
                return None
            self._trips.append((now, trip))
            while self._trips[0][0] < now - _MEMORY_S:
                self._trips.popleft()
            return trip

    def beat(self, robot_id: str, session: int, **fields: Any) -> Heartbeat:
        """The next heartbeat to send; `fields` are further fields of it."""
        now = self._clock()
        with self._lock:
            echo, arrived = self._echo
        return Heartbeat(robot_id, session, sent=now, echo=echo, echo_delay=now - arrived if echo else 0.0, **fields)
