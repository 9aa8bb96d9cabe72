"""Colour and depth of the same moment."""
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intra_dp_ros.apps.pairing import Pairing


def test_either_may_come_first():
    pairing = Pairing(0.1)
    assert pairing.add(0, 1.0, "c1") is None
    assert pairing.add(1, 1.01, "d1") == ("c1", "d1")
    assert pairing.add(1, 1.11, "d2") is None
    assert pairing.add(0, 1.1, "c2") == ("c2", "d2")


def test_too_far_apart():
    pairing = Pairing(0.1)
    assert pairing.add(0, 1.0, "c1") is None and pairing.gap() is None
    assert pairing.add(1, 1.3, "d1") is None
    assert abs(pairing.gap() - 0.3) < 1e-9


def test_streams_that_begin_again():
    pairing = Pairing(0.1)
    for stamp in (100.0, 100.1):
        pairing.add(0, stamp, "old")
    assert pairing.add(1, 5.0, "d") is None
    assert pairing.add(0, 5.0, "c") == ("c", "d")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("left_over", [0, 1])
def test_one_left_over_does_not_shift_the_others(first, left_over):
    pairing, pairs = Pairing(0.1), []
    for number in range(3):  # both at 30 Hz, the same stamps
        for kind in (first, 1 - first):
            pairs.append(pairing.add(kind, number / 30.0, number))
    pairing.add(left_over, 3 / 30.0, 3)
    for number in range(4, 9):
        for kind in (first, 1 - first):
            pairs.append(pairing.add(kind, number / 30.0, number))
    assert [pair for pair in pairs if pair is not None] == [(n, n) for n in (0, 1, 2, 4, 5, 6, 7, 8)]


def test_stamps_that_differ_all_the_time_and_rates_that_differ():
    pairing, pairs = Pairing(0.1), []
    for number in range(5):  # depth 20 ms later, at 30 Hz: nearer to the colour image after it
        pairs += [pairing.add(0, number / 30.0, number), pairing.add(1, number / 30.0 + 0.02, number)]
    assert [pair for pair in pairs if pair is not None][1:] == [(2, 1), (3, 2), (4, 3)]
    slow, pairs = Pairing(0.1), []
    for number in range(9):  # depth at a third of the rate
        pairs.append(slow.add(0, number / 30.0, number))
        if number % 3 == 0:
            pairs.append(slow.add(1, number / 30.0, number))
    assert [pair for pair in pairs if pair is not None] == [(0, 0), (3, 3), (6, 6)]


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 300)), max_size=40))
def test_pairs_are_close_and_used_once(arrivals):
    pairing, used = Pairing(0.1), set()
    for number, (kind, centi) in enumerate(arrivals):
        pair = pairing.add(kind, centi / 100.0, (number, centi / 100.0))
        if pair is None:
            continue
        (first, at_first), (second, at_second) = pair
        assert abs(at_first - at_second) <= 0.1 + 1e-9
        assert arrivals[first][0] == 0 and arrivals[second][0] == 1 and not used & {first, second}
        used |= {first, second}
