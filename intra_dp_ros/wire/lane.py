"""A queue with a thread that delivers messages in order, when a shaper says they have arrived.

Threading: anyone may `put`; one thread per lane serves the queue and calls `deliver`, without holding the lock.  One
condition covers the queue.  While the lane is cut, its thread drops (or holds) what has come due.
"""
import collections
import logging
import math
import threading
import time
from typing import Any, Callable, Deque, Optional, Tuple

from intra_dp_ros.wire.shaper import SLICE_BYTES, TraceShaper

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT_S = 3600.0  # a condition refuses to wait for ever longer


class Lane:
    """One first-in, first-out stream of messages in one direction.

    Args:
        deliver: called with each message, in order; what it raises is logged.
        name: of the thread.
        shaper: the air the messages go through; None: they arrive at once.
        direction: "up" or "down", for the shaper.
    """

    def __init__(self, deliver: Callable[[Any], None], name: str, shaper: Optional[TraceShaper] = None,
                 direction: str = "up") -> None:
        self._deliver = deliver
        self._shaper = shaper
        self._direction = direction
        self._ready = threading.Condition()
        self._waiting: Deque[Tuple[float, int, Any]] = collections.deque()  # ready at, bytes, message
        self._flying: Deque[Tuple[float, Any]] = collections.deque()  # due at, message
        self._cut = False
        self._hold = False
        self._closed = False
        self.dropped = 0  # messages lost while cut
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, message: Any, nbytes: int) -> None:
        """Send a message of `nbytes`; never blocks."""
        with self._ready:
            if self._closed or (self._cut and not self._hold):
                self.dropped += 1
                return
            self._waiting.append((time.monotonic(), nbytes, message))
            self._ready.notify()

    def cut(self, hold: bool = False) -> None:
        """Silence: what is queued or sent from now on is dropped, or kept until `restore` when `hold`."""
        with self._ready:
            self._cut, self._hold = True, hold
            if not hold:
                self.dropped += len(self._waiting) + len(self._flying)
                self._waiting.clear()
                self._flying.clear()
            self._ready.notify()

    def restore(self) -> None:
        """End the silence."""
        with self._ready:
            self._cut = False
            self._ready.notify()

    def close(self) -> None:
        """Stop the thread; what is queued is dropped.  May be called from `deliver`."""
        with self._ready:
            self._closed = True
            self._waiting.clear()
            self._flying.clear()
            self._ready.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        free = 0.0  # when the last slice leaves the air: the next one may ask for it from then on
        left = 0  # bytes of the head of `_waiting` that have not asked for the air yet; 0: it has not begun
        while True:
            with self._ready:
                while True:
                    if self._closed:
                        return
                    now = time.monotonic()
                    if self._cut:
                        left, free = 0, now
                        self._ready.wait()
                        continue
                    if self._flying and self._flying[0][0] <= now:
                        message = self._flying.popleft()[1]
                        break
                    if not self._waiting:
                        left = 0
                    elif free <= now:
                        free, left = self._serve_slice(free, left)
                        continue
                    due = min(self._flying[0][0] if self._flying else math.inf,
                              free if self._waiting else math.inf)
                    self._ready.wait(None if due == math.inf else min(due - now, _LONGEST_WAIT_S))
            try:
                self._deliver(message)
            except Exception:  # a receiver's fault must not silence the link
                _LOG.exception("the receiver of a message failed")

    def _serve_slice(self, free: float, left: int) -> Tuple[float, int]:
        """Ask the air for the next slice of the head message; the new (free, left)."""
        ready, nbytes, message = self._waiting[0]
        if self._shaper is None:
            self._waiting.popleft()
            self._flying.append((ready, message))
            return free, 0
        left = left or nbytes
        # A tail too short for a slice of its own goes with the last one: it must not pass for a small message.
        piece = SLICE_BYTES if self._shaper.half_duplex and left >= 2 * SLICE_BYTES else left
        free = self._shaper.departure(max(ready, free), piece, self._direction)
        if piece == left:
            self._waiting.popleft()
            self._flying.append((free + self._shaper.delay, message))
        return free, left - piece
