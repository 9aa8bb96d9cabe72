"""Frames during which the link fell."""
import pytest

from intra_dp_ros.bench import step_trial
from intra_dp_ros.bench.traces import open_trace


def frame(began, latency_ms, **other):
    return dict({"sent": 50.0 + began, "latency_ms": latency_ms, "outcome": "split", "reason": ""},
                **other)


CHANGES = [(50.0 + when, rate) for when, rate in (
    (0.0, 12e6), (2.0, 5e5), (3.0, 12e6), (5.0, 5e5), (6.0, 12e6), (8.0, 5e5), (9.0, 12e6), (11.0, 5e5))]
FRAMES = [frame(1.5, 400), frame(1.9, 500), frame(2.9, 300), frame(10.8, 250, reason="late"),
          frame(4.9, 200, outcome="local"), frame(4.9, 200, reason="begun on the robot; it rose")]
RISING = [frame(2.9, 400, outcome="local"), frame(2.8, 300, reason="begun on the robot; it rose"),
          frame(2.95, 200, reason="went on by another plan: it rose"),
          frame(2.95, 20), frame(3.1, 400, outcome="local"), frame(3.05, 120, reason="begun on the robot; it rose")]


def test_only_frames_begun_with_the_server_that_a_fall_meets_count():
    found = step_trial.hits(FRAMES, CHANGES, 0.4)
    assert [tuple(h) for h in found] == [pytest.approx((0.25, 1.25)), pytest.approx((0.5, 0.625))]


def test_frames_count_when_a_rise_meets_them():
    risen = step_trial.rises(RISING, CHANGES, 0.4)
    assert [tuple(h) for h in risen] == [
        pytest.approx((0.25, 1.0)), pytest.approx((0.5, 0.75)), pytest.approx((0.125, 0.5))]
    found = step_trial.figures(RISING, CHANGES, 0.4, True)
    assert found["rise_latency_mean"] == pytest.approx(0.75)
    assert (found["went_on"], found["went_on_latency_mean"]) == ([pytest.approx(0.5)], pytest.approx(0.5))
    assert (found["given_in_rise"], found["given_in_rise_latency_mean"]) == (
        [pytest.approx(0.75)], pytest.approx(0.75))
    assert (found["given_after_rise"], found["given_after_rise_latency_mean"]) == (
        [pytest.approx(0.3)], pytest.approx(0.3))


def test_figures_and_table(tmp_path):
    found = step_trial.figures(FRAMES, CHANGES, 0.4, True)
    assert found["share_within"] == 0.5 and found["latency_max"] == pytest.approx(1.25)
    assert found["floor_max"] == pytest.approx(1.5)
    cells = [{"model": "net", "trace": "t", "steps": found},
             {"model": "net", "trace": "t", "steps": step_trial.figures([], CHANGES, 0.4, False)}]
    lines = step_trial.table(cells)
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    del found["given_in_rise"], found["given_in_rise_latency_mean"]
    assert "| 1 | 0.75 | - | - | 1 | 0.50 | 0 | - |" in step_trial.table(cells)[2], "an earlier run does not tell"
    step_trial.picture(cells, str(tmp_path / "steps.png"))
    assert (tmp_path / "steps.png").stat().st_size > 0


def test_a_trace_that_falls_again_and_again():
    named = open_trace("falls:12:0.5", seed=1)
    assert {rate for _, rate in named.trace.pieces} == {12e6, 5e5}
    assert "12 to 0.5" in named.label
    with pytest.raises(ValueError, match="two numbers"):
        open_trace("falls:12")
