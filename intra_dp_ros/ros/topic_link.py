"""The link between a robot and a server over ROS topics, kept alive through outages and restarts of the master.

Threading: `send` may be called from any thread.  rospy calls `_receive`, one thread per connection.  One thread watches
for silence and alone makes subscribers.  `_lock` covers the totals and the list of what was complained about.

`send` never blocks: a publisher with a queue_size serialises in the calling thread and hands the bytes over to one
thread per connection (rospy's QueuedConnection), which drops the oldest when its queue is full.
"""
import logging
import threading
import time
from typing import Any, Dict, List, Set, Tuple

import genpy
import rospy

from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.master import Master, MasterError
from intra_dp_ros.ros.raw import raw_class
from intra_dp_ros.ros.topics import LINK_TOPICS, ROBOT, SERVER, robot_topic
from intra_dp_ros.wire.codec import MAX_BYTES
from intra_dp_ros.wire.link import Handler, Link, LinkStats
from intra_dp_ros.wire.messages import Ack, Heartbeat, Message, PlanMessage, Tile, serialised_bytes

_LOG = logging.getLogger(__name__)
_BUFFER_BYTES = 2 ** 24  # read from a socket at once; rospy's 64 kB would make large tiles slow
_LONGEST_PAUSE_S = 2.0  # between two attempts to subscribe anew
_HEADROOM_BYTES = 1 << 16  # of a message beyond its data

#: Side -> message -> (topic, conversion).
_OUTGOING: Dict[str, Dict[type, Tuple[str, Any]]] = {
    ROBOT: {Tile: ("up", conversions.tile_to_msg), PlanMessage: ("plan", conversions.plan_to_msg),
            Heartbeat: ("heartbeat_up", conversions.heartbeat_to_msg), Ack: ("ack_down", conversions.ack_to_msg)},
    SERVER: {Tile: ("down", conversions.tile_to_msg), Heartbeat: ("heartbeat_down", conversions.heartbeat_to_msg),
             Ack: ("ack_up", conversions.ack_to_msg)},
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
        self.last_received = time.monotonic()  # when the last message came, or the link was made [s]
        self._silence_s = silence_s
        self._handlers: List[Handler] = []
        self._lock = threading.Lock()
        self._sent = self._sent_bytes = self._received = self._received_bytes = self._dropped = 0
        self._complained: Set[Tuple[str, str]] = set()
        self._closed = threading.Event()
        self._publishers = {
            cls: (rospy.Publisher(robot_topic(ns, robot_id, name), LINK_TOPICS[name].cls,
                                  queue_size=LINK_TOPICS[name].queue_size), convert)
            for cls, (name, convert) in _OUTGOING[side].items()}
        #: By resolved name: that is what the master knows, remappings included.
        self._names = {rospy.resolve_name(robot_topic(ns, robot_id, name)): name
                       for name, topic in LINK_TOPICS.items() if topic.sender != side}
        self._subscribers = {topic: self._subscriber(topic) for topic in self._names}
        self._thread = threading.Thread(target=self._watch, name="link_watch", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        """See `Link`.

        Raises:
            TypeError: something that this side does not send.
        """
        found = self._publishers.get(type(message))
        if found is None:
            raise TypeError("this side of a link does not send {}".format(type(message).__name__))
        publisher, convert = found
        lost = self._closed.is_set()
        try:
            lost = lost or publisher.get_num_connections() == 0
            if not lost:
                publisher.publish(convert(message))
        except (rospy.ROSException, AttributeError) as error:  # rospy raises the latter in a race with `close`
            lost = True
            if not self._closed.is_set():
                self._complain(type(message).__name__, "cannot be sent", error)
        with self._lock:
            self._dropped += lost
            self._sent += not lost
            self._sent_bytes += 0 if lost else serialised_bytes(message)

    def subscribe(self, handler: Handler) -> None:
        self._handlers = [*self._handlers, handler]  # replaced, not changed: readers do not lock

    def stats(self) -> LinkStats:
        with self._lock:
            return LinkStats(self._sent, self._sent_bytes, self._received, self._received_bytes, self._dropped)

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join(timeout=5.0)
        for subscriber in self._subscribers.values():
            subscriber.unregister()
        for publisher, _ in self._publishers.values():
            publisher.unregister()

    def _subscriber(self, topic: str) -> rospy.Subscriber:
        name = self._names[topic]
        return rospy.Subscriber(topic, raw_class(LINK_TOPICS[name].cls), self._receive, name,
                                buff_size=_BUFFER_BYTES, tcp_nodelay=True)

    def _receive(self, raw: Any, name: str) -> None:
        if self._closed.is_set():
            return
        data, topic = raw._buff, LINK_TOPICS[name]
        try:
            if len(data) > MAX_BYTES + _HEADROOM_BYTES:
                raise conversions.MessageError("{} bytes, expected at most {}".format(
                    len(data), MAX_BYTES + _HEADROOM_BYTES))
            message = topic.from_msg(topic.cls().deserialize(data))
            if serialised_bytes(message) != len(data):
                raise conversions.MessageError("its lengths add up to {} bytes, but {} came".format(
                    serialised_bytes(message), len(data)))
        except (genpy.DeserializationError, ValueError) as error:  # also text that is not UTF-8
            with self._lock:
                self._dropped += 1
            self._complain(name, "cannot be read", error)
            return
        self.last_received = time.monotonic()
        with self._lock:
            self._received += 1
            self._received_bytes += len(data)
        for handler in self._handlers:
            try:
                handler(message)
            except Exception:  # a receiver's fault must not silence the others
                _LOG.exception("the receiver of a message on %s failed", name)

    def _complain(self, name: str, what: str, error: Exception) -> None:
        """Log the first of its kind; the others are only counted."""
        with self._lock:
            first = (name, what) not in self._complained
            self._complained.add((name, what))
        if first and not rospy.is_shutdown():
            _LOG.warning("a message (%s) %s and is dropped, as will be others like it: %s", name, what, error)

    def _watch(self) -> None:
        """Subscribe anew where nothing comes although somebody there could send; register anew with a new master."""
        master, known = Master(), None
        pause, next_attempt = self._silence_s, 0.0
        while not self._closed.wait(self._silence_s / 2) and not rospy.is_shutdown():
            try:
                pid = master.pid()
                if known is not None and pid != known:
                    _LOG.warning("the ROS master was restarted: registering again")
                    master.register_again()
                known = pid
                now = time.monotonic()
                stalled = self._stalled(now)
                if not stalled:
                    pause = self._silence_s
                elif now >= next_attempt:
                    topics = master.live_publishers(stalled)
                    for topic in topics:
                        self._subscribers[topic].unregister()
                        self._subscribers[topic] = self._subscriber(topic)
                    if topics:
                        next_attempt, pause = now + pause, min(2 * pause, max(_LONGEST_PAUSE_S, self._silence_s))
            except MasterError as error:  # nothing can be made anew without it, and what is there goes on
                _LOG.debug("%s", error)
            except Exception:  # without this thread the link would not recover
                _LOG.exception("watching the link failed; it goes on")

    def _stalled(self, now: float) -> List[str]:
        """Topics whose subscription may be dead: all after a silence, else those without a connection."""
        if now - self.last_received > self._silence_s:
            return list(self._subscribers)
        return [topic for topic, s in self._subscribers.items() if s.get_num_connections() == 0]
