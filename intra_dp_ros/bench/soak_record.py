"""What a soak sent and heard, as plain data that can be kept in a file and judged again.

Times are seconds since the first sensor message, on one clock of one machine; stamps are those of the messages [ns].
"""
from dataclasses import dataclass
from typing import Dict, Tuple

from intra_dp_ros.bench.record import read, write

FORMAT_VERSION = 1
NOT_CHECKED = -1.0  # rel_error of frames that the node did not compare with the unsplit model
NOT_SAID = -1  # by a node that was gone


@dataclass(frozen=True)
class Sent:
    """One sensor message."""

    stamp: int
    time_s: float  # when it was published


@dataclass(frozen=True)
class Result:
    """One result message."""

    stamp: int
    time_s: float  # when it came
    frame_id: str


@dataclass(frozen=True)
class Frame:
    """What the node says of one frame that it answered (InferenceStats)."""

    number: int
    stamp: int
    time_s: float  # when it came: the node is free for the next one
    frame_id: str
    outcome: str  # local, split or takeover
    reason: str  # why the robot took over, did not split, or gave a local frame to the server; empty otherwise
    latency_s: float  # sensor message in to result message out
    inference_s: float  # inference start to outputs complete
    publish_s: float  # outputs complete to result message out
    bandwidth_MBps: float  # the robot's estimate when the plan was chosen [MB/s]; 0: unknown
    rel_error: float  # against the unsplit model; NOT_CHECKED


@dataclass(frozen=True)
class Memory:
    """Memory that processes hold in RAM (resident set size) [MB]; 0: the process was gone."""

    time_s: float
    robot_MB: float
    server_MB: float


@dataclass(frozen=True)
class Link:
    """What the emulated air let through."""

    time_s: float
    true_MBps: float


@dataclass(frozen=True)
class Compared:
    """A published result against what the unsplit model gives for the same sensor message, decoded alike."""

    stamp: int
    things: int  # people, or cells with their classes, that the unsplit model gives
    difference: str  # in words; empty: the same
    ties: int = 0  # things that are decided differently, because their scores are the same but for rounding


@dataclass(frozen=True)
class SoakRecord:
    """One run."""

    command: str  # that made it
    app: str  # kapao or agrnav
    model: str
    weights: str  # pretrained or random
    weights_note: str  # where they come from, or why they are random
    parameters: int  # of the model
    inputs: str  # what was sent, in words
    things: str  # what a result consists of: people, cells
    rate_hz: float  # of the sensor
    seconds: float  # that the sensor sent for
    warm_up_s: float  # that it had sent for before
    robot_slowdown: float  # the robot is emulated as so many times slower than the machine; 1: not
    strategy: str
    trace: str  # bandwidth over time: file
    machine: str  # what it ran on, in words
    versions: str
    commit: str  # of the checkout; empty outside one
    load: float  # load average of the machine when the run ended
    frame_id: str  # of the sensor messages
    result_frame_id: str  # that results must have
    sent: Tuple[Sent, ...]  # in their order
    results: Tuple[Result, ...]  # in the order in which they came
    frames: Tuple[Frame, ...]  # in the order in which they came
    memory: Tuple[Memory, ...]
    link: Tuple[Link, ...]
    compared: Tuple[Compared, ...]
    first_number: int  # that the first frame of the run must have
    counted: int  # messages of the run that the node says newer ones replaced; NOT_SAID
    refused: Dict[str, int]  # what the node complained of during the run -> how often
    gone: Tuple[str, ...]  # nodes that ended, or were started again, in words

    def to_json(self, path: str) -> None:
        """Write the record.

        Raises:
            OSError: the file cannot be written.
        """
        write(self, path, FORMAT_VERSION)

    @classmethod
    def from_json(cls, path: str) -> "SoakRecord":
        """Read a record.

        Raises:
            OSError: the file cannot be read.
            RecordError: it is no record of this version.
        """
        return read(cls, path, FORMAT_VERSION, "soak", _LISTS, "gone")


_LISTS = {"sent": Sent, "results": Result, "frames": Frame, "memory": Memory, "link": Link, "compared": Compared}
