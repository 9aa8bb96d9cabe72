"""What the demo has to know of each application: nodes, topics, what it is shown and what it shows."""
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np
from sensor_msgs.msg import Image, PointCloud2

from intra_dp_ros.apps.people import PersonDetection, PersonKeypoint
from intra_dp_ros.apps.voxel_scenes import height_colours, perspective, two_rows
from intra_dp_ros.apps.voxels import GRID
from intra_dp_ros.bench.bag import open_source
from intra_dp_ros.bench.clouds import HEIGHT_M, open_clouds
from intra_dp_ros.bench.record import FrameSample
from intra_dp_ros.bench.video import annotate, caption_of
from intra_dp_ros.msg import OccupiedSpace, People
from intra_dp_ros.ros.bag_writer import DEFAULT_TOPIC, rgbd_messages, write_bag, write_messages
from intra_dp_ros.ros.cloud_bag import CLOUD_TOPIC, cloud_messages
from intra_dp_ros.ros.point_clouds import colours_from_cloud, points_from_cloud

OPTICAL_FRAME = "camera_rgb_optical_frame"
CONFIG = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "config")


@dataclass(frozen=True)
class Topic:
    """A topic and its type."""

    name: str
    type: Any


@dataclass(frozen=True)
class App:
    """One application."""

    node: str  # of the robot
    input: Topic
    answer: Topic  # one message with the input's stamp for every answer
    pictures: Topic  # images to show, with the input's stamp; the input itself where it is one
    model: str  # by default
    launch: Tuple[str, ...]  # further arguments of demo.launch
    write: Callable[[str, float, float], int]  # (path, Hz, seconds) -> bag of so many inputs
    label: Callable[[], str]  # where they come from
    draw: Callable[["Heard", FrameSample], Optional[Tuple[str, np.ndarray]]]  # -> caption, picture; None: not all heard
    extras: Tuple[Topic, ...] = ()  # more that `draw` needs, with the input's stamp


@dataclass(frozen=True)
class Heard:
    """What was heard of one input."""

    picture: np.ndarray  # uint8 RGB
    answer: Any
    extras: Mapping[str, Any]  # messages by topic; those that came


def _write_images(path: str, rate: float, seconds: float) -> int:
    return write_bag(path, open_source().frames(rate, seconds), DEFAULT_TOPIC)


def _write_depth(path: str, rate: float, seconds: float) -> int:
    return write_messages(path, rgbd_messages(open_source().frames(rate, seconds), COLOUR_TOPIC, OPTICAL_FRAME))


def _write_clouds(path: str, rate: float, seconds: float) -> int:
    write_messages(path, cloud_messages(open_clouds().clouds(rate, seconds)))
    return int(round(seconds * rate))


def _draw_people(heard: Heard, sample: FrameSample) -> Tuple[str, np.ndarray]:
    caption = caption_of(sample)
    people = heard.answer.people
    return caption, annotate(heard.picture, [_person(p) for p in people], caption, [p.track_id for p in people])


def _draw_volume(heard: Heard, sample: FrameSample) -> Optional[Tuple[str, np.ndarray]]:
    """The cloud and the completed cells as somebody behind the robot sees them; below, both from above."""
    if len(heard.extras) < len(_VOLUME_EXTRAS):
        return None
    space, size = heard.answer, np.cbrt(heard.answer.cell_volume)
    cloud, completed = (points_from_cloud(msg)[0] if msg.width else np.empty((0, 3), np.float32)
                        for msg in (heard.extras[topic.name] for topic in _VOLUME_EXTRAS))
    ground = cloud[np.isfinite(cloud).all(axis=1)] + np.array([0.0, 0.0, HEIGHT_M], np.float32)
    away = float(np.sqrt(size / GRID.size))  # coarse cells make a volume higher, too
    before = perspective(ground, height_colours(ground[:, 2], 0.0, _HIGH_M), _POINT_M, away)
    high = completed[:, 2:]
    shade = 0.35 + 0.65 * (high - high.min(initial=0.0)) / max(size, high.max(initial=0.0))  # of one class: no patch
    after = perspective(completed, (colours_from_cloud(heard.extras[_COMPLETED]) * shade).astype(np.uint8), size, away)
    captions = ("input: {} points".format(len(cloud)), "result: {} cells, {} of them added".format(
        space.completed, space.added))
    caption = caption_of(sample)
    picture = annotate(two_rows((before, after), captions, heard.picture), [], caption)
    return "{}; {} cells seen, {} completed".format(caption, space.seen, space.completed), picture


def _person(msg: Any) -> PersonDetection:
    return PersonDetection(msg.score, (msg.x_min, msg.y_min, msg.x_max, msg.y_max),
                           tuple(PersonKeypoint(k.name, k.x, k.y, k.score) for k in msg.keypoints))


def _video() -> str:
    return os.path.basename(open_source().label)


_COMPLETED = "/completed_cloud"
_POINT_M, _HIGH_M = 0.04, 3.0  # drawn: size of a cloud's points, and how high above the ground the reddest are
_VOLUME_EXTRAS = (Topic(CLOUD_TOPIC, PointCloud2), Topic(_COMPLETED, PointCloud2))
COLOUR_TOPIC = "/camera/rgb/image_raw"
_PEOPLE = Topic("/people", People)
_CLOUD_LAUNCH: List[str] = ["input_arg:=cloud", "rviz_config:=agrnav",
                            "config:=" + os.path.join(CONFIG, "agrnav_demo.yaml")]
#: By the name of the launch file.
APPS: Dict[str, App] = {
    "robot": App("/intra_dp_robot", Topic(DEFAULT_TOPIC, Image), _PEOPLE, Topic(DEFAULT_TOPIC, Image),
                 "movenet-multipose", ("rviz_config:=demo",), _write_images, _video, _draw_people),
    "kapao": App("/kapao_node", Topic(COLOUR_TOPIC, Image), _PEOPLE, Topic(COLOUR_TOPIC, Image), "movenet-multipose",
                 ("rviz_config:=kapao",), _write_depth, _video, _draw_people),
    "agrnav": App("/completion_node", Topic(CLOUD_TOPIC, PointCloud2), Topic("/occupied_space", OccupiedSpace),
                  Topic("/top_view", Image), "sconet-style", tuple(_CLOUD_LAUNCH), _write_clouds,
                  lambda: open_clouds().label, _draw_volume, _VOLUME_EXTRAS),
}
