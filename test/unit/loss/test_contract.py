"""Plans of the contracted graph hold for the whole one and take the same time."""
import random

import pytest
import torch
import torch.nn as nn

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.contract import ContractedTiling
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.random_plans import KINDS, random_plan
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import validate
from intra_dp_ros.lop.tiling import Tiling


class Net(nn.Module):
    """Chains, a tensor with two readers in one chain (with and without halo), one with two readers."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

    def forward(self, image):
        x = image.permute(0, 3, 1, 2).float() / 255
        y = (self.a(x).relu() + x).sigmoid()
        z = self.b(y).relu()
        return torch.cat([z, self.c(z).tanh() * y], 2).exp(), y


@pytest.fixture(scope="module")
def tilings():
    whole = Tiling(record(Net().eval(), (torch.zeros(1, 12, 8, 3, dtype=torch.uint8),)).graph)
    return whole, ContractedTiling(whole)


def test_every_operator_is_in_one_chain(tilings):
    whole, contracted = tilings
    assert sorted(v for chain in contracted.chains for v in chain) == list(range(len(whole.rules)))
    names = [node.op for node in contracted.graph.nodes]
    assert "conv2d+relu+add.Tensor+sigmoid" in names and "conv2d+relu" in names and "cat+exp" in names


@pytest.mark.parametrize("kind", KINDS)
def test_plans_hold_for_the_whole_graph(tilings, kind):
    whole, contracted = tilings
    order = random.Random(4)
    times = Profile(whole.graph.hash, "x", tuple(order.random() for _ in whole.rules),
                    tuple(order.random() for _ in whole.rules))
    timeline = Timeline(whole, times, times.scaled(0.2))
    small = Timeline(contracted, contracted.profile(times), contracted.profile(times.scaled(0.2)))
    link = LinkModel(1e5, 1e5, 0.002)
    for _ in range(10):
        plan = random_plan(contracted, kind, order)
        expanded = contracted.expand(plan)
        validate(whole, expanded)
        found, expected = small.predict(plan, link), timeline.predict(expanded, link)
        assert found.server_busy_s <= expected.server_busy_s + 1e-9  # chains are called less often, never more
        assert found.bytes_up == expected.bytes_up and found.bytes_down == expected.bytes_down
