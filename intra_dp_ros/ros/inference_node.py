"""The node that runs an application's model on a robot, with the server when that is faster.

Threading: `accept` on rospy's threads; one thread answers frames, one paints, each from a mailbox that keeps the
newest.
"""
import json
import logging
import math
import threading
import time
from dataclasses import dataclass, fields
from typing import Any, Dict, Optional, Tuple

import rospy
import torch
from dynamic_reconfigure.server import Server as Reconfigure

from intra_dp_ros.apps.pipeline import record_model
from intra_dp_ros.cfg import InferenceConfig
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.msg import BandwidthEstimate, InferenceStats
from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.application import Application, Job
from intra_dp_ros.ros.complaints import Complaints
from intra_dp_ros.ros.control import RosControl
from intra_dp_ros.ros.diagnostics import OK, WARN, Diagnostics
from intra_dp_ros.ros.frame_window import FrameWindow
from intra_dp_ros.ros.mailbox import Mailbox
from intra_dp_ros.ros.progress import ProgressLog
from intra_dp_ros.ros.topic_link import TopicLink
from intra_dp_ros.ros.topics import robot_topic
from intra_dp_ros.runtime.exactness import TOLERANCE
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.stats import Inference
from intra_dp_ros.srv import GetStatus, GetStatusResponse, SetStrategy, SetStrategyResponse

_NO_INPUT_S = 5.0  # without input: say which topic is waited for


@dataclass(frozen=True)
class NodeParams:
    """What every inference node has, in the units of `InferenceNode`'s docstring."""

    ns: str
    folder: str
    check_every: int
    always_on: bool
    robot: RobotConfig


