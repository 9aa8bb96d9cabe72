"""Point clouds for a bag or a demo: a real turn of a VLP-16 seen again and again by a robot that moves, or a made-up
place where the recording is missing.

There is one real turn, so motion is put on: every cloud is that turn as a sensor elsewhere would have its points, with
nothing new in sight and nothing hidden.  It is real data for what it costs to voxelise, to send and to complete.
"""
from dataclasses import dataclass
from typing import Iterator, Tuple

import numpy as np

from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.apps.velodyne import scans

LIDAR, SYNTHETIC = "lidar", "synthetic"
_ASSET = "test_velodyne_VLP16.rawlog"
#: The recording's lidar is about this high above the ground: what its lowest lasers see within 12 m, the median [m].
HEIGHT_M = 2.2
_SPEED, _TURN = 1.0, 0.15  # of the robot [m/s], [rad/s]
_RADIUS_M = 4.0  # it drives to and fro within this


@dataclass(frozen=True)
class Pose:
    """Of the sensor in the frame of the place, whose z is up and 0 on the ground."""

    x: float  # [m]
    y: float
    z: float
    yaw: float  # counter-clockwise [rad]

    def points_seen(self, points: np.ndarray) -> np.ndarray:
        """Points `[N, 3]` of the place as the sensor has them."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return ((points - (self.x, self.y, self.z)) @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))


@dataclass(frozen=True)
class CloudSource:
    """Where clouds come from."""

    kind: str  # LIDAR or SYNTHETIC
    path: str  # of the recording; empty for synthetic
    points: np.ndarray  # float32 [N, 3] [m] in the frame of the place
    intensity: np.ndarray  # float32 [N], 0..255

    @property
    def label(self) -> str:
        """For messages."""
        if self.kind == LIDAR:
            return "one real turn of a VLP-16 ({} points), motion put on".format(len(self.points))
        return "made-up walls and boxes ({} points): the recording is not in the cache".format(len(self.points))

    def clouds(self, rate: float, seconds: float) -> Iterator[Tuple[float, np.ndarray, Pose]]:
        """(time [s], float32 `[N, 4]` x, y, z, intensity as the sensor has them, its pose) at `rate` [Hz].

        Raises:
            ValueError: `rate` is not positive.
        """
        if not rate > 0.0:
            raise ValueError("the rate must be positive, got {}".format(rate))
        for number in range(int(round(seconds * rate))):
            time_s = number / rate
            at = _RADIUS_M * np.sin(_SPEED * time_s / _RADIUS_M)
            pose = Pose(float(at), 0.0, HEIGHT_M, _TURN * time_s)
            seen = pose.points_seen(self.points)
            yield time_s, np.column_stack([seen, self.intensity]).astype(np.float32), pose


def open_clouds() -> CloudSource:
    """The recording in the cache; made-up clouds where it is not there."""
    path = asset_path(_ASSET)
    if path is None:
        points = synthetic_points()
        return CloudSource(SYNTHETIC, "", points, np.full(len(points), 50.0, np.float32))
    scan = scans(path)[0]
    points = scan[:, :3] + np.array([0.0, 0.0, HEIGHT_M], np.float32)
    return CloudSource(LIDAR, path, points, scan[:, 3])


def synthetic_points() -> np.ndarray:
    """Rings on a floor, two walls and boxes, the same every time: float32 `[N, 3]` [m]."""
    random = np.random.RandomState(0)
    angle = np.linspace(0.0, 2.0 * np.pi, 900, endpoint=False)
    parts = [np.stack([r * np.cos(angle), r * np.sin(angle), np.zeros(len(angle))], 1) for r in (3, 4, 5, 7, 9, 12)]
    for y in (-6.0, 7.0):
        parts.append(random.uniform((-10.0, y, 0.0), (15.0, y + 0.02, 3.0), (4000, 3)))
    for x, y in ((5.0, -2.0), (9.0, 3.0), (-4.0, 2.5)):
        box = random.uniform(-1.0, 1.0, (1200, 3))
        box[np.arange(1200), random.randint(0, 2, 1200)] = random.choice([-1.0, 1.0], 1200)
        parts.append(box * (0.8, 0.6, 0.75) + (x, y, 0.75))
    return np.concatenate(parts).astype(np.float32)
