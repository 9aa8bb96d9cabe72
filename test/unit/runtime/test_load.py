"""The server's load, and round trips, as levels to plan for."""
import pytest

from intra_dp_ros.runtime.levels import ROUND_TRIPS, Level
from intra_dp_ros.runtime.load import LEVELS, Share
from intra_dp_ros.runtime.seldom import Seldom


def test_a_mean_over_seconds():
    now = [0.0]
    share = Share(lambda: now[0])
    for _ in range(200):
        now[0] += 0.1
        share.add(3)
    assert share.mean == pytest.approx(3.0, rel=1e-2)
    now[0] += 0.1
    assert share.add(0) > 2.8  # one moment says little
    for _ in range(200):
        now[0] += 0.1
        share.add(0)
    assert share.mean == pytest.approx(0.0, abs=1e-2)


def test_levels_hold_until_the_load_has_clearly_left_them():
    level = Level(LEVELS, 1.0)
    assert level.hear(1.3) == 1.0 and level.hear(1.7) == 1.0
    assert level.hear(2.0) == 2.0
    assert level.hear(1.45) == 2.0 and level.hear(2.9) == 2.0
    assert level.hear(3.9) == 4.0
    assert level.hear(100.0) == LEVELS[-1]
    assert level.hear(0.0) == 1.0
    assert level.hear(-1.0) == 1.0


def test_round_trips():
    level = Level(ROUND_TRIPS, 0.002)
    assert level.value == 0.002 and level.hear(0.0025) == 0.002
    assert level.hear(0.0004) == ROUND_TRIPS[0] == level.hear(0.0)
    assert level.hear(0.0006) == ROUND_TRIPS[0] and level.hear(0.0095) == 0.008
    assert level.hear(30.0) == ROUND_TRIPS[-1]


def test_a_level_holds_as_long_as_it_is_told():
    now = [0.0]
    level = Level(ROUND_TRIPS, 0.002, 1.0, lambda: now[0])

    def heard(measured, seconds):
        now[0] += seconds
        return level.hear(measured)
    assert heard(0.1, 0.0) == heard(0.1, 0.9) == heard(0.002, 0.05) == heard(0.1, 0.1) == heard(0.1, 0.9) == 0.002
    assert heard(0.03, 0.2) == 0.032, "above all the time: where it is now"
    assert heard(0.002, 0.0) == 0.002, "the least of some seconds: below is certain at once"


def test_what_is_said_seldom():
    now = [0.0]
    may = Seldom(lambda: now[0])
    assert may() and not may()
    now[0] = 4.9
    assert not may()
    now[0] = 5.0
    assert may() and not may()
