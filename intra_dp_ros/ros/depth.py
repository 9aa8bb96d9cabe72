"""Depth images and camera_info as plain data, checked."""
import math
from typing import Dict, Tuple

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from intra_dp_ros.apps.person_point import Intrinsics
from intra_dp_ros.ros.conversions import InputError

#: encoding -> (element type, metres per unit), as REP-118 has them; mono16 is what some drivers call 16UC1.
_ENCODINGS: Dict[str, Tuple[str, float]] = {"16UC1": ("u2", 1e-3), "mono16": ("u2", 1e-3), "32FC1": ("f4", 1.0)}


def depth_from_msg(msg: Image) -> np.ndarray:
    """float32 `[H, W]` [m]; what the camera does not know is 0 or NaN, as the message has it.

    Raises:
        InputError: an encoding that is not in the table, no pixels, or fewer bytes than height and step promise.
    """
    known = _ENCODINGS.get(msg.encoding)
    if known is None:
        raise InputError("depth encoding {!r:.60} is not supported; supported are: {}".format(
            msg.encoding, ", ".join(_ENCODINGS)))
    dtype, scale = np.dtype((">" if msg.is_bigendian else "<") + known[0]), known[1]
    row = msg.width * dtype.itemsize
    if msg.height == 0 or msg.width == 0:
        raise InputError("a depth image of {}x{} has no pixels".format(msg.width, msg.height))
    if msg.step < row or len(msg.data) < msg.step * (msg.height - 1) + row:
        raise InputError("{} bytes of data and step {}, but a depth image {} of {}x{} has rows of {}".format(
            len(msg.data), msg.step, msg.encoding, msg.width, msg.height, row))
    data = np.frombuffer(msg.data, np.uint8)
    rows = np.lib.stride_tricks.as_strided(data, (msg.height, row), (msg.step, 1), writeable=False)
    values = np.ascontiguousarray(rows).view(dtype).astype(np.float32)
    return values if scale == 1.0 else values * np.float32(scale)


def intrinsics_from_msg(msg: CameraInfo) -> Intrinsics:
    """The pinhole camera in K; distortion is left out: a person's point is not measured to the millimetre.

    Raises:
        InputError: no calibration in it.
    """
    fx, fy, cx, cy = msg.K[0], msg.K[4], msg.K[2], msg.K[5]
    if not all(map(math.isfinite, msg.K)) or fx <= 0.0 or fy <= 0.0:
        raise InputError("camera_info has focal lengths {:g} and {:g} pixels: the camera is not calibrated".format(
            fx, fy))
    return Intrinsics(fx, fy, cx, cy, msg.width, msg.height)
