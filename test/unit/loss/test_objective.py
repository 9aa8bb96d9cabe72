"""What is minimised."""
import numpy as np
import pytest

from intra_dp_ros.loss.objective import Objective


def test_costs_by_kind():
    latency, energy = np.array([0.5, 2.0, 3.0, np.inf]), np.array([9.0, 4.0, 1.0, np.inf])
    assert Objective().cost(latency, energy).tolist() == latency.tolist()
    assert Objective("energy").cost(latency, energy).tolist() == energy.tolist()
    assert Objective("weighted", weight=0.5).cost(latency, energy).tolist() == [5.0, 4.0, 3.5, np.inf]
    under = Objective("deadline", deadline_s=2.0).cost(latency, energy)
    assert under.argsort(kind="stable").tolist() == [1, 0, 2, 3] and np.isinf(under[3])
    both_late = Objective("deadline", deadline_s=0.1).cost(latency, energy)
    assert both_late.argsort(kind="stable").tolist() == [0, 1, 2, 3]  # the least late first, whatever it costs


@pytest.mark.parametrize("wrong", [{"kind": "speed"}, {"weight": -1.0}, {"deadline_s": 0.0}, {"weight": float("nan")}])
def test_what_is_no_objective(wrong):
    with pytest.raises(ValueError, match="objective"):
        Objective(**wrong)
