"""What dynamic_reconfigure offers is what there is."""
import ast

import pytest

pytest.importorskip("intra_dp_ros.msg")
config = pytest.importorskip("intra_dp_ros.cfg.InferenceConfig")

from intra_dp_ros.loss.objective import KINDS, Objective  # noqa: E402
from intra_dp_ros.loss.strategies import STRATEGIES  # noqa: E402
from intra_dp_ros.runtime.codec_costs import default_codec  # noqa: E402
from intra_dp_ros.runtime.config import AUTO, RobotConfig  # noqa: E402
from intra_dp_ros.wire.codec import CODECS  # noqa: E402


def values(name):
    parameter = next(p for p in config.config_description["parameters"] if p["name"] == name)
    return {choice["value"] for choice in ast.literal_eval(parameter["edit_method"])["enum"]}


def test_choices():
    assert values("strategy") == {AUTO, *STRATEGIES}
    assert values("objective") == set(KINDS)
    assert values("input_codec") >= set(CODECS)


def test_defaults():
    found, objective = config.defaults, Objective()
    assert (found["strategy"], found["input_codec"]) == (RobotConfig().strategy, default_codec())
    assert (found["objective"], found["energy_weight"], found["deadline"]) == (
        objective.kind, objective.weight, objective.deadline_s)
