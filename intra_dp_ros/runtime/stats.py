"""What is known of one answered frame."""
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch

LOCAL, SPLIT, TAKEOVER = "local", "split", "takeover"  # outcomes

ROBOT, UPLINK, SERVER, DOWNLINK = "robot", "uplink", "server", "downlink"  # lanes of a timeline


@dataclass(frozen=True)
class FrameSpan:
    """Something that was busy."""

    lane: str  # ROBOT, UPLINK or DOWNLINK; the server tells its own
    start_s: float  # since the inference began
    stop_s: float
    label: str


@dataclass(frozen=True)
class FrameStats:
    """One frame; the fields of InferenceStats that the runtime knows."""

    frame: int
    outcome: str
    reason: str  # why the robot took over, or why it did not split; empty otherwise
    state: str  # of the connection when the frame began
    strategy: str  # asked for
    plan: str  # in words
    epoch: int
    inference_s: float  # begin to outputs complete
    predicted_s: float  # 0: no prediction
    encode_s: float
    uplink_wait_s: float
    robot_compute_s: float
    server_compute_s: float
    downlink_s: float
    merge_s: float
    bytes_up: int
    bytes_down: int
    energy_j: float
    bandwidth: float  # uplink estimate when the plan was chosen [byte/s]; 0: unknown
    began: float  # own monotonic clock [s]
    spans: Tuple[FrameSpan, ...] = ()


@dataclass(frozen=True)
class Inference:
    """A frame's result."""

    outputs: Tuple[torch.Tensor, ...]  # flat, on the CPU
    stats: FrameStats


def outside(spans: Sequence[Tuple[float, float]], cover: Sequence[Tuple[float, float]]) -> float:
    """Length of the union of `spans` that no interval of `cover` overlaps."""
    return _length([*spans, *cover]) - _length(cover)


def _length(spans: Sequence[Tuple[float, float]]) -> float:
    merged: List[List[float]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    return sum(stop - start for start, stop in merged)
