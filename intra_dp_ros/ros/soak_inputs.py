"""What a soak's sensor sends, and what the unsplit model makes of it."""
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

import cv2
import numpy as np
import torch
from sensor_msgs.msg import PointCloud2

from intra_dp_ros.apps.models import load_model
from intra_dp_ros.apps.people import PersonDetection
from intra_dp_ros.apps.pipeline import ImageModel, record_model
from intra_dp_ros.apps.voxels import GRID, Grid, predicted, voxelise
from intra_dp_ros.bench.bag import open_source
from intra_dp_ros.bench.clouds import HEIGHT_M, open_clouds
from intra_dp_ros.msg import People
from intra_dp_ros.ros.bag_writer import rgbd_messages
from intra_dp_ros.ros.cloud_bag import BASE_FRAME, CLOUD_TOPIC, LIDAR_FRAME, cloud_messages
from intra_dp_ros.ros.conversions import image_from_msg
from intra_dp_ros.ros.demo_apps import COLOUR_TOPIC, CONFIG, OPTICAL_FRAME, Topic
from intra_dp_ros.ros.point_clouds import CloudError, points_from_cloud
from intra_dp_ros.runtime.comparison import Comparison
from intra_dp_ros.runtime.exactness import TOLERANCE

_MOST_MOMENTS = 100  # different ones; a longer run has them again
_BOX_PIXEL, _SCORE = 0.1, 1e-4  # by what decoded people may differ: rounding, seen through the size of the image
_CELL = 1e-3  # by what points may be beside the corners of cells: single precision [cells]

#: The messages of one moment by topic, in the order in which they are published.
Moment = Dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """A result against the unsplit model's."""

    things: int  # people, or cells, that the unsplit model gives
    difference: str = ""  # in words; empty: they are the same
    ties: int = 0  # things that are decided differently, because the scores are the same but for rounding


@dataclass(frozen=True)
class Inputs:
    """What a sensor sends."""

    words: str
    once: Mapping[str, Any]  # latched
    moments: Sequence[Moment]  # one after the other, then again


@dataclass(frozen=True)
class SoakApp:
    """What a soak has to know of an application besides what the demo knows."""

    make: Callable[[float, Tuple[int, int]], Inputs]  # (Hz, size of images [pixel]) -> inputs
    reference: Callable[[str], Callable[[Moment, Any], Verdict]]  # model -> what compares a result with its own
    result: Topic
    things: str  # what a result consists of
    frame_id: str  # of the sensor messages
    result_frame_id: str
    rate_hz: float  # by default
    launch: Tuple[str, ...] = ()  # arguments of demo.launch


def moments_of(messages: Iterable[Tuple[float, str, Any]]) -> Tuple[Dict[str, Any], List[Moment]]:
    """Messages as they stand in a bag -> those on /tf_static, and the others by moment."""
    once: Dict[str, Any] = {}
    by_time: Dict[float, Moment] = {}
    for time_s, topic, message in messages:
        if topic == "/tf_static":
            once[topic] = message
        else:
            by_time.setdefault(time_s, {})[topic] = message
    return once, list(by_time.values())


def _images(rate_hz: float, size: Tuple[int, int]) -> Inputs:
    source = open_source()
    frames = ((time_s, cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA))
              for time_s, rgb in source.frames(rate_hz, _MOST_MOMENTS / rate_hz))
    once, moments = moments_of(rgbd_messages(frames, COLOUR_TOPIC, OPTICAL_FRAME))
    return Inputs("{} images of {}x{} from {}, one after the other and again, with depth and camera_info".format(
        len(moments), *size, os.path.basename(source.label)), once, moments)


def _clouds(rate_hz: float, _: Tuple[int, int]) -> Inputs:
    source = open_clouds()
    once, moments = moments_of(cloud_messages(source.clouds(rate_hz, _MOST_MOMENTS / rate_hz)))
    return Inputs("{} clouds: {}; volumes of {}x{}x{} cells".format(
        len(moments), source.label, GRID.cells[0], GRID.cells[2], GRID.cells[1]), once, moments)


