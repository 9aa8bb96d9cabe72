"""A campaign's tables and pictures, as Markdown with PNG files beside it."""
import os
import shlex
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np

from intra_dp_ros.bench import scaling, step_trial
from intra_dp_ros.bench.estimator_trial import in_words
from intra_dp_ros.bench.plots import FAINT, INK, figure, save, style_of, title
from intra_dp_ros.bench.summary import number

_COLUMNS = ("strategy", "frames", "mean ms", "median", "p95", "std", "J", "MB up", "MB down", "local", "split",
            "offload", "taken over", "measured / predicted (median, p95)", "error", "lost", "rtt ms", "CPU")


def table(cell: Mapping[str, Any]) -> List[str]:
    """A cell as a Markdown table, a row a strategy."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    lines += ["| " + " | ".join(_row(name, found)) + " |" for name, found in cell["strategies"].items()]
    if cell["bound_ms"] is not None:
        lines += ["", "Lower bound (no schedule can be faster on this link, knowing it beforehand): {:.0f} ms.".format(
            cell["bound_ms"])]
    return lines + ["", in_words(cell["estimator"]) + "."]


def _row(name: str, f: Mapping[str, Any]) -> List[str]:
    ratio = f["measured_over_predicted"]
    return [name, str(f["frames"]), number(f["mean_ms"]), number(f["median_ms"]), number(f["p95_ms"]),
            number(f["std_ms"]), number(f["energy_j"], "{:.2f}"), number(f["MB_up"], "{:.3f}"),
            number(f["MB_down"], "{:.3f}"),
            *(number(f["share_" + kind], "{:.0%}") for kind in ("local", "split", "offload", "takeover")),
            "{}, {}".format(number(ratio["median"], "{:.2f}"), number(ratio["p95"], "{:.2f}")),
            "{:.0e}".format(f["max_rel_error"]) if f["frames_checked"] else "-", str(f["frames_lost"]),
            number(f["rtt_ms"], "{:.1f}"), number(f["cpu_share"], "{:.0%}")]


def write_report(cells: Sequence[Mapping[str, Any]], path: str, arguments: Sequence[str]) -> str:
    """A Markdown file and its pictures, which begin with its name; its path.

    Raises:
        OSError: it cannot be written.
    """
    first = cells[0]
    lines = [
        "# Measured", "",
        "Written by `{}`.".format(" ".join(["scripts/bench"] + [shlex.quote(a) for a in _measuring(arguments)])), "",
        "Real nodes, real sockets, real clocks: {}; commit {}; link shaped by: {}, {} duplex; load average {:.1f}. "
        "Strategies take turns on the same pieces of the same trace, one frame after the other; latency is from the "
        "message with the image to the message with the result. Energy is the power model's, not measured; CPU is "
        "the robot's node as a share of one core. \"Measured / predicted\" is of the inference, without the frames "
        "that the robot took over.".format(
            first["machine"], first["commit"] or "unknown", first["link"], first["duplex"], first["load"]), ""]
    ratio = improvement(cells)
    if len(cells) > 1 and ratio == ratio:
        lines += ["intra_dp's mean latency over the best other's in each cell, in geometric mean: {:.2f}.".format(
            ratio), ""]
    for cell in cells:
        lines += ["## {} on {}".format(cell["model"], cell["trace"]), "", _conditions(cell), "", *table(cell), ""]
    stem = os.path.splitext(path)[0]
    if len({cell["robots"] for cell in cells}) > 1:
        scaling.picture(cells, stem + "_scaling.png")
        lines += ["## Several robots on one server", "", *scaling.table(cells), "",
                  "![Throughput and latency by robots]({}_scaling.png)".format(os.path.basename(stem)), ""]
    steps = [cell for cell in cells if "steps" in cell]
    if steps:
        step_trial.picture(steps, stem + "_steps.png")
        lines += ["## The link falls in mid-frame", "", *step_trial.table(steps), "",
                  "![When the link fell and what the frame took]({}_steps.png)".format(os.path.basename(stem)), ""]
    for draw, what, words in ((draw_latency, "latency", "Latency of every strategy on every model and trace"),
                              (draw_predicted, "predicted", "What was predicted and what was measured")):
        draw(cells, "{}_{}.png".format(stem, what))
        lines += ["![{}]({}_{}.png)".format(words, os.path.basename(stem), what), ""]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return path


def _measuring(arguments: Sequence[str]) -> List[str]:
    """Without the files that are written: they are nobody else's."""
    return [a for a, before in zip(arguments, ["", *arguments]) if not {a, before} & {"--json", "--report", "--out"}]


