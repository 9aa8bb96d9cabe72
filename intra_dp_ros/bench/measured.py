"""A cell of a campaign, one model on one trace, in a few numbers."""
import math
import os
import subprocess
import sys
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from intra_dp_ros.bench.campaign import Blocks
from intra_dp_ros.bench.scaling import shares
from intra_dp_ros.bench.summary import NOT_CHECKED
from intra_dp_ros.bench.testbed import Setting
from intra_dp_ros.bench.traces import NamedTrace
from intra_dp_ros.runtime.engine import device_name

_POINTS = 400  # frames of a strategy whose bandwidth and latency are kept for a picture


def summarise(blocks: Blocks, setting: Setting, trace: NamedTrace, strategies: Sequence[str], time_scale: float,
              in_kernel: bool) -> Dict[str, Any]:
    """The figures of a cell, ready for JSON; times [ms], what cannot be said is None."""
    found = {name: _of_strategy(blocks, name, setting.robots) for name in strategies}
    return {
        "machine": machine(), "commit": commit(), "load": os.getloadavg()[1], "model": setting.model,
        "weights": blocks.weights, "inputs": blocks.inputs, "trace": trace.label,
        "mean_bandwidth_MBps": _played(blocks, trace) / 1e6, "trace_mean_MBps": trace.mean / 1e6,
        "codec": setting.codec, "duplex": setting.duplex, "objective": setting.objective,
        "robots": setting.robots, "robot_speed": setting.robot_speed, "slowed_by": setting.slowed_by,
        "time_scale": time_scale, "seed": setting.seed,
        "link": "kernel (network namespaces)" if in_kernel else "relay node (user space)",
        "strategies": found, "timelines": blocks.timelines,
    }


def _played(blocks: Blocks, trace: NamedTrace) -> float:
    """Mean bandwidth on the pieces of the trace that were played [byte/s]: a few may be far from the whole trace's."""
    if not blocks.pieces:
        return trace.mean
    carried = sum(trace.trace.carried(start + length) - trace.trace.carried(start) for start, length in blocks.pieces)
    return carried / sum(length for _, length in blocks.pieces)


def _of_strategy(blocks: Blocks, name: str, robots: int) -> Dict[str, Any]:
    frames = [f for f in blocks.frames if f["strategy"] == name]
    latency = [f["latency_ms"] for f in frames]
    ratios = [f["inference_ms"] / f["predicted_ms"] for f in frames
              if f["predicted_ms"] > 0 and f["outcome"] != "takeover" and not f["reason"]]
    checked = [f["rel_error"] for f in frames if f["rel_error"] != NOT_CHECKED] + blocks.errors.get(name, [])
    errors = [error if math.isfinite(error) else math.inf for error in checked]
    trips = [e["rtt"] * 1e3 for e in blocks.estimates if e["strategy"] == name and e["rtt"] > 0]
    wall = blocks.wall_s.get(name, 0.0)
    return {
        "frames": len(frames), "frames_lost": blocks.lost.get(name, 0), "frames_checked": len(errors),
        "mean_ms": _mean(latency), "median_ms": _percentile(latency, 50), "p95_ms": _percentile(latency, 95),
        "std_ms": float(np.std(latency)) if latency else None,
        "block_means_ms": [_mean([f["latency_ms"] for f in frames if f["segment"] == s])
                           for s in sorted({f["segment"] for f in frames})],
        "energy_j": _mean([f["energy_j"] for f in frames]),
        "MB_up": _mean([f["bytes_up"] / 1e6 for f in frames]),
        "MB_down": _mean([f["bytes_down"] / 1e6 for f in frames]),
        **{"share_" + kind: _mean([float(where(f) == kind) for f in frames])
           for kind in ("local", "split", "offload", "takeover")},
        "taken_over": sum(f["outcome"] == "takeover" for f in frames),
        "not_as_planned": sum(bool(f["reason"]) and f["outcome"] == "local" for f in frames),
        "predicted_ms": _mean([f["predicted_ms"] for f in frames]),
        "measured_over_predicted": {"median": _percentile(ratios, 50), "p95": _percentile(ratios, 95)},
        "max_rel_error": max(errors, default=NOT_CHECKED),
        "rtt_ms": _percentile(trips, 50),
        "cpu_share": blocks.robot_s.get(name, 0.0) / robots / wall if wall else None,
        "server_cpu_share": blocks.server_s.get(name, 0.0) / wall if wall else None,
        **shares(frames, robots),
        "points": [[round(f["bandwidth_MBps"], 3), round(f["latency_ms"], 2)]
                   for f in frames[::max(1, math.ceil(len(frames) / _POINTS))]],
    }


def where(frame: Dict[str, Any]) -> str:
    """local, split, offload (the robot computed nothing) or takeover."""
    if frame["outcome"] != "split":
        return str(frame["outcome"])
    return "split" if frame["parts"]["robot_compute"] > 0 else "offload"


def machine() -> str:
    """What this ran on, in words."""
    return "{} cores, {}, Python {}, numpy {}, {}Linux {}".format(
        os.cpu_count(), device_name("cpu").partition("-")[2], sys.version.split()[0], np.__version__,
        "ROS {}, ".format(os.environ["ROS_DISTRO"]) if os.environ.get("ROS_DISTRO") else "", os.uname().release)


def commit() -> str:
    """The checkout's commit, with a + when files differ from it; empty outside a checkout."""
    folder = os.path.dirname(os.path.abspath(__file__))
    try:
        done = [subprocess.run(["git", "-C", folder, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               timeout=10.0, check=True).stdout.decode().strip()
                for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])]
    except (OSError, subprocess.SubprocessError):
        return ""
    return done[0] + ("+" if done[1] else "")


def _mean(values: List[float]) -> Optional[float]:
    return float(np.mean(values)) if values else None


def _percentile(values: List[float], percent: float) -> Optional[float]:
    return float(np.percentile(values, percent)) if values else None
