"""Reading a node's parameters: typed, checked, and with errors that say what to change."""
import math
from typing import Any, Optional, Sequence, TypeVar

import rospy

T = TypeVar("T", bool, int, float, str)

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class ParameterError(ValueError):
    """A parameter that cannot be used; the message names it, its value and what is expected."""


def read(name: str, default: T, at_least: Optional[float] = None, at_most: Optional[float] = None,
         choices: Optional[Sequence[Any]] = None) -> T:
    """The value of a parameter, of the type of `default`; whole numbers do for a float.

    Args:
        name: e.g. "~threads".
        default: when it is not set.
        at_least, at_most: bounds of a number.
        choices: the only values allowed.

    Raises:
        ParameterError: its value is something else.
    """
    return check(rospy.resolve_name(name), rospy.get_param(name, default), default, at_least, at_most, choices)


def check(name: str, value: Any, default: T, at_least: Optional[float] = None, at_most: Optional[float] = None,
          choices: Optional[Sequence[Any]] = None) -> T:
    """`value` as `read` would return it.

    Raises:
        ParameterError: as `read`.
    """
    kind = type(default)
    expected = _KINDS[kind]
    if at_least is not None:
        expected += ", at least {:g}".format(at_least)
    if at_most is not None:
        expected += ", at most {:g}".format(at_most)
    if choices is not None:
        expected = "one of {}".format(", ".join(map(str, choices)))
    if kind is float and type(value) is int:
        value = float(value)
    fits = type(value) is kind  # exact: a bool is an int to isinstance
    if fits and kind is float:
        fits = math.isfinite(value)
    if fits and at_least is not None:
        fits = value >= at_least
    if fits and at_most is not None:
        fits = value <= at_most
    if fits and choices is not None:
        fits = value in choices
    if not fits:
        raise ParameterError("parameter {} is {!r:.80}, expected {}".format(name, value, expected))
    return value
