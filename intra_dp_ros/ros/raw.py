"""Messages as the bytes they arrived in: for relaying them, and for taking them apart where an error can be caught."""
from functools import lru_cache
from typing import Any, Type

import genpy
import rospy


@lru_cache(maxsize=None)
def raw_class(cls: Type[genpy.Message]) -> Type[genpy.Message]:
    """A class with the type and checksum of `cls` whose instances hold the serialised bytes, in `_buff`.

    Publishers and subscribers of `cls` elsewhere connect to it as to `cls` itself.
    """
    return type("Raw" + cls.__name__, (rospy.AnyMsg,), {
        "__slots__": [], "_md5sum": cls._md5sum, "_type": cls._type, "_full_text": cls._full_text,
        "__init__": _set_nothing})


def _set_nothing(self: Any) -> None:
    self._buff = None


def raw_message(cls: Type[genpy.Message], data: bytes) -> genpy.Message:
    """A message of `raw_class(cls)` with these bytes."""
    message = raw_class(cls)()
    message._buff = data
    return message
