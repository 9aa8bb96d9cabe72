"""Where a person stands, from a depth image: the pinhole camera and a median that background and holes do not move.

Points are in the camera's optical frame (REP-103): x to the right, y down, z forward, metres.
"""
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.apps.people import KEYPOINTS, PersonDetection

_NEAREST_M, _FARTHEST_M = 0.15, 40.0  # what depth cameras and the walk to a person can be
_SURE = 0.2  # score from which a keypoint is believed
_TORSO = tuple(KEYPOINTS.index(name) for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip"))
_PATCH = 3  # pixels to each side of a keypoint that are looked at
_LEAST_PIXELS = 5  # with a depth, or there is no point
_OUTLIER_M = 0.5  # beyond this from the median it is not the same body


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera (REP-104)."""

    fx: float  # [pixel]
    fy: float
    cx: float
    cy: float
    width: int  # of the image they are for [pixel]
    height: int

    def ray(self, u: float, v: float) -> Tuple[float, float]:
        """x/z and y/z of what is seen at column u, row v [pixel]."""
        return (u - self.cx) / self.fx, (v - self.cy) / self.fy


@dataclass(frozen=True)
class PersonPoint:
    """A point of a person's body, in the camera's optical frame."""

    x: float  # [m]
    y: float
    z: float
    pixels: int  # with a depth that agreed


def person_point(depth: np.ndarray, person: PersonDetection, camera: Intrinsics) -> Optional[PersonPoint]:
    """The middle of a person's torso; None when too few pixels on them have a depth.

    The patches around shoulders and hips are looked at first, then the upper middle of the box.

    Args:
        depth: float32 `[H, W]` [m], of the very view of the colour image; NaN, 0 and infinity mean unknown.
        person: in pixels of that image.
    """
    torso = [k for i, k in enumerate(person.keypoints) if i in _TORSO and k.score >= _SURE]
    patches = [_patch(depth, k.x, k.y, _PATCH, _PATCH) for k in torso]
    if len(torso) < 2 or sum(len(p[2]) for p in patches) < _LEAST_PIXELS:
        patches = [_middle(depth, person.box)]
    return _robust(patches, camera)


def keypoint_points(depth: np.ndarray, person: PersonDetection, camera: Intrinsics,
                    near: PersonPoint) -> List[Optional[Tuple[float, float, float]]]:
    """Every keypoint in space [m], None for those without a score or a depth near the body's.

    Args:
        depth, person, camera: as `person_point`, whose result is `near`.
    """
    points: List[Optional[Tuple[float, float, float]]] = []
    for k in person.keypoints:
        _, _, z = _patch(depth, k.x, k.y, 1, 1)
        z = z[np.abs(z - near.z) < 2.0 * _OUTLIER_M]  # an arm is further away than the torso is thick
        if k.score < _SURE or not len(z):
            points.append(None)
            continue
        at = float(np.median(z))
        right, down = camera.ray(k.x, k.y)
        points.append((right * at, down * at, at))
    return points


def _robust(patches: Sequence[Tuple[np.ndarray, np.ndarray, np.ndarray]],
            camera: Intrinsics) -> Optional[PersonPoint]:
    """Median of the depths without those of other bodies; the ray through the middle of the pixels that agree."""
    u, v, z = (np.concatenate([p[i] for p in patches]) for i in range(3))
    if len(z) < _LEAST_PIXELS:
        return None
    agrees = np.abs(z - np.median(z)) <= _OUTLIER_M
    if agrees.sum() < _LEAST_PIXELS:  # the median fell between a body and the wall: the nearer one is the body
        agrees = z <= np.median(z)
    at = float(np.median(z[agrees]))
    right, down = camera.ray(float(u[agrees].mean()), float(v[agrees].mean()))
    return PersonPoint(right * at, down * at, at, int(agrees.sum()))


def _middle(depth: np.ndarray, box: Sequence[float]) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The upper middle of a box: mostly torso, whatever the pose."""
    x_min, y_min, x_max, y_max = box
    return _patch(depth, (x_min + x_max) / 2.0, y_min + 0.4 * (y_max - y_min), 0.15 * (x_max - x_min),
                  0.15 * (y_max - y_min))


def _patch(depth: np.ndarray, u: float, v: float, across: float, along: float) -> Tuple[np.ndarray, ...]:
    """Columns, rows and depths [m] of the pixels around (u, v) whose depth is known."""
    height, width = depth.shape
    left, right = max(0, int(u - across)), min(width, int(u + across) + 1)
    top, bottom = max(0, int(v - along)), min(height, int(v + along) + 1)
    z = depth[top:max(top, bottom), left:max(left, right)]
    with np.errstate(invalid="ignore"):  # NaN is an answer: unknown
        rows, columns = np.nonzero((z > _NEAREST_M) & (z < _FARTHEST_M))
    return columns + left, rows + top, z[rows, columns].astype(np.float64)
