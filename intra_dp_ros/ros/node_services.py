"""The services of a robot's node, of its server and of the emulated air, as demo and soak call them."""
import json
import time
from typing import Any, Callable, Dict, Optional

import rospy
from std_srvs.srv import Trigger

from intra_dp_ros.srv import GetStatus, SetStrategy

_SERVICE_S = 5.0


class NodeServices:
    """Services by what they do; any thread.

    Args:
        node: name of the robot's node.
        shaper: name of the node that is the air.
    """

    def __init__(self, node: str, shaper: str) -> None:
        self._services = {
            "status": rospy.ServiceProxy(node + "/get_status", GetStatus),
            "strategy": rospy.ServiceProxy(node + "/set_strategy", SetStrategy),
            "server": rospy.ServiceProxy("/intra_dp/server/get_status", GetStatus),
            "restart": rospy.ServiceProxy(shaper + "/restart", Trigger)}

    def status(self) -> Optional[Dict[str, Any]]:
        """The robot's status, None while it does not answer."""
        return self._json("status")

    def server_status(self) -> Dict[str, Any]:
        """The server's status; empty when it does not answer."""
        return self._json("server") or {"robots": {}}

    def restart_trace(self) -> None:
        """The bandwidth trace begins anew."""
        self._services["restart"]()

    def set_strategy(self, strategy: str, alive: Callable[[], None]) -> None:
        """Change the robot's strategy, as soon as it is there.

        Args:
            alive: raises when waiting is useless.

        Raises:
            ValueError: the robot refuses.
        """
        while True:
            alive()
            try:
                rospy.wait_for_service(self._services["strategy"].resolved_name, timeout=1.0)
                reply = self._services["strategy"](strategy)
                break
            except (rospy.ROSException, rospy.ServiceException):
                time.sleep(0.3)
        if not reply.accepted:
            raise ValueError(reply.reason)

    def _json(self, name: str) -> Optional[Dict[str, Any]]:
        try:
            rospy.wait_for_service(self._services[name].resolved_name, timeout=_SERVICE_S)
            return json.loads(self._services[name]().json)
        except (rospy.ROSException, rospy.ServiceException):
            return None
