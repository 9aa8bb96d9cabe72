"""What is known of one answered frame."""
from dataclasses import asdict, dataclass
from typing import Any, Dict, Sequence, Tuple

import torch

from intra_dp_ros.loss.spans import Span

LOCAL, SPLIT, TAKEOVER = "local", "split", "takeover"  # outcomes


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
    energy_source: str  # "rails" (measured) or "model"
    bandwidth: float  # uplink estimate when the plan was chosen [byte/s]; 0: unknown
    began: float  # own monotonic clock [s]
    spans: Tuple[Span, ...] = ()  # robot, uplink and downlink; the server tells its own

    def traced(self, expected: Sequence[Span]) -> Dict[str, Any]:
        """For pictures: what the frame did, and what was expected of it."""
        return {**{name: getattr(self, name) for name in (
            "frame", "strategy", "outcome", "plan", "began", "inference_s", "predicted_s")},
            "spans": [asdict(s) for s in self.spans], "predicted_spans": [asdict(s) for s in expected]}


@dataclass(frozen=True)
class Inference:
    """A frame's result."""

    outputs: Tuple[torch.Tensor, ...]  # flat, on the CPU
    stats: FrameStats
