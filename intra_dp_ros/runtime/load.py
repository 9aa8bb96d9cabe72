"""How busy the server is with other robots, in levels: plans are made for a level, not for every moment.

`Share` is the server's side, `Level` the robot's.  Neither is thread-safe: one thread uses each.
"""
import math
import time
from typing import Callable, Optional

#: Times slower than alone; between two levels lies their geometric mean.
LEVELS = (1.0, 2.0, 4.0, 8.0)
_MEMORY_S = 2.0  # what was so long ago counts 1/e
_SLACK = 1.25  # the mean must leave a level's interval by this factor: plans of a new level cost time


class Share:
    """Mean number of other robots whose frames the server computes at the same time.

    Args:
        clock: monotonic [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: Optional[float] = None
        self.mean = 0.0

    def add(self, others: float) -> float:
        """So many now; the mean."""
        now = self._clock()
        if self._seen is not None:
            self.mean += (others - self.mean) * (1.0 - math.exp((self._seen - now) / _MEMORY_S))
        self._seen = now
        return self.mean


class Level:
    """The level to plan for, which changes only when the load has clearly left it."""

    def __init__(self) -> None:
        self.value = LEVELS[0]

    def hear(self, load: float) -> float:
        """What the server says its `Share` is; the level."""
        slower = 1.0 + max(0.0, load)
        index = LEVELS.index(self.value)
        low = _between(index - 1) / _SLACK if index > 0 else 0.0
        high = _between(index) * _SLACK if index < len(LEVELS) - 1 else math.inf
        if not low <= slower <= high:
            self.value = min(LEVELS, key=lambda level: abs(math.log(slower / level)))
        return self.value


def _between(index: int) -> float:
    return math.sqrt(LEVELS[index] * LEVELS[index + 1])
