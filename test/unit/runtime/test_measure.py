import pytest
import torch
import torch.nn as nn

from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.stream import Kernels
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.measure import measure

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def kernels():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(4, 2)).eval()
    recording = record(net, (torch.rand(1, 3, 16, 16),))
    return Kernels(Tiling(recording.graph), recording.weights)


def test_every_operator_gets_a_time_and_progress_ends(kernels):
    seen = []
    profile = measure(kernels, [torch.rand(1, 3, 16, 16)], "desk", 2, lambda done, total: seen.append((done, total)))
    assert profile.graph == kernels.tiling.graph.hash and profile.device == "desk"
    assert len(profile.a_ms) == len(kernels.tiling.graph.nodes)
    assert all(a + b > 0 for a, b in zip(profile.a_ms, profile.b_ms))
    assert seen == [(i, 9) for i in range(1, 10)]


def test_wrong_inputs_are_refused(kernels):
    with pytest.raises(ValueError, match="shapes"):
        measure(kernels, [torch.rand(1, 3, 8, 16)])
    with pytest.raises(ValueError, match="runs"):
        measure(kernels, [torch.rand(1, 3, 16, 16)], runs=0)