class InferenceNode:
    """Answers every input it accepts while somebody listens; when input comes faster than that, the newest wins.

    Subscribes:
        <ns>/<robot>/bandwidth (BandwidthEstimate), and what the link needs: down, heartbeat_down, ack_up.
    Publishes:
        stats (InferenceStats): one message for every answered input.
        /diagnostics (diagnostic_msgs/DiagnosticArray), 1 Hz; for the link: up, plan, heartbeat_up, ack_down.
    Services:
        ~get_status (GetStatus), ~set_strategy (SetStrategy).
    Parameters:
        ~robot_id (string, robot): a letter, then letters, digits, underscores; unique among a server's robots.
        ~ns (string, /intra_dp): namespace of the server's services and the link's topics.
        ~strategy (string, auto): auto, local, offload, neurosurgeon, dsccs, spso_ga, dina or intra_dp.
        ~objective (string, latency): of auto and intra_dp: latency, energy, weighted or deadline.
        ~energy_weight (double, 0) [s/J]: of the objective weighted; ~deadline (double, 1) [s]: of deadline, which takes
            the least energy among plans that meet it.
        ~power/compute, ~power/transmit, ~power/standby (double, 13.35, 4.25, 4.04) [W]: of the robot's board.
        ~device (string, cpu), ~threads (int, 0: torch's default).
        ~duplex (string, half): of the link, half (Wi-Fi) or full.
        ~input_codec (string, lossless): lossless, raw, png, lz4, bits+lz4 on the way to the server; source: the own
            JPEG of a compressed image.
        ~robot_slowdown (double, 1): emulates a processor this many times slower; 1: none.
        ~check_every (int, 0): every so many frames the result is compared with the unsplit model; 0: never.
        ~always_on (bool, false): answer input although nobody listens to any result (stats is none).
        ~probe_rate (double, 1) [Hz]: of the node's own probes of an idle link that no bandwidth monitor measures.
        ~folder (string, ~/.cache/intra_dp_ros/robot): profiles and plans.
        dynamic_reconfigure changes strategy, objective, energy_weight, deadline, input_codec and probe_rate.

    Raises:
        GraphError: the model cannot be recorded or run on the device.
        ValueError: a strategy that does not exist.
    """

    def __init__(self, application: Application, settings: NodeParams) -> None:
        self.settings = settings
        self.application = application
        self.progress = ProgressLog()
        self.complaints = Complaints()
        rospy.loginfo("recording %s", application.model.name)
        recording = record_model(application.model)
        self.robot = Robot(recording, settings.folder, settings.robot, self.progress)
        self._frames, self._pictures = Mailbox(), Mailbox()
        self._window = FrameWindow()
        self._last_input = time.monotonic()
        self._ignored = 0  # inputs that came while nobody listened
        self._link: Optional[TopicLink] = None

    def setup(self) -> None:
        """Make the topics and services, begin to serve."""
        robot_id, ns = self.settings.robot.robot_id, self.settings.ns
        self._stats = rospy.Publisher("stats", InferenceStats, queue_size=100)
        self._link = TopicLink("robot", ns, robot_id)
        self.robot.connect(self._link, RosControl(ns))
        rospy.Subscriber(robot_topic(ns, robot_id, "bandwidth"), BandwidthEstimate,
                         lambda msg: self.robot.on_bandwidth(conversions.bandwidth_from_msg(msg)), queue_size=5)
        rospy.Service("~get_status", GetStatus, self._on_status)
        self._reconfigure = Reconfigure(InferenceConfig, self._on_reconfigure)
        rospy.Service("~set_strategy", SetStrategy, self._on_strategy)
        for name, work in (("frames", self._answer_frames), ("pictures", self._paint_pictures)):
            threading.Thread(target=work, name=name, daemon=True).start()
        self.application.setup(self.accept, self.complaints)
        Diagnostics("intra_dp robot", robot_id, self._diagnose)

    def close(self) -> None:
        """Stop."""
        self._frames.close()
        self._pictures.close()
        self.application.close()
        self.robot.close()
        if self._link is not None:
            self._link.close()

    def accept(self, item: Any) -> None:
        """An input came; it is answered unless a newer one comes first."""
        self._last_input = time.monotonic()
        if self.settings.always_on or self.application.wanted():
            self._frames.put((self._last_input, item))
        else:
            self._ignored += 1

    def _answer_frames(self) -> None:
        while True:
            found = self._frames.take()
            if found is None:
                return
            try:
                self._answer(*found)
            except conversions.InputError as error:
                self.complaints.say("input on {} cannot be used: {}".format(self.application.waits_for()[0], error))
            except Exception as error:  # the next frame may be better; the node lives on
                if self.complaints.say("a frame failed: {!r}".format(error)):
                    logging.getLogger(__name__).exception("where it failed")

    def _answer(self, arrived: float, item: Any) -> None:
        job = self.application.prepare(item)
        header, ready = job.header, time.monotonic()
        if job.source is None and self.robot.config.input_codec == "source":
            self.complaints.say("input on {} is no JPEG and travels raw although the codec is source: use "
                                "~image_transport compressed, or another codec".format(
                                    self.application.waits_for()[0]), WARN)
        inference = self.robot.infer(job.inputs, (header.stamp.secs, header.stamp.nsecs), header.frame_id, job.source)
        complete = time.monotonic()
        result = self.application.publish(job, inference.outputs, inference.stats.frame)
        done = time.monotonic()
        self._window.add(done - arrived, inference.stats)
        self._pictures.put((job, result))
        out = stats_to_msg(inference.stats, header, self.settings.robot.robot_id)
        out.latency, out.capture, out.publish = done - arrived, ready - arrived, done - complete
        out.rel_error = self._check(job, inference)
        self._stats.publish(out)

    def _paint_pictures(self) -> None:
        while True:
            found = self._pictures.take()
            if found is None:
                return
            try:
                self.application.paint(*found)
            except Exception as error:  # a picture must not end all pictures
                if self.complaints.say("a picture failed: {!r}".format(error)):
                    logging.getLogger(__name__).exception("where it failed")

    def _check(self, job: Job, inference: Inference) -> float:
        """The relative error against the unsplit model, on every `check_every`-th frame; -1 on the others."""
        every, stats = self.settings.check_every, inference.stats
        if not every or stats.frame % every:
            return -1.0
        error = self.robot.engine.error(job.inputs, inference.outputs)
        if error > TOLERANCE:
            rospy.logerr("frame %d differs from the unsplit model by %.1e under plan %s: please report it",
                         stats.frame, error, stats.plan)
        return error

    def _on_status(self, _: Any) -> GetStatusResponse:
        status, model = self.robot.status(), self.application.model
        status.update(model=model.name, weights=model.weights,
                      weights_note=model.weights_note, input_shape=list(model.input_specs[0].shape),
                      parameters=sum(math.prod(c.shape) for c in self.robot.engine.graph.constants.values()),
                      answered=self._window.answered, skipped=self._frames.replaced, ignored=self._ignored,
                      bad=self.complaints.counts(), doing=self.progress.line, **self.application.values())
        return GetStatusResponse(status["state"], json.dumps(status))

    def _on_strategy(self, request: Any) -> SetStrategyResponse:
        try:
            self.robot.set_strategy(request.strategy)
        except ValueError as error:
            return SetStrategyResponse(False, str(error))
        self._reconfigure.update_configuration({"strategy": request.strategy})  # shows what is so
        return SetStrategyResponse(True, "")

    def _on_reconfigure(self, config: Any, _: int) -> Any:
        """Other parameters; the configuration that holds: what cannot be is left as it was, and said."""
        robot = self.robot
        try:
            if config.strategy != robot.strategy:
                robot.set_strategy(config.strategy)
            robot.aim(Objective(config.objective, config.energy_weight, config.deadline), config.input_codec)
        except ValueError as error:
            rospy.logerr("cannot reconfigure: %s", error)
        now = robot.config
        config.strategy, config.input_codec, config.objective = robot.strategy, now.input_codec, now.objective.kind
        config.energy_weight, config.deadline = now.objective.weight, now.objective.deadline_s
        robot.probe_every(1.0 / config.probe_rate if config.probe_rate > 0.0 else math.inf)
        return config

    def _diagnose(self) -> Tuple[int, str, Dict[str, Any]]:
        """State, speed and what is in the way, for /diagnostics; also says when no input comes."""
        status, level = self.robot.status(), OK
        message = status["state"]
        if status["problem"] and status["state"] != "LOCAL":
            level, message = WARN, "{}: {}".format(status["state"], status["problem"])
        if self.robot.engine.device == "cpu" and torch.cuda.is_available():
            level, message = WARN, "the model runs on the CPU although there is a GPU: set ~device to cuda:0"
        silent = time.monotonic() - self._last_input
        if silent > _NO_INPUT_S:
            topic, remap, publishers = self.application.waits_for()
            level = WARN
            message = "no input for {:.0f} s on {} ({} publishers{}); remap it: {}".format(
                silent, topic, publishers, ", which send nothing" if publishers else "", remap)
            rospy.logwarn_throttle(10.0, message)
        problems = self.complaints.recent()
        if problems:
            level, message = max(problems, key=lambda problem: problem[0])
        values = {name: status[name] for name in ("state", "strategy", "problem", "frames", "slowdown")}
        values.update({
            "uplink [MB/s]": status["uplink_MBps"], "age of the uplink's estimate [s]": status["uplink_age_s"],
            "round trip [ms]": status["rtt_ms"], **self._window.values(), "inputs skipped for newer ones":
            self._frames.replaced, "inputs ignored, nobody listens": self._ignored,
            "inputs not usable": sum(self.complaints.counts().values()), "device": self.robot.engine.device,
            "model": self.application.model.name, "weights": self.application.model.weights,
            "doing": self.progress.line, **self.application.values()})
        return level, message, values


def stats_to_msg(stats: Any, header: Any, robot_id: str) -> InferenceStats:
    """`FrameStats` as a message; latency, capture, publish and rel_error are the caller's to fill in."""
    out = InferenceStats(header=header, robot_id=robot_id)
    out.outcome = {"local": InferenceStats.OUTCOME_LOCAL, "split": InferenceStats.OUTCOME_SPLIT,
                   "takeover": InferenceStats.OUTCOME_TAKEOVER}[stats.outcome]
    for name in ("frame", "reason", "state", "strategy", "plan", "epoch", "bytes_up", "bytes_down", "bandwidth",
                 "energy_source"):
        setattr(out, name, getattr(stats, name))
    renamed = {"inference_s": "inference", "predicted_s": "predicted", "energy_j": "energy"}
    for field in fields(stats):
        if field.name.endswith(("_s", "_j")):
            setattr(out, renamed.get(field.name, field.name[:-2]), getattr(stats, field.name))
    return out
