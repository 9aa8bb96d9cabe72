"""Clouds as drivers send them: any fields, padding, byte order; what cannot be is refused with a word on what it is."""
import numpy as np
import pytest

pytest.importorskip("intra_dp_ros.msg")
from sensor_msgs.msg import LaserScan, PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from intra_dp_ros.ros.conversions import InputError  # noqa: E402
from intra_dp_ros.ros.point_clouds import cloud_to_msg, points_from_cloud, points_from_scan  # noqa: E402

TYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}


def cloud(columns, shape=None, big=False, pad=0, row_pad=0, start=0):
    """A cloud of fields name -> (format, values), each with `pad` bytes behind it."""
    count = len(next(iter(columns.values()))[1])
    shape = shape or (1, count)
    offsets, at = {}, start
    for name, (kind, _) in columns.items():
        offsets[name] = at
        at += np.dtype(kind).itemsize + pad
    points = np.full((count, at), 0xAB, np.uint8)
    for name, (kind, values) in columns.items():
        octets = np.asarray(values).astype((">" if big else "<") + kind).view(np.uint8).reshape(count, -1)
        points[:, offsets[name]:offsets[name] + octets.shape[1]] = octets
    rows = np.full((shape[0], shape[1] * at + row_pad), 0xCD, np.uint8)
    rows[:, :shape[1] * at] = points.reshape(shape[0], -1)
    return PointCloud2(height=shape[0], width=shape[1], is_bigendian=big, point_step=at, row_step=rows.shape[1],
                       data=rows.tobytes(),
                       fields=[PointField(n, offsets[n], TYPES[k], 1) for n, (k, _) in columns.items()])


X, Y, Z = np.array([1.5, -2.25, np.nan, 4.0]), np.array([0.0, 1.0, 2.0, 3.0]), np.array([-1.0, 0.5, 7.0, 8.0])


@pytest.mark.parametrize("kind, dtype", [("f4", np.float32), ("f8", np.float64)])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad, row_pad, shape, start", [(0, 0, (1, 4), 0), (3, 0, (2, 2), 5), (1, 9, (4, 1), 0)])
def test_any_layout(kind, dtype, big, pad, row_pad, shape, start):
    message = cloud({"z": (kind, Z), "ring": ("u2", [1, 2, 3, 4]), "x": (kind, X), "y": (kind, Y),
                     "intensity": ("u1", [0, 50, 100, 255])}, shape, big, pad, row_pad, start)
    points, intensity = points_from_cloud(message)
    assert points.dtype == dtype
    np.testing.assert_array_equal(points, np.stack([X, Y, Z], 1))
    assert intensity.tolist() == [0.0, 50.0, 100.0, 255.0]


def test_without_intensity_and_in_whole_millimetres():
    points, intensity = points_from_cloud(cloud({n: ("i2", [-300, 400]) for n in "xyz"}))
    assert intensity is None and points.dtype == np.float32 and points.tolist() == [[-300.0] * 3, [400.0] * 3]


def test_the_last_row_without_its_padding():
    message = cloud({n: ("f4", Y) for n in "xyz"}, (2, 2), row_pad=8)
    message.data = message.data[:-8]
    assert points_from_cloud(message)[0].shape == (4, 3)


def changed(**values):
    message = cloud({n: ("f4", Y) for n in "xyz"}, (2, 2))
    for name, value in values.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize("message, words", [
    (cloud({"x": ("f4", Y), "range": ("f4", Y)}), "no field y, z but 'x', 'range'"), (PointCloud2(), "but no fields"),
    (changed(width=0), r"no points \(0x2\)"), (changed(height=0, data=b""), "no points"),
    (changed(data=b"123"), "3 bytes of data, but 2x2 points take 48"), (changed(row_step=20), "row_step is 20"),
    (changed(point_step=8), "field z at byte 8 does not fit"), (changed(point_step=0), "does not fit"),
    (changed(width=2 ** 31), "row_step"), (changed(height=2 ** 31), "bytes of data"),
    (changed(fields=[PointField(n, 0, 9, 1) for n in "xyz"]), "datatype 9")])
def test_what_cannot_be_is_refused(message, words):
    with pytest.raises(InputError, match=words):
        points_from_cloud(message)


def test_there_and_back():
    points = np.stack([X, Y, Z], 1).astype(np.float32)
    header = Header(frame_id="world")
    message = cloud_to_msg(points, header, intensity=np.array([1, 2, 3, 19], np.uint8))
    found, intensity = points_from_cloud(message)
    np.testing.assert_array_equal(found, points)
    assert intensity.tolist() == [1.0, 2.0, 3.0, 19.0] and message.header is header
    assert [(f.name, f.offset, f.datatype) for f in message.fields] == [
        ("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("intensity", 12, 7)]
    assert (message.height, message.width, message.point_step, message.row_step) == (1, 4, 16, 64)
    colours = cloud_to_msg(points, header, rgb=np.array([[1, 2, 3]] * 4, np.uint8))
    assert np.frombuffer(colours.data, "<u4")[3::4].tolist() == [0x010203] * 4
    assert cloud_to_msg(points[:0], header).width == 0


def test_laser_scans():
    scan = LaserScan(angle_min=0.0, angle_increment=0.5, range_min=0.1, range_max=5.0, ranges=[1.0, 9.0, float("inf")])
    np.testing.assert_allclose(points_from_scan(scan), [[1, 0, 0]], atol=1e-6)
    scan.ranges = [float("nan")] * 3
    with pytest.raises(InputError, match="no return between 0.1 and 5 m among 3 rays"):
        points_from_scan(scan)
    scan.angle_increment = 0.0
    with pytest.raises(InputError, match="steps of 0"):
        points_from_scan(scan)
