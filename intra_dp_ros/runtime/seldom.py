"""What would be said for every tile of every frame is said now and then."""
import time
from typing import Callable

_PAUSE_S = 5.0


class Seldom:
    """True at most once in `_PAUSE_S`.  Of several threads more than one may be told so: nothing depends on it.

    Args:
        clock: monotonic [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._next = clock, float("-inf")

    def __call__(self) -> bool:
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + _PAUSE_S
        return True
