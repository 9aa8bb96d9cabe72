"""A campaign's tables and pictures, as Markdown with PNG files beside it."""
import os
import shlex
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench import estimator_trial, idle_trial, overhead, scaling, step_trial, take_back
from intra_dp_ros.bench.campaign import GAP_S
from intra_dp_ros.bench.campaign_plots import draw_bandwidth, draw_energy, draw_latency, draw_predicted
from intra_dp_ros.bench.cell_model import table as ablation_table
from intra_dp_ros.bench.gantt import charts
from intra_dp_ros.bench.labels import model_name, trace_name
from intra_dp_ros.bench.record import Span
from intra_dp_ros.bench.summary import number

#: What intra_dp's latency and energy should be at most, over the best other strategy's.
AIM, ENERGY_AIM = 0.8, 0.85

_COLUMNS = ("strategy", "frames", "mean ms", "median", "p95", "std", "J", "MB up", "MB down", "local", "split",
            "offload", "taken over", "measured / predicted (median, p95)", "error", "lost", "rtt ms", "CPU")


def table(cell: Mapping[str, Any]) -> List[str]:
    """A cell as a Markdown table, a row a strategy."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    lines += ["| " + " | ".join(_row(name, found)) + " |" for name, found in cell["strategies"].items()]
    if cell.get("bound_j") is not None:
        lines += ["", "Lower bounds (no schedule can do with less on this link, knowing it beforehand): {:.0f} ms, "
                  "{:.2f} J.".format(cell["bound_ms"], cell["bound_j"])]
    return lines + ["", estimator_trial.in_words(cell["estimator"]) + "."]


def _row(name: str, f: Mapping[str, Any]) -> List[str]:
    ratio = f["measured_over_predicted"]
    return [name, str(f["frames"]), number(f["mean_ms"]), number(f["median_ms"]), number(f["p95_ms"]),
            number(f["std_ms"]), number(f["energy_j"], "{:.2f}"), number(f["MB_up"], "{:.3f}"),
            number(f["MB_down"], "{:.3f}"),
            *(number(f["share_" + kind], "{:.0%}") for kind in ("local", "split", "offload", "takeover")),
            "{}, {}".format(number(ratio["median"], "{:.2f}"), number(ratio["p95"], "{:.2f}")),
            "{:.0e}".format(f["max_rel_error"]) if f["frames_checked"] else "-", str(f["frames_lost"]),
            number(f["rtt_ms"], "{:.1f}"), number(f["cpu_share"], "{:.0%}")]


def write_report(cells: Sequence[Mapping[str, Any]], path: str, arguments: Sequence[str],
                 trials: Sequence[Mapping[str, Any]] = ()) -> str:
    """A Markdown file and its pictures, which begin with its name; its path.

    Args:
        trials: see `idle_trial.result`, `overhead.result`.

    Raises:
        OSError: it cannot be written.
        ValueError: there are no cells.
    """
    if not cells:
        raise ValueError("no strategy was measured: there is nothing to compare")
    commands = list(dict.fromkeys(cell.get("command") or command_of(arguments) for cell in [*cells, *trials]))
    lines = [
        "# Measured", "", "Written by", "", *("- `{}`".format(command) for command in commands), "",
        "Real nodes, real sockets, real clocks: {}; link shaped by: {}, {} duplex; load average at most {:.1f}. "
        "Strategies take turns on the same pieces of the same trace, one frame after the other; latency is from the "
        "message with the image to the message with the result. Energy is the power model's, not measured; CPU is "
        "the robot's node as a share of one core. \"Measured / predicted\" is of the inference, without the frames "
        "that were taken over, not run as planned, or given to the server in their middle; predictions are as the "
        "robot makes them, corrected by what frames of the plan have taken. Means are over frames: a strategy that "
        "stalls in a bad moment has fewer of them there. {}".format(
            *(_all(cells, what) for what in ("machine", "link", "duplex")), max(cell["load"] for cell in cells),
            _what_errors_are(cells)), ""]
    stem = os.path.splitext(path)[0]
    several = scaling.series(cells)
    compared, real = _apart(_compared([cell for cell in cells if cell not in several]))
    if len(compared) > 1:
        lines += [*summary(compared), "", *_pictures(compared, stem), *_missed(compared)]
    if real:
        lines += ["## Not emulated: this machine's processors, tensors that crossed the link", "",
                  "Robot and server compute on this machine's cores, the robot slowed down as its cell says; the "
                  "tensors they compute on cross the shaped link, and the results are compared. Their speeds are not "
                  "those of the machines above, so these cells are not in the means there.", "", *summary(real), ""]
    traced = _traced(cells)
    if traced:
        charts(traced, stem + "_gantt.png")
        lines += ["![What robot, link and server did in one frame, and what was expected]({}_gantt.png)".format(
            os.path.basename(stem)), ""]
    gathering = [cell for cell in cells if {"dina", "offload"} <= set(cell["strategies"])]
    if gathering:
        lines += ["## dina, which gathers at every layer", "", *_gathering(gathering), ""]
    if several:
        scaling.picture(several, stem + "_scaling.png")
        lines += ["## Several robots on one server", "",
                  "Every camera waits {:.0f} ms between an answer and its next frame: frames/s is what such cameras "
                  "get, not the most that is possible.".format(GAP_S * 1e3), "", *scaling.table(several), "",
                  "![Throughput and latency by robots]({}_scaling.png)".format(os.path.basename(stem)), ""]
    steps = [cell for cell in cells if "steps" in cell]
    if steps:
        step_trial.picture(steps, stem + "_steps.png")
        studied = {(model_name(cell["model"]), trace_name(cell["trace"])): cell["taken_back"]
                   for cell in steps if "taken_back" in cell}
        lines += ["## The link falls or rises in mid-frame", "", *step_trial.table(steps), "",
                  *(x for (model, trace), found in studied.items()
                    for x in ("{}, {}: {}".format(model, trace, take_back.in_words(found)), "")),
                  "![When the link fell and what the frame took]({}_steps.png)".format(os.path.basename(stem)), ""]
    alone = [cell for cell in cells if set(cell["strategies"]) == {"intra_dp"} and "steps" not in cell
             and cell not in several]
    estimated = estimator_trial.table([*compared, *real, *several, *alone])
    if estimated:
        lines += ["## The bandwidth estimate against the shaper's rate", "",
                  "Ten times a second while frames are on their way; a step is a change of 30 % or more, counted from "
                  "the moment at which the shaper made it, and followed when the estimate is within 20 % of the new "
                  "rate; not followed: not before the next change or the run's end. The percentiles are over all "
                  "steps; \"never\": so many were not followed. Above {:g} MB/s it is this machine's processes that "
                  "limit what is sent.".format(estimator_trial.CARRIED / 1e6), "", *estimated, "",
                  *(x for cell in alone for x in (_expected(cell), ""))]
    for found in trials:
        lines += (["## Robots that do nothing", "", *idle_trial.in_words(found["idle"]), ""] if "idle" in found else
                  ["## What ROS adds to a frame", "", *overhead.in_words(found), ""])
        lines += ["Commit {}.".format(found["commit"]), ""] if found["commit"] else []
    if len(compared) < 2:
        lines += _pictures(cells, stem)
    for cell in cells:
        lines += ["## {} on {}, codec {}{}".format(cell["model"], cell["trace"], cell["codec"], ", {} robots".format(
            cell["robots"]) if cell["robots"] > 1 else ""), "", _conditions(cell), "", *table(cell), ""]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return path


def _what_errors_are(cells: Sequence[Mapping[str, Any]]) -> str:
    """What was compared with the unsplit model's results."""
    words = []
    if any(cell.get("emulated") for cell in cells):
        words.append("in emulated cells of values that the operators of both sides compute under the frame's plan "
                     "after the clock has stopped, while the tensors that cross the link in time hold zeros")
    if not all(cell.get("emulated") for cell in cells):
        words.append("{}of the results as they were published, from tensors that crossed the link".format(
            "in those that are not emulated " if words else ""))
    return "The error is relative to the unsplit model's results: {}.".format("; ".join(words))


