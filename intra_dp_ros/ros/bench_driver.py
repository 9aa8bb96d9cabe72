"""The camera and the witness of a bench: sends one robot frames, hears what it answers, checks it.

Runs on the robot's side; is told what to do by lines of JSON on standard input and answers with lines of JSON on its
standard output: any number of {"doing": ...}, then {"done": ...} or {"error": ...}.

Threading: subscribers' threads write the tables of answers, the main thread reads; `_change` covers them.
"""
import argparse
import json
import os
import sys
import threading
import time
from dataclasses import asdict
from typing import Any, Dict, List, Optional, Sequence, Tuple

import genpy
import rospy
import torch
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from intra_dp_ros.bench import frames
from intra_dp_ros.bench.record import FrameSample
from intra_dp_ros.msg import BandwidthEstimate, InferenceStats, TensorTile
from intra_dp_ros.ros.bench_messages import CHECK, frame_to_msg, output_from_msg
from intra_dp_ros.ros.demo_listener import sample_from_msg
from intra_dp_ros.ros.frame_spans import measured_spans
from intra_dp_ros.ros.topics import BANDWIDTH, robot_topic
from intra_dp_ros.runtime.machine import use_threads
from intra_dp_ros.srv import GetStatus, SetStrategy

_SERVICE_S = 2.0
_POLL_S = 0.1
_IMAGES, _CHECKED = 24, 3  # inputs in all, and those of them whose results are checked
_CHECKS = 6  # of a run, at most
_CHECK_S = 60.0  # for the values of a frame, computed outside the clock
_BUFFER_BYTES = 2 ** 24


class Failure(RuntimeError):
    """What was asked for cannot be done; the message is the answer."""


