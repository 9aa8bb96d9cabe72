"""Scans of a Velodyne VLP-16 from the raw packets in a log of MRPT (Debian package mrpt-common, BSD-3)."""
import gzip
import re
import struct
from typing import List

import numpy as np

_BLOCK, _FLAG = 100, b"\xff\xee"  # bytes of a block: flag, azimuth, 32 returns of distance and intensity
_ELEVATIONS = np.deg2rad([-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15])  # of the 16 lasers
_UNIT = 0.002  # of a distance [m]
_NEAREST = 0.5  # closer returns are the robot itself [m]


def scans(path: str) -> List[np.ndarray]:
    """One array (N, 4) float32 a revolution: x, y, z [m] in the sensor's frame (x ahead, y left, z up), intensity.

    Raises:
        OSError: the file cannot be read or is no gzip file.
        ValueError: there are no VLP-16 blocks in it.
    """
    with gzip.open(path, "rb") as file:
        data = file.read()
    found: List[List[np.ndarray]] = [[]]
    last = -1
    for match in re.finditer(re.escape(_FLAG), data):
        block = data[match.start():match.start() + _BLOCK]
        azimuth = struct.unpack_from("<H", block, 2)[0] if len(block) == _BLOCK else 36000
        if azimuth >= 36000:  # the flag's two bytes within other data
            continue
        if azimuth < last - 18000:
            found.append([])
        last = azimuth
        found[-1].append(_points(block, np.deg2rad(azimuth / 100.0)))
    arrays = [np.concatenate(blocks) for blocks in found if blocks]
    if not arrays:
        raise ValueError("{} holds no VLP-16 packets".format(path))
    return arrays


def _points(block: bytes, azimuth: float) -> np.ndarray:
    returns = np.frombuffer(block, np.dtype([("distance", "<u2"), ("intensity", "u1")]), 32, 4)
    far = returns["distance"] * _UNIT
    flat, up = far * np.cos(np.tile(_ELEVATIONS, 2)), far * np.sin(np.tile(_ELEVATIONS, 2))
    # Azimuth grows clockwise from straight ahead; y is to the left.
    points = np.stack([flat * np.cos(azimuth), -flat * np.sin(azimuth), up, returns["intensity"]], axis=1)
    return points[far > _NEAREST].astype(np.float32)
