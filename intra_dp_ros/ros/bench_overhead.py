"""What ROS transport adds to an offloaded frame: a real server node on this machine, an unshaped link.

Frames of the same size go, by turns, to a server in this process.  What is left between both is reading the image's
message, serialising, sockets, threads, a second process, and writing the result's message.
"""
import argparse
import io
import json
import math
import os
import sys
import tempfile
import time
from typing import Dict, List, Tuple

import torch
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from intra_dp_ros.bench import overhead
from intra_dp_ros.graph.record import record
from intra_dp_ros.ros.bench_messages import frame_from_msg, frame_to_msg, result_to_msgs
from intra_dp_ros.ros.connect import NAMESPACE, connect
from intra_dp_ros.ros.own_master import LaunchError, OwnMaster
from intra_dp_ros.runtime.exactness import TOLERANCE, relative_error
from intra_dp_ros.runtime.in_process import InProcessServer
from intra_dp_ros.runtime.machine import keep_freed_memory, use_threads
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.stats import SPLIT, FrameStats, Inference

_READY_S = 120.0
_SLOWDOWN = 20.0  # of the robot, so that it does not take frames over: offloaded ones are to be measured
_IN, _OUT = "image in", "result out"
_PARTS = ("encode", "uplink_wait", "server_compute", "downlink", "merge")


class _Net(torch.nn.Module):
    """A few convolutions on a uint8 image; what it computes does not matter here."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, 2, 1), torch.nn.ReLU(),
            torch.nn.Conv2d(32, 16, 3, 2, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image.permute(0, 3, 1, 2).to(torch.float32) / 255.0)


def measure(robot: Robot, beside: Robot, shape: Tuple[int, ...], frames: int) -> Dict[str, List[float]]:
    """Milliseconds by part, one entry a frame.

    Args:
        robot: over ROS.
        beside: the same in one process.
        shape: of the image (1, H, W, 3).

    Raises:
        LaunchError: a frame was not offloaded, or its result is wrong.
    """
    times: Dict[str, List[float]] = {name: [] for name in (
        _IN, "inference", *_PARTS, _OUT, "in one process", overhead.ADDED)}
    for number in range(frames + 5):
        image = torch.randint(0, 256, shape, dtype=torch.uint8)
        over_ros, in_s, out_s = _from_message_to_message(robot, image, number)
        in_one = _infer(beside, image, number).stats
        if number >= 5:  # the first ones warm connections up
            for name in ("inference", *_PARTS):
                times[name].append(getattr(over_ros, name + "_s") * 1e3)
            times[_IN].append(in_s * 1e3)
            times[_OUT].append(out_s * 1e3)
            times["in one process"].append(in_one.inference_s * 1e3)
            times[overhead.ADDED].append((in_s + over_ros.inference_s + out_s - in_one.inference_s) * 1e3)
    return times


def _from_message_to_message(robot: Robot, image: torch.Tensor, number: int) -> Tuple[FrameStats, float, float]:
    """A frame as a node has it: its statistics, and what its message took to be read and the result's to be written
    [s]."""
    sent, answer = io.BytesIO(), io.BytesIO()
    frame_to_msg(image, Header()).serialize(sent)  # by the camera
    data = sent.getvalue()
    began = time.perf_counter()
    msg = Image()
    msg.deserialize(data)
    frame = frame_from_msg(msg, tuple(image.shape), "uint8")
    in_s = time.perf_counter() - began
    done = _infer(robot, frame, number)
    began = time.perf_counter()
    for result in result_to_msgs(done.outputs, number, msg.header, robot.config.robot_id):
        result.serialize(answer)
    return done.stats, in_s, time.perf_counter() - began


def _infer(robot: Robot, image: torch.Tensor, number: int) -> Inference:
    done = robot.infer((image,))
    if done.stats.outcome != SPLIT:
        raise LaunchError("frame {} was not offloaded: {}".format(number, done.stats.reason))
    if relative_error(done.outputs, robot.engine.whole((image,))) > TOLERANCE:
        raise LaunchError("frame {} has a wrong result".format(number))
    time.sleep(0.02)
    return done


def _wait(robot: Robot, nodes: OwnMaster) -> None:
    end = time.monotonic() + _READY_S
    while not (robot.state == "SPLIT" and robot.has_plans("offload") and robot.uplink > 0):
        nodes.check()
        if time.monotonic() > end:
            raise LaunchError("no session under {} after {:.0f} s: {}".format(
                NAMESPACE, _READY_S, robot.connection.problem))
        time.sleep(0.1)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("{!r} is not a number of frames".format(text))
    return int(text)


def _size(text: str) -> Tuple[int, int]:
    try:
        height, width = (int(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError("{!r} is not HEIGHTxWIDTH".format(text)) from None
    if min(height, width) < 8:
        raise argparse.ArgumentTypeError("{} is too small".format(text))
    return height, width


def main() -> None:
    """Start a server, offload frames to it, print medians."""
    parser = argparse.ArgumentParser(prog="bench_overhead", description=__doc__)
    parser.add_argument("--frames", type=_count, default=100, help="frames measured (%(default)s)")
    parser.add_argument("--size", type=_size, default=(640, 960), metavar="HxW",
                        help="of the image, three bytes a pixel (640x960)")
    parser.add_argument("--json", default="", metavar="FILE", help="write the figures, for scripts/bench --from")
    options = parser.parse_args()
    shape = (1, *options.size, 3)
    use_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        nodes = OwnMaster("server.launch", ["threads:=1", "folder:=" + folder], os.path.join(folder, "nodes.log"))
        code = 0
        try:
            nodes.start("bench_overhead")
            recording = record(_Net().eval(), (torch.zeros(shape, dtype=torch.uint8),))
            config = RobotConfig(strategy="offload", slowdown=_SLOWDOWN)
            robot, beside = (Robot(recording, os.path.join(folder, name), config)
                             for name in ("ros", "process"))
            robot.connect(*connect(robot.config.robot_id))
            beside.connect(*InProcessServer(os.path.join(folder, "server"))(beside.config.robot_id))
            for each in (robot, beside):
                _wait(each, nodes)
            times = measure(robot, beside, shape, options.frames)
            found = overhead.result(times, options.size, "scripts/bench_overhead --frames {} --size {}x{}".format(
                options.frames, *options.size))
            print("offloaded frames, {:.0f} kB in, unshaped link, one thread each, medians of {} frames [ms]".format(
                math.prod(shape) / 1e3, options.frames))
            for name, f in found["overhead"].items():
                print("{:15s} {:7.2f}   p95 {:7.2f}".format(name, f["median"], f["p95"]))
            if options.json:
                with open(options.json, "w", encoding="utf-8") as file:
                    json.dump(found, file, indent=1)
        except (LaunchError, OSError) as error:
            print("bench_overhead: {}".format(error), file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            code = 130
        finally:
            nodes.stop()
    sys.stdout.flush()
    os._exit(code)  # rospy's threads do not end by themselves without a signal
