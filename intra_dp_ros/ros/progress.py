"""Progress of long work in the log, a line a second at most."""
import threading
import time

import rospy


class ProgressLog:
    """Call it with (what, done, of); the last line stays readable in `line`."""

    def __init__(self) -> None:
        self.line = ""
        self._lock = threading.Lock()
        self._last = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        finished = done >= total
        with self._lock:
            self.line = "" if finished else "{} {}/{}".format(what, done, total)
            now = time.monotonic()
            if not finished and now - self._last < 1.0:
                return
            self._last = now
        rospy.loginfo("%s: %d/%d (%.0f %%)", what, done, total, 100.0 * done / max(1, total))
