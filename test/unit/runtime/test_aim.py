"""Another codec or objective while the robot runs: frames stay split and exact, new plans take over."""
import time

import pytest
import torch

pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.graph.record import record  # noqa: E402
from intra_dp_ros.loss.objective import ENERGY, Objective  # noqa: E402
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
