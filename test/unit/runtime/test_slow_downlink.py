"""Results of megabytes over a slow link whose queue serves one message after the other."""
import time

import pytest
import torch
from one_process import Cable, answered, make_robot, until

from intra_dp_ros.graph.record import record
from intra_dp_ros.wire import shaper
from intra_dp_ros.wire.link import InProcessLink
from intra_dp_ros.wire.shaper import Trace, TraceShaper


@pytest.fixture
def cable(tmp_path, monkeypatch):
    monkeypatch.setattr(shaper, "SMALL_BYTES", 0)  # nothing overtakes
    made = Cable(str(tmp_path / "server"))
    made.robot_end.close()
    made.shaper = TraceShaper(Trace.constant(30e6), False, 0.001, time.monotonic())
    made.robot_end, made.server_end = InProcessLink.pair(made.shaper)
    made.start_server()
    yield made
    made.close()


def test_a_server_whose_signs_of_life_wait_behind_its_results_is_not_taken_for_dead(tmp_path, cable):
    torch.manual_seed(1)
    net = torch.nn.Conv2d(3, 32, 3, padding=1).eval()
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)  # 12 kB in, 524 kB out
    recording = record(lambda x: net(x.permute(0, 3, 1, 2).float()), (image,))
    robot = make_robot(recording, tmp_path, cable, strategy="offload", slowdown=3000.0, input_codec="raw")
    done = []

    def splits():
        done.append(answered(robot, image))
        return done[-1].outcome == "split"
    try:
        until(lambda: robot.state == "SPLIT" and robot.has_plans("offload") and robot.uplink > 0, "connecting")
        until(splits, "a split frame")
        cable.shaper.trace = Trace.constant(5e5)
        until(lambda: splits() and done[-1].inference_s > 0.9, "a slow frame that is not taken over")
        for _ in range(2):
            splits()
        assert [s.outcome for s in done[-3:]] == ["split"] * 3, [s.reason for s in done]
    finally:
        robot.close()
