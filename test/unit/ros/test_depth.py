"""Depth images and camera_info as plain data; what cannot be right is refused."""
import numpy as np
import pytest

pytest.importorskip("intra_dp_ros.msg")
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from intra_dp_ros.bench.depth_scene import camera_for  # noqa: E402
from intra_dp_ros.ros.bag_writer import info_message  # noqa: E402
from intra_dp_ros.ros.conversions import InputError  # noqa: E402
from intra_dp_ros.ros.depth import depth_from_msg, intrinsics_from_msg  # noqa: E402

DEPTH = np.array([[0.0, 1.5, 2.0], [0.25, 4.0, 65.0]], np.float32)


def image(values, encoding, padding=0, big_endian=0):
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(values.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    return Image(height=values.shape[0], width=values.shape[1], encoding=encoding, step=rows.shape[1],
                 is_bigendian=big_endian, data=rows.tobytes())


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("big_endian", [0, 1])
def test_depth(encoding, padding, big_endian):
    values = DEPTH if encoding == "32FC1" else np.round(DEPTH * 1e3)
    dtype = (">" if big_endian else "<") + ("f4" if encoding == "32FC1" else "u2")
    found = depth_from_msg(image(values.astype(dtype), encoding, padding, big_endian))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, DEPTH, rtol=1e-6)


def test_nan_stays():
    assert np.isnan(depth_from_msg(image(np.full((2, 2), np.nan, "<f4"), "32FC1"))).all()


@pytest.mark.parametrize("changes, words", [
    (dict(encoding="rgb8"), "'rgb8' is not supported.*16UC1"), (dict(height=0), "0 pixels|no pixels"),
    (dict(step=3), "step 3"), (dict(data=b"short"), "5 bytes"), (dict(height=400000000), "12 bytes")])
def test_impossible_depth(changes, words):
    message = image(np.zeros((2, 3), "<u2"), "16UC1")
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(InputError, match=words):
        depth_from_msg(message)


def test_intrinsics():
    camera = camera_for(480, 640)
    assert intrinsics_from_msg(info_message(camera, "camera")) == camera.intrinsics
    with pytest.raises(InputError, match="not calibrated"):
        intrinsics_from_msg(CameraInfo(width=640, height=480))
    with pytest.raises(InputError, match="not calibrated"):
        intrinsics_from_msg(CameraInfo(K=[500, 0, float("nan"), 0, 500, 2, 0, 0, 1]))
