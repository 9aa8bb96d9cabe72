"""A shaped link as arithmetic: when has a message left the air, on a link whose bandwidth follows a trace.

No threads, no sleeping, no clock: whoever asks passes the time.  `lane.py` adds the threads.
"""
import csv
import math
import threading
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Dict, List, Sequence, Tuple

#: Messages below this go ahead of queued bulk: acknowledgements and heartbeats travel on connections of their own.
SMALL_BYTES = 2048
#: In half duplex bulk takes the air in slices of this length, so that two directions share it fairly.
SLICE_BYTES = 32 * 1024

DIRECTIONS = ("up", "down")


class Trace:
    """Bandwidth over time: piecewise constant, repeated for ever.

    Args:
        times: start of each piece [s], from 0, increasing.
        rates: bandwidth of each piece [byte/s], >= 0.
        period: length of the whole trace [s]; the last piece holds until then.

    Raises:
        ValueError: times or rates that are not of this kind.
    """

    def __init__(self, times: Sequence[float], rates: Sequence[float], period: float) -> None:
        if not times or len(times) != len(rates):
            raise ValueError("a trace needs as many times as rates, and at least one; got {} and {}".format(
                len(times), len(rates)))
        edges = [*map(float, times), float(period)]
        if edges[0] != 0 or any(not a < b for a, b in zip(edges, edges[1:])) or not math.isfinite(period):
            raise ValueError("the times of a trace start at 0 and increase up to its period")
        if any(not (0 <= r < math.inf) for r in rates):
            raise ValueError("the rates of a trace are finite and not negative")
        self.period = float(period)
        self._edges = edges
        self._rates = [float(r) for r in rates]
        pieces = (r * (b - a) for r, a, b in zip(self._rates, edges, edges[1:]))
        self._carried = [0.0, *accumulate(pieces)]

    @property
    def pieces(self) -> List[Tuple[float, float]]:
        """Start [s] and bandwidth [byte/s] of each piece."""
        return list(zip(self._edges, self._rates))

    @staticmethod
    def constant(rate: float) -> "Trace":
        """The same `rate` [byte/s] for ever."""
        return Trace([0.0], [rate], 1.0)

    @staticmethod
    def read(path: str, scale: float = 1.0) -> "Trace":
        """Read a CSV file with the columns ``t_s`` [s] and ``MBps`` [10^6 byte/s]; `scale` multiplies the latter.

        Raises:
            ValueError: not such a file; the message names it.
            OSError: it cannot be read.
        """
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        try:
            times = [float(row["t_s"]) for row in rows]
            rates = [float(row["MBps"]) * 1e6 * scale for row in rows]
            steps = sorted(b - a for a, b in zip(times, times[1:])) or [1.0]
            return Trace([t - times[0] for t in times], rates, times[-1] - times[0] + steps[len(steps) // 2])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError("{} is not a bandwidth trace with the columns t_s, MBps: {!r}".format(
                path, error)) from None

    def write(self, path: str) -> None:
        """A CSV file that `read` reads.

        Raises:
            OSError: it cannot be written.
        """
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("t_s", "MBps"))
            writer.writerows((t, r / 1e6) for t, r in zip(self._edges, self._rates))

    def slowed(self, factor: float) -> "Trace":
        """The same trace in a world `factor` times slower: it lasts longer, and carries the same bytes all in all.

        Raises:
            ValueError: the factor is not positive.
        """
        if not factor > 0:
            raise ValueError("a trace can be slowed by a positive factor, not by {}".format(factor))
        return Trace([t * factor for t in self._edges[:-1]], [r / factor for r in self._rates], self.period * factor)

    def shifted(self, by: float) -> "Trace":
        """The same trace, begun `by` seconds into it."""
        cut = by % self.period
        moved = sorted(((t - cut) % self.period, r) for t, r in zip(self._edges, self._rates))
        if moved[0][0] > 0.0:
            moved.insert(0, (0.0, self.rate(cut)))
        return Trace([t for t, _ in moved], [r for _, r in moved], self.period)

    def rate(self, t: float) -> float:
        """Bandwidth at time `t` [byte/s]."""
        return self._rates[bisect_right(self._edges, t % self.period, 0, len(self._rates)) - 1]

    @property
    def mean(self) -> float:
        """Mean bandwidth [byte/s]."""
        return self._carried[-1] / self.period

    def highest(self, start: float, stop: float) -> float:
        """The highest bandwidth in [start, stop) [byte/s]."""
        if stop - start >= self.period:
            return max(self._rates)
        rounds, first = divmod(start, self.period)
        last = stop - rounds * self.period
        return max([self.rate(start), *(rate for edge, rate in self.pieces
                                        if first < edge < last or first < edge + self.period < last)])

    def carried(self, t: float) -> float:
        """Bytes the link could carry in [0, t)."""
        rounds, rest = divmod(t, self.period)
        i = bisect_right(self._edges, rest, 0, len(self._rates)) - 1
        return rounds * self._carried[-1] + self._carried[i] + self._rates[i] * (rest - self._edges[i])

    def finish(self, start: float, nbytes: float) -> float:
        """When `nbytes` sent from `start` on have all left; infinite on a trace without any bandwidth."""
        if nbytes <= 0:
            return start
        total = self._carried[-1]
        if total == 0:
            return math.inf
        rounds, rest = divmod(self.carried(start) + nbytes, total)
        if rest == 0:  # the last byte of a round leaves in that round, not after a pause at the start of the next
            rounds, rest = rounds - 1, total
        i = bisect_left(self._carried, rest)  # the piece that reaches `rest`, so its rate is not 0
        t = self._edges[i - 1] + (rest - self._carried[i - 1]) / self._rates[i - 1]
        return max(start, rounds * self.period + max(t, 0.0))


