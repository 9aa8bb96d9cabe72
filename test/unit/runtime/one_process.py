"""A robot and a server in one process, over a shaped link that can be cut."""
import time

import torch

from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.exactness import TOLERANCE, relative_error
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.server import Server
from intra_dp_ros.wire.link import ControlError, InProcessLink
from intra_dp_ros.wire.shaper import Trace, TraceShaper

WAIT_S = 60.0


class Net(torch.nn.Module):
    """Branches, a skip, a stride, a global head: what a split has to get right; slow enough to be interrupted."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 16, 3, 2, 1)
        self.a = torch.nn.Conv2d(16, 16, 3, 1, 1)
        self.b = torch.nn.Conv2d(16, 16, 5, 1, 2, groups=4)
        self.down = torch.nn.Conv2d(32, 24, 3, 2, 1)
        self.head = torch.nn.Linear(24, 10)

    def forward(self, image):
        x = torch.relu(self.stem(image.permute(0, 3, 1, 2).float() / 255.0))
        x = torch.cat([x + self.a(x), self.b(x)], 1)
        x = torch.relu(self.down(x))
        up = torch.nn.functional.interpolate(x, scale_factor=2.0)
        return self.head(x.mean((2, 3))), torch.nn.functional.max_pool2d(up, 8)


class Cable:
    """A server's services and a link to it, which can be pulled out."""

    def __init__(self, folder, rate=8e6):
        self.shaper = TraceShaper(Trace.constant(rate), True, 0.001, time.monotonic())
        self.robot_end, self.server_end = InProcessLink.pair(self.shaper)
        self.folder = folder
        self.server = None
        self.is_in = True

    def start_server(self):
        self.server = Server(self.folder, lambda robot_id: self.server_end)

    def pull(self, hold=False):
        self.is_in = False
        self.robot_end.cut(hold)

    def plug(self):
        self.is_in = True
        self.robot_end.restore()

    def open(self, request):
        return self._ask("open", request)

    def put(self, request):
        return self._ask("put", request)

    def _ask(self, name, request):
        if self.server is None or not self.is_in:
            raise ControlError("no server")
        return getattr(self.server, name)(request)

    def close(self):
        if self.server is not None:
            self.server.close()
        self.robot_end.close()


def make_robot(recording, tmp_path, cable, **options):
    robot = Robot(recording, str(tmp_path / "robot"), RobotConfig(**{"slowdown": 40.0, **options}))
    robot.connect(cable.robot_end, cable)
    return robot


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "{} took more than {:.0f} s".format(what, WAIT_S)
        time.sleep(0.02)


def ready(robot, strategy="intra_dp"):
    until(lambda: robot.state == "SPLIT" and robot.has_plans(strategy) and robot.uplink > 0, "connecting")


def splits(done):
    return [s for s in done if s.outcome == "split"]


def images(height=240, width=320):
    draw = torch.Generator().manual_seed(3)
    while True:
        yield torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8, generator=draw)


def answered(robot, image):
    """Infer, with the promise checked: exact."""
    done = robot.infer((image,))
    assert relative_error(done.outputs, robot.engine.whole((image,))) <= TOLERANCE
    return done.stats
