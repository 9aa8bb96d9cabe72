"""Parameters are of the expected type, or refused with words that help."""
import subprocess
import sys

import pytest

rospy = pytest.importorskip("rospy")
pytest.importorskip("intra_dp_ros.msg")

from intra_dp_ros.ros import startup  # noqa: E402
from intra_dp_ros.ros.params import ParameterError, check  # noqa: E402


@pytest.mark.parametrize("value, default, bounds", [
    (3, 0, dict(at_least=0)), (3, 0.5, {}), (0.5, 1.0, dict(at_most=1)), ("a", "b", dict(choices=("a", "b"))),
    (False, True, {}), ("", "x", {})])
def test_good_values(value, default, bounds):
    found = check("/node/x", value, default, **bounds)
    assert found == value and type(found) is type(default)


@pytest.mark.parametrize("value, default, bounds, words", [
    (-1, 0, dict(at_least=0), r"/node/x is -1, expected a whole number, at least 0"),
    (True, 0, {}, "whole number"), (1, True, {}, "true or false"), ("1", 0, {}, "'1', expected a whole number"),
    (1, "a", {}, "expected a text"), (float("nan"), 0.0, {}, "nan"), (2.0, 0.0, dict(at_most=1), "at most 1"),
    ("c", "a", dict(choices=("a", "b")), "one of a, b"), ([1], 1, {}, "whole number")])
def test_bad_values(value, default, bounds, words):
    with pytest.raises(ParameterError, match=words):
        check("/node/x", value, default, **bounds)


@pytest.mark.parametrize("height, width, found", [(0, 0, ()), (384, 512, (384, 512)), (384, 0, None), (0, 512, None)])
def test_a_size_is_both_or_neither(monkeypatch, height, width, found):
    given = {"~height": height, "~width": width}
    monkeypatch.setattr(rospy, "get_param", given.get)
    monkeypatch.setattr(rospy, "resolve_name", lambda name: name)
    if found is None:
        with pytest.raises(ParameterError, match="~height and ~width are {} and {}: set both".format(height, width)):
            startup.read_size()
    else:
        assert startup.read_size() == found


@pytest.mark.parametrize("node", ["robot_node", "server_node", "bandwidth_monitor_node"])
def test_a_node_without_torch_says_what_to_install(node):
    ended = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['torch'] = None; "
         "from intra_dp_ros.ros.node_script import run_node; run_node({!r})".format(node)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert ended.returncode == 1 and b"pip3 install torch" in ended.stderr and b"Traceback" not in ended.stderr
