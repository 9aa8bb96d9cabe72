"""What a soak hears, as a user would: results, statistics, diagnostics, and what the emulated air let through.

Threading: subscribers' threads write, the soak's thread reads; `_lock` covers everything.
"""
import collections
import threading
import time
from typing import Any, Deque, Dict, List, Tuple

import rospy
from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Float64

from intra_dp_ros.bench.soak_record import NOT_CHECKED, Frame, Link, Result
from intra_dp_ros.msg import InferenceStats
from intra_dp_ros.ros.board import OUTCOMES
from intra_dp_ros.ros.demo_apps import Topic
from intra_dp_ros.ros.diagnostics import ERROR
from intra_dp_ros.ros.node_services import NodeServices

_SKIPPED = "inputs skipped for newer ones"  # as /diagnostics has it
_KEPT = 20  # results that may wait for their statistics
_BUFFER_BYTES = 2 ** 24


class SoakListener(NodeServices):
    """Subscribes to a robot's node; the node must have been initialised.

    Args:
        node: its name.
        result: its topic.
        shaper: name of the node that is the air.
    """

    def __init__(self, node: str, result: Topic, shaper: str) -> None:
        super().__init__(node, shaper)
        self._lock = threading.Lock()
        self._node = node.strip("/")
        self._skipped = 0
        self._diagnosed = 0.0  # when diagnostics last came, monotonic [s]
        self._complaint = ""
        self.begin(time.monotonic())
        rospy.Subscriber(result.name, result.type, self._on_result, queue_size=100, buff_size=_BUFFER_BYTES,
                         tcp_nodelay=True)
        rospy.Subscriber("/stats", InferenceStats, self._on_stats, queue_size=100, tcp_nodelay=True)
        rospy.Subscriber("/diagnostics", DiagnosticArray, self._on_diagnostics, queue_size=100)
        rospy.Subscriber(shaper + "/true_bandwidth", Float64, self._on_bandwidth, queue_size=100)

    def begin(self, began: float) -> None:
        """Forget what was heard; times count from `began` on (monotonic [s])."""
        with self._lock:
            self._began = began
            self._results: List[Result] = []
            self._frames: List[Frame] = []
            self._link: List[Link] = []
            self._recent: Deque[Any] = collections.deque(maxlen=_KEPT)
            self._wanted: Dict[int, Any] = {}  # stamps of checked frames -> their results, None until they came

    def heard(self) -> Tuple[List[Result], List[Frame], List[Link]]:
        """Everything so far, copies."""
        with self._lock:
            return list(self._results), list(self._frames), list(self._link)

    def last(self) -> Tuple[int, Any, float]:
        """Number of results, the newest frame (None: there is none), the link's bandwidth now [MB/s]."""
        with self._lock:
            return (len(self._results), self._frames[-1] if self._frames else None,
                    self._link[-1].true_MBps if self._link else 0.0)

    def is_answered(self, stamp: int) -> bool:
        """Whether result and statistics of a message are there."""
        with self._lock:
            return any(r.stamp == stamp for r in self._results[-_KEPT:]) and any(
                f.stamp == stamp for f in self._frames[-_KEPT:])

    def checked(self) -> Dict[int, Any]:
        """Results of the frames that the node compared with the unsplit model, by stamp [ns]."""
        with self._lock:
            return {stamp: result for stamp, result in self._wanted.items() if result is not None}

    def skipped(self, since: float = 0.0) -> int:
        """How many inputs the node says newer ones replaced, -1 while it has not said so after `since` (monotonic
        [s])."""
        with self._lock:
            return self._skipped if self._diagnosed > since else -1

    def complaint(self) -> str:
        """What is wrong, as the node's newest diagnostics have it; empty: no error."""
        with self._lock:
            return self._complaint

    def _on_result(self, msg: Any) -> None:
        now, stamp = time.monotonic(), msg.header.stamp.to_nsec()
        with self._lock:
            self._results.append(Result(stamp, now - self._began, msg.header.frame_id))
            if stamp in self._wanted:
                self._wanted[stamp] = msg
            else:
                self._recent.append(msg)

    def _on_stats(self, msg: InferenceStats) -> None:
        now, stamp = time.monotonic(), msg.header.stamp.to_nsec()
        with self._lock:
            self._frames.append(Frame(
                msg.frame, stamp, now - self._began, msg.header.frame_id, OUTCOMES[msg.outcome], msg.reason,
                msg.latency, msg.inference, msg.publish, msg.bandwidth / 1e6, msg.rel_error))
            if msg.rel_error != NOT_CHECKED:
                self._wanted[stamp] = next((m for m in self._recent if m.header.stamp == msg.header.stamp), None)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name.partition(":")[0] != self._node:
                continue
            values = {entry.key: entry.value for entry in status.values}
            with self._lock:
                self._complaint = status.message if status.level == ERROR else ""
                if _SKIPPED in values:
                    self._skipped, self._diagnosed = int(values[_SKIPPED]), time.monotonic()

    def _on_bandwidth(self, msg: Float64) -> None:
        with self._lock:
            self._link.append(Link(time.monotonic() - self._began, msg.data))
