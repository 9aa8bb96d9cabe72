"""What idle robots cost."""
import json

import pytest

from intra_dp_ros.bench import idle_trial


def test_the_cost_of_each_further_robot():
    found = [{"robots": n, "server_cpu_share": 0.02 + 0.005 * n, "robot_cpu_share": 0.01} for n in (1, 4)]
    assert idle_trial.per_robot(found) == pytest.approx(0.005)
    assert "0.50% of a core" in idle_trial.in_words(found)[-1]
    assert idle_trial.per_robot(found[:1]) is None and len(idle_trial.in_words(found[:1])) == 3
    kept = json.loads(json.dumps(idle_trial.result(found, "scripts/bench --idle")))
    assert kept["idle"] == found and kept["server_cpu_share_per_robot"] == pytest.approx(0.005)
