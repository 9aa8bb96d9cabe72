"""Another codec or objective while the robot runs: frames stay split and exact, new plans take over."""
import time

import pytest
import torch

pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.graph.record import record  # noqa: E402
from intra_dp_ros.lop.tiling import Tiling  # noqa: E402
from intra_dp_ros.loss import table as tables  # noqa: E402
from intra_dp_ros.loss.objective import ENERGY, Objective  # noqa: E402
from intra_dp_ros.runtime import levels  # noqa: E402
from intra_dp_ros.runtime.aim import Aim  # noqa: E402
from intra_dp_ros.runtime.exactness import TOLERANCE, relative_error  # noqa: E402
from intra_dp_ros.runtime.in_process import InProcessServer  # noqa: E402
from intra_dp_ros.runtime.config import RobotConfig  # noqa: E402
from intra_dp_ros.runtime.robot import Robot  # noqa: E402
from intra_dp_ros.wire.codec import CodecError  # noqa: E402

WAIT_S = 60.0


def test_aim(tmp_path):
    torch.set_num_threads(1)
    server = InProcessServer(str(tmp_path / "server"))
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, 2, 1))
    image = torch.full((1, 3, 128, 160), 90, dtype=torch.uint8)
    robot = Robot(record(lambda x: module(x.float()), (image,)), str(tmp_path / "robot"),
                  RobotConfig(strategy="offload", slowdown=40.0))
    try:
        robot.connect(*server("robot"))
        end = time.monotonic() + WAIT_S

        def split_with(codec):
            while True:
                assert time.monotonic() < end, robot.status()
                done = robot.infer((image,))
                assert relative_error(done.outputs, robot.engine.whole((image,))) <= TOLERANCE
                if done.stats.outcome == "split" and (done.stats.bytes_up < image.numel() / 4) == (codec == "png"):
                    return done.stats
                time.sleep(0.01)

        first = split_with("raw")
        robot.aim(Objective(), "png")
        assert split_with("png").epoch > first.epoch
        assert robot.config.input_codec == "png"
        robot.aim(Objective(ENERGY), "png")
        assert robot.infer((image,)).stats.outcome == "split", "the plans that are there serve meanwhile"
        with pytest.raises(CodecError):
            robot.aim(Objective(), "zip")
        assert (robot.config.input_codec, robot.config.objective.kind) == ("png", ENERGY)
    finally:
        robot.close()
        server.close()


def test_plans_are_searched_for_once_the_round_trip_is_known(tmp_path, monkeypatch):
    server = InProcessServer(str(tmp_path / "server"))
    module, image = torch.nn.Conv2d(3, 4, 3), torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
    robot = Robot(record(lambda x: module(x.float()), (image,)), str(tmp_path / "robot"),
                  RobotConfig(strategy="offload", rtt_s=10.0))  # assumed, far from what is measured
    searched, build = [], tables.build

    def noted(tiling, timeline, link, *arguments, **options):
        searched.append(link.rtt_s)
        return build(tiling, timeline, link, *arguments, **options)
    monkeypatch.setattr(tables, "build", noted)
    try:
        robot.connect(*server("robot"))
        end = time.monotonic() + WAIT_S
        while not searched:
            assert time.monotonic() < end, robot.status()
            time.sleep(0.01)
    finally:
        robot.close()
        server.close()
    assert searched[0] < levels.ROUND_TRIPS[-1] / 2


class _Told:
    """Of a planner, what it is told."""

    def __init__(self):
        self.links, self.loads = [], []

    def aim(self, link, codec, objective):
        self.links.append(link)

    def load_is(self, level):
        self.loads.append(level)


def test_plans_are_made_for_the_round_trip_that_heartbeats_measure(tmp_path, monkeypatch):
    module = torch.nn.Conv2d(3, 4, 3)
    graph = record(module, (torch.zeros(1, 3, 8, 8),)).graph
    now = [0.0]
    monkeypatch.setattr(levels.time, "monotonic", lambda: now[0])
    aim, planner = Aim(Tiling(graph), RobotConfig(), str(tmp_path)), _Told()

    def hear(rtt_s, load=0.0, is_uploading=False, seconds=5.0):
        for _ in range(int(seconds * 10)):
            now[0] += 0.1
            aim.hear(rtt_s, load, is_uploading, planner)

    assert aim.link_at(3e6).rtt_s == RobotConfig().rtt_s and aim.link_at(3e6).up == 3e6
    for rtt_s in (0.0, 0.0019, 0.0025, 0.0015):  # not known; about what was assumed
        hear(rtt_s)
    hear(0.2, is_uploading=True)
    hear(0.1, seconds=1.0)  # the link is back, and the first beats were late
    hear(0.0019)
    assert not planner.links and not aim.is_new() and set(planner.loads) == {1.0}
    hear(0.0003, 2.0, is_uploading=True, seconds=0.1)  # no round trip is longer than one behind weights
    assert [link.rtt_s for link in planner.links] == [0.0005] == [aim.link_at().rtt_s] and planner.loads[-1] == 4.0
    assert aim.is_new() and not aim.is_new()
    aim.want(Objective(), "raw", planner)
    assert not aim.is_new(), "nothing has changed"
