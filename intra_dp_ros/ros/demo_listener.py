"""What the demo hears: input, answers out, the link; one strategy's run at a time.

Threading: subscribers' threads write, the demo's thread reads; `_lock` covers the run's tables.
"""
import threading
import time
from typing import Any, Dict, List, Set

import numpy as np
import rospy
from std_msgs.msg import Float64

from intra_dp_ros.bench.record import PARTS, BandwidthPoint, FrameSample
from intra_dp_ros.msg import InferenceStats
from intra_dp_ros.ros.board import OUTCOMES
from intra_dp_ros.ros.conversions import image_from_msg
from intra_dp_ros.ros.demo_apps import App
from intra_dp_ros.ros.node_services import NodeServices


class Listener(NodeServices):
    """Subscribes to a robot's answers, its input and the emulated air.

    Args:
        app: whose.
        shaper: name of the node.
        stats: topic.
    """

    def __init__(self, app: App, shaper: str, stats: str) -> None:
        super().__init__(app.node, shaper)
        self._lock = threading.Lock()
        self._extras = [topic.name for topic in app.extras]
        self._true = 0.0
        self._uplink = 0.0
        self._begin("")
        rospy.Subscriber(app.answer.name, app.answer.type, self._on_answer, queue_size=100)
        rospy.Subscriber(stats, InferenceStats, self._on_stats, queue_size=100)
        rospy.Subscriber(app.input.name, app.input.type, self._on_input, queue_size=100, buff_size=2 ** 24)
        rospy.Subscriber(app.pictures.name, app.pictures.type, self._on_picture, queue_size=100, buff_size=2 ** 24)
        for topic in app.extras:
            rospy.Subscriber(topic.name, topic.type, self._on_extra, topic.name, queue_size=100, buff_size=2 ** 24)
        rospy.Subscriber(shaper + "/true_bandwidth", Float64, self._on_bandwidth, queue_size=10)

    def _begin(self, strategy: str) -> None:
        self.strategy = strategy
        self.began = time.monotonic()
        self.inputs: Set[float] = set()  # stamps [s]
        self.pictures: Dict[float, np.ndarray] = {}  # by stamp [s]
        self.answers: Dict[float, Any] = {}
        self.extras: Dict[str, Dict[float, Any]] = {name: {} for name in self._extras}  # by topic
        self.samples: List[FrameSample] = []
        self.bandwidth: List[BandwidthPoint] = []
        self._shown = 0

    def begin(self, strategy: str) -> None:
        """A run begins: forget the one before."""
        with self._lock:
            self._begin(strategy)

    def finish(self) -> "Listener":
        """The run so far, as a copy that nothing changes any more."""
        with self._lock:
            done = Listener.__new__(Listener)
            for name in ("strategy", "began", "inputs", "pictures", "answers", "extras", "samples", "bandwidth"):
                setattr(done, name, getattr(self, name))
            self._begin("")
            return done

    def unanswered(self) -> int:
        """Inputs without a result or without its statistics."""
        with self._lock:
            answered = {s.stamp for s in self.samples} & set(self.answers)
            return len(self.inputs - answered)

    def line(self) -> str:
        """What happened in the last second, for the terminal."""
        with self._lock:
            new, self._shown = self.samples[self._shown:], len(self.samples)
            now = time.monotonic() - self.began
            if not new:
                return "{:5.1f} s  waiting for an answer   link {:5.1f} MB/s".format(now, self._true)
            last = new[-1]
            return "{:5.1f} s  {:.0f} fps  {:6.1f} ms  link {:5.1f} MB/s (robot's estimate {:5.1f})  {}  {}".format(
                now, len(new), last.latency_ms, self._true, last.bandwidth_MBps, last.state,
                last.plan if not last.reason else "{} ({})".format(last.outcome, last.reason))

    def _on_answer(self, msg: Any) -> None:
        with self._lock:
            self.answers[msg.header.stamp.to_sec()] = msg

    def _on_input(self, msg: Any) -> None:
        with self._lock:
            self.inputs.add(msg.header.stamp.to_sec())

    def _on_picture(self, msg: Any) -> None:
        rgb = image_from_msg(msg)
        with self._lock:
            self.pictures[msg.header.stamp.to_sec()] = rgb

    def _on_extra(self, msg: Any, name: str) -> None:
        with self._lock:
            self.extras[name][msg.header.stamp.to_sec()] = msg

    def _on_bandwidth(self, msg: Float64) -> None:
        with self._lock:
            self._true = msg.data
            self.bandwidth.append(BandwidthPoint(self.strategy, time.monotonic() - self.began, msg.data, self._uplink))

    def _on_stats(self, msg: InferenceStats) -> None:
        with self._lock:
            self._uplink = msg.bandwidth / 1e6
            self.samples.append(sample_from_msg(msg, self.strategy, time.monotonic() - self.began))


def sample_from_msg(msg: InferenceStats, strategy: str, time_s: float) -> FrameSample:
    """InferenceStats -> `FrameSample`.

    Args:
        strategy: whose run it is.
        time_s: since that run began [s].
    """
    return FrameSample(
        strategy=strategy, frame=msg.frame, stamp=msg.header.stamp.to_sec(), time_s=time_s,
        latency_ms=msg.latency * 1e3, inference_ms=msg.inference * 1e3, predicted_ms=msg.predicted * 1e3,
        outcome=OUTCOMES[msg.outcome], reason=msg.reason, state=msg.state, plan=msg.plan,
        bandwidth_MBps=msg.bandwidth / 1e6, bytes_up=msg.bytes_up, bytes_down=msg.bytes_down, energy_j=msg.energy,
        rel_error=msg.rel_error, parts={name: getattr(msg, name) * 1e3 for name in PARTS})
