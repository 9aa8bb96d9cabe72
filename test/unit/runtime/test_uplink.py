"""The newer of two estimates of the uplink."""
import math

import pytest

from intra_dp_ros.runtime import uplink
from intra_dp_ros.runtime.uplink import Uplink
from intra_dp_ros.wire.messages import BandwidthSample


def sample(up, age, confidence=1.0):
    return BandwidthSample("r", up, 0.0, 0.001, age, confidence, "probe")


class Own:
    """The robot's own estimator, as it is now."""

    def __init__(self):
        self.now = sample(0.0, math.inf, 0.0)

    def sample(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(uplink.time, "monotonic", lambda: now[0])
    return now


def test_the_newer_estimate_holds(clock):
    own = Own()
    link = Uplink(own)
    assert (link.rate, link.age_s, link.needs_probe(1.0)) == (0.0, math.inf, True)
    own.now = sample(5e6, 0.5)
    assert (link.rate, link.age_s, link.needs_probe(1.0)) == (5e6, 0.5, False)
    assert link.needs_probe(0.4), "probed more often where the owner says so"
    link.hear(sample(8e6, 0.1))
    assert (link.rate, link.age_s) == (8e6, 0.1)
    link.hear(sample(8e6, 0.9))
    assert (link.rate, link.age_s) == (5e6, 0.5)


def test_a_monitor_that_falls_silent(clock):
    link = Uplink(Own())
    link.hear(sample(8e6, 0.0))
    assert (link.rate, link.needs_probe(1.0)) == (8e6, False)
    clock[0] += 1.5
    assert (link.rate, link.age_s, link.needs_probe(1.0)) == (0.0, 1.5, True)


def test_a_monitor_that_knows_nothing(clock):
    own = Own()
    own.now = sample(5e6, 3.0)
    link = Uplink(own)
    link.hear(sample(0.0, math.inf, 0.0))
    assert (link.rate, link.age_s, link.needs_probe(1.0)) == (5e6, 3.0, False)
