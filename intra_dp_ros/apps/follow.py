"""Whom to follow, and where to stand: at a set distance, facing the person."""
import math
from dataclasses import dataclass
from typing import Collection, Dict, Optional, Sequence, Tuple


@dataclass(frozen=True)
class Pose2D:
    """On the floor of a frame whose z is up."""

    x: float  # [m]
    y: float  # [m]
    yaw: float  # [rad] from x to y


def follow_goal(person: Sequence[float], robot: Sequence[float], distance: float) -> Optional[Pose2D]:
    """The pose on the line from robot to person, `distance` before the person and facing them.

    Somebody nearer than that is only turned to: a robot that backs away does not see where it goes.

    Args:
        person, robot: x, y [m] in one frame whose z is up.
        distance: to keep [m].

    Returns:
        None when robot and person stand at the same place and there is no direction.
    """
    across, along = person[0] - robot[0], person[1] - robot[1]
    apart = math.hypot(across, along)
    if apart < 1e-6:
        return None
    share = max(0.0, apart - distance) / apart
    return Pose2D(robot[0] + share * across, robot[1] + share * along, math.atan2(along, across))


def quaternion_of(yaw: float) -> Tuple[float, float, float, float]:
    """x, y, z, w of a turn about z [rad]."""
    return 0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0)


class Target:
    """The one who is followed: the nearest at first, then the same one until they are lost.

    Args:
        patience_s: how long they may be out of sight before somebody else is followed [s].
    """

    def __init__(self, patience_s: float = 2.0) -> None:
        self.track: Optional[int] = None  # whom; None: nobody
        self._patience_s = patience_s
        self._seen = 0.0  # stamp [s]

    def choose(self, distances: Dict[int, float], stamp: float, visible: Collection[int] = ()) -> Optional[int]:
        """Who is followed in this image; None while nobody is, or the one who was has no known place.

        Args:
            distances: track -> how far away [m], of everybody whose place is known.
            stamp: of the image [s]; when it jumps back, the choice is made anew.
            visible: everybody in the image: who is among them is not lost, be it that they are too near for depth.
        """
        if self.track in distances or self.track in visible:
            self._seen = stamp
            return self.track if self.track in distances else None
        if self.track is not None and 0.0 <= stamp - self._seen <= self._patience_s:
            return None
        self.track = min(distances, key=lambda track: (distances[track], track)) if distances else None
        self._seen = stamp
        return self.track
