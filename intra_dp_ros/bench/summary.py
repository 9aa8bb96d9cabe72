"""A demo record in a few numbers: for `--json`, for the terminal and for the report."""
import math
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from intra_dp_ros.bench.record import INTRA_DP, LOCAL, OFFLOAD, OUTCOMES, DemoRecord, FrameSample

NOT_CHECKED = -1.0  # rel_error of frames that were not compared with the unsplit model
ENERGY_NOTE = "mean per frame, from the power model; not measured"
_COLUMNS = ("strategy", "frames", "median ms", "mean ms", "95 % ms", "J a frame", "kB up", "kB down")


def strategies_of(record: DemoRecord) -> List[str]:
    """Strategies with accepted or answered frames: local, offload, intra_dp, then others by name."""
    found = set(record.frames_in) | {s.strategy for s in record.samples}
    return [s for s in (LOCAL, OFFLOAD, INTRA_DP) if s in found] + sorted(found - {LOCAL, OFFLOAD, INTRA_DP})


def samples_of(record: DemoRecord, strategy: str) -> List[FrameSample]:
    """Answered frames of one strategy, by time."""
    return sorted((s for s in record.samples if s.strategy == strategy), key=lambda s: s.time_s)


def summarise(record: DemoRecord) -> Dict[str, Any]:
    """The summary, ready for JSON.

    Times are [ms]; `p95_ms` interpolates linearly between frames.  Energy [J] and bytes are means per answered frame.
    What cannot be said (no frame, no prediction) is None; `max_rel_error` is -1 when no frame was checked and infinite
    when a checked result was not finite.
    """
    strategies = {s: _of_strategy(samples_of(record, s)) for s in strategies_of(record)}
    predicted = [s.predicted_ms for s in record.samples if s.strategy == INTRA_DP and s.predicted_ms > 0.0]
    errors = [s.rel_error if math.isfinite(s.rel_error) else math.inf for s in record.samples if s.rel_error != -1.0]
    frames_in, answered = sum(record.frames_in.values()), len(record.samples)
    return {
        "model": record.model,
        "weights": record.weights,
        "weights_note": record.weights_note,
        "input_shape": list(record.input_shape),
        "parameters": record.parameters,
        "machine": record.machine,
        "robot_slowdown": record.robot_slowdown,
        "trace": record.trace,
        "mean_bandwidth_MBps": record.mean_bandwidth_MBps,
        "seconds": record.seconds,
        "frames_in": frames_in,
        "frames_answered": answered,
        "frames_lost": frames_in - answered,
        "frames_checked": len(errors),
        "max_rel_error": max(errors, default=NOT_CHECKED),
        "outcomes": {name: sum(s.outcome == name for s in record.samples) for name in OUTCOMES},
        "takeover_reasons": dict(Counter(s.reason for s in record.samples if s.outcome == "takeover")),
        "strategies": strategies,
        "predicted_ms": _median(predicted),
        "measured_inference_ms": _median([s.inference_ms for s in samples_of(record, INTRA_DP)]),
        "energy_note": ENERGY_NOTE,
        **_speed_up({s: row["median_ms"] for s, row in strategies.items()}),
    }


def _of_strategy(samples: Sequence[FrameSample]) -> Dict[str, Any]:
    latencies = [s.latency_ms for s in samples]
    return {
        "frames": len(samples),
        "median_ms": _median(latencies),
        "mean_ms": _mean(latencies),
        "p95_ms": float(np.percentile(latencies, 95.0)) if latencies else None,
        "energy_j": _mean([s.energy_j for s in samples]),
        "bytes_up": _mean([s.bytes_up for s in samples]),
        "bytes_down": _mean([s.bytes_down for s in samples]),
        "outcomes": {name: sum(s.outcome == name for s in samples) for name in OUTCOMES},
    }


