"""What plans depend on and what keeps changing, in levels: plans are made for a level, not for every moment."""
import math
import time
from typing import Callable, Optional, Sequence

#: Round-trip times that plans are made for [s].
ROUND_TRIPS = tuple(0.0005 * 2 ** k for k in range(10))
_SLACK = 1.25  # what is measured must leave a level's interval by this factor: plans of a new level cost time


class Level:
    """One of some levels, which changes only when what is measured has clearly left it.

    Not thread-safe: one thread tells it what it measured; others may read `value`.

    Args:
        levels: ascending, above 0; between two lies their geometric mean.
        value: to begin with, the nearest level to it.
        hold_s: for so long what is measured must have been above [s]; what is below counts at once.
        clock: monotonic [s].
    """

    def __init__(self, levels: Sequence[float], value: float, hold_s: float = 0.0,
                 clock: Optional[Callable[[], float]] = None) -> None:
        self._levels = list(levels)
        self._hold_s, self._clock = hold_s, clock or time.monotonic
        self._left: Optional[float] = None  # since when it has been
        self.value = self._nearest(value)

    def hear(self, measured: float) -> float:
        """The level, now that this was measured."""
        index = self._levels.index(self.value)
        low = self._between(index - 1) / _SLACK if index > 0 else -math.inf
        high = self._between(index) * _SLACK if index < len(self._levels) - 1 else math.inf
        if low <= measured <= high:
            self._left = None
            return self.value
        now = self._clock()
        self._left = now if self._left is None else self._left
        if measured < low or now - self._left >= self._hold_s:
            self.value, self._left = self._nearest(measured), None
        return self.value

    def _nearest(self, measured: float) -> float:
        return min(self._levels, key=lambda level: abs(math.log(max(measured, 1e-9) / level)))

    def _between(self, index: int) -> float:
        return math.sqrt(self._levels[index] * self._levels[index + 1])
