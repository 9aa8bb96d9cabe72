"""A program's way to the server over ROS topics, for `IntraDP`."""
from typing import Optional, Tuple

import rosgraph
import rospy

from intra_dp_ros.ros import params
from intra_dp_ros.ros.control import RosControl
from intra_dp_ros.ros.logs import show_logs
from intra_dp_ros.ros.master import RPC_ERRORS
from intra_dp_ros.ros.topic_link import TopicLink
from intra_dp_ros.runtime.client import warn_once

NAMESPACE = "/intra_dp"
_PARAMETER = "~intra_dp_ns"  # not ~ns, as in this package's nodes: the program may have one of its own


def connect(robot_id: str) -> Optional[Tuple[TopicLink, RosControl]]:
    """The robot's ends; None where no ROS master answers.  Starts an anonymous node unless the program has one.

    Parameter: ~intra_dp_ns (string, /intra_dp): namespace of link and services, the same at the server.
    """
    if not rospy.core.is_initialized():
        if not rosgraph.is_master_online():
            warn_once("no ROS master at {}: the model runs on this machine alone".format(rosgraph.get_master_uri()))
            return None
        rospy.init_node("intra_dp_client", anonymous=True, disable_signals=True)
    show_logs()
    try:
        ns = params.read(_PARAMETER, NAMESPACE)
    except params.ParameterError as error:  # the program goes on without a server, and is told why
        warn_once("{}: the model runs on this machine alone".format(error))
        return None
    except RPC_ERRORS:
        warn_once("the ROS master at {} does not answer: the model runs on this machine alone".format(
            rosgraph.get_master_uri()))
        return None
    return TopicLink("robot", ns, robot_id), RosControl(ns)
