"""The bandwidth estimate against the shaper's rate."""
import json

import pytest

from intra_dp_ros.bench import estimator_trial


def test_errors_and_steps_of_an_estimate(tmp_path):
    points = [{"robot": 0, "strategy": "offload", "segment": 0, "when": t / 10, "trace_s": t / 10, "source": "traffic",
               "truth": 20e6 if t < 20 else 2e6, "up": 10e6 if t < 23 else 2e6} for t in range(60)]
    changes = [{"robot": 0, "strategy": "offload", "segment": 0, "rates": [(-1.0, 20e6), (1.93, 2e6)]}]
    found = estimator_trial.figures(points, changes)
    assert found["traffic"]["median_error"] == 0.0 and found["traffic"]["share_wrong"] == pytest.approx(23 / 60)
    assert found["traffic_below"]["share_wrong"] == pytest.approx(3 / 40)
    assert (found["traffic_above"]["points"], found["traffic_above"]["median_error"]) == (20, 0.5)
    assert (found["steps"], found["steps_not_followed"]) == (1, 0)
    assert found["step_delay_ms"] == pytest.approx(370.0), "from the shaper's moment, not from the next estimate's"
    assert "1 steps, followed after 370 ms" in estimator_trial.in_words(found)
    cell = {"model": "x:net@1x2", "trace": "outdoors (recorded)", "robots": 2, "estimator": found}
    assert estimator_trial.table([cell])[-1] == \
        "| net | outdoors | 2 | 60 | 0.0% | 38.3% | 0.0%, 7.5% | 50.0%, 100.0% | 1 | 370 | 370 | 0% |"
    assert estimator_trial.table([dict(cell, estimator=estimator_trial.figures([], []))]) == []
    estimator_trial.picture(points, "", str(tmp_path / "p.png"))
    assert (tmp_path / "p.png").exists()


def test_a_step_that_is_never_followed_is_beyond_every_delay():
    points = [{"robot": 0, "strategy": "offload", "segment": 0, "when": t / 10, "trace_s": t / 10, "source": "traffic",
               "truth": 10e6, "up": 10e6} for t in range(60)]
    changes = [{"robot": 0, "strategy": "offload", "segment": 0, "rates": [
        (-1.0, 10e6), (-0.5, 1e6), (0.0, 5e6), (1.0, 10e6), (2.0, 5e6), (2.5, 10e6), (5.98, 5e6)]}]
    found = estimator_trial.figures(points, changes)
    assert found["steps"] == 4, "before the first estimate and after the last one nobody looked"
    assert (found["steps_not_followed"], found["step_delay_ms"], found["step_delay_p90_ms"]) == (2, 0.0, None)
    assert "after 0 ms (median), never (90 %), 50% not before the next change" in estimator_trial.in_words(found)
    cell = {"model": "net", "trace": "t", "robots": 1, "estimator": json.loads(json.dumps(found, allow_nan=False))}
    assert estimator_trial.table([cell])[-1].endswith("| 4 | 0 | never | 50% |")
