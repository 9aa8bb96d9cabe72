"""The link between a robot and a server over ROS topics.

Threading: `send` may be called from any thread.  It never blocks: a publisher with a queue_size serialises in the
calling thread and hands the bytes over to one thread per connection (rospy's QueuedConnection), which drops the oldest
when its queue is full.  Handlers are called from the threads of `Subscriptions`.  `_lock` covers the totals.
"""
import logging
import threading
from typing import Any, Dict, List, Sequence, Set, Tuple

import rospy

from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.ack_batch import AckBatch
from intra_dp_ros.ros.subscriptions import Subscriptions
from intra_dp_ros.ros.topics import LINK_TOPICS, ROBOT, SERVER, robot_topic
from intra_dp_ros.wire.link import Handler, Link, LinkStats
from intra_dp_ros.wire.messages import Ack, Heartbeat, Message, PlanMessage, Tile, serialised_bytes

_LOG = logging.getLogger(__name__)

#: Side -> message -> (topic, conversion).
_OUTGOING: Dict[str, Dict[type, Tuple[str, Any]]] = {
    ROBOT: {Tile: ("up", conversions.tile_to_msg), PlanMessage: ("plan", conversions.plan_to_msg),
            Heartbeat: ("heartbeat_up", conversions.heartbeat_to_msg), Ack: ("ack_down", conversions.acks_to_msg)},
    SERVER: {Tile: ("down", conversions.tile_to_msg), Heartbeat: ("heartbeat_down", conversions.heartbeat_to_msg),
             Ack: ("ack_up", conversions.acks_to_msg)},
}


class TopicLink(Link):
    """One end; the node must have been initialised.

    Args:
        side: "robot" or "server".
        ns: namespace of the topics.
        robot_id: whose link it is.
        silence_s: after this long without any message the subscriptions are made anew [s].

    Raises:
        ValueError: a side that does not exist, or a robot id that cannot be part of a name.
    """

    def __init__(self, side: str, ns: str, robot_id: str, silence_s: float = 1.0) -> None:
        if side not in _OUTGOING:
            raise ValueError("side is {!r}, expected one of {}".format(side, ", ".join(_OUTGOING)))
        self._handlers: List[Handler] = []
        self._lock = threading.Lock()
        self._sent = self._sent_bytes = self._unsent = 0
        self._complained: Set[type] = set()
        self._closed = False
        self._publishers = {
            cls: (rospy.Publisher(robot_topic(ns, robot_id, name), LINK_TOPICS[name].cls,
                                  queue_size=LINK_TOPICS[name].queue_size), convert)
            for cls, (name, convert) in _OUTGOING[side].items()}
        self._acks = AckBatch(self._send_acks)
        incoming = [name for name, topic in LINK_TOPICS.items() if topic.sender != side]
        self._subscriptions = Subscriptions(ns, robot_id, incoming, self._deliver, silence_s)

    @property
    def last_received(self) -> float:
        """When the last message came, or the link was made; monotonic [s]."""
        return self._subscriptions.last_received

    def send(self, message: Message) -> None:
        """See `Link`.

        Raises:
            TypeError: something that this side does not send.
        """
        if type(message) not in self._publishers:
            raise TypeError("this side of a link does not send {}".format(type(message).__name__))
        if isinstance(message, Ack):
            self._acks.put(message)
        else:
            self._count([message], self._publish(type(message), message))

    def subscribe(self, handler: Handler) -> None:
        self._handlers = [*self._handlers, handler]  # replaced, not changed: readers do not lock

    def stats(self) -> LinkStats:
        received = self._subscriptions
        with self._lock:
            return LinkStats(self._sent, self._sent_bytes, received.received, received.received_bytes,
                             self._unsent + received.unreadable)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._acks.close()
        self._subscriptions.close()
        for publisher, _ in self._publishers.values():
            publisher.unregister()

    def _send_acks(self, acks: Sequence[Ack]) -> None:
        self._count(acks, self._publish(Ack, acks))

    def _count(self, messages: Sequence[Message], is_sent: bool) -> None:
        nbytes = sum(map(serialised_bytes, messages)) if is_sent else 0
        with self._lock:
            self._sent += len(messages) if is_sent else 0
            self._sent_bytes += nbytes
            self._unsent += 0 if is_sent else len(messages)

    def _publish(self, kind: type, message: Any) -> bool:
        """Whether somebody was there to take it: a message of this kind, or several acknowledgements."""
        publisher, convert = self._publishers[kind]
        if self._closed:
            return False
        try:
            if publisher.get_num_connections() == 0:
                return False
            publisher.publish(convert(message))
            return True
        except (rospy.ROSException, AttributeError) as error:  # rospy raises the latter in a race with `close`
            with self._lock:
                first = kind not in self._complained
                self._complained.add(kind)
            if first and not self._closed and not rospy.is_shutdown():
                _LOG.warning("a %s cannot be sent and is dropped, as will be others like it: %s",
                             kind.__name__, error)
            return False

    def _deliver(self, message: Message) -> None:
        for handler in self._handlers:
            try:
                handler(message)
            except Exception:  # a receiver's fault must not silence the others
                _LOG.exception("the receiver of a %s failed", type(message).__name__)
