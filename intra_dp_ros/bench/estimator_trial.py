"""The bandwidth estimate against what the shaper let through: errors, delays after steps, pictures."""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench.labels import model_name, trace_name
from intra_dp_ros.bench.plots import FAINT, INK, figure, save, title
from intra_dp_ros.bench.summary import number
from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.wire.messages import Ack

WRONG = 0.3  # an estimate that is off by more is wrong
_FOLLOWED = 0.2  # a step is followed when the estimate is so close to the new rate
_STEP = 0.3  # least change of the rate that is a step
_OVERLAP_S = 1e-6
TRAFFIC = "traffic"

Point = Mapping[str, Any]  # when [s], up, truth [byte/s], source, strategy, segment, robot


def figures(points: Sequence[Point]) -> Dict[str, Any]:
    """Figures of all estimates from traffic, and of those from probes apart; None where there is none."""
    busy = [p for p in points if p["source"] == TRAFFIC]
    idle = [p for p in points if p["source"] == "probe"]
    delays = [d for run in _runs(points) for d in step_delays(run)]
    return {"traffic": _errors(busy), "probes": _errors(idle), "steps": len(delays),
            "step_delay_ms": float(np.median(delays) * 1e3) if delays else None,
            "step_delay_p90_ms": float(np.percentile(delays, 90) * 1e3) if delays else None}


def _errors(points: Sequence[Point]) -> Dict[str, Any]:
    errors = [abs(p["up"] - p["truth"]) / p["truth"] for p in points if p["truth"] > 0]
    if not errors:
        return {"points": 0, "median_error": None, "share_wrong": None, "bias": None}
    return {"points": len(errors), "median_error": float(np.median(errors)),
            "share_wrong": float(np.mean([e > WRONG for e in errors])),
            "bias": float(np.median([p["up"] / p["truth"] - 1.0 for p in points if p["truth"] > 0]))}


def _runs(points: Sequence[Point]) -> List[List[Point]]:
    """Points of one robot's run each, by time."""
    runs: Dict[Tuple[Any, ...], List[Point]] = {}
    for p in points:
        runs.setdefault((p["robot"], p["strategy"], p["segment"]), []).append(p)
    return [sorted(run, key=lambda p: p["when"]) for run in runs.values()]


def step_delays(run: Sequence[Point], changes: Optional[Sequence[Tuple[float, float]]] = None) -> List[float]:
    """How long after each step of the rate the estimate was close to it [s].

    Steps that the next change of the rate cut short before they were followed count for as long as they lasted; where
    nothing was sent meanwhile (no estimate from traffic), nobody could have known, and the step does not count.

    Args:
        changes: when the rate changed and to what; default: as the points show it.
    """
    moments = list(changes) if changes is not None else _changes(run)
    delays = []
    for k in range(1, len(moments)):
        (_, before), (when, rate) = moments[k - 1], moments[k]
        until = moments[k + 1][0] if k + 1 < len(moments) else float("inf")
        if before <= 0 or rate <= 0 or abs(rate - before) < _STEP * max(rate, before):
            continue
        during = [p for p in run if when <= p["when"] < until]
        if not any(p["source"] == TRAFFIC for p in during):
            continue
        close = next((p["when"] for p in during if abs(p["up"] - rate) <= _FOLLOWED * rate), during[-1]["when"])
        delays.append(close - when)
    return delays


def _changes(run: Sequence[Point]) -> List[Tuple[float, float]]:
    found: List[Tuple[float, float]] = []
    for p in run:
        if not found or abs(p["truth"] - found[-1][1]) > _OVERLAP_S:
            found.append((p["when"], p["truth"]))
    return found


