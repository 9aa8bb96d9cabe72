"""The robot's node of a bench: any model whose input is one tensor; frames in, the outputs as they are out."""
import json
import logging
import random
import threading
import time
from typing import Any

import rospy
from sensor_msgs.msg import Image

from intra_dp_ros.apps.models import LoadedModel, ModelError
from intra_dp_ros.bench import frames
from intra_dp_ros.bench.emulated import from_file
from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.graph.record import RecordingError
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import FULL, HALF
from intra_dp_ros.loss.objective import KINDS, LATENCY, Objective
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.plan import LOSSLESS
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.msg import BandwidthEstimate, InferenceStats, TensorTile
from intra_dp_ros.ros import conversions, params
from intra_dp_ros.ros.bench_messages import CHECK, FrameError, frame_from_msg, result_to_msgs
from intra_dp_ros.ros.control import RosControl
from intra_dp_ros.ros.inference_node import stats_to_msg
from intra_dp_ros.ros.logs import show_logs
from intra_dp_ros.ros.mailbox import Mailbox
from intra_dp_ros.ros.progress import ProgressLog
from intra_dp_ros.ros.topic_link import TopicLink
from intra_dp_ros.ros.topics import robot_topic
from intra_dp_ros.runtime.machine import keep_freed_memory, switch_threads_fast, use_threads
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.stats import SPLIT
from intra_dp_ros.srv import GetStatus, GetStatusResponse, SetStrategy, SetStrategyResponse
from intra_dp_ros.wire.codec import available
from intra_dp_ros.wire.session import check_robot_id

_BUFFER_BYTES = 2 ** 24


class BenchRobot:
    """Answers every frame with the model's outputs.

    Subscribes:
        frames (sensor_msgs/Image): see `bench_messages`.
        <ns>/<robot>/bandwidth (BandwidthEstimate), and what the link needs.
    Publishes:
        result (TensorTile): one for every output of every frame; stats (InferenceStats): one for every frame.
    Services:
        ~get_status (GetStatus), ~set_strategy (SetStrategy).
    Parameters:
        ~model (string): NAME or NAME@SHAPE; ~seed (int, 0): of random weights.
        ~emulate (string, ''): computing is replaced by waits of the times in this file; the values of frames whose
            frame_id is "check" are computed afterwards, both sides, under the frame's plan.
        ~robot_id, ~ns, ~duplex, ~input_codec, ~objective, ~robot_slowdown, ~threads, ~folder: as of `RobotNode`.
    """

    def __init__(self, model: LoadedModel, folder: str, ns: str, config: RobotConfig, emulate: str = "") -> None:
        self._spec = model.input_specs[0]
        self._ns = ns
        self._id = config.robot_id
        recording = prepare(frames.record_whole(model))
        self.robot = Robot(recording, folder, config, ProgressLog(), from_file(emulate) if emulate else None)
        self._real = Kernels(self.robot.engine.tiling, recording.weights) if emulate else None
        self._mailbox = Mailbox()

    def setup(self) -> None:
        """Make the topics and services, begin to serve."""
        self._result = rospy.Publisher("result", TensorTile, queue_size=100)
        self._stats = rospy.Publisher("stats", InferenceStats, queue_size=100)
        self._link = TopicLink("robot", self._ns, self._id)
        self.robot.connect(self._link, RosControl(self._ns))
        rospy.Subscriber(robot_topic(self._ns, self._id, "bandwidth"), BandwidthEstimate,
                         lambda msg: self.robot.on_bandwidth(conversions.bandwidth_from_msg(msg)), queue_size=5)
        rospy.Service("~get_status", GetStatus, self._on_status)
        rospy.Service("~set_strategy", SetStrategy, self._on_strategy)
        threading.Thread(target=self._work, name="frames", daemon=True).start()
        rospy.Subscriber("frames", Image, lambda msg: self._mailbox.put((time.monotonic(), msg)), queue_size=1,
                         buff_size=_BUFFER_BYTES, tcp_nodelay=True)

    def close(self) -> None:
        """Stop."""
        self._mailbox.close()
        self.robot.close()
        self._link.close()

    def _work(self) -> None:
        while True:
            item = self._mailbox.take()
            if item is None:
                return
            try:
                self._answer(*item)
            except FrameError as error:
                rospy.logerr("frame dropped: %s", error)
            except Exception:  # counted as lost by whoever sent the frame; the next one may be better
                logging.getLogger(__name__).exception("a frame failed")

    def _answer(self, arrived: float, msg: Image) -> None:
        frame = frame_from_msg(msg, self._spec.shape, self._spec.dtype)
        ready = time.monotonic()
        inference = self.robot.infer((frame,), (msg.header.stamp.secs, msg.header.stamp.nsecs), msg.header.frame_id)
        decoded = time.monotonic()
        later = self._real is not None and msg.header.frame_id == CHECK
        results = result_to_msgs(inference.outputs, inference.stats.frame, msg.header, self._id)
        for result in results if not later else ():
            self._result.publish(result)
        done = time.monotonic()
        out = stats_to_msg(inference.stats, msg.header, self._id)
        out.latency, out.capture, out.publish, out.rel_error = done - arrived, ready - arrived, done - decoded, -1.0
        self._stats.publish(out)
        if later:  # the clock has stopped
            plan = self.robot.plan(inference.stats.epoch if inference.stats.outcome == SPLIT else 0)
            outputs = run_both_sides(self._real, plan, (frame,), random.Random(inference.stats.frame))
            for result in result_to_msgs(outputs, inference.stats.frame, msg.header, self._id):
                self._result.publish(result)

    def _on_status(self, _: Any) -> GetStatusResponse:
        status = self.robot.status()
        return GetStatusResponse(status["state"], json.dumps(status))

    def _on_strategy(self, request: Any) -> SetStrategyResponse:
        try:
            self.robot.set_strategy(request.strategy)
        except ValueError as error:
            return SetStrategyResponse(False, str(error))
        return SetStrategyResponse(True, "")


def main() -> None:
    """Read the parameters, answer frames until shut down."""
    logging.getLogger("intra_dp_ros").setLevel(logging.INFO)
    keep_freed_memory()  # before there are threads, which would have heaps of their own
    rospy.init_node("bench_robot")
    show_logs()
    try:
        use_threads(params.read("~threads", 1, at_least=0))
        switch_threads_fast()
        model = frames.load(params.read("~model", ""), params.read("~seed", 0))
        node = BenchRobot(model, params.read("~folder", ""), params.read("~ns", "/intra_dp"), RobotConfig(
            robot_id=check_robot_id(params.read("~robot_id", "robot")), strategy=params.read("~strategy", "local"),
            duplex=params.read("~duplex", HALF, choices=(HALF, FULL)),
            slowdown=params.read("~robot_slowdown", 1.0, at_least=1.0), adaptive=params.read("~adaptive", True),
            input_codec=params.read("~input_codec", "raw", choices=(*available(), LOSSLESS)),
            power=PowerModel(), objective=Objective(params.read("~objective", LATENCY, choices=KINDS))),
            params.read("~emulate", ""))
    except (ModelError, RecordingError, GraphError, ValueError, OSError) as error:
        rospy.logfatal("robot: %s", error)
        raise SystemExit(1)
    node.setup()
    rospy.on_shutdown(node.close)
    rospy.spin()


if __name__ == "__main__":
    main()
