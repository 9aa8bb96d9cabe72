"""Emulated devices: operators take their times, rows have the right shapes, values come from elsewhere."""
import random

import pytest
import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.random_plans import random_plan
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime import emulation
from intra_dp_ros.runtime.emulation import EmulatedKernels
from intra_dp_ros.runtime.engine import Engine

A_MS, B_MS = 2.0, 0.5


class FakeTime:
    now = 100.0
    slept = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch):
    fake = FakeTime()
    monkeypatch.setattr(emulation, "time", fake)
    return fake


def net():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                                 torch.nn.Conv2d(4, 2, 3), torch.nn.Flatten(), torch.nn.Linear(2 * 6 * 6, 5)).eval()
    return prepare(record(layers, (torch.zeros(1, 3, 16, 16),)))


def times(tiling):
    n = len(tiling.rules)
    return Profile(tiling.graph.hash, "emulated", (A_MS,) * n, (B_MS,) * n)


def test_an_engine_waits_and_its_whole_model_computes(clock, tmp_path):
    recording = net()
    engine = Engine(recording.graph, recording.weights, emulate=times)
    assert engine.measure(str(tmp_path)) == engine.profile and not list(tmp_path.iterdir())
    plan = random_plan(engine.tiling, "bands", random.Random(0))
    (output,) = run_both_sides(engine.kernels, plan, (torch.ones(1, 3, 16, 16),), random.Random(1))
    (real,) = engine.whole((torch.ones(1, 3, 16, 16),))
    assert output.shape == real.shape and not output.any() and real.any()
    expected = sum(A_MS + B_MS * rule.rows for rule in engine.tiling.rules) / 1e3
    assert clock.slept >= 0.99 * expected, "both sides together compute every row at least once"


def test_rows_cost_what_they_cost(clock):
    tiling = Tiling(net().graph)
    kernels = EmulatedKernels(tiling, times(tiling))
    (rows,) = kernels.run[0]({}, 3, 9)
    assert tuple(rows.shape) == (1, 4, 6, 16) and clock.slept == pytest.approx((A_MS + 6 * B_MS) / 1e3)


def test_time_between_operators_is_part_of_theirs_but_waiting_is_not(clock):
    device = emulation.DeviceClock()
    device.spend(0.010)
    clock.now += 0.001  # the executor's own time
    device.spend(0.010)
    assert clock.slept == pytest.approx(0.019)
    clock.now += 1.0  # rows came late
    device.spend(0.010)
    assert clock.slept == pytest.approx(0.029)
