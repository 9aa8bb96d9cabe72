"""Scans of a Velodyne VLP-16 out of a file that holds its raw data blocks, such as a recording made with MRPT.

A data block (VLP-16 user manual 63-9243, section 9.3) is the bytes FF EE, the azimuth, and two firings of the 16 lasers
with a distance and a reflectivity each.  Points are in the usual frame of a sensor in ROS: x forward, y left, z up [m].
"""
import gzip
import zlib
from typing import List, Tuple

import numpy as np

_FLAG = b"\xff\xee"
_BLOCK = 100  # bytes: flag 2, azimuth 2, 2 firings x 16 lasers x (distance 2, reflectivity 1)
_FULL_TURN = 36000  # [0.01 degree]
_DISTANCE_M = 0.002  # of one count
#: Elevation of the lasers in firing order [degree].
_ELEVATION = (-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15)
_LASER_US, _FIRING_US = 2.304, 55.296  # from one laser, and one firing, to the next
_LONGEST_STEP = 100  # [0.01 degree] between blocks; where there is a gap the turn is interpolated no further


def scans(path: str) -> List[np.ndarray]:
    """The scans in a file, a turn of the sensor each; what is left of a turn at the end counts when it is half of one.

    Args:
        path: of a file, also one packed with gzip, with raw data blocks anywhere in it.

    Returns:
        Per scan float32 `[N, 4]`: x, y, z [m], reflectivity 0..255; lasers without a return are left out.

    Raises:
        OSError: the file cannot be read or unpacked.
        ValueError: no data blocks in it.
    """
    blocks = _blocks(_read(path))
    if not len(blocks):
        raise ValueError("{} has no data blocks of a VLP-16 (100 bytes that begin with FF EE)".format(path))
    azimuth = blocks[:, 2].astype(np.int64) + 256 * blocks[:, 3].astype(np.int64)
    step = np.diff(azimuth, append=azimuth[-1:]) % _FULL_TURN
    if len(step) > 1:
        step[-1] = step[-2]
    turned = np.concatenate([[0], np.cumsum(step[:-1])])
    turn = turned // _FULL_TURN
    if turn[-1] and turned[-1] % _FULL_TURN < _FULL_TURN // 2:
        turn[turn == turn[-1]] -= 1
    points, valid = _points(blocks, azimuth, np.minimum(step, _LONGEST_STEP))
    return [points[turn == number][valid[turn == number]] for number in range(int(turn[-1]) + 1)]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error) as error:
        raise OSError("{} is a damaged gzip file: {}".format(path, error)) from None


def _blocks(data: bytes) -> np.ndarray:
    """uint8 `[blocks, 100]`."""
    found, at = [], data.find(_FLAG)
    while 0 <= at <= len(data) - _BLOCK:
        is_block = data[at + 2] + 256 * data[at + 3] < _FULL_TURN
        if is_block:
            found.append(at)
        at = data.find(_FLAG, at + (_BLOCK if is_block else 1))  # FF EE may be inside a block too
    octets = np.frombuffer(data, np.uint8)
    return octets[np.array(found, np.int64)[:, None] + np.arange(_BLOCK)] if found else np.empty((0, _BLOCK), np.uint8)


def _points(blocks: np.ndarray, azimuth: np.ndarray, step: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """float32 `[blocks, 32, 4]` and which of them are returns; the sensor turns on while its lasers fire."""
    returns = blocks[:, 4:].reshape(-1, 2, 16, 3).astype(np.float64)
    distance = (returns[..., 0] + 256.0 * returns[..., 1]) * _DISTANCE_M
    fired = (np.arange(2)[:, None] * _FIRING_US + np.arange(16) * _LASER_US) / (2 * _FIRING_US)  # 0..1 of a block
    angle = np.radians((azimuth[:, None, None] + step[:, None, None] * fired) / 100.0)
    elevation = np.radians(np.array(_ELEVATION, np.float64))
    flat = distance * np.cos(elevation)
    points = np.stack([flat * np.cos(angle), -flat * np.sin(angle), distance * np.sin(elevation), returns[..., 2]], -1)
    return points.astype(np.float32).reshape(-1, 32, 4), (distance > 0.0).reshape(-1, 32)
