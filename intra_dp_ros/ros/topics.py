"""The names of all topics and services between robot, server and bandwidth monitor; nobody else spells them out."""
from dataclasses import dataclass
from typing import Any, Callable, Dict, Type

import genpy

from intra_dp_ros.msg import BandwidthEstimate, Heartbeat, PlanInfo, TensorTile, TileAck
from intra_dp_ros.ros import conversions
from intra_dp_ros.wire.session import check_robot_id

ROBOT, SERVER = "robot", "server"


@dataclass(frozen=True)
class Topic:
    """One topic of a link."""

    sender: str  # ROBOT or SERVER
    cls: Type[genpy.Message]  # what is published on it
    from_msg: Callable[[Any], Any]  # to the wire's message; raises conversions.MessageError
    queue_size: int  # messages waiting in the publisher, the oldest goes first


# What waits in a publisher is stale after an outage: control messages keep few.  Tiles are bounded by the senders'
# window already, and losing one costs the frame: theirs is a bound on memory only.
_TILES = 512
_CONTROL = 64

#: Topics below <ns>/<robot>/.
LINK_TOPICS: Dict[str, Topic] = {
    "up": Topic(ROBOT, TensorTile, conversions.tile_from_msg, _TILES),
    "probe": Topic(ROBOT, TensorTile, conversions.tile_from_msg, 8),
    "plan": Topic(ROBOT, PlanInfo, conversions.plan_from_msg, _CONTROL),
    "heartbeat_up": Topic(ROBOT, Heartbeat, conversions.heartbeat_from_msg, 4),
    "ack_down": Topic(ROBOT, TileAck, conversions.ack_from_msg, _TILES),
    "down": Topic(SERVER, TensorTile, conversions.tile_from_msg, _TILES),
    "heartbeat_down": Topic(SERVER, Heartbeat, conversions.heartbeat_from_msg, 4),
    "ack_up": Topic(SERVER, TileAck, conversions.ack_from_msg, _TILES),
}
#: From the monitor to the robot's node, on the robot itself.
BANDWIDTH = "bandwidth"

_MESSAGES = {**{name: topic.cls for name, topic in LINK_TOPICS.items()}, BANDWIDTH: BandwidthEstimate}


def robot_topic(ns: str, robot_id: str, name: str) -> str:
    """`<ns>/<robot>/<name>`.

    Raises:
        ValueError: a robot id that cannot be part of a name, or a topic that does not exist.
    """
    if name not in _MESSAGES:
        raise ValueError("no topic {!r}, expected one of {}".format(name, ", ".join(_MESSAGES)))
    return "/".join((ns.rstrip("/"), check_robot_id(robot_id), name))


def server_service(ns: str, name: str) -> str:
    """`<ns>/server/<name>`."""
    return "/".join((ns.rstrip("/"), "server", name))
