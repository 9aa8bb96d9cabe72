"""One place for the newest frame: when the camera is faster than the model, older frames make way."""
import threading
from typing import Any, Optional


class Mailbox:
    """Thread-safe; any number of writers, one reader."""

    def __init__(self) -> None:
        self.replaced = 0  # items that a newer one replaced
        self._change = threading.Condition()
        self._item: Optional[Any] = None
        self._closed = False

    def put(self, item: Any) -> None:
        """The newest item; one that nobody has taken yet is dropped."""
        with self._change:
            self.replaced += self._item is not None
            self._item = item
            self._change.notify()

    def take(self) -> Optional[Any]:
        """Wait for an item and take it; None once closed."""
        with self._change:
            while self._item is None and not self._closed:
                self._change.wait()
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake the reader up for good."""
        with self._change:
            self._closed = True
            self._change.notify_all()
