"""What idle robots cost."""
import math

import pytest

from intra_dp_ros.bench import idle_trial


def test_the_cost_of_each_further_robot():
    found = [{"robots": n, "server_cpu_share": 0.02 + 0.005 * n, "robot_cpu_share": 0.01} for n in (1, 4)]
    assert idle_trial.per_robot(found) == pytest.approx(0.005)
    assert "0.50% of a core" in idle_trial.in_words(found)[-1]
    assert math.isnan(idle_trial.per_robot(found[:1]))
