"""A thread that serves what somebody wants at present, and is told whenever that changes."""
import threading
from typing import FrozenSet, Iterable


class Wants:
    """Base of what works for the pages that are open; its thread begins at once, so a subclass calls this last.

    Threading: `want` may be called from any thread and does not wait; `_change` covers `_wanted` and `_closed`.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._wanted: FrozenSet[str] = frozenset()
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def want(self, names: Iterable[str]) -> None:
        """What somebody looks at now."""
        with self._change:
            if self._wanted != frozenset(names):
                self._wanted = frozenset(names)
                self._change.notify()

    def close(self) -> None:
        """Stop."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        """Serve `_wanted` until `_closed`."""
        raise NotImplementedError
