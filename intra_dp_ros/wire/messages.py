"""The messages of the wire protocol as frozen data, field for field as in ``msg/`` and ``srv/``.

The runtime speaks these; only the ROS layer knows the generated classes.  A ``std_msgs/Header`` becomes ``stamp`` and
``frame_id``.  All "monotonic" times are seconds of the *sender's* ``time.monotonic()`` and are never compared
with another machine's, only with one another.
"""
from dataclasses import dataclass
from typing import Tuple, Union

#: Raised whenever two versions could not understand one another.
PROTOCOL_VERSION = 5

#: `Tile.tensor` of a bandwidth probe: bytes that belong to no tensor.
PROBE = -1
#: And one without rows: the frame goes on by this tile's plan, with the rows of its inputs that are there.
AGAIN = -2


@dataclass(frozen=True)
class Tile:
    """Rows [start, stop) of one tensor of a frame, on its way to the other side (TensorTile)."""

    robot_id: str
    session: int  # nonce the server granted, 64 bit
    frame: int  # counted by the robot from 1
    epoch: int  # plan the frame runs under
    sequence: int  # number of the tile within the session and direction, from 0
    tensor: int  # index into Graph.tensors; PROBE, AGAIN: of none
    axis: int  # the dimension that is cut; -1: the tensor has no rows and is whole
    start: int  # first row
    stop: int  # one past the last row
    shape: Tuple[int, ...]  # of this slice, decoded
    dtype: str  # element type, decoded
    codec: str  # name in wire.codec.CODECS
    crc32: int  # of data
    data: bytes  # encoded
    more: bool = False  # further tiles of the same chunk follow: compute only when the last of them is here
    sent: float = 0.0  # sender's monotonic clock when it was handed to the link [s]
    busy: float = 0.0  # sender's compute time on this frame so far [s]
    version: int = PROTOCOL_VERSION
    stamp: Tuple[int, int] = (0, 0)  # of the sensor message: seconds, nanoseconds
    frame_id: str = ""  # of the sensor message


@dataclass(frozen=True)
class Ack:
    """The receiver has this tile (TileAck)."""

    robot_id: str
    session: int
    frame: int
    sequence: int  # of the tile
    bytes: int  # serialised length of the tile message [byte]
    received: float  # when it was complete, receiver's monotonic clock [s]
    accepted: bool = True  # False: checked and dropped
    reason: str = ""  # why it was dropped
    sent: float = 0.0  # the tile's own `sent`, given back: its sender's monotonic clock [s]; 0: not known


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life with what it takes to measure the round trip (Heartbeat)."""

    robot_id: str
    session: int  # 0: none yet
    frame: int = 0  # frame being worked on, by the robot with or without the server; 0: none
    progress: int = 0  # operator steps done for that frame
    sent: float = 0.0  # sender's monotonic clock [s]
    echo: float = 0.0  # `sent` of the last heartbeat received from the other side [s]; 0: none yet
    echo_delay: float = 0.0  # between that heartbeat's arrival and this one's sending [s]
    epochs: Tuple[int, ...] = ()  # plans the sender holds and has validated
    load: float = 0.0  # other robots that the server computes for at the same time, a mean over seconds
    version: int = PROTOCOL_VERSION
    stamp: Tuple[int, int] = (0, 0)  # seconds, nanoseconds
    frame_id: str = ""


@dataclass(frozen=True)
class PlanMessage:
    """One plan of the robot's ladder, sent before any frame runs under it (PlanInfo)."""

    robot_id: str
    session: int
    epoch: int  # never used twice in a session
    graph: str  # SHA-256 of the graph it is for
    json: str  # the plan


@dataclass(frozen=True)
class BandwidthSample:
    """What the link carries (BandwidthEstimate)."""

    robot_id: str
    up: float  # robot to server [byte/s]; 0 with confidence 0: unknown
    down: float  # server to robot [byte/s]; 0: unknown
    rtt: float  # round-trip time [s]; 0: unknown
    age: float  # since the newest sample behind `up` [s]; infinite when there was none
    confidence: float  # 0 unknown .. 1 fresh and consistent
    source: str  # "traffic", "probe" or "none"
    stamp: Tuple[int, int] = (0, 0)  # seconds, nanoseconds
    frame_id: str = ""


@dataclass(frozen=True)
class OpenRequest:
    """A robot asks a server to run one graph with it (OpenSession, request)."""

    robot_id: str
    graph: str  # SHA-256 of the graph
    graph_json: str = ""  # may be empty when the server holds it already
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True)
class OpenReply:
    """The server's answer (OpenSession, response)."""

    accepted: bool
    reason: str = ""  # why not, and what to do
    session: int = 0  # nonce for the tiles of this session; 0: ask again soon
    need_graph: bool = False  # send graph_json
    missing: Tuple[str, ...] = ()  # SHA-256 of the weights to send
    received: Tuple[int, ...] = ()  # how much of each of them is there already [byte]
    profile_json: str = ""  # the server's measured operator times; empty until it is measured
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True)
class BlobRequest:
    """One piece of one weight (PutBlob, request)."""

    robot_id: str
    sha256: str  # of the whole blob
    offset: int  # of this piece [byte]
    total: int  # length of the whole blob [byte]
    data: bytes


@dataclass(frozen=True)
class BlobReply:
    """What the server now holds of it (PutBlob, response)."""

    accepted: bool
    reason: str = ""
    received: int = 0  # contiguous from 0 [byte]


#: What travels on a link.
Message = Union[Tile, Ack, Heartbeat, PlanMessage]


def serialised_bytes(message: Message) -> int:
    """Length of the message in ROS serialisation [byte], without building it.

    Raises:
        TypeError: something that does not travel on a link.
    """
    if isinstance(message, Tile):
        return (16 + _text(message.frame_id) + _text(message.robot_id) + _text(message.dtype) + _text(message.codec)
                + 4 * len(message.shape) + len(message.data) + 75)
    if isinstance(message, Ack):
        return _text(message.robot_id) + _text(message.reason) + 45
    if isinstance(message, Heartbeat):
        return 16 + _text(message.frame_id) + _text(message.robot_id) + 4 * len(message.epochs) + 53
    if isinstance(message, PlanMessage):
        return _text(message.robot_id) + _text(message.graph) + _text(message.json) + 24
    raise TypeError("expected a Tile, Ack, Heartbeat or PlanMessage, got {}".format(type(message).__name__))


def _text(value: str) -> int:
    return len(value.encode("utf-8"))
