"""Frames whose JPEG travels: exact, few bytes; a server that makes other pixels of it is noticed once."""
import time

import numpy as np
import pytest
import torch

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.graph.record import record  # noqa: E402
from intra_dp_ros.loss.spans import UPLINK  # noqa: E402
from intra_dp_ros.runtime.exactness import TOLERANCE, relative_error  # noqa: E402
from intra_dp_ros.runtime.in_process import InProcessServer  # noqa: E402
from intra_dp_ros.runtime.config import RobotConfig  # noqa: E402
from intra_dp_ros.runtime.robot import Robot  # noqa: E402
from intra_dp_ros.wire import source as source_module  # noqa: E402
from intra_dp_ros.wire.source import Source, tensor_of  # noqa: E402

SIZE = (128, 160)
WAIT_S = 60.0


class Net(torch.nn.Module):
    """Enough to be worth splitting."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.ReLU(),
                                          torch.nn.Conv2d(16, 24, 3, 2, 1))

    def forward(self, image):
        return self.layers(image.float() / 255.0)


def frame(number, noise=0.0):
    ramp = np.linspace(0, 200, 200)[None, :, None] + np.zeros((150, 1, 3)) + number
    ramp = ramp + np.random.RandomState(number).normal(0, noise, ramp.shape)
    _, data = cv2.imencode(".jpg", np.clip(ramp, 0, 255).astype(np.uint8))
    made = Source(data.tobytes(), SIZE, 114, True)
    return made, torch.from_numpy(tensor_of(made))


@pytest.fixture
def robot(tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    server = InProcessServer(str(tmp_path / "server"))
    recording = record(Net().eval(), (torch.zeros((1, 3) + SIZE, dtype=torch.uint8),))
    made = Robot(recording, str(tmp_path / "robot"), RobotConfig(strategy="offload", slowdown=40.0,
                                                                 input_codec="source"))
    made.connect(*server("robot"))
    end = time.monotonic() + WAIT_S
    while not (made.state == "SPLIT" and made.has_plans("offload") and made.uplink > 0):
        assert time.monotonic() < end, made.status()
        time.sleep(0.02)
    yield made
    made.close()
    server.close()


def until_split(robot, source, image):
    """The statistics of the first frame that was split; every frame is exact."""
    end = time.monotonic() + WAIT_S
    while True:
        done = robot.infer((image,), source=source)
        assert relative_error(done.outputs, robot.engine.whole((image,))) <= TOLERANCE
        if done.stats.outcome == "split":
            return done.stats
        assert time.monotonic() < end, done.stats.reason


def test_the_jpeg_travels(robot):
    for number in range(3):
        made, image = frame(number)
        assert until_split(robot, made, image).bytes_up < len(made.data) + 100
    assert until_split(robot, None, image).bytes_up > image.numel(), "without its JPEG an image travels raw"


def test_large_ones_travel_in_parts(robot):
    made, image = frame(1, 60.0)
    assert len(made.data) > 20000
    stats = until_split(robot, made, image)
    assert 0 < stats.bytes_up - len(made.data) < 100
    assert sum(span.lane == UPLINK for span in stats.spans) == -(-len(made.data) // (16 << 10))


def test_a_server_with_another_decoder(robot, monkeypatch):
    made, image = frame(0)
    real = source_module.tensor_of
    monkeypatch.setattr(source_module, "tensor_of", lambda source: real(source) ^ 1)
    assert until_split(robot, made, image).bytes_up > image.numel()
