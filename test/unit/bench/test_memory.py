"""Counted memory against sums by hand."""
import torch

from intra_dp_ros.bench.memory import peak_bytes

KB = 1024


def test_freed_tensors_and_views_are_not_counted_twice():
    x, weight = torch.zeros(256), torch.ones(256)  # 1 kB each

    def call():
        y = x.view(16, 16) + weight.view(16, 16)  # 1 kB
        y = y.t().reshape(-1)  # another 1 kB, then the first is gone
        y = torch.cat([y, y])  # 2 kB more
        return y.relu_()

    assert peak_bytes(call) == 3 * KB
    assert peak_bytes(lambda: x.view(16, 16)) == 0


def test_the_result_counts_and_what_is_dropped_does_not():
    x = torch.zeros(256)

    def drop():
        for _ in range(5):
            x.exp()
        return x.exp(), x.exp()

    assert peak_bytes(drop) == 2 * KB
