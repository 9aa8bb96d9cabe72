"""The robots' and servers' services, as the page uses them: details of the last inference, change of strategy.

Threading: `set_strategy` blocks and is called on threads of a pool; `want` does not wait.  One thread asks for details.
"""
import json
import time
from typing import Any, Callable, Dict, List, Sequence

import genpy
import rospy

from intra_dp_ros.ros.frame_spans import measured_spans
from intra_dp_ros.ros.service_call import ServiceConnection, ServiceError, find_service
from intra_dp_ros.ros.web.wants import Wants
from intra_dp_ros.srv import GetStatus, SetStrategy, SetStrategyRequest

_PERIOD_S = 1.0  # between two looks at a robot
_CONNECT_S, _STALL_S, _STATUS_S = 1.0, 2.0, 2.0
_STRATEGY_S = 10.0  # for the answer to a change of strategy
_BACK_OFF_S = 5.0  # a service that failed is left alone for so long
_MOST_SPANS = 2000  # of one frame, measured or predicted
_REMEDY = "is the robot's node still running?"

Details = Callable[[str, Dict[str, Any]], None]


def set_strategy(node: str, strategy: str) -> Dict[str, Any]:
    """Ask a robot's node for another strategy: "accepted", and "reason" when it is not."""
    name = node + "/set_strategy"
    try:
        connection = ServiceConnection(name, SetStrategy, find_service(name, _CONNECT_S, _REMEDY), _CONNECT_S, _STALL_S)
        try:
            reply = connection.call(SetStrategyRequest(strategy), _STRATEGY_S)
        finally:
            connection.close()
    except ServiceError as error:
        return {"accepted": False, "reason": str(error)}
    return {"accepted": reply.accepted, "reason": reply.reason}


class DetailsPoller(Wants):
    """Asks robots that somebody looks at for their last frame's timeline, and the servers for their part of it.

    Args:
        node_of: name of a robot's node; empty when it is not known.
        servers: names of the servers' GetStatus services.
        deliver: called with a robot and its details on this object's thread.
    """

    def __init__(self, node_of: Callable[[str], str], servers: Callable[[], Sequence[str]], deliver: Details) -> None:
        self._node_of = node_of
        self._servers = servers
        self._deliver = deliver
        self._connections: Dict[str, ServiceConnection] = {}
        self._not_before: Dict[str, float] = {}  # services that failed -> when they are asked again
        super().__init__("details")

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._wanted and not self._closed:
                    self._change.wait()
                wanted = self._wanted
                if self._closed:
                    break
            for robot in sorted(wanted):
                self._deliver(robot, self._details(robot))
            with self._change:
                if self._wanted == wanted and not self._closed:
                    self._change.wait(_PERIOD_S)
        for connection in self._connections.values():
            connection.close()

    def _details(self, robot: str) -> Dict[str, Any]:
        node = self._node_of(robot)
        if not node:
            return {"problem": "its node is not known yet: nothing of it on /diagnostics"}
        try:
            status = self._status(node + "/get_status")
        except (ServiceError, ValueError, genpy.MessageException) as error:
            return {"problem": str(error)}
        servers, problem = [], ""
        for name in self._servers():
            try:
                servers.append(self._status(name))
            except (ServiceError, ValueError, genpy.MessageException) as error:
                problem = "the server does not tell its part: {}".format(error)
        try:
            return {"problem": problem, **_details_from(status, servers)}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            rospy.logwarn_throttle(60.0, "the status of {} cannot be read: {!r}".format(robot, error))
            return {"problem": "its status cannot be read ({!r}): install the same version everywhere".format(error)}

    def _status(self, name: str) -> Dict[str, Any]:
        """Raises ServiceError, or ValueError for what is no JSON."""
        if time.monotonic() < self._not_before.get(name, 0.0):
            raise ServiceError("service {} does not answer".format(name))
        try:
            if name not in self._connections:
                self._connections[name] = ServiceConnection(
                    name, GetStatus, find_service(name, _CONNECT_S, _REMEDY), _CONNECT_S, _STALL_S)
            return json.loads(self._connections[name].call(GetStatus._request_class(), _STATUS_S).json)
        except ServiceError:
            connection = self._connections.pop(name, None)
            if connection is not None:
                connection.close()
            else:
                self._not_before[name] = time.monotonic() + _BACK_OFF_S
            raise


def _details_from(robot: Dict[str, Any], servers: List[Dict[str, Any]]) -> Dict[str, Any]:
    """What the page shows of GetStatus's JSON; "frame": None before the first."""
    known = {"strategy": robot["strategy"], "ready": robot["ready"], "doing": robot.get("doing", ""), "frame": None,
             "model": robot.get("model", ""), "input_shape": robot.get("input_shape", []),
             "local_ms": robot["local_ms"], "upload": robot["upload"]}
    if robot["recent"]:
        last = robot["recent"][-1]
        known["frame"] = {name: last[name] for name in ("frame", "strategy", "outcome", "plan", "inference_s",
                                                        "predicted_s")}
        known["frame"]["spans"] = measured_spans(last, robot, servers)[:_MOST_SPANS]
        known["frame"]["predicted_spans"] = last["predicted_spans"][:_MOST_SPANS]
    return known
