"""What ROS transport and bookkeeping add to an offloaded frame: a real server node, an unshaped link, one machine."""
import argparse
import os
import statistics
import sys
import tempfile
import time
from typing import Dict, List

import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.ros.connect import NAMESPACE, connect
from intra_dp_ros.ros.own_master import LaunchError, OwnMaster
from intra_dp_ros.runtime.exactness import TOLERANCE, relative_error
from intra_dp_ros.runtime.machine import keep_freed_memory, use_threads
from intra_dp_ros.runtime.robot import Robot, RobotConfig
from intra_dp_ros.runtime.stats import SPLIT

_READY_S = 120.0
_SHAPE = (1, 256, 256, 3)  # 197 kB
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


def measure(robot: Robot, frames: int) -> Dict[str, List[float]]:
    """Milliseconds by part, one entry a frame.

    Raises:
        LaunchError: a frame was not offloaded, or its result is wrong.
    """
    times: Dict[str, List[float]] = {name: [] for name in ("inference", *_PARTS, "overhead")}
    for number in range(frames + 5):
        image = torch.randint(0, 256, _SHAPE, dtype=torch.uint8)
        done = robot.infer((image,))
        if done.stats.outcome != SPLIT:
            raise LaunchError("frame {} was not offloaded: {}".format(number, done.stats.reason))
        if relative_error(done.outputs, robot.engine.whole((image,))) > TOLERANCE:
            raise LaunchError("frame {} has a wrong result".format(number))
        if number >= 5:  # the first ones warm connections up
            for name in ("inference", *_PARTS):
                times[name].append(getattr(done.stats, name + "_s") * 1e3)
            times["overhead"].append(times["inference"][-1] - times["server_compute"][-1])
        time.sleep(0.02)
    return times


def main() -> None:
    """Start a server, offload frames to it, print medians."""
    parser = argparse.ArgumentParser(prog="bench_overhead", description=__doc__)
    parser.add_argument("--frames", type=int, default=100, help="frames measured (%(default)s)")
    options = parser.parse_args()
    use_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        nodes = OwnMaster("server.launch", ["threads:=1", "folder:=" + folder], os.path.join(folder, "nodes.log"))
        code = 0
        try:
            nodes.start("bench_overhead")
            recording = record(_Net().eval(), (torch.zeros(_SHAPE, dtype=torch.uint8),))
            robot = Robot(recording, folder, RobotConfig(strategy="offload"))
            robot.connect(*connect(robot.config.robot_id))
            end = time.monotonic() + _READY_S
            while not (robot.state == "SPLIT" and robot.has_plans("offload") and robot.uplink > 0):
                nodes.check()
                if time.monotonic() > end:
                    raise LaunchError("no session under {} after {:.0f} s: {}".format(
                        NAMESPACE, _READY_S, robot.connection.problem))
                time.sleep(0.1)
            times = measure(robot, options.frames)
            print("offloaded frames, {:.0f} kB in, unshaped link, one thread each, medians of {} frames [ms]".format(
                torch.zeros(_SHAPE, dtype=torch.uint8).numel() / 1e3, options.frames))
            for name, values in times.items():
                note = "  (inference - server_compute)" if name == "overhead" else ""
                print("{:15s} {:7.2f}   p95 {:7.2f}{}".format(
                    name, statistics.median(values), sorted(values)[int(0.95 * len(values))], note))
        except LaunchError as error:
            print("bench_overhead: {}".format(error), file=sys.stderr)
            code = 1
        finally:
            nodes.stop()
    sys.stdout.flush()
    os._exit(code)  # rospy's threads do not end by themselves without a signal
