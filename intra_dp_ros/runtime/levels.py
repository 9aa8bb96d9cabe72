"""What plans depend on and what keeps changing, in levels: plans are made for a level, not for every moment."""
import math
from typing import Sequence

#: Round-trip times that plans are made for [s].
ROUND_TRIPS = tuple(0.0005 * 2 ** k for k in range(10))
_SLACK = 1.25  # what is measured must leave a level's interval by this factor: plans of a new level cost time


class Level:
    """One of some levels, which changes only when what is measured has clearly left it.

    Not thread-safe: one thread tells it what it measured; others may read `value`.

    Args:
        levels: ascending, above 0; between two lies their geometric mean.
        value: to begin with, the nearest level to it.
    """

    def __init__(self, levels: Sequence[float], value: float) -> None:
        self._levels = list(levels)
        self.value = self._nearest(value)

    def hear(self, measured: float) -> float:
        """The level, now that this was measured."""
        index = self._levels.index(self.value)
        low = self._between(index - 1) / _SLACK if index > 0 else -math.inf
        high = self._between(index) * _SLACK if index < len(self._levels) - 1 else math.inf
        if not low <= measured <= high:
            self.value = self._nearest(measured)
        return self.value

    def _nearest(self, measured: float) -> float:
        return min(self._levels, key=lambda level: abs(math.log(max(measured, 1e-9) / level)))

    def _between(self, index: int) -> float:
        return math.sqrt(self._levels[index] * self._levels[index + 1])
