"""Transforms between frames, from tf2, without ever waiting on ROS time.

Threading: tf2's listener fills the buffer, which locks for itself; `find` may wait and belongs on no frame thread.
"""
import threading
import time
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Set, Tuple

import numpy as np
import rospy
import tf2_ros
from tf2_msgs.msg import TFMessage

_WAIT_S = 0.1  # for a transform that is on its way
_POLL_S = 0.01
_KEPT_S = 10.0  # tf2's default: how long the buffer remembers
_MOST_MISSING = 32  # pairs of frames: names come with messages, from whoever sends them
_STALE_S = 1.0  # the newest transform may be this much older than what is transformed


@dataclass(frozen=True)
class Transform:
    """From one frame to another: ``rotation @ point + translation``."""

    rotation: np.ndarray  # [3, 3]
    translation: np.ndarray  # [3], [m]

    def __call__(self, point: Sequence[float]) -> Tuple[float, float, float]:
        x, y, z = self.rotation @ np.asarray(point, float) + self.translation
        return float(x), float(y), float(z)


class _Listener(tf2_ros.TransformListener):
    """Begins anew when stamps go back by more than the buffer keeps, as in a bag that is played again: tf2 notices that
    with simulated time only, and ignores what comes until the stamps have caught up."""

    def __init__(self, buffer: tf2_ros.Buffer) -> None:
        self._lock = threading.Lock()  # covers _newest: every publisher of /tf has a thread
        self._newest: Dict[str, rospy.Time] = {}  # by child frame
        super().__init__(buffer)

    def callback(self, data: TFMessage) -> None:
        with self._lock:
            for transform in data.transforms:
                child, stamp = transform.child_frame_id, transform.header.stamp
                back = (self._newest.get(child, stamp) - stamp).to_sec()
                if back > _KEPT_S:
                    rospy.logwarn_throttle(10.0, "the transform of {!r} went back in time by {:.0f} s (a bag played "
                                                 "again?): those known so far are forgotten".format(child, back))
                    self.buffer.clear()  # keeps the static ones
                    self._newest.clear()
                self._newest[child] = stamp
        super().callback(data)


class TransformError(LookupError):
    """There is no such transform; the message says what is missing."""


class Frames:
    """Everything on /tf and /tf_static; the node must have been initialised."""

    def __init__(self) -> None:
        self._buffer = tf2_ros.Buffer(rospy.Duration(_KEPT_S), debug=False)
        self._listener = _Listener(self._buffer)
        self._missing: Set[Tuple[str, str]] = set()  # (target, source): what was missing once is not waited for again

    def find(self, target: str, source: str, stamp: rospy.Time) -> Transform:
        """The transform of points in `source` to `target`.

        Where there is none at the stamp after a short wait, the newest is taken if it is hardly older.  Names may begin
        with a slash, as those of older drivers and bags do: tf2 knows them without.

        Raises:
            TransformError: there is none.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        end = time.monotonic() + (0.0 if (target, source) in self._missing else _WAIT_S)
        while True:
            try:
                found = self._buffer.lookup_transform_core(target, source, stamp)
                self._missing.discard((target, source))
                return _transform(found)
            except tf2_ros.ExtrapolationException:
                if time.monotonic() > end:
                    break
                time.sleep(_POLL_S)
            except tf2_ros.TransformException as error:
                if time.monotonic() > end:
                    if len(self._missing) < _MOST_MISSING:
                        self._missing.add((target, source))
                    raise TransformError("no transform from {!r} to {!r}: {}".format(
                        source, target, str(error).strip())) from None
                time.sleep(_POLL_S)
        newest = self._newest(target, source)
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
