"""What the demo has to know of each application: nodes, topics, what it is shown and what it shows."""
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from sensor_msgs.msg import Image, PointCloud2

from intra_dp_ros.apps.people import PersonDetection, PersonKeypoint
from intra_dp_ros.bench.bag import open_source
from intra_dp_ros.bench.clouds import open_clouds
from intra_dp_ros.bench.record import FrameSample
from intra_dp_ros.bench.video import annotate, caption_of
from intra_dp_ros.msg import OccupiedSpace, People
from intra_dp_ros.ros.bag_writer import DEFAULT_TOPIC, rgbd_messages, write_bag, write_messages
from intra_dp_ros.ros.cloud_bag import CLOUD_TOPIC, cloud_messages

_OPTICAL_FRAME = "camera_rgb_optical_frame"
_CONFIG = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "config")


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
    draw: Callable[[np.ndarray, Any, FrameSample], Tuple[str, np.ndarray]]  # picture, answer -> caption, picture


def _write_images(path: str, rate: float, seconds: float) -> int:
    return write_bag(path, open_source().frames(rate, seconds), DEFAULT_TOPIC)


def _write_depth(path: str, rate: float, seconds: float) -> int:
    return write_messages(path, rgbd_messages(open_source().frames(rate, seconds), _COLOUR, _OPTICAL_FRAME))


def _write_clouds(path: str, rate: float, seconds: float) -> int:
    write_messages(path, cloud_messages(open_clouds().clouds(rate, seconds)))
    return int(round(seconds * rate))


def _draw_people(picture: np.ndarray, people: People, sample: FrameSample) -> Tuple[str, np.ndarray]:
    caption = caption_of(sample)
    return caption, annotate(picture, [_person(p) for p in people.people], caption)


def _draw_volume(picture: np.ndarray, space: OccupiedSpace, sample: FrameSample) -> Tuple[str, np.ndarray]:
    caption = "{}; {} cells seen, {} completed".format(caption_of(sample), space.seen, space.completed)
    return caption, annotate(picture, [], caption)


def _person(msg: Any) -> PersonDetection:
    return PersonDetection(msg.score, (msg.x_min, msg.y_min, msg.x_max, msg.y_max),
                           tuple(PersonKeypoint(k.name, k.x, k.y, k.score) for k in msg.keypoints))


def _video() -> str:
    return os.path.basename(open_source().label)


_COLOUR = "/camera/rgb/image_raw"
_PEOPLE = Topic("/people", People)
_CLOUD_LAUNCH: List[str] = ["input_arg:=cloud", "rviz_config:=agrnav",
                            "config:=" + os.path.join(_CONFIG, "agrnav_demo.yaml")]
#: By the name of the launch file.
APPS: Dict[str, App] = {
    "robot": App("/intra_dp_robot", Topic(DEFAULT_TOPIC, Image), _PEOPLE, Topic(DEFAULT_TOPIC, Image),
                 "movenet-multipose", ("rviz_config:=demo",), _write_images, _video, _draw_people),
    "kapao": App("/kapao_node", Topic(_COLOUR, Image), _PEOPLE, Topic(_COLOUR, Image), "movenet-multipose",
                 ("rviz_config:=kapao",), _write_depth, _video, _draw_people),
    "agrnav": App("/completion_node", Topic(CLOUD_TOPIC, PointCloud2), Topic("/occupied_space", OccupiedSpace),
                  Topic("/top_view", Image), "sconet-style", tuple(_CLOUD_LAUNCH), _write_clouds,
                  lambda: open_clouds().label, _draw_volume),
}
