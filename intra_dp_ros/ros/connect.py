"""A program's way to the server over ROS topics, for `IntraDP`."""
from typing import Optional, Tuple

import rosgraph
import rospy

from intra_dp_ros.ros.control import RosControl
from intra_dp_ros.ros.topic_link import TopicLink
from intra_dp_ros.runtime.client import warn_once

NAMESPACE = "/intra_dp"


def connect(robot_id: str) -> Optional[Tuple[TopicLink, RosControl]]:
    """The robot's ends; None where no ROS master answers.  Starts an anonymous node unless the program has one."""
    if not rospy.core.is_initialized():
        if not rosgraph.is_master_online():
            warn_once("no ROS master at {}: the model runs on this machine alone".format(rosgraph.get_master_uri()))
            return None
        rospy.init_node("intra_dp_client", anonymous=True, disable_signals=True)
    return TopicLink("robot", NAMESPACE, robot_id), RosControl(NAMESPACE)