def _apart(cells: List[Mapping[str, Any]]) -> Tuple[List[Mapping[str, Any]], List[Mapping[str, Any]]]:
    """Cells that are compared, and where some are of emulated ones those on this machine's own processors."""
    emulated = [cell for cell in cells if cell.get("emulated")]
    return (emulated, [cell for cell in cells if not cell.get("emulated")]) if emulated else (cells, [])


def _expected(cell: Mapping[str, Any]) -> str:
    """How a run of intra_dp alone, over a whole trace as a rule, compares with what its robot expected."""
    own = cell["strategies"]["intra_dp"]
    return "{}, {}, {:.0f} s: {} frames, {} lost; measured over predicted {} in the median, {} at 95 %.".format(
        model_name(cell["model"]), trace_name(cell["trace"]), cell["seconds"], own["frames"], own["frames_lost"],
        *(number(own["measured_over_predicted"][what], "{:.2f}") for what in ("median", "p95")))


def _all(cells: Sequence[Mapping[str, Any]], what: str) -> str:
    return " and ".join(dict.fromkeys(cell[what] for cell in cells))


def command_of(arguments: Sequence[str], script: str = "scripts/bench") -> str:
    """The command line, without the files that are written: they are nobody else's."""
    kept = [a for a, before in zip(arguments, ["", *arguments]) if not {a, before} & {"--json", "--report", "--out"}]
    return " ".join([script] + [shlex.quote(a) for a in kept])


