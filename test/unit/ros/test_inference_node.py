"""Every field of a frame's statistics reaches the message."""
from dataclasses import fields

import pytest

pytest.importorskip("intra_dp_ros.msg")
from std_msgs.msg import Header  # noqa: E402

from intra_dp_ros.ros.inference_node import stats_to_msg  # noqa: E402
from intra_dp_ros.runtime.stats import FrameStats  # noqa: E402

NOT_IN_THE_MESSAGE = {"began", "spans"}
RENAMED = {"inference_s": "inference", "predicted_s": "predicted", "energy_j": "energy"}


@pytest.mark.parametrize("outcome, number", [("local", 0), ("split", 1), ("takeover", 2)])
def test_stats_to_msg(outcome, number):
    values = {}
    for index, field in enumerate(fields(FrameStats)):
        kind = {"int": 1000 + index, "float": index + 0.5, "str": "text {}".format(index)}
        values[field.name] = kind.get(getattr(field.type, "__name__", field.type), ())
    values["outcome"] = outcome
    msg = stats_to_msg(FrameStats(**values), Header(frame_id="camera"), "rover")
    assert (msg.header.frame_id, msg.robot_id, msg.outcome) == ("camera", "rover", number)
    for name, value in values.items():
        if name not in NOT_IN_THE_MESSAGE | {"outcome"}:
            target = RENAMED.get(name, name[:-2] if name.endswith("_s") else name)
            assert getattr(msg, target) == value, name
