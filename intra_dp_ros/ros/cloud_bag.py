"""A bag of point clouds with the sensor's place in tf, for demos and tests without a lidar."""
import math
from typing import Any, Iterable, Iterator, Tuple

import numpy as np
from geometry_msgs.msg import TransformStamped
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from intra_dp_ros.bench.clouds import Pose
from intra_dp_ros.ros.point_clouds import cloud_to_msg

CLOUD_TOPIC = "/velodyne_points"
LIDAR_FRAME, BASE_FRAME = "velodyne", "base_footprint"
PLACE_FRAME = "world"


def cloud_messages(clouds: Iterable[Tuple[float, np.ndarray, Pose]], topic: str = CLOUD_TOPIC
                   ) -> Iterator[Tuple[float, str, Any]]:
    """What `bag_writer.write_messages` takes: clouds in the lidar's frame, the lidar above the robot's footprint
    (/tf_static), and the footprint in the world (/tf).

    Args:
        clouds: as `bench.clouds.CloudSource.clouds` gives them.
    """
    for number, (time_s, cloud, pose) in enumerate(clouds):
        if number == 0:
            yield time_s, "/tf_static", _transform(BASE_FRAME, LIDAR_FRAME, 0.0, 0.0, pose.z, 0.0)
        yield time_s, "/tf", _transform(PLACE_FRAME, BASE_FRAME, pose.x, pose.y, 0.0, pose.yaw)
        yield time_s, topic, cloud_to_msg(cloud[:, :3], Header(frame_id=LIDAR_FRAME), intensity=cloud[:, 3])


def _transform(parent: str, child: str, x: float, y: float, z: float, yaw: float) -> TFMessage:
    out = TransformStamped(child_frame_id=child)
    out.header.frame_id = parent
    shift, turn = out.transform.translation, out.transform.rotation
    shift.x, shift.y, shift.z = x, y, z
    turn.z, turn.w = math.sin(yaw / 2.0), math.cos(yaw / 2.0)
    return TFMessage([out])