def comparison(cell: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """intra_dp against the others of a cell; None where it or they are missing, and where several robots were compared.

    Returns:
        best, thriftiest: names of the others; latency, energy: intra_dp's over theirs; energy_of_best: over the best
        one's; bound, energy_bound: the bounds over theirs; p95: intra_dp's over local's.
    """
    own = cell["strategies"].get("intra_dp", {})
    others = {name: f for name, f in cell["strategies"].items() if name != "intra_dp" and f["mean_ms"]}
    if not own.get("mean_ms") or not others or cell["robots"] > 1:
        return None
    best = min(others, key=lambda name: others[name]["mean_ms"])
    thriftiest = min(others, key=lambda name: others[name]["energy_j"])
    local = others.get("local", {}).get("p95_ms")
    return {"best": best, "thriftiest": thriftiest, "latency": own["mean_ms"] / others[best]["mean_ms"],
            "energy": own["energy_j"] / others[thriftiest]["energy_j"],
            "energy_of_best": own["energy_j"] / others[best]["energy_j"],
            "bound": cell["bound_ms"] / others[best]["mean_ms"] if cell["bound_ms"] else None,
            "energy_bound": cell["bound_j"] / others[thriftiest]["energy_j"] if cell.get("bound_j") else None,
            "p95": own["p95_ms"] / local if local else None}


def _compared(cells: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """Of cells of the same model, trace and codec those with the most strategies: ratios to few others mean less."""
    def alike(cell: Mapping[str, Any]) -> Tuple[Any, ...]:
        return (*(cell.get(name) for name in ("model", "trace", "codec", "duplex", "objective", "emulated",
                                              "robot_speed", "time_scale")), cell.get("adaptive", True))
    found = [cell for cell in cells if comparison(cell) is not None]
    most = {alike(cell): max(len(c["strategies"]) for c in found if alike(c) == alike(cell)) for cell in found}
    return [cell for cell in found if len(cell["strategies"]) == most[alike(cell)]]


def _gathering(cells: Sequence[Mapping[str, Any]]) -> List[str]:
    """A Markdown table of dina's frames."""
    lines = ["| model | trace | codec | frames | dina ms | taken over | offload ms | intra_dp ms | dina J | "
             "offload J | lost | error |", "|" + "---|" * 12]
    for cell in cells:
        own, offload = cell["strategies"]["dina"], cell["strategies"]["offload"]
        lines.append("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0e} |".format(
            model_name(cell["model"]), trace_name(cell["trace"]), cell["codec"], own["frames"], number(own["mean_ms"]),
            number(own["share_takeover"], "{:.0%}"),
            number(offload["mean_ms"]), number(cell["strategies"].get("intra_dp", {}).get("mean_ms")),
            number(own["energy_j"], "{:.2f}"), number(offload["energy_j"], "{:.2f}"), own["frames_lost"],
            own["max_rel_error"]))
    return lines


def summary(cells: Sequence[Mapping[str, Any]]) -> List[str]:
    """A Markdown table: intra_dp against the best of the others, a row a cell, and geometric means."""
    lines = ["| model | trace | codec | best other ms | intra_dp ms | ratio | no schedule below | thriftiest other J | "
             "intra_dp J | ratio | no schedule below | over the fastest other's | p95 over local's | lost | "
             "largest error |", "|" + "---|" * 15]
    found = [(cell, comparison(cell)) for cell in cells]
    for cell, c in found:
        own, others = cell["strategies"]["intra_dp"], cell["strategies"]
        lines.append(("| {} | {} | {} | {} ({}) | {} | {:.2f} | {} | {} ({}) | {} | {:.2f} | {} | {:.2f} | {} | {} | "
                      "{:.0e} |").format(
            model_name(cell["model"]), trace_name(cell["trace"]), cell["codec"],
            number(others[c["best"]]["mean_ms"]), c["best"], number(own["mean_ms"]), c["latency"],
            number(c["bound"], "{:.2f}"), number(others[c["thriftiest"]]["energy_j"], "{:.2f}"), c["thriftiest"],
            number(own["energy_j"], "{:.2f}"), c["energy"], number(c["energy_bound"], "{:.2f}"), c["energy_of_best"],
            number(c["p95"], "{:.2f}"),
            sum(f["frames_lost"] for f in others.values()), own["max_rel_error"]))
    means = {what: float(np.exp(np.mean(np.log([c[what] for _, c in found if c[what]])))) if any(
        c[what] for _, c in found) else None for what in (
            "latency", "bound", "energy", "energy_bound", "energy_of_best")}
    return lines + ["", "Geometric means of the ratios: latency {:.2f} (no schedule below {}); energy {:.2f} of the "
                    "thriftiest other's (no schedule below {}), {:.2f} of the fastest other's; largest latency "
                    "{:.2f}.".format(means["latency"], number(means["bound"], "{:.2f}"), means["energy"],
                                     number(means["energy_bound"], "{:.2f}"), means["energy_of_best"],
                                     max(c["latency"] for _, c in found)), "", _promises(cells)]


def _promises(cells: Sequence[Mapping[str, Any]]) -> str:
    """What holds of intra_dp in all cells."""
    own = [cell["strategies"]["intra_dp"] for cell in cells]
    medians = [f["measured_over_predicted"]["median"] for f in own if f["measured_over_predicted"]["median"]]
    worst = max(cells, key=lambda cell: cell["strategies"]["intra_dp"]["measured_over_predicted"]["p95"] or 0.0)
    known = (worst.get("ablation") or {}).get("bandwidth known", {}).get("over_predicted_p95")
    return ("intra_dp: measured over predicted {} to {} in the median, at most {} at 95 % ({} {}{}); {} frames lost; "
            "errors at most {:.0e}.".format(*(number(x, "{:.2f}") for x in (
                min(medians, default=None), max(medians, default=None),
                worst["strategies"]["intra_dp"]["measured_over_predicted"]["p95"])),
                model_name(worst["model"]), trace_name(worst["trace"]),
                "" if known is None else "; simulated there with the bandwidth at the beginning of every frame known: "
                "{:.2f}".format(known),
                sum(f["frames_lost"] for f in own), max(f["max_rel_error"] for f in own)))


def _missed(cells: Sequence[Mapping[str, Any]]) -> List[str]:
    """Where intra_dp takes more of the best other's time or energy than is aimed at: what is missing."""
    found = [(cell, comparison(cell)) for cell in cells
             if cell["bound_ms"] and (cell.get("ablation") or {}).get("as it is", {}).get("best_ms")]
    lines: List[str] = []
    for name, what, best, aim in (("mean_ms", "latency", "best", AIM),
                                  ("energy_j", "energy", "thriftiest", ENERGY_AIM)):
        missed = [(cell, cell["strategies"][c[best]][name]) for cell, c in found if c[what] > aim]
        if missed:
            lines += [
                "## What keeps intra_dp's {} above {:.2f}".format(what, aim), "",
                "{} over the {} other strategy's, in cells where it is above {:.2f}. *Measured* ran on the nodes; "
                "the rest is simulated on the same pieces of the trace with the operator times, codec costs and round "
                "trips that the nodes measured, without computing beside a late link: as it is, and with one thing "
                "changed, for intra_dp and for the best other of local, offload and cuts alike. No schedule can "
                "beat the *bound*, which leaves out most of what halo rows cost and knows the bandwidth "
                "beforehand.".format(
                    what.capitalize(), best, aim), "",
                *ablation_table(*zip(*missed), name), ""]
    return lines


def _traced(cells: Sequence[Mapping[str, Any]]) -> List[Tuple[str, List[Span], List[Span]]]:
    """A frame of intra_dp of every model, each with the codec of the first cell that has one."""
    found: Dict[str, Tuple[str, List[Span], List[Span]]] = {}
    for cell in cells:
        traced = cell.get("timelines", {}).get("intra_dp")
        name = model_name(cell["model"])
        if traced and name not in found and cell["robots"] == 1 and "steps" not in cell:
            measured, predicted = ([Span(s["lane"], s["start_s"] * 1e3, max(s["start_s"], s["stop_s"]) * 1e3, "")
                                    for s in traced[what]] for what in ("measured", "predicted"))
            found[name] = ("{}, codec {}: {}".format(name, cell["codec"], traced["plan"]), measured, predicted)
    return list(found.values())


def _pictures(cells: Sequence[Mapping[str, Any]], stem: str) -> List[str]:
    lines = []
    for draw, what, words in (
            (draw_latency, "latency", "Latency of every strategy on every model and trace"),
            (draw_energy, "energy", "Energy of every strategy on every model and trace"),
            (draw_bandwidth, "bandwidth", "Latency against bandwidth"),
            (draw_predicted, "predicted", "What was predicted and what was measured")):
        draw(cells, "{}_{}.png".format(stem, what))
        lines += ["![{}]({}_{}.png)".format(words, os.path.basename(stem), what), ""]
    return lines


def _link(cell: Mapping[str, Any]) -> str:
    """Mean bandwidths; older cells have the whole trace's only."""
    whole = cell.get("trace_mean_MBps")
    if whole is None:
        return "link {:.2f} MB/s on average over the whole trace".format(cell["mean_bandwidth_MBps"])
    own, whole_words = ("{:.2f}".format(x) for x in (cell["mean_bandwidth_MBps"], whole))
    return "link {} MB/s on average on the pieces played{}{}".format(
        own, " by the first robot" if cell["robots"] > 1 else "",
        "" if own == whole_words else " (the whole trace's mean: {})".format(whole_words))


def _conditions(cell: Mapping[str, Any]) -> str:
    words = "{} weights; {}; {}; codec {}; objective {}; {} robot{}".format(
        cell["weights"].split(" (")[0].capitalize(), cell["inputs"], _link(cell), cell["codec"],
        cell["objective"], cell["robots"], "s" if cell["robots"] > 1 else "")
    if cell.get("seconds"):
        words += "; {:g} s for every strategy".format(cell["seconds"])
    if not cell.get("adaptive", True):
        words += "; the robot keeps to its plan in mid-frame"
    if cell.get("emulated"):
        words += "; computing emulated by waits: {}".format(cell["emulated"])
    if cell["robot_speed"] != 1.0:
        words += ", each emulated at {:g} of this machine's speed ({})".format(cell["robot_speed"], cell["slowed_by"])
    if cell["time_scale"] != 1.0:
        words += "; time scale {:.3g}: the trace is played so many times slower and carries so many times less".format(
            cell["time_scale"])
    return words + (". Commit {}.".format(cell["commit"]) if cell["commit"] else ".")
