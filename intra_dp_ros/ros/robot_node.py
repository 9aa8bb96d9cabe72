"""The robot's node: images in, people out."""
import json
import logging
import math
import threading
import time
from dataclasses import dataclass, fields
from typing import Any, Dict, Optional, Tuple

import rospy
import torch
from sensor_msgs.msg import CompressedImage, Image

from intra_dp_ros.apps.models import LoadedModel, ModelError, load_model
from intra_dp_ros.apps.people import draw
from intra_dp_ros.apps.pipeline import Answer, ImagePipeline, record_model
from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import FULL, HALF
from intra_dp_ros.loss.objective import KINDS, LATENCY, Objective
from intra_dp_ros.msg import BandwidthEstimate, InferenceStats, People
from intra_dp_ros.ros import conversions, params
from intra_dp_ros.ros.control import RosControl
from intra_dp_ros.ros.diagnostics import Diagnostics
from intra_dp_ros.ros.mailbox import Mailbox
from intra_dp_ros.ros.progress import ProgressLog
from intra_dp_ros.ros.topic_link import TopicLink
from intra_dp_ros.ros.topics import robot_topic
from intra_dp_ros.runtime.exactness import TOLERANCE, relative_error
from intra_dp_ros.runtime.machine import keep_freed_memory, switch_threads_fast, use_threads
from intra_dp_ros.runtime.robot import Robot, RobotConfig
from intra_dp_ros.srv import GetStatus, GetStatusResponse, SetStrategy, SetStrategyResponse
from intra_dp_ros.wire.codec import available
from intra_dp_ros.wire.session import check_robot_id

_NO_INPUT_S = 5.0  # without an image: say which topic is waited for
_BUFFER_BYTES = 2 ** 24  # of the image subscriber: rospy's default delivers old images (queue_size 1 or not)


@dataclass(frozen=True)
class NodeParams:
    """The node's parameters, in the units of `RobotNode`'s docstring."""

    ns: str
    folder: str
    threshold: float
    check_every: int
    robot: RobotConfig