def _speed_up(medians: Dict[str, Optional[float]]) -> Dict[str, Any]:
    """intra_dp's median latency against the better one of local and offload."""
    known = {s: medians[s] for s in (LOCAL, OFFLOAD) if medians.get(s)}
    own = medians.get(INTRA_DP)
    if not known or not own:
        return {"better_simple": None, "speed_up": None}
    better = min(known, key=lambda s: known[s])
    return {"better_simple": better, "speed_up": known[better] / own}


def _median(values: Sequence[float]) -> Optional[float]:
    return float(np.median(values)) if len(values) else None


def _mean(values: Sequence[float]) -> Optional[float]:
    return float(np.mean(values)) if len(values) else None


def number(value: Optional[float], form: str = "{:.0f}", factor: float = 1.0) -> str:
    """For tables; a dash where nothing is known."""
    return "-" if value is None else form.format(value * factor)


def headline(summary: Dict[str, Any]) -> str:
    """The result in one sentence, whichever way it went."""
    medians = {s: row["median_ms"] for s, row in summary["strategies"].items() if row["median_ms"] is not None}
    if not medians:
        return "No frame was answered."
    text = ", ".join("{} {:.0f} ms".format(s, medians[s]) for s in sorted(medians, key=lambda s: medians[s]))
    text += " (median latencies)"
    ratio = summary["speed_up"]
    if ratio is None:
        return text + "."
    if abs(ratio - 1.0) < 0.02:
        return "{}: intra_dp is as fast as {}.".format(text, summary["better_simple"])
    return "{}: intra_dp is {:.2f} x as fast as {}, the better of local and offload.".format(
        text, ratio, summary["better_simple"])


def frames_sentence(summary: Dict[str, Any]) -> str:
    """Frames in, answered, lost, by outcome."""
    outcomes = summary["outcomes"]
    return "{} frames in, {} answered, {} lost; {} computed on the robot, {} split or offloaded, {} taken over".format(
        summary["frames_in"], summary["frames_answered"], summary["frames_lost"], outcomes["local"], outcomes["split"],
        outcomes["takeover"])


def exactness_sentence(summary: Dict[str, Any]) -> str:
    """How far the results are from the unsplit model's."""
    if not summary["frames_checked"]:
        return "no result was compared with the unsplit model"
    return "{} results compared with the unsplit model's: largest relative error {:.1e}".format(
        summary["frames_checked"], summary["max_rel_error"])


def table_rows(summary: Dict[str, Any]) -> List[Sequence[str]]:
    """Heading and one row a strategy, as text."""
    rows: List[Sequence[str]] = [_COLUMNS]
    for strategy, row in summary["strategies"].items():
        rows.append((strategy, str(row["frames"]), number(row["median_ms"]), number(row["mean_ms"]),
                     number(row["p95_ms"]), number(row["energy_j"], "{:.2f}"),
                     number(row["bytes_up"], "{:.1f}", 1e-3), number(row["bytes_down"], "{:.1f}", 1e-3)))
    return rows


def text_summary(summary: Dict[str, Any]) -> str:
    """A table for the terminal."""
    rows = table_rows(summary)
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
             for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    lines += ["", headline(summary), frames_sentence(summary) + ".", exactness_sentence(summary) + "."]
    if summary["predicted_ms"] is not None:
        lines.append("intra_dp's inference: predicted {:.0f} ms, measured {} ms (medians).".format(
            summary["predicted_ms"], number(summary["measured_inference_ms"])))
    for reason, count in sorted(summary["takeover_reasons"].items()):
        lines.append("taken over {} x: {}".format(count, reason or "no reason given"))
    lines += [
        "model {} ({} weights), robot {}, link {:.2f} MB/s on average ({}).".format(
            summary["model"], summary["weights"], slowdown_words(summary["robot_slowdown"]),
            summary["mean_bandwidth_MBps"], summary["trace"]),
        "Energy: " + ENERGY_NOTE + ".",
    ]
    return "\n".join(lines)


def slowdown_words(factor: float) -> str:
    """How the robot was emulated."""
    if factor == 1.0:
        return "at this machine's own speed"
    return "emulated by slowing this machine's computing down {:g} x".format(factor)
