"""Random plans are valid and of the kind they say."""
import random

import pytest
import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.plan import DOWN, UP, validate
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss.random_plans import KINDS, random_plan


@pytest.fixture(scope="module")
def tiling():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                              torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.Sigmoid()).eval()
    return Tiling(record(net, (torch.zeros(1, 3, 24, 8),)).graph)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_valid_and_varies(tiling, kind):
    order = random.Random(3)
    plans = [random_plan(tiling, kind, order) for _ in range(20)]
    for plan in plans:
        validate(tiling, plan)
        assert plan.strategy == kind
    assert len({(p.server_stop, p.robot_start) for p in plans}) > 2
    assert {t.direction for p in plans for t in p.transfers} == {UP, DOWN}
    assert max(p.robot_chunks for p in plans) > 4
