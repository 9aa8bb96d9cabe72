"""How busy the server is with other robots."""
import math
import time
from typing import Callable, Optional

#: Times slower than alone that robots plan for.
LEVELS = (1.0, 2.0, 4.0, 8.0)
_MEMORY_S = 2.0  # what was so long ago counts 1/e


class Share:
    """Mean number of other robots whose frames the server computes at the same time.  Not thread-safe.

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
