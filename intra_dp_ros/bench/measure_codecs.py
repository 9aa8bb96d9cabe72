"""Measures lossless codecs on photographs, a voxelised laser scan and what a completion network makes of it."""
import argparse
import sys
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch

from intra_dp_ros.apps import velodyne, voxels
from intra_dp_ros.apps.assets import PHOTOS, asset_path
from intra_dp_ros.apps.models import load_model
from intra_dp_ros.bench.codec_costs import Cost, as_lines, measured

_SIZES = ((224, 224), (640, 960))
_SCAN = "test_velodyne_VLP16.rawlog"
_SENSOR_HEIGHT = 0.6  # of the scanner above the grid's ground [m]


def photos(height: int, width: int) -> List[np.ndarray]:
    """The photographs of the cache, scaled to fill this size and cut to it: uint8 [1, 3, height, width].

    Raises:
        FileNotFoundError: one is missing.
    """
    found = []
    for name in PHOTOS:
        image = cv2.imread(_path(name))
        scale = max(height / image.shape[0], width / image.shape[1])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        found.append(np.ascontiguousarray(image[:height, :width].transpose(2, 0, 1))[None])
    return found


def volumes() -> Tuple[np.ndarray, List[np.ndarray]]:
    """Occupancy of a real scan, and the classes that networks with seeded random weights make of it.

    Raises:
        FileNotFoundError: the scan is missing.
    """
    points = np.concatenate(velodyne.scans(_path(_SCAN)))
    points[:, 2] += _SENSOR_HEIGHT
    occupancy = voxels.voxelise(points)
    with torch.no_grad():
        classes = [load_model(name, "", seed=0).module(torch.from_numpy(occupancy)).numpy()
                   for name in ("sconet-style", "sconet-style:measured")]
    return occupancy, classes


def _path(name: str) -> str:
    path = asset_path(name)
    if path is None:
        raise FileNotFoundError("{} is not in the cache: rosrun intra_dp_ros fetch_assets, or scripts/run "
                                "scripts/fetch_assets, gets it".format(name))
    return path


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure and print the table of intra_dp_ros/bench/codec_costs.py."""
    argparse.ArgumentParser(prog="measure_codecs", description=main.__doc__).parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        occupancy, classes = volumes()
        costs: Dict[str, Sequence[Cost]] = {
            "image": [measured("png", photos(*size), 2, size[0] * size[1]) for size in _SIZES],
            "occupancy": [measured("bits+lz4", [occupancy], 2, occupancy.size)],
            "classes": [measured("bits+lz4", classes, 1, occupancy.size)]}
    except FileNotFoundError as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    print("{} photographs, 1 scan of {} voxels, classes of networks with random weights; in {} row chunks".format(
        len(PHOTOS), int(occupancy.sum()), 8))
    print(as_lines(costs))
    return 0
