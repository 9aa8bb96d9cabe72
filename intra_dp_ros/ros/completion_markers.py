"""A completed volume for rviz: cubes in the colours of their classes, and what the colours mean."""
from typing import List

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from intra_dp_ros.apps.voxel_pictures import class_colours
from intra_dp_ros.apps.voxels import class_name

_MOST_CUBES = 20000  # more take rospy seconds to write, and rviz to draw; completed_cloud has them all
_TEXT_M = 0.4


def completion_to_markers(points: np.ndarray, classes: np.ndarray, size: float, header: Header) -> MarkerArray:
    """A list of cubes a class and a line of text each; where there are too many cubes, evenly thinned out.

    Args:
        points: centres of the occupied cells, `[N, 3]` [m].
        classes: `[N]`.
        size: edge of a cell [m].
    """
    every = max(1, -(-len(points) // _MOST_CUBES))
    markers: List[Marker] = [Marker(header=header, action=Marker.DELETEALL)]
    for number in np.unique(classes).tolist():
        chosen = points[classes == number]
        colour = ColorRGBA(*(c / 255.0 for c in class_colours(np.array(number)).tolist()), 1.0)
        cubes = _marker(header, "cells", number, Marker.CUBE_LIST, colour, size)
        cubes.points = [Point(*p) for p in chosen[::every].tolist()]
        text = _marker(header, "classes", number, Marker.TEXT_VIEW_FACING, colour, _TEXT_M)
        text.text = "{}: {} cells".format(class_name(number), len(chosen))
        text.pose.position = Point(*chosen.mean(0).tolist())
        text.pose.position.z = float(points[:, 2].max()) + _TEXT_M * (1 + number % 4)
        markers += [cubes, text]
    return MarkerArray(markers)


def _marker(header: Header, ns: str, number: int, kind: int, colour: ColorRGBA, size: float) -> Marker:
    out = Marker(header=header, ns=ns, id=number, type=kind, action=Marker.ADD, color=colour)
    out.pose.orientation.w = 1.0
    out.scale.x = out.scale.y = out.scale.z = size
    return out
