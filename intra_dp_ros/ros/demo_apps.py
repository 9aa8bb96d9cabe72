"""What the demo has to know of each application: its topics, its bag, its pictures."""
import os
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np
from sensor_msgs.msg import Image, PointCloud2

from intra_dp_ros.apps.people import PersonDetection, PersonKeypoint
from intra_dp_ros.apps.voxel_scenes import height_colours, perspective, two_rows
from intra_dp_ros.apps.voxels import GRID
from intra_dp_ros.bench.bag import open_source
from intra_dp_ros.bench.clouds import HEIGHT_M, open_clouds
from intra_dp_ros.bench.video import annotate
from intra_dp_ros.msg import People
from intra_dp_ros.ros.bag_writer import DEFAULT_TOPIC, rgbd_messages, write_bag, write_messages
from intra_dp_ros.ros.cloud_bag import BASE_FRAME, CLOUD_TOPIC, cloud_messages
from intra_dp_ros.ros.conversions import image_from_msg
from intra_dp_ros.ros.point_clouds import points_from_cloud

_OPTICAL_FRAME = "camera_rgb_optical_frame"
_KAPAO_TOPIC = "/camera/rgb/image_raw"
_POINT_M = 0.04  # of a cloud, drawn
_RESULT, _ABOVE = "/completed_cloud", "/top_view"


@dataclass(frozen=True)
class Topic:
    """One that the demo listens to."""

    name: str
    kind: type  # of the messages, which have a header
    read: Callable[[Any], Any] = lambda msg: msg  # what is kept of a message


@dataclass(frozen=True)
class App:
    """One application.  What was heard is known by the stamp of the input [s]."""

    node: str  # of the robot
    model: str  # default
    inputs: Topic  # of the bag
    answers: Topic  # one for every input
    write: Callable[[str, float, float], Tuple[int, str]]  # path, rate [Hz], seconds -> inputs in the bag, whence
    picture: Callable[[Any, Any, Mapping[str, Any], str], Optional[np.ndarray]]  # input, answer, extras by topic,
    # caption -> RGB, None where an extra is missing
    rviz: str  # file of config/, without its suffix
    bag: str = "images.bag"  # what is in it, in the plural
    extras: Tuple[Topic, ...] = ()  # for pictures; made when there is time, so not for every input
    launch: Mapping[str, str] = field(default_factory=dict)  # further arguments of demo.launch
    parameters: Mapping[str, Any] = field(default_factory=dict)  # of the robot's node


def _write_images(path: str, rate: float, seconds: float) -> Tuple[int, str]:
    source = open_source()
    return write_bag(path, source.frames(rate, seconds), DEFAULT_TOPIC), os.path.basename(source.label)


def _write_depth(path: str, rate: float, seconds: float) -> Tuple[int, str]:
    """With synthetic depth, camera_info and /tf_static."""
    source = open_source()
    messages = rgbd_messages(source.frames(rate, seconds), _KAPAO_TOPIC, _OPTICAL_FRAME)
    return write_messages(path, messages), os.path.basename(source.label)


def _write_clouds(path: str, rate: float, seconds: float) -> Tuple[int, str]:
    source = open_clouds()
    return write_messages(path, cloud_messages(source.clouds(rate, seconds))), source.label


def _people_picture(rgb: np.ndarray, people: People, _: Mapping[str, Any], caption: str) -> np.ndarray:
    return annotate(rgb, [_person(p) for p in people.people], caption)


def _person(msg: Any) -> PersonDetection:
    return PersonDetection(msg.score, (msg.x_min, msg.y_min, msg.x_max, msg.y_max),
                           tuple(PersonKeypoint(k.name, k.x, k.y, k.score) for k in msg.keypoints))


def _completion_picture(cloud: np.ndarray, added: PointCloud2, extras: Mapping[str, Any], caption: str
                        ) -> Optional[np.ndarray]:
    """The cloud and the completed cells as somebody behind the robot sees them; below, both from above."""
    if _RESULT not in extras or _ABOVE not in extras:
        return None
    cells, colours, edge = extras[_RESULT]
    ground = cloud + np.array([0.0, 0.0, HEIGHT_M], np.float32)  # as the bag's /tf_static has it
    top = GRID.origin[2] + GRID.cells[2] * GRID.size
    before = perspective(ground, height_colours(ground[:, 2], GRID.origin[2], top), _POINT_M)
    captions = ("input: {} points".format(len(cloud)), "result: {} cells, {} of them added".format(
        len(cells), added.width))
    return annotate(two_rows((before, perspective(cells, colours, edge)), captions, extras[_ABOVE]), [], caption)


def _finite_points(msg: PointCloud2) -> np.ndarray:
    points = points_from_cloud(msg)[0]
    return points[np.isfinite(points).all(axis=1)]


def _coloured_cells(msg: PointCloud2) -> Tuple[np.ndarray, np.ndarray, float]:
    """Centres `[N, 3]` [m], colours uint8 `[N, 3]`, edge of a cell [m] of a completed cloud, also an empty one."""
    rows = np.frombuffer(msg.data, "<f4").reshape(-1, 4)
    colours = np.ascontiguousarray(rows[:, 3]).view(np.uint8).reshape(-1, 4)[:, 2::-1]
    steps = np.diff(np.unique(rows[:, 0])) if len(rows) else np.empty(0)
    return rows[:, :3], colours, float(steps.min()) if len(steps) else GRID.size


def coarse(cells: int) -> Dict[str, Any]:
    """Parameters of the completion node for the published grid in other cells, around the robot of the bag.

    Args:
        cells: along x and y; the published grid has 256.
    """
    size = GRID.size * GRID.cells[0] / cells
    return {"cells_x": cells, "cells_y": cells, "cell_size": size, "frame": BASE_FRAME}


APPS: Dict[str, App] = {
    "robot": App("/intra_dp_robot", "movenet-multipose", Topic(DEFAULT_TOPIC, Image, image_from_msg),
                 Topic("/people", People), _write_images, _people_picture, "demo"),
    "kapao": App("/kapao_node", "movenet-multipose", Topic(_KAPAO_TOPIC, Image, image_from_msg),
                 Topic("/people", People), _write_depth, _people_picture, "kapao"),
    "agrnav": App("/completion_node", "sconet-style", Topic(CLOUD_TOPIC, PointCloud2, _finite_points),
                  Topic("/sconet_pred", PointCloud2), _write_clouds, _completion_picture, "agrnav",
                  "clouds.bag", (Topic(_RESULT, PointCloud2, _coloured_cells), Topic(_ABOVE, Image, image_from_msg)),
                  {"input_arg": "cloud", "check_every": "4"}, coarse(GRID.cells[0])),
}
