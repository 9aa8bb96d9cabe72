"""Interval maps against the real operators: which input rows change which output rows."""
import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.lop import interval

torch.set_num_threads(1)
COMMON = dict(deadline=None, max_examples=60)


def influence(operator, n_in):
    """For every output row the input rows that reach it: NaN put in a row shows up where the row is used."""
    clean = operator(torch.ones(1, 1, n_in, 3))
    used = np.zeros((clean.shape[2], n_in), bool)
    for row in range(n_in):
        x = torch.ones(1, 1, n_in, 3)
        x[:, :, row] = float("nan")
        used[:, row] = torch.isnan(operator(x)).any(dim=3)[0, 0].numpy()
    return used


def check_exact(found, operator, n_in):
    used = influence(operator, n_in)
    assert found.n_out == used.shape[0]
    for i in range(found.n_out):
        rows = np.flatnonzero(used[i])
        need = found.need(i, i + 1)
        assert (rows.min(), rows.max() + 1) == tuple(need) if len(rows) else need.size == 0, (i, rows, need)


@settings(**COMMON)
@given(n=st.integers(1, 14), k=st.integers(1, 5), s=st.integers(1, 4), p=st.integers(0, 3), d=st.integers(1, 3))
def test_window_is_the_reach_of_a_convolution(n, k, s, p, d):
    if n + 2 * p < d * (k - 1) + 1 or d > 1 and k > 2:
        return  # with dilation, rows between two taps belong to the interval but not to the influence
    weight = torch.ones(1, 1, k, 1)

    def operator(x):
        return functional.conv2d(x, weight, None, (s, 1), (p, 0), (d, 1))

    n_out = operator(torch.ones(1, 1, n, 3)).shape[2]
    found = interval.window(n, n_out, k, s, p, d)
    used = influence(operator, n)
    for i in range(n_out):
        rows, need = np.flatnonzero(used[i]), found.need(i, i + 1)
        assert all(need.start <= r < need.stop for r in rows)
        if d == 1 and len(rows):
            assert (rows.min(), rows.max() + 1) == tuple(need)


@settings(**COMMON)
@given(n=st.integers(2, 14), k=st.integers(1, 5), s=st.integers(1, 4), ceil=st.booleans())
def test_window_is_the_reach_of_a_pooling(n, k, s, ceil):
    p = k // 2
    if n + 2 * p < k:
        return

    def operator(x):
        return functional.max_pool2d(x, (k, 1), (s, 1), (p, 0), ceil_mode=ceil)

    check_exact(interval.window(n, operator(torch.ones(1, 1, n, 3)).shape[2], k, s, p, 1), operator, n)


@settings(**COMMON)
@given(n=st.integers(1, 9), factor=st.integers(1, 5))
def test_upsampling(n, factor):
    check_exact(interval.repeated(n, factor),
                lambda x: functional.interpolate(x, scale_factor=(factor, 1), mode="nearest"), n)
    found = interval.linear(n, factor)
    used = influence(lambda x: functional.interpolate(x, scale_factor=(factor, 1), mode="bilinear"), n)
    for i in range(found.n_out):  # a weight of exactly zero still reads its row: NaN * 0 is NaN
        rows, need = np.flatnonzero(used[i]), found.need(i, i + 1)
        assert need.start <= rows.min() and rows.max() < need.stop


@settings(**COMMON)
@given(n=st.integers(1, 9), before=st.integers(0, 4), after=st.integers(0, 4))
def test_padding(n, before, after):
    check_exact(interval.shifted(n, n + before + after, before),
                lambda x: functional.pad(x, (0, 0, before, after)), n)
    check_exact(interval.replicated(n, before, after),
                lambda x: functional.pad(x, (0, 0, before, after), mode="replicate"), n)


@settings(**COMMON)
@given(n=st.integers(1, 12), start=st.integers(0, 11), step=st.integers(1, 4))
def test_strided_slice(n, start, step):
    if start < n:
        check_exact(interval.strided(n, len(range(start, n, step)), start, step),
                    lambda x: x[:, :, start::step], n)


@settings(**COMMON)
@given(n=st.integers(1, 20), k=st.integers(1, 5), s=st.integers(1, 3), p=st.integers(0, 2))
def test_ready_is_the_inverse_of_need(n, k, s, p):
    n_out = (n + 2 * p - k) // s + 1
    if n_out < 1:
        return
    found = interval.window(n, n_out, k, s, p, 1)
    for available in range(n + 1):
        ready = found.ready(available)
        assert all(found.need(i, i + 1).stop <= available for i in range(ready))
        assert ready == n_out or found.need(ready, ready + 1).stop > available
        assert found.ready_table[available] == ready


def test_maps_that_go_backwards_are_refused():
    with pytest.raises(ValueError, match="backwards"):
        interval.IntervalMap(3, np.array([1, 0]), np.array([2, 3]))
    with pytest.raises(ValueError, match="leaves"):
        interval.IntervalMap(3, np.array([0]), np.array([4]))
