"""A decoder of the user: a Python function that makes a ROS message of a model's outputs.

    def decode(outputs, image, header) -> vision_msgs.msg.Detection2DArray: ...

`outputs` is a list of numpy arrays in the model's order, `image` the RGB image as it came (uint8 [H, W, 3]), `header`
its header.  The return annotation is the type of the topic; None publishes nothing.
"""
import importlib
import typing
from typing import Any, Callable, Optional, Type

import genpy


class DecoderError(ValueError):
    """A decoder that cannot be used; the message says why and what to do."""


class Decoder:
    """What `~decoder` names.

    Args:
        name: "PACKAGE.FILE:FUNCTION", importable where the node runs.

    Attributes:
        type: of the messages it makes.

    Raises:
        DecoderError: it cannot be imported, or does not say which message it makes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._function = _imported(name)
        self.type = _message_type(name, self._function)

    def __call__(self, outputs: Any, image: Any, header: Any) -> Optional[genpy.Message]:
        """The message, if any.

        Raises:
            DecoderError: the function failed, or gave something else.
        """
        try:
            found = self._function(outputs, image, header)
        except Exception as error:  # the user's own code
            raise DecoderError("decoder {} failed: {!r}".format(self.name, error)) from error
        if found is not None and not isinstance(found, self.type):
            raise DecoderError("decoder {} gave a {}, its annotation says {}".format(
                self.name, type(found).__name__, self.type.__name__))
        return found


def _imported(name: str) -> Callable:
    path, colon, attribute = name.partition(":")
    if not (path and colon and attribute):
        raise DecoderError("~decoder is {!r}, expected PACKAGE.FILE:FUNCTION".format(name))
    try:
        function = getattr(importlib.import_module(path), attribute)
    except Exception as error:  # importing runs the user's own code
        raise DecoderError("decoder {!r}: cannot import {!r} from {!r}: {!r}; it must be on PYTHONPATH, or a Python "
                           "package of your catkin workspace".format(name, attribute, path, error)) from error
    if not callable(function):
        raise DecoderError("decoder {!r} is a {}, expected a function".format(name, type(function).__name__))
    return function


def _message_type(name: str, function: Callable) -> Type[genpy.Message]:
    try:
        found = typing.get_type_hints(function).get("return")
    except Exception as error:  # annotations are evaluated
        raise DecoderError("decoder {!r}: its annotations cannot be read: {!r}".format(name, error)) from error
    if typing.get_origin(found) is typing.Union:  # Optional[Message]
        found = next((arg for arg in typing.get_args(found) if issubclass(arg, genpy.Message)), None)
    if not (isinstance(found, type) and issubclass(found, genpy.Message)):
        raise DecoderError("decoder {!r} does not say which message it makes: annotate its result, as in "
                           "def decode(outputs, image, header) -> std_msgs.msg.String".format(name))
    return found
