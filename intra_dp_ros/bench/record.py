"""What a demo run measured, as plain data that can be kept in a file and shown again."""
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Mapping, Tuple, Type, TypeVar

FORMAT_VERSION = 1
LOCAL, OFFLOAD, INTRA_DP = "local", "offload", "intra_dp"  # the strategies every report compares
OUTCOMES = ("local", "split", "takeover")
#: Parts of one frame's latency in the order in which they begin.  Those from `encode` to `downlink` may overlap.
PARTS = ("capture", "encode", "uplink_wait", "robot_compute", "server_compute", "downlink", "merge", "publish")
LANES = ("robot", "uplink", "server", "downlink")


class RecordError(ValueError):
    """A record that is no record, or not of this version; the message names the thing and the remedy."""


@dataclass(frozen=True)
class FrameSample:
    """One answered frame."""

    strategy: str  # strategy asked for: local, offload, intra_dp ...
    frame: int  # frame number
    stamp: float  # of the sensor message [s]
    time_s: float  # since that strategy's run began [s]
    latency_ms: float  # sensor message in to result message out [ms]
    inference_ms: float  # inference start to outputs complete [ms]
    predicted_ms: float  # inference time that the scheduler expected [ms]; 0: no prediction
    outcome: str  # one of OUTCOMES
    reason: str  # why the robot took over, did not split, or gave a local frame to the server; empty otherwise
    state: str  # of the robot: LOCAL, CONNECTING or SPLIT
    plan: str  # plan that ran, in words
    bandwidth_MBps: float  # uplink estimate when the plan was chosen [MB/s]; 0: unknown
    bytes_up: int  # tiles sent, encoded [byte]
    bytes_down: int  # tiles received, encoded [byte]
    energy_j: float  # robot's energy for the frame by the power model [J]
    rel_error: float  # max|a-b|/max|b| against the unsplit model, 0..; -1: not checked on this frame
    parts: Dict[str, float]  # time by name in PARTS [ms]

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise RecordError("frame {} of {}: outcome {!r} is none of {}".format(
                self.frame, self.strategy, self.outcome, ", ".join(OUTCOMES)))
        unknown = set(self.parts) - set(PARTS)
        if unknown:
            raise RecordError("frame {} of {}: parts {} are none of {}".format(
                self.frame, self.strategy, ", ".join(sorted(unknown)), ", ".join(PARTS)))


@dataclass(frozen=True)
class BandwidthPoint:
    """The link at one moment."""

    strategy: str  # whose run
    time_s: float  # since that strategy's run began [s]
    true_MBps: float  # what the shaper let through [MB/s]
    estimate_MBps: float  # what the robot believed [MB/s]; 0: unknown


@dataclass(frozen=True)
class Span:
    """One busy time of one resource."""

    lane: str  # one of LANES
    start_ms: float  # since the inference began [ms]
    stop_ms: float  # [ms], not before start_ms
    label: str  # what was computed or sent; may be empty

    def __post_init__(self) -> None:
        if self.lane not in LANES:
            raise RecordError("span {!r}: lane {!r} is none of {}".format(self.label, self.lane, ", ".join(LANES)))
        if not self.stop_ms >= self.start_ms:
            raise RecordError("span {!r} on {} stops at {} ms before it starts at {} ms".format(
                self.label, self.lane, self.stop_ms, self.start_ms))


@dataclass(frozen=True)
class DemoRecord:
    """One run of the demo: every strategy on the same images over the same link."""

    model: str  # name
    weights: str  # pretrained or random
    weights_note: str  # where they come from, or why they are random
    machine: str  # what it ran on, in words
    robot_slowdown: float  # robot's compute time here over the machine's own, >= 1; 1: not slowed down
    trace: str  # bandwidth trace: file or words
    mean_bandwidth_MBps: float  # of the trace [MB/s]
    seconds: float  # length of each strategy's run [s]
    frames_in: Dict[str, int]  # strategy -> frames accepted
    samples: Tuple[FrameSample, ...]  # answered frames, all strategies
    bandwidth: Tuple[BandwidthPoint, ...]  # all strategies
    measured_spans: Tuple[Span, ...]  # of frame gantt_frame, strategy intra_dp
    predicted_spans: Tuple[Span, ...]  # of its plan, by the scheduler
    gantt_frame: int  # frame number; -1: none was traced
    input_shape: Tuple[int, ...] = ()  # of the model; empty: not said
    parameters: int = 0  # of the model; 0: not said

    def to_json(self, path: str) -> None:
        """Write the record.

        Raises:
            OSError: the file cannot be written.
        """
        write(self, path, FORMAT_VERSION, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, path: str) -> "DemoRecord":
        """Read a record.

        Raises:
            OSError: the file cannot be read.
            RecordError: it is no record of this version.
        """
        return read(cls, path, FORMAT_VERSION, "demo", _LISTS, "input_shape")


_LISTS = {"samples": FrameSample, "bandwidth": BandwidthPoint, "measured_spans": Span, "predicted_spans": Span}
_T = TypeVar("_T")


def write(record: Any, path: str, version: int, **style: Any) -> None:
    """Write a dataclass as JSON.

    Args:
        style: for `json.dump`.

    Raises:
        OSError: the file cannot be written.
    """
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(dict(asdict(record), format=version), stream, **style)
        stream.write("\n")


def read(kind: Type[_T], path: str, version: int, what: str, lists: Mapping[str, type], plain: str) -> _T:
    """Read what `write` wrote.

    Args:
        what: that makes such records: demo, soak.
        lists: field -> what its entries are.
        plain: the field that is a tuple of plain values.

    Raises:
        OSError: the file cannot be read.
        RecordError: it is no record of this version.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            data: Dict[str, Any] = json.load(stream)
        found = data.pop("format", None)
        if found != version:
            raise RecordError("format {} instead of {}; run the {} again".format(found, version, what))
        for name, item in lists.items():
            data[name] = tuple(build(item, entry) for entry in data[name])
        if plain in data:  # else the dataclass has a default for it, or says that it is missing
            data[plain] = tuple(data[plain])
        return build(kind, data)
    except (RecordError, KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError("{} is no {} record: {}".format(path, what, error)) from None


def build(kind: Type[_T], data: Mapping[str, Any]) -> _T:
    """A dataclass from its fields.

    Raises:
        RecordError: a field that it does not have.
        TypeError: one is missing.
    """
    unknown = set(data) - {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise RecordError("{} has no field {}".format(kind.__name__, ", ".join(sorted(unknown))))
    return kind(**data)
