"""Who may say what in a session: the checks every message passes before anything is done with it."""
import re
import secrets
import threading
from typing import Dict, Tuple, Union

from intra_dp_ros.wire.codec import MAX_BYTES
from intra_dp_ros.wire.messages import PROBE, PROTOCOL_VERSION, Ack, Heartbeat, Message, PlanMessage, Tile

MAX_PLAN_BYTES = 4 << 20
MAX_TEXT_BYTES = 4 << 10  # of any other string
MAX_EPOCHS = 64  # in a heartbeat

_ROBOT_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")


class SessionError(ValueError):
    """A message that does not belong here, or a name that cannot be used; the message says which and why."""


def check_robot_id(text: str) -> str:
    """`text`, when it can name a robot; it becomes part of ROS names.

    Raises:
        SessionError: it cannot.
    """
    if not isinstance(text, str) or _ROBOT_ID.fullmatch(text) is None:
        raise SessionError("robot id {!r:.60}: expected a letter, then up to 31 letters, digits or underscores".format(
            text))
    return text


def new_nonce() -> int:
    """A number for a new session that nobody can guess: 64 bit, never 0."""
    return 1 + secrets.randbelow(2 ** 64 - 1)


class Gate:
    """Lets the messages of one session through, of one direction.

    Probes belong to a robot but to no session, and several senders may number them, each on its own: their order is
    not looked at.  Neither is that of acknowledgements, which may overtake one another.

    Thread-safe; one lock covers the counters.

    Args:
        robot_id: whose session it is.
        session: nonce the server granted.

    Attributes:
        refused: reason ("version", "robot", "session", "sequence" or "size") -> messages refused for it.
        gaps: tiles that must have been lost, by the sequence numbers that never came.
    """

    def __init__(self, robot_id: str, session: int) -> None:
        self.robot_id = robot_id
        self.session = session
        self.refused: Dict[str, int] = {}
        self.gaps = 0
        self._lock = threading.Lock()
        self._last = -1  # sequence number of the newest tile

    def check(self, message: Message) -> None:
        """Let a message through.

        Raises:
            SessionError: it is refused; nothing of it may be used.
            TypeError: nothing that travels on a link.
        """
        if not isinstance(message, (Tile, Ack, Heartbeat, PlanMessage)):
            raise TypeError("expected a Tile, Ack, Heartbeat or PlanMessage, got {}".format(type(message).__name__))
        kind = type(message).__name__
        if isinstance(message, (Tile, Heartbeat)) and message.version != PROTOCOL_VERSION:
            self._refuse("version", "a {} of protocol version {}, but this side speaks version {}: install the same "
                         "version of intra_dp_ros on both sides".format(kind, message.version, PROTOCOL_VERSION))
        if message.robot_id != self.robot_id:
            self._refuse("robot", "a {} of robot {!r:.60}, expected {!r}".format(kind, message.robot_id, self.robot_id))
        session = 0 if _is_of_probe(message) else self.session
        if message.session != session:
            self._refuse("session", "a {} of session {}, expected {}: it is from before a restart, or not from this "
                         "session's other side".format(kind, message.session, session))
        for field, found, most in _sizes(message):
            if found > most:
                self._refuse("size", "a {} whose {} has {}, expected at most {}".format(kind, field, found, most))
        if isinstance(message, Tile) and message.tensor != PROBE:
            self._check_sequence(message.sequence)

    def _check_sequence(self, sequence: int) -> None:
        with self._lock:
            last = self._last
            if sequence > last:
                self.gaps += sequence - last - 1
                self._last = sequence
                return
        self._refuse("sequence", "a Tile with sequence {} after {}, expected a higher one".format(sequence, last))

    def _refuse(self, reason: str, message: str) -> None:
        with self._lock:
            self.refused = {**self.refused, reason: self.refused.get(reason, 0) + 1}  # readers copy without the lock
        raise SessionError(message)


def _is_of_probe(message: Message) -> bool:
    """A probe, or the acknowledgement of one: frames are counted from 1."""
    if isinstance(message, Tile):
        return message.tensor == PROBE
    return isinstance(message, Ack) and message.session == 0 and message.frame == 0


def _sizes(message: Message) -> Tuple[Tuple[str, int, int], ...]:
    """(field, length, greatest length) of everything whose length the sender chooses."""
    if isinstance(message, Tile):
        return (("data", len(message.data), MAX_BYTES), _text("dtype", message.dtype), _text("codec", message.codec),
                _text("frame_id", message.frame_id))
    if isinstance(message, Ack):
        return (_text("reason", message.reason),)
    if isinstance(message, Heartbeat):
        return (("epochs", len(message.epochs), MAX_EPOCHS), _text("frame_id", message.frame_id))
    return (_text("graph", message.graph), ("json", _octets(message.json), MAX_PLAN_BYTES))


def _text(field: str, text: str) -> Tuple[str, int, int]:
    return field, _octets(text), MAX_TEXT_BYTES


def _octets(text: Union[str, bytes]) -> int:
    return len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
