"""The axis that `prepare` chooses by the work it leaves uncut is the one whose best plan LOSS finds fastest."""
import pytest
import torch
from torch import nn

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.search import search
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.axis import candidates, prepare, work
from intra_dp_ros.lop.rewrite import split_reductions
from intra_dp_ros.lop.tiling import Tiling


class Columns(nn.Module):
    """Attention down every column: the rows depend on one another, the columns do not."""

    def __init__(self):
        super().__init__()
        self.begin, self.end = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, x):
        y = self.begin(x)
        return self.end(y * y.softmax(2).flip(2).cumsum(2))


def volumes():
    return nn.Sequential(nn.Conv3d(1, 6, 3, 1, 1), nn.ReLU(), nn.Conv3d(6, 6, 5, 1, 2), nn.Conv3d(6, 1, 3, 1, 1))


CASES = {"columns": (Columns, (1, 3, 32, 48)), "flat volume": (volumes, (1, 1, 32, 10, 12)),
         "deep volume": (volumes, (1, 1, 10, 12, 40))}


def fastest(graph, rate):
    """Latency of the best plan [s]; both devices need a time for every multiplication, the server a tenth."""
    tiling = Tiling(graph)
    times = [work(graph, node) * 1e-6 for node in graph.nodes]
    per_row = tuple(t / max(1, rule.rows) for t, rule in zip(times, tiling.rules))
    robot = Profile(graph.hash, "x", (0.01,) * len(times), per_row)
    link = LinkModel(rate, rate, 0.0005)
    timeline = Timeline(tiling, robot, robot.scaled(0.1))
    return timeline.predict(search(tiling, timeline, link, generations=6), link).latency_s


@pytest.mark.parametrize("name", CASES)
def test_the_axis_with_the_fastest_plan_is_chosen(name):
    make, shape = CASES[name]
    torch.manual_seed(0)
    recording = record(make().eval(), (torch.rand(shape),))
    every = {axes: split_reductions(recording.graph, axes) for axes in candidates(recording.graph)}
    assert len(every) > 1
    chosen = prepare(recording).graph
    assert chosen.hash in {graph.hash for graph in every.values()}
    worst = []
    for rate in (3e5, 3e6):
        latency = {graph.hash: fastest(graph, rate) for graph in every.values()}
        assert latency[chosen.hash] <= 1.05 * min(latency.values())
        worst.append(max(latency.values()) / latency[chosen.hash])
    assert max(worst) > 1.1  # the choice matters
