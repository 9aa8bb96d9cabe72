"""No plan is predicted faster than the bound, and where the best schedule is known the bound says it."""
from dataclasses import replace

import pytest
import torch
import torch.nn as nn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_population import case

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.bound import Bound, lower_bound
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import ENERGY, Objective
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.random_plans import KINDS, random_plan
from intra_dp_ros.loss.search import search
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.tiling import Tiling


@settings(max_examples=60)
@given(st.integers(0, 10 ** 6))
def test_no_plan_beats_it(seed):
    draw, tiling, timeline, link, codec = case(seed)
    bound, power = Bound(timeline, link, codec), PowerModel(*(draw.uniform(0.0, w) for w in (15.0, 8.0, 5.0)))
    latency_s, energy_j = bound.at(link.up, link.down), bound.energy_at(link.up, link.down, power)
    for kind in sorted(KINDS):
        found = timeline.predict(random_plan(tiling, kind, draw), link, power)
        assert latency_s <= found.latency_s * (1 + 1e-6) + 1e-9
        assert energy_j <= found.energy_j * (1 + 1e-6) + 1e-9


@settings(max_examples=15)
@given(st.integers(0, 10 ** 6))
@example(909135)  # shared air that never rests but for half a round trip in the end
def test_neither_does_the_search(seed):
    _, tiling, timeline, link, codec = case(seed)
    plan = search(tiling, timeline, link, codec, generations=4)
    assert lower_bound(timeline, link, codec) <= timeline.predict(plan, link).latency_s * (1 + 1e-6) + 1e-9
    thrifty = search(tiling, timeline, link, codec, generations=4, objective=Objective(ENERGY))
    least = Bound(timeline, link, codec).energy_at(link.up, link.down, PowerModel())
    assert least <= timeline.predict(thrifty, link).energy_j * (1 + 1e-6) + 1e-9


@pytest.fixture
def stages():
    """A row-wise operator, a global one, a row-wise one; 64 rows."""
    class Net(nn.Module):
        def forward(self, x):
            return x.sigmoid().sort(2)[0].tanh()
    tiling = Tiling(record(Net().eval(), (torch.zeros(1, 1, 64, 4),)).graph)
    names = [n.name for n in tiling.graph.nodes]
    assert names == ["sigmoid", "sort", "tanh"]

    def times(first, middle, last):
        rows = [rule.rows for rule in tiling.rules]
        return Profile(tiling.graph.hash, "x", (0.0,) * 3, tuple(t / n for t, n in zip((first, middle, last), rows)))
    return tiling, times


def test_equal_processors_share_what_they_can(stages):
    tiling, times = stages
    fast = LinkModel(1e15, 1e15)
    timeline = Timeline(tiling, times(100.0, 0.0, 60.0), times(100.0, 0.0, 60.0))
    assert lower_bound(timeline, fast) == pytest.approx(0.05 + 0.03, rel=1e-3)  # the whole tensor is waited for
    assert lower_bound(timeline, replace(fast, rtt_s=0.01)) == pytest.approx(0.085, rel=1e-3)  # the robot works on


def test_the_air_counts(stages):
    tiling, times = stages
    timeline = Timeline(tiling, times(1e6, 1e6, 1e6), times(0.0, 0.0, 0.0))
    size = tiling.graph.tensors[tiling.graph.inputs[0]].nbytes
    assert lower_bound(timeline, LinkModel(size / 2, size / 2)) == pytest.approx(4.0, rel=2e-3)  # there and back
    assert lower_bound(timeline, LinkModel(0.0, 0.0)) == pytest.approx(3e3)  # alone


def test_energy_where_the_best_schedule_is_known(stages):
    tiling, times = stages
    power = PowerModel(10.0, 4.0, 3.0)
    timeline = Timeline(tiling, times(3000.0, 0.0, 3000.0), times(0.0, 0.0, 0.0))
    size = tiling.graph.tensors[tiling.graph.inputs[0]].nbytes

    def least(link, power=power):
        return Bound(timeline, link).energy_at(link.up, link.down, power)

    assert least(LinkModel(size / 2, size / 2)) == pytest.approx(4.0 * 4.0, rel=2e-3)  # there and back, the radio alone
    # And waiting: the schedule waits for the whole round trip, the bound lets rows come down in half of it.
    assert least(LinkModel(size / 2, size / 2, rtt_s=1.0)) == pytest.approx(4.0 * 4.0 + 3.0 / 2, rel=2e-3)
    assert least(LinkModel(size / 1e6, size / 1e6)) == pytest.approx(60.0, rel=1e-3)  # alone
    assert least(LinkModel(0.0, 0.0)) == pytest.approx(60.0)