class RobotNode:
    """Answers every image it accepts with the people in it; when images come faster, the newest wins.

    Subscribes:
        image (sensor_msgs/Image), image/compressed (sensor_msgs/CompressedImage): remap either to your camera.
        <ns>/<robot>/bandwidth (BandwidthEstimate), and what the link needs: down, heartbeat_down, ack_up.
    Publishes:
        people (People): one message for every accepted image, with its stamp and frame_id.
        overlay (sensor_msgs/Image, rgb8): the image with the people drawn in; made only while somebody listens.
        stats (InferenceStats): one message for every accepted image.
        /diagnostics (diagnostic_msgs/DiagnosticArray), 1 Hz; for the link: up, plan, heartbeat_up, ack_down.
    Services:
        ~get_status (GetStatus), ~set_strategy (SetStrategy).
    Parameters:
        ~robot_id (string, robot): a letter, then letters, digits, underscores; unique among a server's robots.
        ~ns (string, /intra_dp): namespace of the server's services and the link's topics.
        ~model (string, movenet-multipose), ~weights (string, ''): see docs/models.md.
        ~height, ~width (int, 0) [pixel]: of the model's input; 0: the model's default.
        ~threshold (double, -1): least score of a person, 0..1; -1: the model's default.
        ~strategy (string, auto): auto, local, offload, neurosurgeon, dsccs, spso_ga, dina or intra_dp.
        ~objective (string, latency): of auto and intra_dp: latency, energy, weighted or deadline.
        ~energy_weight (double, 0) [s/J]: of the objective weighted; ~deadline (double, 1) [s]: of deadline, which takes
            the least energy among plans that meet it.
        ~power/compute, ~power/transmit, ~power/standby (double, 13.35, 4.25, 4.04) [W]: of the robot's board.
        ~device (string, cpu), ~threads (int, 0: torch's default).
        ~duplex (string, half): of the link, half (Wi-Fi) or full.
        ~input_codec (string, raw): raw, png, lz4 or bits+lz4 for inputs on the way to the server.
        ~robot_slowdown (double, 1): emulates a processor this many times slower; 1: none.
        ~check_every (int, 0): every so many frames the result is compared with the unsplit model; 0: never.
        ~folder (string, ~/.cache/intra_dp_ros/robot): profiles and plans.
    """

    def __init__(self, model: LoadedModel, settings: NodeParams) -> None:
        self.settings = settings
        self.progress = ProgressLog()
        rospy.loginfo("recording %s", model.name)
        recording = record_model(model)
        self.robot = Robot(recording, settings.folder, settings.robot, self.progress)
        self.pipeline = ImagePipeline(model, self.robot, settings.threshold)
        self._mailbox = Mailbox()
        self._bad: Dict[str, int] = {}  # what was wrong with an image -> how often
        self._last_image = time.monotonic()
        self._latencies: Tuple[float, ...] = ()  # of the last frames [s]
        self._answered = 0
        self._link: Optional[TopicLink] = None

    def setup(self) -> None:
        """Make the topics and services, begin to serve."""
        robot_id, ns = self.settings.robot.robot_id, self.settings.ns
        self._people = rospy.Publisher("people", People, queue_size=10)
        self._stats = rospy.Publisher("stats", InferenceStats, queue_size=100)
        self._overlay = rospy.Publisher("overlay", Image, queue_size=2)
        self._link = TopicLink("robot", ns, robot_id)
        self.robot.connect(self._link, RosControl(ns))
        rospy.Subscriber(robot_topic(ns, robot_id, "bandwidth"), BandwidthEstimate,
                         lambda msg: self.robot.on_bandwidth(conversions.bandwidth_from_msg(msg)), queue_size=5)
        rospy.Service("~get_status", GetStatus, self._on_status)
        rospy.Service("~set_strategy", SetStrategy, self._on_strategy)
        self._thread = threading.Thread(target=self._work, name="frames", daemon=True)
        self._thread.start()
        self._image = rospy.Subscriber("image", Image, self._on_image, conversions.image_from_msg, queue_size=1,
                                       buff_size=_BUFFER_BYTES, tcp_nodelay=True)
        self._compressed = rospy.Subscriber("image/compressed", CompressedImage, self._on_image,
                                            conversions.image_from_compressed, queue_size=1,
                                            buff_size=_BUFFER_BYTES, tcp_nodelay=True)
        Diagnostics("intra_dp robot", robot_id, self._diagnose)

    def close(self) -> None:
        """Stop."""
        self._mailbox.close()
        self.robot.close()
        if self._link is not None:
            self._link.close()

    def _on_image(self, msg: Any, convert: Any) -> None:
        self._last_image = time.monotonic()
        self._mailbox.put((self._last_image, msg, convert))

    def _work(self) -> None:
        while True:
            item = self._mailbox.take()
            if item is None:
                return
            arrived, msg, convert = item
            try:
                self._answer(arrived, msg, convert(msg))
            except conversions.ImageError as error:
                self._bad[str(error)] = self._bad.get(str(error), 0) + 1
                rospy.logerr_throttle(5.0, "image on {} cannot be used: {}".format(self._image.resolved_name, error))
            except Exception as error:  # the next frame may be better; the node lives on
                self._bad[repr(error)] = self._bad.get(repr(error), 0) + 1
                logging.getLogger(__name__).exception("a frame failed")

    def _answer(self, arrived: float, msg: Any, rgb: Any) -> None:
        header, ready = msg.header, []
        answer = self.pipeline(rgb, (header.stamp.secs, header.stamp.nsecs), header.frame_id,
                               lambda: ready.append(time.monotonic()))
        decoded = time.monotonic()
        model, frame = self.pipeline.model, answer.inference.stats.frame
        self._people.publish(conversions.people_to_msg(
            answer.people, header, frame, rgb.shape[1], rgb.shape[0], model.name, model.weights))
        done = time.monotonic()
        self._answered += 1
        self._latencies = (*self._latencies[-29:], done - arrived)
        if self._overlay.get_num_connections():
            self._overlay.publish(conversions.image_to_msg(draw(rgb, answer.people), header))
        out = stats_to_msg(answer.inference.stats, header, self.settings.robot.robot_id)
        out.latency, out.capture = done - arrived, ready[0] - arrived
        out.publish = done - decoded + answer.decode_s
        out.rel_error = self._check(answer)
        self._stats.publish(out)

    def _check(self, answer: Answer) -> float:
        """The relative error against the unsplit model, on every `check_every`-th frame; -1 on the others."""
        every, stats = self.settings.check_every, answer.inference.stats
        if not every or stats.frame % every:
            return -1.0
        error = relative_error(answer.inference.outputs, self.robot.engine.whole(answer.inputs))
        if error > TOLERANCE:
            rospy.logerr("frame %d differs from the unsplit model by %.1e under plan %s: please report it",
                         stats.frame, error, stats.plan)
        return error

    def _on_status(self, _: Any) -> GetStatusResponse:
        status = self.robot.status()
        model = self.pipeline.model
        status.update(robot_id=self.settings.robot.robot_id, model=model.name, weights=model.weights,
                      weights_note=model.weights_note, input_shape=list(model.input_specs[0].shape),
                      parameters=sum(math.prod(c.shape) for c in self.robot.engine.graph.constants.values()),
                      answered=self._answered, skipped=self._mailbox.replaced, bad=self._bad,
                      doing=self.progress.line)
        return GetStatusResponse(status["state"], json.dumps(status))

    def _on_strategy(self, request: Any) -> SetStrategyResponse:
        try:
            self.robot.set_strategy(request.strategy)
        except ValueError as error:
            return SetStrategyResponse(False, str(error))
        return SetStrategyResponse(True, "")

    def _diagnose(self) -> Tuple[int, str, Dict[str, Any]]:
        """State, speed and what is in the way, for /diagnostics; also says when no image comes."""
        status, level = self.robot.status(), 0
        message = status["state"]
        if status["problem"] and status["state"] != "LOCAL":
            level, message = 1, "{}: {}".format(status["state"], status["problem"])
        silent = time.monotonic() - self._last_image
        if silent > _NO_INPUT_S:
            level, name = 1, self._image.resolved_name
            message = "no image for {:.0f} s on {} ({} publishers); remap it: image:=/your/camera/topic".format(
                silent, name, self._image.get_num_connections())
            rospy.logwarn_throttle(10.0, message)
        if self._bad:
            level = 2
            message = "{} images could not be used, e.g.: {}".format(sum(self._bad.values()), list(self._bad)[-1])
        latencies = sorted(self._latencies)
        values = {name: status[name] for name in ("state", "strategy", "problem", "frames", "uplink_MBps", "rtt_ms",
                                                  "slowdown")}
        values.update({"median latency [ms]": latencies[len(latencies) // 2] * 1e3 if latencies else "",
                       "images skipped for newer ones": self._mailbox.replaced, "device": self.robot.engine.device,
                       "model": self.pipeline.model.name, "weights": self.pipeline.model.weights,
                       "doing": self.progress.line})
        return level, message, values


def stats_to_msg(stats: Any, header: Any, robot_id: str) -> InferenceStats:
    """`FrameStats` as a message; latency, capture, publish and rel_error are the caller's to fill in."""
    out = InferenceStats(header=header, robot_id=robot_id)
    out.outcome = {"local": InferenceStats.OUTCOME_LOCAL, "split": InferenceStats.OUTCOME_SPLIT,
                   "takeover": InferenceStats.OUTCOME_TAKEOVER}[stats.outcome]
    for name in ("frame", "reason", "state", "strategy", "plan", "epoch", "bytes_up", "bytes_down", "bandwidth"):
        setattr(out, name, getattr(stats, name))
    renamed = {"inference_s": "inference", "predicted_s": "predicted", "energy_j": "energy"}
    for field in fields(stats):
        if field.name.endswith(("_s", "_j")):
            setattr(out, renamed.get(field.name, field.name[:-2]), getattr(stats, field.name))
    return out


def main() -> None:
    """Read the parameters, answer images until shut down."""
    logging.getLogger("intra_dp_ros").setLevel(logging.INFO)
    rospy.init_node("intra_dp_robot")
    try:
        use_threads(params.read("~threads", 0, at_least=0))
        keep_freed_memory()
        switch_threads_fast()
        size = (params.read("~height", 0, at_least=0), params.read("~width", 0, at_least=0))
        model = load_model(params.read("~model", "movenet-multipose"), params.read("~weights", ""),
                           size if all(size) else None)
        node = RobotNode(model, NodeParams(
            ns=params.read("~ns", "/intra_dp"), folder=params.read("~folder", "~/.cache/intra_dp_ros/robot"),
            threshold=params.read("~threshold", -1.0), check_every=params.read("~check_every", 0, at_least=0),
            robot=RobotConfig(
                robot_id=check_robot_id(params.read("~robot_id", "robot")), strategy=params.read("~strategy", "auto"),
                device=params.read("~device", "cpu"), duplex=params.read("~duplex", HALF, choices=(HALF, FULL)),
                slowdown=params.read("~robot_slowdown", 1.0, at_least=1.0),
                input_codec=params.read("~input_codec", "raw", choices=available()),
                power=PowerModel(**{name: params.read("~power/" + name, getattr(PowerModel(), name), at_least=0.0)
                                    for name in ("compute", "transmit", "standby")}),
                objective=Objective(params.read("~objective", LATENCY, choices=KINDS),
                                    params.read("~energy_weight", 0.0, at_least=0.0), params.read("~deadline", 1.0)))))
        node.setup()
    except (ModelError, GraphError, ValueError, OSError) as error:
        rospy.logfatal("robot: %s", error)
        raise SystemExit(1)
    rospy.loginfo("robot %s ready: model %s (%s weights: %s), device %s, torch %s, images on %s, people on %s, "
                  "local inference %.0f ms%s", node.settings.robot.robot_id, model.name, model.weights,
                  model.weights_note, node.robot.engine.device, torch.__version__, rospy.resolve_name("image"),
                  rospy.resolve_name("people"), node.robot.status()["local_ms"],
                  "" if node.settings.robot.slowdown == 1.0 else
                  " (emulated: {:g} times slower)".format(node.settings.robot.slowdown))
    rospy.on_shutdown(node.close)
    rospy.spin()
