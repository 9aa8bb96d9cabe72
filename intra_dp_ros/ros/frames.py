"""Transforms between frames, from tf2, without ever waiting on ROS time.

Threading: tf2's listener fills the buffer, which locks for itself; `find` may wait and belongs on no frame thread.
"""
import time
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
import rospy
import tf2_ros

_WAIT_S = 0.1  # for a transform that is on its way
_POLL_S = 0.01
_KEPT_S = 120.0  # a bag shorter than this may be replayed from its beginning: what it said then is still there
_STALE_S = 1.0  # the newest transform may be this much older than what is transformed


@dataclass(frozen=True)
class Transform:
    """From one frame to another: ``rotation @ point + translation``."""

    rotation: np.ndarray  # [3, 3]
    translation: np.ndarray  # [3], [m]

    def __call__(self, point: Sequence[float]) -> Tuple[float, float, float]:
        x, y, z = self.rotation @ np.asarray(point, float) + self.translation
        return float(x), float(y), float(z)


class TransformError(LookupError):
    """There is no such transform; the message says what is missing."""


class Frames:
    """Everything on /tf and /tf_static; the node must have been initialised."""

    def __init__(self) -> None:
        self._buffer = tf2_ros.Buffer(rospy.Duration(_KEPT_S), debug=False)
        self._listener = tf2_ros.TransformListener(self._buffer)
        self._is_patient = True  # what was missing once is not waited for again

    def find(self, target: str, source: str, stamp: rospy.Time) -> Transform:
        """The transform of points in `source` to `target`.

        Where there is none at the stamp after a short wait, the newest is taken if it is hardly older.

        Raises:
            TransformError: there is none.
        """
        end = time.monotonic() + (_WAIT_S if self._is_patient else 0.0)
        while True:
            try:
                found = self._buffer.lookup_transform_core(target, source, stamp)
                self._is_patient = True
                return _transform(found)
            except tf2_ros.ExtrapolationException:
                if time.monotonic() > end:
                    break
                time.sleep(_POLL_S)
            except tf2_ros.TransformException as error:
                if time.monotonic() > end:
                    self._is_patient = False
                    raise TransformError("no transform from {!r} to {!r}: {}".format(
                        source, target, str(error).strip())) from None
                time.sleep(_POLL_S)
        newest = self._newest(target, source)
        if newest is not None and (newest.header.stamp - stamp).to_sec() > _KEPT_S / 2:
            self._buffer.clear()  # a longer bag has begun again: tf2 would ignore it, as older than what it has
        if newest is None or abs((newest.header.stamp - stamp).to_sec()) > _STALE_S:
            raise TransformError("no transform from {!r} to {!r} of the message's time{}".format(
                source, target, "" if newest is None else ", the newest is {:.1f} s away".format(
                    abs((newest.header.stamp - stamp).to_sec()))))
        return _transform(newest)

    def _newest(self, target: str, source: str) -> Optional[object]:
        try:
            return self._buffer.lookup_transform_core(target, source, rospy.Time(0))
        except tf2_ros.TransformException:
            return None


def rotation_of(x: float, y: float, z: float, w: float) -> np.ndarray:
    """Rotation matrix of a quaternion, which need not have length 1."""
    n = 2.0 / max(x * x + y * y + z * z + w * w, 1e-12)
    return np.array([[1 - n * (y * y + z * z), n * (x * y - z * w), n * (x * z + y * w)],
                     [n * (x * y + z * w), 1 - n * (x * x + z * z), n * (y * z - x * w)],
                     [n * (x * z - y * w), n * (y * z + x * w), 1 - n * (x * x + y * y)]])


def _transform(msg: object) -> Transform:
    turn, shift = msg.transform.rotation, msg.transform.translation
    return Transform(rotation_of(turn.x, turn.y, turn.z, turn.w), np.array([shift.x, shift.y, shift.z]))
