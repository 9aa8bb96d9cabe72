"""Bandwidth of the link, from when acknowledged tiles were sent and when they arrived.

The link serves tiles one after the other.  It begins with a tile when the one before has arrived, or, if it was idle,
when the tile is there: sent, and the least one-way delay later (heartbeats tell that delay, and both clocks' offset).
From then to the tile's arrival it carried the tile's bytes.  So neither pauses of the application nor those between
frames count, and a plan that sends one tile a frame tells the bandwidth as well, if it is not small.

Where sending times are not known, only gaps between arrivals of one frame's tiles are measured, and pauses of the
application look like a slow link.

Tiles are put together into trains, long enough that the jitter of threads does not count; each train gives one rate.
The estimate is a weighted quantile of the newest rates.  A timed train weighs as long as the link needed for it: by
bytes, what was fast would be remembered longer than what is slow, and a fall of the bandwidth be noticed late.  A small
tile that the link was idle before does not count, unless nothing else is known or it tells of a fall: what shapers and
radios have saved up carries it faster than the link is.  A single train much slower than those before and after it was
a stall (of a radio, of a machine), and does not count.

Thread-safe; one lock covers all state; no threads of its own.
"""
import collections
import math
import threading
import time
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from intra_dp_ros.wire.messages import Ack, BandwidthSample

#: Without a measurement for this long the bandwidth is unknown [s].
STALE_S = 3.0

_SMALL_BYTES = 4096  # a tile below this says more about threads than about the link
_SMALL_ALONE_BYTES = 16 * 1024  # and one that the link was idle before, about what shapers save up meanwhile
_BETTER_S = STALE_S / 2  # for so long something better than that is known
_TRAIN_S = 0.005  # a train of this length is long enough, however few its tiles
_TRAIN_TILES = 3  # ... and one of so many tiles, however short
_SHORTEST_S = 0.001  # what a train takes at least: stamps are no better than this
_LONGEST_GAP_S = 2.0  # between tiles of one frame: longer ones are an outage, not a slow link
_LONGEST_PROBE_GAP_S = 0.25  # between tiles of one probe train; trains do not say where they end
_WINDOW_S = 0.5  # of trains that count
_FADE_S, _TIMED_FADE_S = 0.15, 0.04  # a train counts 1/e for every so much of age
_QUANTILE, _TIMED_QUANTILE = 0.65, 0.55
_STALL, _STALL_S = 2.0, 0.04  # a stall: so long a train where those before and after it are so many times as fast
_ALONE = 0.25  # weight of a train that the link was idle before: waking threads and TCP's start are in it
_FRESH_S = 0.5  # an estimate is as good as new for so long
_ENOUGH_TILES = 6  # measured tiles in the window that make an estimate trustworthy
_RTT_WINDOW_S = 5.0


class _Train(NamedTuple):
    end: float  # receiver's clock [s]
    rate: float  # [byte/s]
    weight: float
    tiles: int
    probe: bool
    timed: bool  # whether it is known when the link began with its tiles
    fell: bool  # whether it is much slower than the one before
    came: float  # when it was known, own clock [s]


class _Direction:
    """One direction of the link; the caller locks."""

    def __init__(self) -> None:
        self.newest = -math.inf  # when the newest train was complete, own clock [s]
        self.rate = 0.0  # estimate [byte/s]
        self._trains: Deque[_Train] = collections.deque()
        self._last: Optional[Tuple[int, int, float]] = None  # session, frame and arrival of the last tile
        self._bytes = 0  # of the train so far
        self._tiles = 0
        self._duration = 0.0
        self._queued = 0.0  # part of the duration in which tiles waited for one another
        self._timed = False

    @property
    def tiles(self) -> int:
        """Measured tiles behind the estimate."""
        return sum(train.tiles for train in self._trains)

    def newest_rate(self, since: float) -> float:
        """Of the newest two trains since a moment, own clock [s]; [byte/s], 0: there are none."""
        newest = [train for train in self._trains if train.came >= since][-2:]
        return 2.0 / sum(1.0 / train.rate for train in newest) if len(newest) == 2 else 0.0

    @property
    def is_probe(self) -> bool:
        """Whether the newest train was a probe."""
        return bool(self._trains) and self._trains[-1].probe

    def add(self, ack: Ack, now: float, delay: Optional[float]) -> None:
        """A tile has arrived.

        Args:
            delay: from the sender's clock to the receiver's, over an idle link [s]; None: not known.
        """
        if not math.isfinite(ack.received):
            return
        probe, last = ack.frame == 0, self._last
        self._last = (ack.session, ack.frame, ack.received)
        timed = delay is not None and ack.sent > 0.0
        if timed != self._timed:
            self._begin()
            self._timed = timed
        if timed:
            begun, queued = ack.sent + delay, False
            if last is not None and begun <= last[2] <= ack.received:
                begun, queued = last[2], True
            gap = ack.received - begun
            longest = _LONGEST_GAP_S
        else:
            gap = -1.0 if last is None or (ack.session, ack.frame) != last[:2] else ack.received - last[2]
            longest, queued = _LONGEST_PROBE_GAP_S if probe else _LONGEST_GAP_S, True
        if not 0.0 <= gap <= longest:
            self._begin()  # the sender was idle before this tile, or the receiver is another one
            return
        if timed and not queued and ack.bytes < _SMALL_ALONE_BYTES and now - self.newest < _BETTER_S and (
                gap < _STALL_S or 2.0 * ack.bytes > self.rate * gap):
            return
        self._bytes += ack.bytes
        self._duration += gap
        self._queued += gap if queued else 0.0
        if ack.bytes < _SMALL_BYTES:
            return
        self._tiles += 1
        if self._duration >= _TRAIN_S or self._tiles >= _TRAIN_TILES:
            duration = max(self._duration, _SHORTEST_S)
            weight = float(self._bytes)
            if timed:
                weight = _ALONE * duration + (1.0 - _ALONE) * min(self._queued, duration)
            rate = self._bytes / duration
            fell = (timed and duration >= _STALL_S and bool(self._trains)
                    and _STALL * rate < self._trains[-1].rate)
            self._trains.append(_Train(ack.received, rate, weight, self._tiles, probe, timed, fell, now))
            self._begin()
            self._update(ack.received)
            self.newest = now

    def _begin(self) -> None:
        self._bytes, self._tiles, self._duration, self._queued = 0, 0, 0.0, 0.0

    def _update(self, now: float) -> None:
        while not 0.0 <= now - self._trains[0].end <= _WINDOW_S:
            self._trains.popleft()  # too old, or of a receiver whose clock began anew
        every = list(self._trains)
        trains = [t for t, after in zip(every, every[1:]) if not (t.fell and after.rate > _STALL * t.rate)] + every[-1:]
        timed = [t for t in trains if t.timed]
        fade, share = (_TIMED_FADE_S, _TIMED_QUANTILE) if timed else (_FADE_S, _QUANTILE)
        self.rate = _quantile([(t.rate, t.weight * math.exp((t.end - now) / fade)) for t in timed or trains], share)


