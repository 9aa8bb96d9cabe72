"""The names of all topics and services between robot, server and bandwidth monitor; nobody else spells them out."""
from dataclasses import dataclass
from typing import Any, Callable, Dict, Tuple, Type

import genpy

from intra_dp_ros.msg import BandwidthEstimate, Heartbeat, PlanInfo, TensorTile, TileAcks
from intra_dp_ros.ros import conversions
from intra_dp_ros.wire.messages import Message
from intra_dp_ros.wire.session import check_robot_id

ROBOT, SERVER = "robot", "server"


@dataclass(frozen=True)
class Topic:
    """One topic of a link."""

    sender: str  # ROBOT or SERVER
    cls: Type[genpy.Message]  # what is published on it
    from_msg: Callable[[Any], Tuple[Message, ...]]  # to the wire's messages; raises conversions.MessageError
    queue_size: int  # messages waiting in the publisher, the oldest goes first
    most: int = 0  # of an array, whose length then comes first; 0: the message is none


def _one(convert: Callable[[Any], Message]) -> Callable[[Any], Tuple[Message, ...]]:
    """Of a topic whose messages are the wire's, one by one."""
    return lambda msg: (convert(msg),)


# What waits in a publisher is stale after an outage: control messages keep few.  Tiles are bounded by the senders'
# window already, and losing one costs the frame: theirs is a bound on memory only.
_TILES = 512
_CONTROL = 64

#: Topics below <ns>/<robot>/.
LINK_TOPICS: Dict[str, Topic] = {
    "up": Topic(ROBOT, TensorTile, _one(conversions.tile_from_msg), _TILES),
    "probe": Topic(ROBOT, TensorTile, _one(conversions.tile_from_msg), 8),
    "plan": Topic(ROBOT, PlanInfo, _one(conversions.plan_from_msg), _CONTROL),
    "heartbeat_up": Topic(ROBOT, Heartbeat, _one(conversions.heartbeat_from_msg), 4),
    "ack_down": Topic(ROBOT, TileAcks, conversions.acks_from_msg, _TILES, conversions.MAX_ACKS),
    "down": Topic(SERVER, TensorTile, _one(conversions.tile_from_msg), _TILES),
    "heartbeat_down": Topic(SERVER, Heartbeat, _one(conversions.heartbeat_from_msg), 4),
    "ack_up": Topic(SERVER, TileAcks, conversions.acks_from_msg, _TILES, conversions.MAX_ACKS),
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
