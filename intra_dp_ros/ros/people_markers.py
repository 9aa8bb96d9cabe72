"""People in space for rviz: where each stands, who it is, the skeleton."""
from typing import List, Optional, Sequence, Tuple

import rospy
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from intra_dp_ros.apps.people import SKELETON, color_of
from intra_dp_ros.apps.person_point import PersonPoint
from intra_dp_ros.apps.tracking import Track

_DIAMETER_M, _TEXT_M, _BONE_M = 0.25, 0.35, 0.05
_LIFETIME_S = 5.0  # of what is shown, when nothing comes after it
_ABOVE_M = 0.75  # the text is this much above the torso; y is down in an optical frame

#: A track, the person's point, the keypoints in space (None: unknown).
Placed = Tuple[Track, PersonPoint, Sequence[Optional[Tuple[float, float, float]]]]


def people_to_markers(people: Sequence[Placed], header: Header) -> MarkerArray:
    """A sphere, a label and a skeleton a person, in the camera's optical frame; those of earlier images go."""
    markers: List[Marker] = [Marker(header=header, action=Marker.DELETEALL)]
    for track, point, keypoints in people:
        color = ColorRGBA(*(c / 255.0 for c in color_of(track.id)), 1.0)
        sphere = _marker(header, "person", track.id, Marker.SPHERE, color, _DIAMETER_M)
        sphere.pose.position = Point(point.x, point.y, point.z)
        text = _marker(header, "label", track.id, Marker.TEXT_VIEW_FACING, color, _TEXT_M)
        text.pose.position = Point(point.x, point.y - _ABOVE_M, point.z)
        text.text = "#{} {:.1f} m".format(track.id, (point.x ** 2 + point.y ** 2 + point.z ** 2) ** 0.5)
        markers += [sphere, text]
        bones = _marker(header, "skeleton", track.id, Marker.LINE_LIST, color, _BONE_M)
        for a, b in SKELETON if keypoints else ():
            if keypoints[a] is not None and keypoints[b] is not None:
                bones.points += [Point(*keypoints[a]), Point(*keypoints[b])]
        if bones.points:
            markers.append(bones)
    return MarkerArray(markers)


def _marker(header: Header, ns: str, number: int, kind: int, color: ColorRGBA, size: float) -> Marker:
    out = Marker(header=header, ns=ns, id=number, type=kind, action=Marker.ADD, color=color,
                 lifetime=rospy.Duration(_LIFETIME_S))
    out.pose.orientation.w = 1.0
    out.scale.x = out.scale.y = out.scale.z = size
    return out
