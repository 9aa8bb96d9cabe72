"""Parameters are of the expected type, or refused with words that help."""
import pytest

pytest.importorskip("rospy")

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
