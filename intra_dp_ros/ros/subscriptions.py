"""Subscriptions to topics of a link that live through outages of the network and restarts of the master.

TCP takes seconds to resume after an outage, and rospy never re-makes a connection that died while its publisher stayed
registered: after a silence the subscriptions are made anew.

Threading: rospy calls `_receive`, one thread per connection.  One thread watches for silence and alone makes
subscribers.  `_lock` covers the totals and what was complained about already.
"""
import logging
import struct
import threading
import time
from typing import Any, Callable, Dict, List, Sequence, Set, Tuple

import genpy
import rospy

from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.master import Master, MasterError
from intra_dp_ros.ros.raw import raw_class
from intra_dp_ros.ros.registration import keep_registered
from intra_dp_ros.ros.topics import LINK_TOPICS, robot_topic
from intra_dp_ros.wire.codec import MAX_BYTES
from intra_dp_ros.wire.messages import Message, serialised_bytes

_LOG = logging.getLogger(__name__)
# Read from a socket at once: rospy's 64 kB would make large tiles slow.  Not more: a thread holds such a buffer while
# it waits, a server five for every robot, and large ones that come and go leave holes in the heap that no tensor fits.
_BUFFER_BYTES = 2 ** 18
_LENGTH_BYTES = 4  # of an array, before it
_LONGEST_PAUSE_S = 2.0  # between two attempts to subscribe anew
_MOST_BYTES = MAX_BYTES + (1 << 16)  # of a message with all its fields


class Subscriptions:
    """Receives, checks and delivers messages; the node must have been initialised.

    Args:
        ns: namespace of the topics.
        robot_id: whose link it is.
        names: keys of `LINK_TOPICS`.
        deliver: called with every message that could be read, from several threads.
        silence_s: after this long without any message the subscriptions are made anew [s].

    Attributes:
        last_received: when the last message came, or the subscriptions were made; monotonic [s].
        received, received_bytes, unreadable: totals.

    Raises:
        ValueError: a name or robot id that cannot be.
    """

    def __init__(self, ns: str, robot_id: str, names: Sequence[str], deliver: Callable[[Message], None],
                 silence_s: float) -> None:
        self.last_received = time.monotonic()
        self.received = self.received_bytes = self.unreadable = 0
        self._deliver = deliver
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._complained: Set[str] = set()
        self._closed = threading.Event()
        #: By resolved name: that is what the master knows, remappings included.
        self._names = {rospy.resolve_name(robot_topic(ns, robot_id, name)): name for name in names}
        self._subscribers: Dict[str, rospy.Subscriber] = {topic: self._subscriber(topic) for topic in self._names}
        keep_registered()
        self._thread = threading.Thread(target=self._watch, name="link_watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Unsubscribe; nothing is delivered afterwards."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join(timeout=5.0)
        for subscriber in self._subscribers.values():
            subscriber.unregister()

    def _subscriber(self, topic: str) -> rospy.Subscriber:
        name = self._names[topic]
        return rospy.Subscriber(topic, raw_class(LINK_TOPICS[name].cls), self._receive, name,
                                buff_size=_BUFFER_BYTES, tcp_nodelay=True)

    def _receive(self, raw: Any, name: str) -> None:
        if self._closed.is_set():
            return
        try:
            messages = read(name, raw._buff)
        except conversions.MessageError as error:
            self._refuse(name, error)
            return
        self.last_received = time.monotonic()
        with self._lock:
            self.received += len(messages)
            self.received_bytes += len(raw._buff)
        for message in messages:
            self._deliver(message)

    def _refuse(self, name: str, error: Exception) -> None:
        """Count a message; the first on a topic is logged."""
        with self._lock:
            self.unreadable += 1
            first = name not in self._complained
            self._complained.add(name)
        if first:
            _LOG.warning("a message on %s cannot be read and is dropped, as will be others like it: %s", name, error)

    def _watch(self) -> None:
        """Subscribe anew where nothing comes although somebody there could send."""
        master, pause, next_attempt = Master(), self._silence_s, 0.0
        while not self._closed.wait(self._silence_s / 2) and not rospy.is_shutdown():
            try:
                now = time.monotonic()
                stalled = self._stalled(now)
                if not stalled:
                    pause = self._silence_s
                elif now >= next_attempt and self._renew(master.live_publishers(stalled)):
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

    def _renew(self, topics: Sequence[str]) -> bool:
        for topic in topics:
            if self._closed.is_set():
                return False
            self._subscribers[topic].unregister()
            self._subscribers[topic] = self._subscriber(topic)
        return bool(topics)


def read(name: str, data: bytes) -> Tuple[Message, ...]:
    """The messages in serialised bytes: one, or several acknowledgements.

    Args:
        name: key of `LINK_TOPICS`.

    Raises:
        MessageError: they are not such messages, exactly.
    """
    if len(data) > _MOST_BYTES:
        raise conversions.MessageError("{} bytes, expected at most {}".format(len(data), _MOST_BYTES))
    topic = LINK_TOPICS[name]
    count = struct.unpack_from("<I", data)[0] if topic.most and len(data) >= _LENGTH_BYTES else 0
    if count > topic.most:  # before they are made
        raise conversions.MessageError("{} entries, expected at most {}".format(count, topic.most))
    try:
        msg = topic.cls().deserialize(data)
        messages = topic.from_msg(msg)
        nbytes = (_LENGTH_BYTES if topic.most else 0) + sum(map(serialised_bytes, messages))
    except (genpy.DeserializationError, UnicodeError) as error:
        raise conversions.MessageError("{} bytes that are no {}: {}".format(
            len(data), topic.cls._type, error)) from None
    if nbytes != len(data):
        raise conversions.MessageError("lengths that add up to {} bytes, but {} came".format(nbytes, len(data)))
    _check_tail(msg, data)
    return messages


def _check_tail(msg: genpy.Message, data: bytes) -> None:
    """A last field of variable length is what rospy cuts short without a word: compare with the length it declares."""
    if msg._slot_types[-1] not in ("string", "uint8[]"):
        return
    tail = getattr(msg, msg.__slots__[-1])
    present = len(tail.encode("utf-8") if isinstance(tail, str) else tail)
    declared, = struct.unpack_from("<I", data, len(data) - present - 4)
    if declared != present:
        raise conversions.MessageError("a field {} of {} bytes, of which {} came".format(
            msg.__slots__[-1], declared, present))
