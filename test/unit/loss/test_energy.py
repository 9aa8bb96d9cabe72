import os

import numpy as np
import pytest
import yaml

from intra_dp_ros.loss.energy import PowerModel

CONFIG = os.path.join(os.path.dirname(__file__), "..", "..", "..", "config", "power.yaml")


def test_states_add_up_and_arrays_work():
    power = PowerModel(10, 4, 1)
    assert power.energy(1.0, 2.0, 6.0) == 10 + 8 + 3
    assert np.array_equal(power.energy(np.array([1.0, 0]), np.zeros(2), np.array([1.0, 2])), [10, 2])


def test_config_file_holds_the_defaults():
    with open(CONFIG) as file:
        assert PowerModel(**yaml.safe_load(file)) == PowerModel()


@pytest.mark.parametrize("watts", [-1.0, float("nan")])
def test_impossible_power_is_refused(watts):
    with pytest.raises(ValueError, match="transmit"):
        PowerModel(transmit=watts)
