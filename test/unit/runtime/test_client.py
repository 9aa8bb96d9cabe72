"""`IntraDP` as a program uses it: the same call and the same result, split or not, whatever the model is."""
import collections
import logging
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from intra_dp_ros.runtime import client
from intra_dp_ros.runtime.client import IntraDP
from intra_dp_ros.runtime.in_process import InProcessServer
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.wire.shaper import Trace, TraceShaper

torch.set_num_threads(1)
Found = collections.namedtuple("Found", "scores places")


class Detector(nn.Module):
    """A network whose end depends on values."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(16, 4, 3, 2, 1))
        self.threshold = 0.1

    def forward(self, image, gain=None):
        maps = self.conv(image.permute(0, 3, 1, 2).float() / 255)
        maps = maps if gain is None else maps * gain
        return Found(maps[maps > self.threshold], {"n": int((maps > 0).sum()), "maps": maps})


def image(seed=0, shape=(1, 96, 64, 3)):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def same(got, want):
    assert type(got) is Found and got.places["n"] == want.places["n"]
    assert torch.allclose(got.scores, want.scores, rtol=1e-4, atol=1e-6)
    assert torch.allclose(got.places["maps"], want.places["maps"], rtol=1e-4, atol=1e-6)


def until_split(model, detector):
    end = time.monotonic() + 60
    while model.stats is None or model.stats.outcome != "split":
        assert time.monotonic() < end, model.report()
        same(model(image(2)), detector(image(2)))


def alone(robot_id):
    return None


@pytest.fixture
def make(tmp_path):
    made = []

    def wrap(model, connect=alone, **options):
        made.append(IntraDP(model, RobotConfig(**options), connect, str(tmp_path / "robot")))
        return made[-1]
    yield wrap
    for each in made:
        each.close()


@pytest.fixture
def detector():
    torch.manual_seed(1)
    return Detector().eval()


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING and "client" in r.name]


def test_split_and_then_the_rest_here(make, detector, tmp_path):
    server = InProcessServer(str(tmp_path / "server"), shaper=TraceShaper(
        Trace.constant(8e6), True, 0.001, time.monotonic()))
    model = make(detector, server, strategy="offload", slowdown=20.0)
    try:
        until_split(model, detector)
        for seed in range(3, 6):
            same(model(image(seed)), detector(image(seed)))
        assert "split" in model.report() and "index.Tensor at test_client.py:" in model.report()
    finally:
        model.close()
        server.close()


def test_same_call_same_result(make, detector, caplog):
    model = make(detector)
    assert model.report() == "not called yet"
    for seed in range(3):
        same(model(image(seed)), detector(image(seed)))
        same(model(image(seed), gain=torch.tensor(2.0)), detector(image(seed), gain=torch.tensor(2.0)))
        same(model(image(seed), gain=3), detector(image(seed), gain=3))
    assert model.stats.outcome == "local" and len(warnings_of(caplog)) == 3  # one for each recording
    got = model(image(4))
    got.scores.mul_(2)  # the result is the caller's
    assert not got.places["maps"].is_inference()


def test_keyword_arguments_in_any_order(make):
    model = make(lambda **given: given["a"] * 2.0 - given["b"])
    a, b = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    for _ in range(2):
        assert torch.allclose(model(b=b, a=a), a * 2.0 - b) and torch.allclose(model(a=a, b=b), a * 2.0 - b)
        assert model.stats is not None, model.report()


def test_plain_functions_and_whole_models(make, detector):
    model = make(lambda x: [detector.conv(x), (x, "word")])
    given = torch.rand(1, 3, 32, 32)
    maps, (x, word) = model(given)
    assert torch.allclose(maps, detector.conv(given), atol=1e-5) and torch.equal(x, given) and word == "word"
    assert model.report().startswith("local")


def test_the_models_attributes(make, detector):
    model = make(detector)
    assert model.threshold == 0.1 and model.conv is detector.conv and len(list(model.parameters())) == 4
    before = model(image()).places["maps"]
    assert model.eval() is model and model.training is False
    model.load_state_dict({k: v * 2 for k, v in detector.state_dict().items()})
    same(model(image()), detector(image()))  # recorded again
    assert not torch.equal(model(image()).places["maps"], before)
    with pytest.raises(AttributeError, match="no_such"):
        model.no_such
    model.threshold = 0.3
    assert detector.threshold == 0.3 and model.threshold == 0.3
    same(model(image()), detector(image()))


def test_a_way_to_the_server_is_looked_for_again(make, detector, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_CONNECT_S", 0.1)
    server, asked = InProcessServer(str(tmp_path / "server")), []

    def later(robot_id):
        asked.append(robot_id)
        return server(robot_id) if len(asked) > 2 else None
    model = make(detector, later, strategy="offload", slowdown=20.0)
    try:
        until_split(model, detector)
        assert asked == ["robot"] * 3
    finally:
        model.close()
        server.close()


def test_a_way_that_cannot_be_looked_for_keeps_no_call_waiting(make, detector, monkeypatch):
    """As where the master of a program that is a node has gone: rospy waits for it."""
    monkeypatch.setattr(client, "_FIRST_S", 0.05)
    ended = threading.Event()
    model = make(detector, lambda robot_id: ended.wait() and None)
    try:
        for seed in range(2):
            same(model(image(seed)), detector(image(seed)))
        assert not ended.is_set()
    finally:
        ended.set()


def test_calls_from_several_threads_take_turns(make, detector):
    model, wrong = make(detector), []

    def call(seed):
        for shape in ((1, 96, 64, 3), (1, 64, 64, 3)) * 3:
            try:
                same(model(image(seed, shape)), detector(image(seed, shape)))
            except Exception as error:  # to the thread that asserts
                wrong.append(error)
    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert not wrong and model._made == 2, "recorded once for each kind"


def test_a_program_with_rospy_is_a_node_first(monkeypatch):
    rospy = SimpleNamespace(core=SimpleNamespace(is_initialized=lambda: False))
    monkeypatch.setitem(sys.modules, "rospy", rospy)
    monkeypatch.delitem(sys.modules, "intra_dp_ros.ros.connect", raising=False)
    assert client._over_ros("robot") is None and "intra_dp_ros.ros.connect" not in sys.modules


@pytest.mark.parametrize("broken, words", [
    (nn.Sequential(nn.Linear(3, 3), nn.Dropout()), "call model.eval()"),
    (lambda x: x[x > 0], "index.Tensor"), (lambda x: x.shape, "Size")])
def test_what_cannot_be_recorded_runs_as_it_is(make, caplog, broken, words):
    model = make(broken)
    for _ in range(3):
        model(torch.rand(2, 3))
    assert model.stats is None and words in model.report()
    assert len(warnings_of(caplog)) == 1 and words in warnings_of(caplog)[0]


def test_arguments_that_are_no_tensors(make, caplog):
    model = make(lambda x, other: (x.sum(), other))
    things = object()
    assert model(torch.ones(3), things) == (3, things) == model(torch.ones(2, 1) * 1.5, things)
    assert len(warnings_of(caplog)) == 1 and "builtins.object" in model.report()
    assert make(lambda n: n + 1)(3) == 4


def test_another_sequence_falls_back(make, detector, caplog):
    model = make(detector)
    model(image())
    detector.conv = nn.Sequential(*detector.conv, nn.Tanh())
    for seed in range(3):
        same(model(image(seed)), detector(image(seed)))
    assert model.stats is None and "not what was recorded" in model.report()
    assert len([w for w in warnings_of(caplog) if "not split" in w]) == 1


def test_numbers_that_change_every_call(make, detector, caplog):
    model = make(detector)
    for gain in range(20):
        same(model(image(), gain=float(gain)), detector(image(), gain=float(gain)))
    assert len([w for w in warnings_of(caplog) if "as tensors" in w]) == 1
    same(model(image(), gain=19.0), detector(image(), gain=19.0))
    assert model.stats is None
    model(image(), gain=15.0)  # recorded before
    assert model.stats.outcome == "local"


def test_errors_of_the_model_reach_the_caller_and_pass(make, detector, caplog):
    model = make(detector)
    detector.threshold = "high"
    with pytest.raises(TypeError):
        model(image())
    detector.threshold = 0.1
    same(model(image()), detector(image()))
    detector.threshold = "high"
    with pytest.raises(TypeError):
        model(image())
    detector.threshold = 0.1
    same(model(image()), detector(image()))
    assert model.stats.outcome == "local" and not [w for w in warnings_of(caplog) if "not split" in w]


class Foreign(Detector):
    __module__ = "torchvision.models.detection.some"


def test_a_detector_of_torchvision_comes_with_its_remedy(make, caplog):
    torch.manual_seed(1)
    model = make(Foreign().eval())
    model(image())
    assert "apps.detection.fixed_size" in warnings_of(caplog)[0]
