import pytest
import torch
import torch.nn as nn

from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.runtime.measure import _with_overhead, measure

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
    assert seen == [(i, 12) for i in range(2, 13, 2)]


def test_overhead_explains_whole_frames_and_pieces():
    """Two operators of 10 rows; each call really costs 0.3 ms more than was timed, everything 1.5 times as much."""
    timed = Profile("g", "d", (0.1, 0.2), (0.02, 0.05))
    whole = 1.5 * (0.3 + 10 * 0.07) + 2 * 0.3
    pieces = 1.5 * (4 * 0.3 + 10 * 0.07) + 8 * 0.3
    found = _with_overhead(timed, [10, 10], [4.0, 4.0], whole, pieces)
    assert found.a_ms == pytest.approx((0.45, 0.6)) and found.b_ms == pytest.approx((0.03, 0.075))
    cheaper = _with_overhead(timed, [10, 10], [4.0, 4.0], whole, 1.0)  # pieces cannot be cheaper: noise
    assert sum(cheaper.a_ms) + 10 * sum(cheaper.b_ms) == pytest.approx(whole)


def test_wrong_inputs_are_refused(kernels):
    with pytest.raises(ValueError, match="shapes"):
        measure(kernels, [torch.rand(1, 3, 8, 16)])
    with pytest.raises(ValueError, match="runs"):
        measure(kernels, [torch.rand(1, 3, 16, 16)], runs=0)
