"""Between sensor_msgs/PointCloud2, sensor_msgs/LaserScan and arrays of points.

What came over the network is checked before it is believed: drivers differ in fields, padding and byte order, and
rospy accepts lying lengths.
"""
import math
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from sensor_msgs.msg import LaserScan, PointCloud2, PointField
from std_msgs.msg import Header

from intra_dp_ros.apps.voxels import scan_points
from intra_dp_ros.ros.conversions import InputError

_FORMATS: Dict[int, str] = {
    PointField.INT8: "i1", PointField.UINT8: "u1", PointField.INT16: "i2", PointField.UINT16: "u2",
    PointField.INT32: "i4", PointField.UINT32: "u4", PointField.FLOAT32: "f4", PointField.FLOAT64: "f8",
}
_POSITION = ("x", "y", "z")
_MOST_NAMED = 12  # fields that an error names


class CloudError(InputError):
    """A cloud or scan that cannot be used; the message says what was found and what is needed."""


class EmptyCloud(CloudError):
    """A cloud without points, or none where one looks."""


def points_from_cloud(msg: PointCloud2) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """The points of a cloud, organised or not, with whatever fields, of either byte order.

    Returns:
        float32 or, where a coordinate comes as float64, float64 `[N, 3]`: x, y, z [m], NaN where the cloud has NaN;
        and `[N]` float32 of the field intensity, None where there is none.

    Raises:
        CloudError: no field x, y or z, fields or lengths that cannot be.
        EmptyCloud: no points.
    """
    names = tuple(field.name for field in msg.fields)
    lacking = [name for name in _POSITION if name not in names]
    if lacking:
        raise CloudError("the cloud has no field {} but {}".format(
            ", ".join(lacking), ", ".join("{!r:.40}".format(name) for name in names[:_MOST_NAMED]) or "no fields"))
    fields = _fields(msg)
    if msg.width == 0 or msg.height == 0:
        raise EmptyCloud("the cloud has no points ({}x{})".format(msg.width, msg.height))
    row = msg.width * msg.point_step
    if msg.height > 1 and msg.row_step < row:
        raise CloudError("row_step is {} bytes, but {} points of {} bytes take {}".format(
            msg.row_step, msg.width, msg.point_step, row))
    stride = msg.row_step if msg.height > 1 else row
    if len(msg.data) < stride * (msg.height - 1) + row:  # the last row may come without its padding
        raise CloudError("{} bytes of data, but {}x{} points take {}".format(
            len(msg.data), msg.width, msg.height, stride * (msg.height - 1) + row))
    values = np.ndarray((msg.height, msg.width), fields, msg.data, 0, (stride, msg.point_step))
    kind = np.float64 if any(fields[name].itemsize == 8 for name in _POSITION) else np.float32
    points = np.empty((values.size, 3), kind)
    for axis, name in enumerate(_POSITION):
        points[:, axis].reshape(values.shape)[...] = values[name]
    intensity = values["intensity"].astype(np.float32).reshape(-1) if "intensity" in fields.names else None
    return points, intensity


def _fields(msg: PointCloud2) -> np.dtype:
    """Where x, y, z and intensity are within a point; of fields with several values the first, of namesakes too."""
    order, wanted = ">" if msg.is_bigendian else "<", (*_POSITION, "intensity")
    names: List[str] = []
    formats: List[str] = []
    offsets: List[int] = []
    for field in msg.fields:
        if field.name not in wanted or field.name in names:
            continue
        if field.datatype not in _FORMATS:
            raise CloudError("field {} has the datatype {}, expected one of {}".format(
                field.name, field.datatype, ", ".join(map(str, _FORMATS))))
        kind = order + _FORMATS[field.datatype]
        if field.offset + np.dtype(kind).itemsize > msg.point_step:
            raise CloudError("field {} at byte {} does not fit into points of {} bytes".format(
                field.name, field.offset, msg.point_step))
        names.append(field.name)
        formats.append(kind)
        offsets.append(field.offset)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": msg.point_step})


def points_from_scan(msg: LaserScan) -> np.ndarray:
    """The returns of a planar scan in its own frame: float32 `[N, 3]` [m].

    Raises:
        EmptyCloud: nothing is within its range.
        CloudError: no returns for another reason, or angles that cannot be.
    """
    if not (math.isfinite(msg.angle_min) and math.isfinite(msg.angle_increment) and msg.angle_increment != 0.0):
        raise CloudError("a scan from {} rad on in steps of {} rad, expected finite numbers and a step".format(
            msg.angle_min, msg.angle_increment))
    points = scan_points(msg.ranges, msg.angle_min, msg.angle_increment, msg.range_min, msg.range_max)
    if not len(points):  # a ray that meets nothing says so by a range above the longest (REP 117)
        kind = EmptyCloud if any(distance > msg.range_max for distance in msg.ranges) else CloudError
        raise kind("the scan has no return between {:g} and {:g} m among {} rays".format(
            msg.range_min, msg.range_max, len(msg.ranges)))
    return points


def cloud_to_msg(points: np.ndarray, header: Header, **fields: np.ndarray) -> PointCloud2:
    """Points float32 `[N, 3]` [m] as a cloud with this header.

    Args:
        fields: more values `[N]` a point, by name, as float32: ``intensity=...``; ``rgb`` is uint8 `[N, 3]` and packed
            as rviz and PCL have it.
    """
    columns: Dict[str, Any] = dict(zip(_POSITION, points.T))
    columns.update(fields)
    out = np.empty((len(points), len(columns)), "<f4")
    for index, (name, values) in enumerate(columns.items()):
        if name == "rgb":
            red, green, blue = values.astype(np.uint32).T
            out[:, index] = (red << 16 | green << 8 | blue).astype("<u4").view("<f4")
        else:
            out[:, index] = values
    return PointCloud2(
        header=header, height=1, width=len(out), is_bigendian=False, is_dense=True, point_step=4 * len(columns),
        row_step=4 * len(columns) * len(out), data=out.tobytes(),
        fields=[PointField(name, 4 * index, PointField.FLOAT32, 1) for index, name in enumerate(columns)])


def colours_from_cloud(msg: PointCloud2) -> np.ndarray:
    """The field rgb of a cloud that `cloud_to_msg` made: uint8 `[N, 3]` RGB.

    Raises:
        CloudError: there is none.
    """
    at = next((field.offset for field in msg.fields if field.name == "rgb"), None)
    if at is None:
        raise CloudError("the cloud has no field rgb but {}".format(", ".join(field.name for field in msg.fields)))
    octets = np.frombuffer(msg.data, np.uint8).reshape(-1, msg.point_step)
    return octets[:, at:at + 3][:, ::-1]