def _quantile(weighted: List[Tuple[float, float]], share: float) -> float:
    """The value below which `share` of the weight lies; `weighted`: (value, weight > 0), not empty."""
    weighted.sort()
    left = share * sum(weight for _, weight in weighted)
    for value, weight in weighted:
        left -= weight
        if left <= 0.0:
            return value
    return weighted[-1][0]


class BandwidthEstimator:
    """What one robot's link carries.

    Args:
        robot_id: for the samples.
        clock: own clock [s], for the age of what was measured.
    """

    def __init__(self, robot_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._robot_id = robot_id
        self._clock = clock
        self._lock = threading.Lock()
        self._directions: Dict[str, _Direction] = {"up": _Direction(), "down": _Direction()}
        self._trips: Deque[Tuple[float, float, Optional[float]]] = collections.deque()  # when, round trip, offset [s]

    def on_ack(self, direction: str, ack: Ack) -> None:
        """A tile has arrived.

        Args:
            direction: of the tile, "up" or "down".

        Raises:
            ValueError: another direction.
        """
        measured = self._directions.get(direction)
        if measured is None:
            raise ValueError("direction is {!r}, expected up or down".format(direction))
        with self._lock:
            now = self._clock()
            trip, offset = self._least(now)
            delay = None if offset is None else trip / 2 + (offset if direction == "up" else -offset)
            measured.add(ack, now, delay)

    def on_rtt(self, seconds: float, offset: Optional[float] = None) -> None:
        """A round trip was measured [s].

        Args:
            offset: the other side's clock minus this one's, as that round trip shows it [s]; None: not known.
        """
        if not 0.0 <= seconds < math.inf or (offset is not None and not math.isfinite(offset)):
            return
        now = self._clock()
        with self._lock:
            # Increasing from the front: a round trip that a later one undercuts is never the least again.
            while self._trips and self._trips[-1][1] >= seconds:
                self._trips.pop()
            self._trips.append((now, seconds, offset))

    def _least(self, now: float) -> Tuple[float, Optional[float]]:
        """Least round trip of the last seconds and the clocks' offset that it showed [s]."""
        while self._trips and self._trips[0][0] < now - _RTT_WINDOW_S:
            self._trips.popleft()
        return self._trips[0][1:] if self._trips else (0.0, None)

    def newest_up(self, since: float) -> float:
        """What the newest tiles since a moment (own clock [s]) say of the uplink [byte/s]; 0: nothing.

        It knows of a rise before the estimate does, which weighs what came before, and it errs more often.
        """
        with self._lock:
            return self._directions["up"].newest_rate(since)

    def sample(self) -> BandwidthSample:
        """The estimate now; `up` and `down` are 0 while unknown, `down` is `up` while only that is known."""
        now = self._clock()
        with self._lock:
            rtt = self._least(now)[0]
            up, down = self._directions["up"], self._directions["down"]
            age = now - up.newest
            known = age < STALE_S
            freshness = min(1.0, max(0.0, (STALE_S - age) / (STALE_S - _FRESH_S)))
            return BandwidthSample(
                robot_id=self._robot_id, up=up.rate if known else 0.0,
                down=down.rate if now - down.newest < STALE_S else up.rate if known else 0.0, rtt=rtt, age=age,
                confidence=freshness * min(1.0, up.tiles / _ENOUGH_TILES) if known else 0.0,
                source="none" if not known else "probe" if up.is_probe else "traffic")