def _conditions(cell: Mapping[str, Any]) -> str:
    words = "{} weights; {}; link {:.2f} MB/s on average; codec {}; objective {}; {} robot{}".format(
        cell["weights"].split(" (")[0].capitalize(), cell["inputs"], cell["mean_bandwidth_MBps"], cell["codec"],
        cell["objective"], cell["robots"], "s" if cell["robots"] > 1 else "")
    if cell.get("emulated"):
        words += "; computing emulated by waits: {}".format(cell["emulated"])
    if cell["robot_speed"] != 1.0:
        words += ", each emulated at {:g} of this machine's speed ({})".format(cell["robot_speed"], cell["slowed_by"])
    if cell["time_scale"] != 1.0:
        words += "; time scale {:.3g}: the trace is played so many times slower and carries so many times less".format(
            cell["time_scale"])
    return words + "."


def draw_latency(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: mean and 95th percentile, a group of bars a cell; dots are the means of single blocks."""
    names = list(dict.fromkeys(name for cell in cells for name in cell["strategies"]))
    styles, width = style_of(names), 0.8 / len(names)
    fig = figure(max(6.4, 2.4 + 2.2 * len(cells)), 4.6)
    axis = fig.subplots()
    for i, name in enumerate(names):
        for k, cell in enumerate(cells):
            found = cell["strategies"].get(name)
            if found is None or found["mean_ms"] is None:
                continue
            x = k + (i - (len(names) - 1) / 2) * width
            unit = _unit(cell)
            axis.bar(x, found["mean_ms"] / unit, 0.9 * width, color=styles[name][0], label=name if k == 0 else None)
            axis.plot(x, found["p95_ms"] / unit, marker="_", markersize=60 * width, color=INK)
            blocks = [b / unit for b in found["block_means_ms"] if b is not None]
            axis.plot([x] * len(blocks), blocks, linestyle="", marker=".", markersize=3, color=INK, alpha=0.5)
    for k, cell in enumerate(cells):
        if cell["bound_ms"] is not None:
            axis.plot([k - 0.45, k + 0.45], [cell["bound_ms"] / _unit(cell)] * 2, color=INK, linestyle="--",
                      linewidth=1.0)
    axis.set_xticks(range(len(cells)))
    axis.set_xticklabels(["{}\n{}".format(_short(c["model"]), c["trace"].partition(",")[0]) for c in cells], fontsize=9)
    axis.set_ylabel("latency over the best simple choice's mean")
    axis.grid(axis="y", color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(axis, "Mean (bar), means of blocks (dots), 95th percentile (line), lower bound (dashed)")
    save(fig, path)


def _unit(cell: Mapping[str, Any]) -> float:
    """The best other strategy's mean [ms]; intra_dp's own when it is alone."""
    means = {name: f["mean_ms"] for name, f in cell["strategies"].items() if f["mean_ms"]}
    others = [mean for name, mean in means.items() if name != "intra_dp"]
    return min(others or list(means.values()) or [1.0])


def _short(model: str) -> str:
    return model.partition("@")[0].rpartition(":")[2]


def draw_predicted(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: measured over predicted, median to 95th percentile, of every strategy on every cell."""
    names = list(dict.fromkeys(name for cell in cells for name in cell["strategies"]))
    styles = style_of(names)
    fig = figure(max(6.4, 2.4 + 1.8 * len(cells)), 3.6)
    axis = fig.subplots()
    for i, name in enumerate(names):
        for k, cell in enumerate(cells):
            ratio = cell["strategies"].get(name, {}).get("measured_over_predicted", {})
            if ratio.get("median") is None:
                continue
            x = k + (i - (len(names) - 1) / 2) * 0.8 / len(names)
            axis.plot([x, x], [ratio["median"], ratio["p95"]], color=styles[name][0], linewidth=2.0)
            axis.plot(x, ratio["median"], marker=styles[name][1], color=styles[name][0],
                      label=name if k == 0 else None)
    axis.axhspan(0.9, 1.1, color=FAINT, alpha=0.5)
    axis.axhline(1.0, color=INK, linewidth=0.8)
    axis.set_xticks(range(len(cells)))
    axis.set_xticklabels(["{}\n{}".format(_short(c["model"]), c["trace"].partition(",")[0]) for c in cells], fontsize=9)
    axis.set_ylabel("measured / predicted")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(axis, "Inference: median (marker) to 95th percentile (line)")
    save(fig, path)


def improvement(cells: Sequence[Dict[str, Any]]) -> float:
    """Geometric mean over cells of intra_dp's mean latency over the best other's; nan without it."""
    ratios = [c["strategies"]["intra_dp"]["mean_ms"] / _unit(c) for c in cells
              if c["strategies"].get("intra_dp", {}).get("mean_ms")]
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else float("nan")
