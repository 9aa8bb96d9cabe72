"""Colour and depth of the same moment: approximate time with a limit, for streams whose stamps may start again.

Threading: any thread; one lock covers both queues.
"""
import math
import threading
from typing import Any, List, Optional, Tuple

_KEPT = 10  # of each kind while the other is waited for
_BACK_S = 0.5  # a stamp this much before the newest: the streams began again


class Pairing:
    """Pairs items of two streams whose stamps differ by no more than `slop_s`, each at most once.

    An item whose best partner so far is more than half a period of the other stream older waits: a nearer one is still
    to come.  Else one item left over would shift all pairs after it by a period.

    Args:
        slop_s: the most two stamps may differ by [s].
    """

    def __init__(self, slop_s: float) -> None:
        self.slop_s = slop_s
        self._lock = threading.Lock()
        self._waiting: Tuple[List[Tuple[float, Any]], List[Tuple[float, Any]]] = ([], [])
        self._newest: List[Optional[float]] = [None, None]  # stamp [s]
        self._period = [math.inf, math.inf]  # between the last two stamps [s]

    def add(self, kind: int, stamp: float, item: Any) -> Optional[Tuple[Any, Any]]:
        """One item more; the pair (item of kind 0, item of kind 1) that it completes, if any.

        Args:
            kind: 0 or 1.
            stamp: of the item [s].
        """
        with self._lock:
            own, other = self._waiting[kind], self._waiting[1 - kind]
            before, self._newest[kind] = self._newest[kind], stamp
            self._period[kind] = stamp - before if before is not None and stamp > before else math.inf
            if own and stamp < own[-1][0] - _BACK_S:
                own.clear()
                other[:] = [known for known in other if known[0] <= stamp + self.slop_s]
            best = min(reversed(other), key=lambda known: abs(known[0] - stamp), default=None)  # of equals the newest
            if best is None or abs(best[0] - stamp) > self.slop_s or stamp - best[0] > self._period[1 - kind] / 2:
                own.append((stamp, item))
                del own[:-_KEPT]
                return None
            # What is older than a pair will not be paired any more: results come in the order of the stamps.
            other[:] = [known for known in other if known[0] > best[0]]
            own[:] = [known for known in own if known[0] > stamp]
            return (item, best[1]) if kind == 0 else (best[1], item)

    def gap(self) -> Optional[float]:
        """How far apart the newest waiting stamps of both kinds are [s]; None where one of them has none."""
        with self._lock:
            if not self._waiting[0] or not self._waiting[1]:
                return None
            return abs(self._waiting[0][-1][0] - self._waiting[1][-1][0])