class Driver:
    """Frames to one robot.

    Args:
        model: as the robot's node was given it.
        robot_id, ns: as the robot's node was given them.
        seed: of random weights and inputs.
        is_random: inputs are random tensors instead of real images and scans.
    """

    def __init__(self, model: str, robot_id: str, ns: str, seed: int, is_random: bool = False) -> None:
        self._model = frames.load(model, seed)
        self._inputs, self.what = frames.make_inputs(self._model, _IMAGES, seed, is_random)
        self._robot_id = robot_id
        self._references: Dict[int, Tuple[torch.Tensor, ...]] = {}
        self._sent = 0
        self._change = threading.Condition()
        self._stats: Dict[int, InferenceStats] = {}  # by number of the frame sent
        self._results: Dict[int, List[TensorTile]] = {}
        self._estimates: List[Tuple[float, float, float, float, str]] = []  # when, up, rtt, age, source
        self._frames = rospy.Publisher("frames", Image, queue_size=2)
        self._get_status = rospy.ServiceProxy("bench_robot/get_status", GetStatus)
        self._server_status = rospy.ServiceProxy(ns + "/server/get_status", GetStatus)
        self._set_strategy = rospy.ServiceProxy("bench_robot/set_strategy", SetStrategy)
        rospy.Subscriber("stats", InferenceStats, self._on_stats, queue_size=100, tcp_nodelay=True)
        rospy.Subscriber("result", TensorTile, self._on_result, queue_size=100, buff_size=_BUFFER_BYTES,
                         tcp_nodelay=True)
        rospy.Subscriber(robot_topic(ns, robot_id, BANDWIDTH), BandwidthEstimate, self._on_estimate, queue_size=100)

    def status(self) -> Dict[str, Any]:
        """The robot's status; empty while it does not answer."""
        try:
            rospy.wait_for_service(self._get_status.resolved_name, timeout=_SERVICE_S)
            return json.loads(self._get_status().json)
        except (rospy.ROSException, rospy.ServiceException):
            return {}

    def use(self, strategy: str, within_s: float) -> Dict[str, Any]:
        """Have a strategy used; the robot's status once it is ready to run under it.

        Raises:
            Failure: there is no such strategy, or it was not ready in time.
        """
        end, accepted, said = time.monotonic() + within_s, False, ""
        while True:
            status = self.status()
            if status and not accepted:
                reply = self._set_strategy(strategy)
                if not reply.accepted:
                    raise Failure(reply.reason)
                accepted = True
            elif status and not status["is_planning"] and status["ready"].get(strategy) and (
                    strategy == "local" or status["state"] == "SPLIT"):
                return status
            doing = (status.get("problem") or status.get("state")) if status else "the robot's node is starting"
            if doing != said:
                answer({"doing": "{}: {}".format(strategy, doing)})
                said = doing
            if time.monotonic() > end:
                raise Failure("strategy {} was not ready after {:.0f} s: {}".format(strategy, within_s, doing))
            time.sleep(_POLL_S)

    def run(self, strategy: str, seconds: float, gap_s: float, within_s: float, check: bool) -> Dict[str, Any]:
        """Frames one after the other for so long.

        Args:
            gap_s: between an answer and the next frame.
            within_s: for an answer; a frame without one is lost.
            check: compare the results of some frames with the unsplit model's, when the time is over.

        Returns:
            "frames": samples with "sent" (monotonic [s]) and "input"; "lost"; "ran_s"; "estimates"; "inputs".
        """
        while self._frames.get_num_connections() == 0:
            time.sleep(_POLL_S)
        began, done, lost = time.monotonic(), [], 0
        kept: List[Tuple[int, int, Dict[str, Any]]] = []
        with self._change:
            self._estimates.clear()
        while time.monotonic() - began < seconds:
            self._sent += 1
            number, index = self._sent, self._sent % len(self._inputs)
            checked = check and index < _CHECKED and len(kept) < _CHECKS
            sent = self._send(number, index, checked)
            sample = self._wait(number, sent + within_s, strategy, sent - began)
            if sample is None:
                lost += 1
                continue
            entry = dict(asdict(sample), sent=sent, input=index)
            done.append(entry)
            if checked:
                kept.append((number, index, entry))
            else:
                self._results.pop(number, None)
            time.sleep(gap_s)
        ran = time.monotonic() - began
        for number, index, entry in kept:
            entry["rel_error"] = self._error(number, index)
        with self._change:
            return {"frames": done, "lost": lost, "ran_s": ran, "estimates": list(self._estimates),
                    "inputs": self.what,
                    "weights": self._model.weights, "weights_note": self._model.weights_note}

    def verify(self, strategy: str, within_s: float) -> Dict[str, Any]:
        """Frames that count for nothing but their results, which are compared with the unsplit model's.

        Where computing is emulated, their values take the robot's time, after the clock has stopped.

        Returns:
            "errors": the largest relative error of each; "lost".
        """
        errors, lost = [], 0
        for index in range(_CHECKED):
            self._sent += 1
            sent = self._send(self._sent, index, True)
            if self._wait(self._sent, sent + within_s + _CHECK_S, strategy, 0.0) is None:
                lost += 1
            else:
                errors.append(self._error(self._sent, index))
        return {"errors": errors, "lost": lost}

    def timeline(self) -> Dict[str, Any]:
        """What the last split frame did and what was expected of it: "frame", "measured" and "predicted" spans.

        Empty where there is none.
        """
        robot, server = self.status(), json.loads(self._server_status().json)
        done = [f for f in robot.get("recent", ()) if f["outcome"] == "split"]
        if not done:
            return {}
        return {"frame": done[-1]["frame"], "plan": done[-1]["plan"], "predicted": done[-1]["predicted_spans"],
                "measured": measured_spans(done[-1], robot, [server])}

    def air(self, shaper: str, start_s: float) -> float:
        """The user-space shaper's trace goes on at `start_s` from now on; now (monotonic [s])."""
        rospy.set_param(shaper + "/start_at", float(start_s))
        rospy.ServiceProxy(shaper + "/restart", Trigger)()
        return time.monotonic()

    def _send(self, number: int, index: int, checked: bool) -> float:
        """When (monotonic [s])."""
        msg = frame_to_msg(self._inputs[index], Header(
            stamp=genpy.Time(number, 0), frame_id=CHECK if checked else "bench"))
        sent = time.monotonic()
        self._frames.publish(msg)
        return sent

    def _wait(self, number: int, end: float, strategy: str, when: float) -> Optional[FrameSample]:
        """The answer to a frame, whole: statistics and every output."""
        with self._change:
            while True:
                stats, results = self._stats.get(number), self._results.get(number)
                if stats is not None and results and not results[-1].more:
                    del self._stats[number]
                    return sample_from_msg(stats, strategy, when)
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._change.wait(left)

    def _error(self, number: int, index: int) -> float:
        """How far a result that the robot published is from the unsplit model's; infinite when it is not readable."""
        if index not in self._references:
            with torch.inference_mode():
                found = self._model.module(self._inputs[index])
            self._references[index] = tuple(_tensors(found))
        try:
            outputs = [output_from_msg(msg) for msg in self._results.pop(number)]
            return frames.error(outputs, self._references[index])
        except ValueError as error:
            print("frame {}: {}".format(number, error), file=sys.stderr)
            return float("inf")

    def _on_stats(self, msg: InferenceStats) -> None:
        with self._change:
            self._stats[msg.header.stamp.secs] = msg
            self._change.notify_all()

    def _on_result(self, msg: TensorTile) -> None:
        with self._change:
            self._results.setdefault(msg.header.stamp.secs, []).append(msg)
            self._change.notify_all()

    def _on_estimate(self, msg: BandwidthEstimate) -> None:
        with self._change:
            self._estimates.append((time.monotonic(), msg.up, msg.rtt, msg.age, msg.source))


def _tensors(found: Any) -> List[torch.Tensor]:
    """The flat tensors of a model's result, in the order in which a recording has them."""
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, dict):
        return [t for value in found.values() for t in _tensors(value)]
    return [t for value in found for t in _tensors(value)] if isinstance(found, (list, tuple)) else []


_ANSWERS: List[Any] = []


def answer(line: Dict[str, Any]) -> None:
    """Say something to whoever started this process."""
    _ANSWERS[0].write(json.dumps(line) + "\n")
    _ANSWERS[0].flush()


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Serve until standard input ends."""
    _ANSWERS.append(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # rospy says things on standard output, too
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("--model", "--robot-id", "--ns"):
        parser.add_argument(name, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random", action="store_true")
    options = parser.parse_args(rospy.myargv(argv)[1:])
    use_threads(1)
    rospy.init_node("bench_driver", disable_signals=True)
    driver = Driver(options.model, options.robot_id, options.ns, options.seed, options.random)
    operations = {"use": driver.use, "run": driver.run, "verify": driver.verify, "status": driver.status,
                  "air": driver.air, "timeline": driver.timeline}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer({"done": operations[asked.pop("op")](**asked)})
        except (Failure, rospy.ROSException, rospy.ServiceException, OSError) as error:
            answer({"error": str(error)})
    os._exit(0)  # rospy's threads do not end by themselves


if __name__ == "__main__":
    main()
