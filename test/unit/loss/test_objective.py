"""What is minimised."""
import numpy as np
import pytest

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.timeline import Prediction


def test_costs_by_kind():
    latency, energy = np.array([0.5, 2.0, 3.0, np.inf]), np.array([9.0, 4.0, 1.0, np.inf])
    assert Objective().cost(latency, energy).tolist() == latency.tolist()
    assert Objective("energy").cost(latency, energy).tolist() == energy.tolist()
    assert Objective("weighted", weight=0.5).cost(latency, energy).tolist() == [5.0, 4.0, 3.5, np.inf]
    under = Objective("deadline", deadline_s=2.0).cost(latency, energy)
    assert under.argsort(kind="stable").tolist() == [1, 0, 2, 3] and np.isinf(under[3])
    both_late = Objective("deadline", deadline_s=0.1).cost(latency, energy)
    assert both_late.argsort(kind="stable").tolist() == [0, 1, 2, 3]  # the least late first, whatever it costs


def test_latency_has_a_price_on_computing():
    power = PowerModel(compute=20.0)
    priced = Objective().priced(power)
    assert priced.cost(0.1, 20.0 * 0.1) == pytest.approx(0.113)  # the robot computes all the time
    assert priced.cost(0.1, 0.0) == 0.1
    assert Objective().priced(PowerModel(0.0, 0.0, 0.0)).cost(0.1, 0.0) == 0.1
    for kind in ("energy", "weighted", "deadline"):
        assert Objective(kind, 0.5, 2.0).priced(power) == Objective(kind, 0.5, 2.0)


@pytest.mark.parametrize("wrong", [{"kind": "speed"}, {"weight": -1.0}, {"deadline_s": 0.0}, {"weight": float("nan")}])
def test_what_is_no_objective(wrong):
    with pytest.raises(ValueError, match="objective"):
        Objective(**wrong)


def predicted(*costs):
    return [Prediction(latency, energy, 0.0, 0.0, 0.0, 0.0, (), ()) for latency, energy in costs]


def test_of_latency_no_plan_is_best_that_is_clearly_slower_than_its_fastest_rival():
    power = PowerModel()
    plans = predicted((0.100, 2.0), (0.104, 0.5), (0.110, 0.0), (0.090, 9.0))
    assert Objective().best(plans[:3], power) == 1  # nearly as fast, and much thriftier
    assert Objective().best(plans, power, rivals=3) == 1
    assert Objective().best(plans, power) == 3  # the fastest is a rival, and no other is near it
    assert Objective("energy").best(plans, power) == 2
    assert Objective("energy").best(predicted((1.0, 1.0), (1.0, 1.0)), power) == 0
