"""The bandwidth estimate against what the shaper let through: errors, delays after steps, pictures."""
import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench.labels import model_name, trace_name
from intra_dp_ros.bench.plots import FAINT, INK, figure, save, title
from intra_dp_ros.bench.summary import number

WRONG = 0.3  # an estimate that is off by more is wrong
#: What the processes of the machine that the published figures are from carry at most [byte/s]: of a link above it no
#: traffic tells how fast it is.
CARRIED = 14e6
_FOLLOWED = 0.2  # a step is followed when the estimate is so close to the new rate
_STEP = 0.3  # least change of the rate that is a step
TRAFFIC = "traffic"

Point = Mapping[str, Any]  # when [s], up, truth [byte/s], source, strategy, segment, robot
Rates = Sequence[Tuple[float, float]]  # when a rate changed (monotonic [s]), and to what [byte/s]


def figures(points: Sequence[Point], changes: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """Figures of all estimates from traffic, and of those from probes apart; None where there is none.

    The delays' percentiles are over all steps: those that were never followed are beyond every delay, and a percentile
    among them is None.

    Args:
        changes: see `Blocks.changes`.
    """
    busy = [p for p in points if p["source"] == TRAFFIC]
    idle = [p for p in points if p["source"] == "probe"]
    rates = {_run_of(c): c["rates"] for c in changes}
    delays = [d for key, run in _runs(points).items() for d in step_delays(run, rates.get(key, ()))]
    return {"traffic": _errors(busy), "probes": _errors(idle),
            "traffic_below": _errors([p for p in busy if p["truth"] < CARRIED]),
            "traffic_above": _errors([p for p in busy if p["truth"] >= CARRIED]),
            "steps": len(delays), "steps_not_followed": sum(math.isinf(d) for d in delays),
            "step_delay_ms": _delay_ms(delays, 50), "step_delay_p90_ms": _delay_ms(delays, 90)}


def _delay_ms(delays: Sequence[float], percent: int) -> Optional[float]:
    """The least delay that so many of the steps do not exceed; None: there are no steps, or too few were followed."""
    found = sorted(delays)[max(0, math.ceil(len(delays) * percent / 100) - 1)] if delays else math.inf
    return None if math.isinf(found) else found * 1e3


def _errors(points: Sequence[Point]) -> Dict[str, Any]:
    errors = [abs(p["up"] - p["truth"]) / p["truth"] for p in points if p["truth"] > 0]
    if not errors:
        return {"points": 0, "median_error": None, "share_wrong": None, "bias": None}
    return {"points": len(errors), "median_error": float(np.median(errors)),
            "share_wrong": float(np.mean([e > WRONG for e in errors])),
            "bias": float(np.median([p["up"] / p["truth"] - 1.0 for p in points if p["truth"] > 0]))}


def _run_of(found: Mapping[str, Any]) -> Tuple[Any, ...]:
    return found["robot"], found["strategy"], found["segment"]


def _runs(points: Sequence[Point]) -> Dict[Tuple[Any, ...], List[Point]]:
    """Points of one robot's run each, by time."""
    runs: Dict[Tuple[Any, ...], List[Point]] = {}
    for p in points:
        runs.setdefault(_run_of(p), []).append(p)
    return {key: sorted(run, key=lambda p: p["when"]) for key, run in runs.items()}


def step_delays(run: Sequence[Point], rates: Rates) -> List[float]:
    """How long after each step of the rate the estimate was close to it [s]; infinite: not before the next change of
    the rate, nor before the run ended.

    Where nothing was sent meanwhile (no estimate from traffic), nobody could have known, and the step does not count.

    Args:
        rates: as the shaper changed them, on the clock of the points.
    """
    delays = []
    for k in range(1, len(rates)):
        (_, before), (when, rate) = rates[k - 1], rates[k]
        until = rates[k + 1][0] if k + 1 < len(rates) else math.inf
        if before <= 0 or rate <= 0 or abs(rate - before) < _STEP * max(rate, before) or when < run[0]["when"]:
            continue
        during = [p for p in run if when <= p["when"] < until]
        if any(p["source"] == TRAFFIC for p in during):
            delays.append(next((p["when"] - when for p in during if abs(p["up"] - rate) <= _FOLLOWED * rate), math.inf))
    return delays


def in_words(found: Mapping[str, Any]) -> str:
    """One line."""
    busy = found["traffic"]
    if not busy["points"]:
        return "bandwidth estimate: no traffic to estimate from"
    words = "bandwidth estimate while inferring: median error {:.1%}, {:.1%} of the time wrong by more than {:.0%}" \
        .format(busy["median_error"], busy["share_wrong"], WRONG)
    if found["steps"]:
        words += "; {} steps, followed after {} (median), {} (90 %)".format(
            found["steps"], *(_delay(found, name, "{:.0f} ms") for name in ("step_delay_ms", "step_delay_p90_ms")))
        if found.get("steps_not_followed"):
            words += ", {:.0%} not before the next change".format(found["steps_not_followed"] / found["steps"])
    return words


def _delay(found: Mapping[str, Any], name: str, form: str = "{:.0f}") -> str:
    return "never" if found["steps"] and found[name] is None else number(found[name], form)


def table(cells: Sequence[Mapping[str, Any]]) -> List[str]:
    """A Markdown table of the estimates while inferring, a row a cell; none of cells without."""
    lines = ["| model | trace | robots | estimates | median error | wrong by more than {:.0%} | below {:g} MB/s: "
             "median error, wrong | from there on: median error, wrong | steps | followed after, median ms | 90 % | "
             "not followed |".format(WRONG, CARRIED / 1e6), "|" + "---|" * 12]
    for cell in cells:
        found, busy = cell["estimator"], cell["estimator"]["traffic"]
        if not busy["points"]:
            continue
        halves = ["{}, {}".format(*(number(found.get(half, {}).get(what), "{:.1%}")
                                    for what in ("median_error", "share_wrong")))
                  for half in ("traffic_below", "traffic_above")]
        never = found.get("steps_not_followed")  # earlier cells do not tell
        lines.append("| {} | {} | {} | {} | {:.1%} | {:.1%} | {} | {} | {} | {} | {} | {} |".format(
            model_name(cell["model"]), trace_name(cell["trace"]), cell["robots"],
            busy["points"], busy["median_error"], busy["share_wrong"], *halves, found["steps"],
            _delay(found, "step_delay_ms"), _delay(found, "step_delay_p90_ms"),
            number(never / found["steps"] if found["steps"] and never is not None else None, "{:.0%}")))
    return lines if len(lines) > 2 else []


def picture(points: Sequence[Point], words: str, path: str) -> None:
    """A PNG: truth and estimate over time, and the errors' distribution.

    Raises:
        OSError: the file cannot be written.
    """
    fig = figure(9.6, 5.2)
    time, errors = fig.subplots(2, 1, gridspec_kw={"height_ratios": (2, 1)})
    run = max(_runs(points).values(), key=len)
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