def replay(acks: Sequence[Tuple[float, Ack]], truth: Any, base: Mapping[str, Any], step_s: float = 0.02,
           rtt_s: float = 0.0006) -> List[Dict[str, Any]]:
    """What an estimator makes of recorded acknowledgements.

    Args:
        acks: when each came (monotonic [s]), by time.
        truth: moment -> rate [byte/s].
        base: strategy, segment and robot of the points.
        step_s: between points.
        rtt_s: round trip over the idle link; the recording was made on one machine.
    """
    clock = [0.0]
    estimator = BandwidthEstimator("replayed", lambda: clock[0])
    points: List[Dict[str, Any]] = []
    due = acks[0][0] if acks else 0.0
    for when, ack in acks:
        while due <= when:
            clock[0] = due
            sample = estimator.sample()
            if sample.confidence > 0:
                points.append(dict(base, when=due, up=sample.up, truth=truth(due), source=sample.source,
                                   trace_s=due - acks[0][0]))
            due += step_s
        clock[0] = when
        estimator.on_rtt(rtt_s, 0.0)  # both sides ran on one clock
        estimator.on_ack("up", ack)
    return points


def in_words(found: Mapping[str, Any]) -> str:
    """One line."""
    busy = found["traffic"]
    if not busy["points"]:
        return "bandwidth estimate: no traffic to estimate from"
    words = "bandwidth estimate while inferring: median error {:.1%}, {:.1%} of the time wrong by more than {:.0%}" \
        .format(busy["median_error"], busy["share_wrong"], WRONG)
    if found["steps"]:
        words += "; {} steps followed after {:.0f} ms (median), {:.0f} ms (90 %)".format(
            found["steps"], found["step_delay_ms"], found["step_delay_p90_ms"])
    return words


def table(cells: Sequence[Mapping[str, Any]]) -> List[str]:
    """A Markdown table of the estimates while inferring, a row a cell; none of cells without."""
    lines = ["| model | trace | robots | estimates | median error | wrong by more than {:.0%} | steps | followed "
             "after, median ms | 90 % |".format(WRONG), "|" + "---|" * 9]
    for cell in cells:
        found, busy = cell["estimator"], cell["estimator"]["traffic"]
        if busy["points"]:
            lines.append("| {} | {} | {} | {} | {:.1%} | {:.1%} | {} | {} | {} |".format(
                model_name(cell["model"]), trace_name(cell["trace"]), cell["robots"],
                busy["points"], busy["median_error"], busy["share_wrong"], found["steps"],
                number(found["step_delay_ms"]), number(found["step_delay_p90_ms"])))
    return lines if len(lines) > 2 else []


def picture(points: Sequence[Point], words: str, path: str) -> None:
    """A PNG: truth and estimate over time, and the errors' distribution.

    Raises:
        OSError: the file cannot be written.
    """
    fig = figure(9.6, 5.2)
    time, errors = fig.subplots(2, 1, gridspec_kw={"height_ratios": (2, 1)})
    run = max(_runs(points), key=len)
    when = [p["trace_s"] for p in run]
    time.step(when, [p["truth"] / 1e6 for p in run], where="post", color=INK, linewidth=1.4, label="shaper")
    for source, colour in ((TRAFFIC, "#009E73"), ("probe", "#E69F00")):
        chosen = [p for p in run if p["source"] == source]
        time.plot([p["trace_s"] for p in chosen], [p["up"] / 1e6 for p in chosen], linestyle="", marker=".",
                  markersize=3, color=colour, label="estimate ({})".format(source))
    time.set_xlabel("time [s]")
    time.set_ylabel("bandwidth [MB/s]")
    time.set_ylim(bottom=0.0)
    time.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(time, words)
    found = sorted(abs(p["up"] / p["truth"] - 1.0) for p in points if p["source"] == TRAFFIC and p["truth"] > 0)
    if found:
        errors.plot(found, np.linspace(0.0, 1.0, len(found)), color="#009E73")
    errors.axvline(WRONG, color=FAINT)
    errors.set_xlim(0.0, 1.0)
    errors.set_xlabel("relative error while inferring")
    errors.set_ylabel("share of time below")
    save(fig, path)
