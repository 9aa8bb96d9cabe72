"""Depth images for videos that have none: a flat floor seen by a tilted camera, people on it as upright boards."""
import math
from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np

from intra_dp_ros.apps.people import PersonDetection
from intra_dp_ros.apps.person_point import Intrinsics

_FARTHEST_M = 60.0  # beyond: unknown, as with real cameras
_HOLES = 0.1  # share of pixels without a depth
_NOISE = 0.005  # standard deviation as a share of the depth


@dataclass(frozen=True)
class TiltedCamera:
    """A camera above a floor, looking along x of a frame whose z is up and whose origin is on the floor below it."""

    intrinsics: Intrinsics
    height_m: float = 5.0
    pitch: float = 0.45  # [rad] downwards

    def floor_depth(self, row: np.ndarray) -> np.ndarray:
        """Depth [m] at which image rows see the floor; infinite above the horizon."""
        _, down = self.intrinsics.ray(0.0, np.asarray(row, float))
        slope = down * math.cos(self.pitch) + math.sin(self.pitch)
        with np.errstate(divide="ignore"):
            return np.where(slope > 0.0, self.height_m / np.maximum(slope, 0.0), np.inf)

    def board_depth(self, foot: float, rows: np.ndarray) -> np.ndarray:
        """Depth [m] at which image rows see an upright board that stands on the floor where row `foot` sees it."""
        ahead = [math.cos(self.pitch) - math.sin(self.pitch) * self.intrinsics.ray(0.0, row)[1]
                 for row in (foot, np.asarray(rows, float))]  # along the floor, for a depth of 1
        return self.floor_depth(foot) * ahead[0] / ahead[1]

    @property
    def rotation(self) -> Tuple[float, float, float, float]:
        """Quaternion x, y, z, w of the optical frame in the frame on the floor."""
        a, b = 0.5 * math.sin(self.pitch / 2), 0.5 * math.cos(self.pitch / 2)
        return -a - b, a + b, a - b, b - a


def camera_for(height: int, width: int) -> TiltedCamera:
    """One whose focal length is the width of its images [pixel]."""
    return TiltedCamera(Intrinsics(float(width), float(width), width / 2.0, height / 2.0, width, height))


def depth_image(camera: TiltedCamera, people: Sequence[PersonDetection], seed: int = 0) -> np.ndarray:
    """uint16 `[H, W]` [mm], 0: unknown.  Every person stands where the floor is at the lower edge of their box."""
    height, width = camera.intrinsics.height, camera.intrinsics.width
    depth = np.repeat(camera.floor_depth(np.arange(height))[:, None], width, axis=1)
    for _, box in sorted(((float(camera.floor_depth(p.box[3])), p.box) for p in people), reverse=True):
        x_min, y_min, x_max, y_max = [int(round(v)) for v in box]
        rows = np.arange(height)[max(0, y_min):y_max]
        depth[rows, max(0, x_min):x_max] = camera.board_depth(box[3], rows)[:, None]
    random = np.random.RandomState(seed)
    depth = depth * (1.0 + _NOISE * random.randn(height, width))
    depth[(random.rand(height, width) < _HOLES) | (depth > _FARTHEST_M)] = 0.0
    return np.round(depth * 1e3).astype(np.uint16)