class TraceShaper:
    """The air between robot and server.

    Bulk messages are served first come, first served: per direction in full duplex, one queue for both in half
    duplex, as Wi-Fi has it.  Small messages do not wait for bulk, but what they take is missing to the bulk behind
    them, so nothing ever exceeds the trace for longer than a small message takes.

    Thread-safe; one lock covers all state.

    Args:
        trace: the bandwidth.
        half_duplex: both directions share it.
        delay: one-way delay added after the air [s].
        origin: when the trace begins, on the clock that `departure` is asked with [s].
    """

    def __init__(self, trace: Trace, half_duplex: bool = True, delay: float = 0.0, origin: float = 0.0) -> None:
        if delay < 0:
            raise ValueError("the delay is {} s, expected >= 0".format(delay))
        self.trace = trace
        self.half_duplex = half_duplex
        self.delay = delay
        self.origin = origin
        self._lock = threading.Lock()
        self._bulk_free: Dict[str, float] = {}  # air -> when it has served all bulk so far, trace time
        self._small_free: Dict[str, float] = {}

    def departure(self, now: float, nbytes: int, direction: str) -> float:
        """When a message of `nbytes` that is ready at `now` has left the air [s]; may be infinite.

        Raises:
            ValueError: a direction other than "up" and "down".
        """
        if direction not in DIRECTIONS:
            raise ValueError("the direction is {!r}, expected one of {}".format(direction, DIRECTIONS))
        air = "both" if self.half_duplex else direction
        with self._lock:
            origin = self.origin
            start = now - origin
            bulk = max(self._bulk_free.get(air, start), start)
            if nbytes < SMALL_BYTES:
                done = self.trace.finish(max(self._small_free.get(air, start), start), nbytes)
                self._small_free[air] = done
                self._bulk_free[air] = self.trace.finish(bulk, nbytes)
            else:
                done = self._bulk_free[air] = self.trace.finish(bulk, nbytes)
        return done + origin

    def restart(self, origin: float) -> None:
        """The trace begins again at `origin`, on the same clock; what still waited for the air is forgotten."""
        with self._lock:
            self.origin = origin
            self._bulk_free.clear()
            self._small_free.clear()

    def rate(self, now: float) -> float:
        """True bandwidth at `now` [byte/s], for reports only."""
        return self.trace.rate(now - self.origin)
