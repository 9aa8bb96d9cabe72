"""Busy times on a timeline, expected or measured: one kind for scheduler and runtime."""
from dataclasses import dataclass
from typing import Sequence, Tuple

ROBOT, UPLINK, SERVER, DOWNLINK = "robot", "uplink", "server", "downlink"  # lanes


@dataclass(frozen=True)
class Span:
    """One busy time of one resource."""

    lane: str  # ROBOT, UPLINK, SERVER or DOWNLINK
    start_s: float  # since the inference began
    stop_s: float
    label: str


def outside(spans: Sequence[Tuple[float, float]], cover: Sequence[Tuple[float, float]]) -> float:
    """Length of the union of `spans` that no interval of `cover` overlaps; both as (start, stop)."""
    return union([*spans, *cover]) - union(cover)


def union(spans: Sequence[Tuple[float, float]]) -> float:
    """Length of the union of (start, stop)."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
