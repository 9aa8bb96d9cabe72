"""What is wrong with what comes in: one line each in the log, and not again for a while; a count for whoever asks."""
import collections
import re
import threading
import time
from typing import Dict, List, Tuple

import rospy

from intra_dp_ros.ros.diagnostics import ERROR

_AGAIN_S = 60.0  # the same line is not logged more often
_RECENT_S = 10.0  # what was seen this short ago is still a problem
_MOST = 32  # kinds that are kept


class Complaints:
    """Thread-safe; one lock covers everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Dict[str, int] = {}
        self._seen: Dict[str, Tuple[float, int]] = {}  # when (monotonic [s]), level
        self._kinds: "collections.OrderedDict[str, float]" = collections.OrderedDict()  # -> last logged [s]

    def say(self, text: str, level: int = ERROR) -> bool:
        """Count a problem, of level WARN or ERROR; log it unless one that differs in its numbers only was of late.

        Returns:
            Whether it was logged.
        """
        kind, now = re.sub(r"[\d.]+", "#", text), time.monotonic()
        with self._lock:
            self._counts[text] = self._counts.get(text, 0) + 1
            self._seen[text] = now, level
            while len(self._counts) > _MOST:
                oldest = min(self._seen, key=lambda known: self._seen[known])
                del self._counts[oldest], self._seen[oldest]
            is_new = now - self._kinds.get(kind, -_AGAIN_S) >= _AGAIN_S
            if is_new:
                self._kinds[kind] = now
                self._kinds.move_to_end(kind)
                if len(self._kinds) > _MOST:
                    self._kinds.popitem(last=False)
        if is_new:
            (rospy.logerr if level == ERROR else rospy.logwarn)("%s", text)
        return is_new

    def counts(self) -> Dict[str, int]:
        """Problem -> how often."""
        with self._lock:
            return dict(self._counts)

    def recent(self) -> List[Tuple[int, str]]:
        """(level, problem) of the last seconds."""
        now = time.monotonic()
        with self._lock:
            return [(level, text) for text, (seen, level) in self._seen.items() if now - seen < _RECENT_S]
