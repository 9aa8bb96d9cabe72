"""Predictions follow measurements; plans that turn out slower than the robot alone rest for a while."""
import pytest

from intra_dp_ros.runtime.correction import Correction


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def correction(clock):
    return Correction(lambda: clock[0])


def test_predictions_follow_measurements(correction):
    assert correction.factor(3) == 1.0
    for _ in range(40):
        correction.add(3, 0.1, 0.13, 1.0)
    assert correction.factor(3) == pytest.approx(1.3, rel=1e-3) and correction.factor(4) == 1.0
    correction.add(3, 0.1, 100.0, 1.0)  # one stall
    assert correction.factor(3) < 2.0
    correction.add(5, 0.0, 1.0, 1.0)
    assert correction.factor(5) == 1.0


def test_a_plan_slower_than_the_robot_alone_rests(correction, clock):
    for _ in range(4):
        correction.add(7, 0.1, 0.3, 0.2)
        assert not correction.why_not(7)
    correction.add(7, 0.1, 0.3, 0.2)
    assert "plan 7 took 300 ms, a local run takes 200" == correction.why_not(7) and not correction.why_not(8)
    clock[0] += 3.0
    assert not correction.why_not(7) and correction.factor(7) == 1.0  # a new chance


def test_a_plan_that_keeps_disappointing_rests_longer_until_it_does_not(correction, clock):
    def rest_s(measured_s):
        for _ in range(5):
            correction.add(7, 0.1, measured_s, 0.2)
        began = clock[0]
        while correction.why_not(7):
            clock[0] += 0.5
        return clock[0] - began

    assert [rest_s(0.3) for _ in range(6)] == [2.0, 4.0, 8.0, 16.0, 32.0, 32.0]
    assert rest_s(0.15) == 0.0
    assert [rest_s(0.5) for _ in range(2)] == [2.0, 4.0]


def test_a_plan_that_takes_many_times_its_prediction_rests(correction):
    for _ in range(5):
        correction.add(7, 0.04, 0.4, 0.2)
    assert "plan 7 took 400 ms" in correction.why_not(7)


def test_a_bad_moment_of_the_link_does_not_count_as_the_plans_fault(correction):
    for _ in range(20):
        correction.add(7, 0.1, 0.12, 0.2)
    correction.add(7, 0.18, 0.27, 0.2)  # the link is expected to be slow, and is slower
    assert not correction.why_not(7)


def test_the_robot_alone_is_measured_too(correction):
    for _ in range(40):
        correction.add(0, 0.2, 0.4, 0.2)  # slower than its profile says
        correction.add(7, 0.1, 0.3, 0.2)
    assert not correction.why_not(7) and not correction.why_not(0)
