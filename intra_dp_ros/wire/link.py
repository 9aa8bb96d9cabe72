"""How messages get to the other side: the interface, and a link inside one process for tests and simulation.

Threading: `send` may be called from any thread and never blocks.  Handlers are called from the link's own threads, for
one direction possibly from several at once (one per kind of message, as rospy has it): a handler locks what it shares,
returns soon and never calls `close`.  Tiles and plans arrive in the order they were sent; acknowledgements and
heartbeats, which travel apart, may overtake them.
"""
import abc
import threading
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

from intra_dp_ros.wire.lane import Lane
from intra_dp_ros.wire.messages import (Ack, BlobReply, BlobRequest, Heartbeat, Message, OpenReply, OpenRequest,
                                        serialised_bytes)
from intra_dp_ros.wire.shaper import TraceShaper

Handler = Callable[[Message], None]


@dataclass(frozen=True)
class LinkStats:
    """Totals since the link was made."""

    sent: int = 0  # messages
    sent_bytes: int = 0  # serialised
    received: int = 0
    received_bytes: int = 0
    dropped: int = 0  # messages this end knows to be lost or could not read


class Link(abc.ABC):
    """One end of a connection between a robot and a server."""

    @abc.abstractmethod
    def send(self, message: Message) -> None:
        """Send to the other side; never blocks, and says nothing about arrival."""

    @abc.abstractmethod
    def subscribe(self, handler: Handler) -> None:
        """Call `handler` with every message that arrives from now on."""

    @abc.abstractmethod
    def stats(self) -> LinkStats:
        """Totals of this end."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop; nothing is sent or delivered afterwards."""


class Control(abc.ABC):
    """The server's services as a robot sees them.  Both may block: never called while a frame waits."""

    @abc.abstractmethod
    def open(self, request: OpenRequest) -> OpenReply:
        """Open a session.

        Raises:
            ControlError: the server did not answer.
        """

    @abc.abstractmethod
    def put(self, request: BlobRequest) -> BlobReply:
        """Send one piece of a weight.

        Raises:
            ControlError: the server did not answer.
        """


class ControlError(RuntimeError):
    """The server did not answer a request; the message says which and why."""


class InProcessLink(Link):
    """One end of a link between two threads of one process; made in pairs by `pair`."""

    def __init__(self, direction: str, shaper: Optional[TraceShaper]) -> None:
        self._other: Optional["InProcessLink"] = None
        self._handlers: List[Handler] = []
        self._lock = threading.Lock()  # covers the totals
        self._sent = self._sent_bytes = self._received = self._received_bytes = 0
        self._bulk = Lane(self._hand_over, "link_{}".format(direction), shaper, direction)
        self._control = Lane(self._hand_over, "link_{}_control".format(direction), shaper, direction)

    @staticmethod
    def pair(shaper: Optional[TraceShaper] = None) -> Tuple["InProcessLink", "InProcessLink"]:
        """The robot's end and the server's end of a new link, through `shaper` when there is one.

        A shaper must have been made with ``origin=time.monotonic()`` for its trace to begin at its beginning.
        """
        robot, server = InProcessLink("up", shaper), InProcessLink("down", shaper)
        robot._other, server._other = server, robot
        return robot, server

    def send(self, message: Message) -> None:
        nbytes = serialised_bytes(message)
        with self._lock:
            self._sent += 1
            self._sent_bytes += nbytes
        lane = self._control if isinstance(message, (Ack, Heartbeat)) else self._bulk
        lane.put((message, nbytes), nbytes)

    def subscribe(self, handler: Handler) -> None:
        self._handlers = [*self._handlers, handler]  # replaced, not changed: lanes read it without the lock

    def cut(self, hold: bool = False) -> None:
        """Silence both directions: messages are dropped, or with `hold` kept as TCP would until `restore`."""
        for lane in self._lanes():
            lane.cut(hold)

    def restore(self) -> None:
        """End the silence."""
        for lane in self._lanes():
            lane.restore()

    def stats(self) -> LinkStats:
        with self._lock:
            return LinkStats(self._sent, self._sent_bytes, self._received, self._received_bytes,
                             self._bulk.dropped + self._control.dropped)

    def close(self) -> None:
        for lane in self._lanes():
            lane.close()

    def _lanes(self) -> List[Lane]:
        return [lane for end in (self, self._other) for lane in (end._bulk, end._control)]

    def _hand_over(self, item: Tuple[Message, int]) -> None:
        self._other._take(*item)

    def _take(self, message: Message, nbytes: int) -> None:
        with self._lock:
            self._received += 1
            self._received_bytes += nbytes
        for handler in self._handlers:
            handler(message)