def _people_reference(model: str) -> Callable[[Moment, People], Verdict]:
    images = ImageModel(load_model(model))

    def compare(moment: Moment, result: People) -> Verdict:
        expected = images.unsplit(image_from_msg(moment[COLOUR_TOPIC]))
        return Verdict(len(expected), people_difference(result, expected))
    return compare


def people_difference(result: People, expected: Sequence[PersonDetection]) -> str:
    """By what decoded people differ beyond rounding, in words; empty: they are the same."""
    if len(result.people) != len(expected):
        return "{} people instead of {}".format(len(result.people), len(expected))
    for number, (person, other) in enumerate(zip(result.people, expected)):
        if abs(person.score - other.score) > _SCORE:
            return "person {} has the score {:.5f} instead of {:.5f}".format(number, person.score, other.score)
        found = [person.x_min, person.y_min, person.x_max, person.y_max] + [v for k in person.keypoints
                                                                            for v in (k.x, k.y)]
        wanted = [*other.box] + [v for k in other.keypoints for v in (k.x, k.y)]
        if len(found) != len(wanted):
            return "person {} has {} keypoints instead of {}".format(
                number, len(person.keypoints), len(other.keypoints))
        away = float(np.abs(np.subtract(found, wanted)).max())
        if not away <= _BOX_PIXEL:
            return "person {} is {:.2f} pixels away".format(number, away)
    return ""


def _cells_reference(model: str) -> Callable[[Moment, PointCloud2], Verdict]:
    loaded = load_model(model)
    recording = record_model(loaded)
    comparison = Comparison(recording.graph, recording.weights)
    above = np.array([0.0, 0.0, HEIGHT_M], np.float32)  # the lidar in the grid's frame

    def compare(moment: Moment, result: PointCloud2) -> Verdict:
        inputs = (torch.from_numpy(voxelise(points_from_cloud(moment[CLOUD_TOPIC])[0] + above)),)
        with torch.inference_mode():
            expected = loaded.module(*inputs).numpy()
        occupancy = inputs[0].numpy()
        count = len(predicted(occupancy, expected)[0])
        try:
            claimed = claimed_classes(result, occupancy, expected)
        except CloudError as error:
            return Verdict(count, str(error))
        differ = int(np.count_nonzero(claimed != expected))
        if not differ:
            return Verdict(count)
        error = comparison.error(inputs, (torch.from_numpy(claimed),))
        if error <= TOLERANCE:  # the scores tie: which is larger is a matter of rounding
            return Verdict(count, ties=differ)
        return Verdict(count, "{} cells have another class, by {:.1e} of the scores".format(differ, error))
    return compare


def claimed_classes(result: PointCloud2, occupancy: np.ndarray, expected: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """The classes that a cloud of `sconet_pred` claims: of cells that the lidar hit it says nothing, and they are taken
    as expected; all others that are not in it are free.

    Args:
        occupancy, expected: as `apps.voxels` has them.

    Raises:
        CloudError: points that are no corners of cells, or cells that the lidar hit.
    """
    classes = np.where(occupancy[0] > 0, expected, 0).astype(expected.dtype)
    if not result.width:
        return classes
    corners, kinds = points_from_cloud(result)
    places = (corners - np.array(grid.origin)) / grid.size
    cells = np.rint(places).astype(int)
    if kinds is None or np.abs(places - cells).max() > _CELL or (cells < 0).any() or (cells >= grid.cells).any():
        raise CloudError("the points are no corners of cells with classes")
    x, y, z = cells.T
    if occupancy[0, 0, x, z, y].any():
        raise CloudError("cells are added that the lidar hit")
    classes[0, x, z, y] = kinds
    return classes


#: By the name of the launch file.
SOAK_APPS: Dict[str, SoakApp] = {
    "kapao": SoakApp(_images, _people_reference, Topic("/people", People), "people", OPTICAL_FRAME, OPTICAL_FRAME,
                     10.0),
    "agrnav": SoakApp(_clouds, _cells_reference, Topic("/sconet_pred", PointCloud2), "cells with their classes",
                      LIDAR_FRAME, BASE_FRAME, 2.0,
                      ("input_arg:=cloud", "config:=" + os.path.join(CONFIG, "agrnav_soak.yaml"))),
}
