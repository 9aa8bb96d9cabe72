"""When an idle link is probed, and with how much: often enough to know it, little enough not to disturb."""
import math
import threading
from typing import Optional, Tuple

from intra_dp_ros.wire.messages import BandwidthSample

IDLE_S = 0.2  # without traffic: worth a probe
UNKNOWN_S = 0.6  # without a measurement in spite of traffic, such as tiles too small, or small and alone: worth one
_TILES = 4  # of a train: three distances
_TRAIN_S = 0.008  # a train is to take on the air: long against the jitter of threads
_LEAST_BYTES, _MOST_BYTES = 16 * 1024, 256 * 1024  # of a train
_LONGEST_PAUSE_S = 1.0  # between trains while the link is idle
_RESTS_S = 5.0  # without frames: the longest pauses are enough, and robots that rest leave the air to others
_LOST_S = 2.0  # a train without an answer for this long is lost; until then no other is sent


class ProbeSchedule:
    """Decides about probe trains.  Thread-safe; one lock covers all state.

    Args:
        budget: share of the link that probes may take, 0..1; on a slow link one short train a second is sent anyway.
            0: no probes.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._traffic = -math.inf  # when something else was last acknowledged
        self._began: Optional[float] = None  # when this was first asked
        self._next = -math.inf  # no train before this
        self._sent = -math.inf  # when the last train was sent
        self._waits_for = -1  # sequence of its last tile; -1: for nothing
        self._sequence = 0

    def allow(self, budget: float) -> None:
        """Another share of the link, from now on."""
        with self._lock:
            self._budget = budget

    def on_traffic(self, now: float) -> None:
        """Something other than a probe was acknowledged."""
        with self._lock:
            self._traffic = now

    def on_ack(self, sequence: int) -> None:
        """A tile of a probe train was acknowledged."""
        with self._lock:
            if sequence == self._waits_for:
                self._waits_for = -1

    def due(self, now: float, sample: BandwidthSample) -> Tuple[Tuple[int, int], ...]:
        """(sequence, bytes) of the tiles to be sent now; they count as sent.  Empty when it is not time."""
        with self._lock:
            self._began = now if self._began is None else self._began
            rests = now - max(self._traffic, self._began) > _RESTS_S
            unanswered = self._waits_for >= 0 and now - self._sent < _LOST_S
            tells = now - self._traffic < IDLE_S and sample.age < UNKNOWN_S
            if self._budget <= 0 or now < self._next or tells or unanswered:
                return ()
            rate = sample.up if sample.confidence > 0 else 0.0
            tile = int(min(_MOST_BYTES, max(_LEAST_BYTES, rate * _TRAIN_S))) // _TILES
            allowed = rate * self._budget
            pause = _TILES * tile / allowed if allowed > 0 and not rests else _LONGEST_PAUSE_S
            self._sent, self._next = now, now + min(_LONGEST_PAUSE_S, pause)
            train = tuple((self._sequence + i, tile) for i in range(_TILES))
            self._sequence = (self._sequence + _TILES) % 2 ** 31  # the wire has 32 bits
            self._waits_for = train[-1][0]
            return train
