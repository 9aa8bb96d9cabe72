"""Colour and depth of the same moment."""
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
