"""A campaign's pictures: latency, energy, latency against bandwidth, prediction against measurement."""
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench.labels import model_name, trace_name
from intra_dp_ros.bench.plots import FAINT, INK, figure, save, style_of, title


class _Mark(NamedTuple):
    """A strategy of a cell in a picture with a group a cell."""

    x: float
    cell: Mapping[str, Any]
    found: Mapping[str, Any]  # the strategy's figures
    colour: str
    marker: str
    label: Optional[str]  # for the legend: the strategy, once


def _marks(cells: Sequence[Mapping[str, Any]]) -> Tuple[float, List[_Mark]]:
    """Width of a bar, and every strategy of every cell."""
    names = list(dict.fromkeys(name for cell in cells for name in cell["strategies"]))
    styles, width = style_of(names), 0.8 / len(names)
    return width, [_Mark(k + (i - (len(names) - 1) / 2) * width, cell, cell["strategies"][name], *styles[name],
                         name if k == 0 else None)
                   for i, name in enumerate(names) for k, cell in enumerate(cells) if name in cell["strategies"]]


def draw_latency(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: mean and 95th percentile, a group of bars a cell; dots are the means of single blocks."""
    width, marks = _marks(cells)
    fig = figure(max(6.4, 2.4 + 2.2 * len(cells)), 4.6)
    axis = fig.subplots()
    for mark in marks:
        found, unit = mark.found, _unit(mark.cell, "mean_ms")
        if found["mean_ms"] is None:
            continue
        axis.bar(mark.x, found["mean_ms"] / unit, 0.9 * width, color=mark.colour, label=mark.label)
        axis.plot(mark.x, found["p95_ms"] / unit, marker="_", markersize=60 * width, color=INK)
        blocks = [b / unit for b in found["block_means_ms"] if b is not None]
        axis.plot([mark.x] * len(blocks), blocks, linestyle="", marker=".", markersize=3, color=INK, alpha=0.5)
    for k, cell in enumerate(cells):
        if cell["bound_ms"] is not None:
            axis.plot([k - 0.45, k + 0.45], [cell["bound_ms"] / _unit(cell, "mean_ms")] * 2, color=INK, linestyle="--",
                      linewidth=1.0)
    _label(axis, cells, "latency over the best other's mean",
           "Mean (bar), means of blocks (dots), 95th percentile (line), lower bound (dashed)")
    save(fig, path)


def _unit(cell: Mapping[str, Any], what: str) -> float:
    """The least of a figure among the other strategies; intra_dp's own when it is alone."""
    values = {name: f[what] for name, f in cell["strategies"].items() if f[what]}
    others = [value for name, value in values.items() if name != "intra_dp"]
    return min(others or list(values.values()) or [1.0])


def draw_energy(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: mean energy of a frame, by the power model, over the thriftiest other strategy's."""
    width, marks = _marks(cells)
    fig = figure(max(6.4, 2.4 + 1.8 * len(cells)), 3.6)
    axis = fig.subplots()
    for mark in marks:
        if mark.found["energy_j"]:
            axis.bar(mark.x, mark.found["energy_j"] / _unit(mark.cell, "energy_j"), 0.9 * width, color=mark.colour,
                     label=mark.label)
    _label(axis, cells, "energy over the thriftiest other's", "Energy of the robot for a frame (power model)")
    axis.set_yscale("log")
    save(fig, path)


def draw_bandwidth(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: every frame's latency against the bandwidth estimated when it began, a panel a model."""
    models = list(dict.fromkeys((cell["model"], cell["codec"]) for cell in cells))
    names = list(dict.fromkeys(name for cell in cells for name in cell["strategies"]))
    styles, columns = style_of(names), min(3, len(models))
    rows = -(-len(models) // columns)
    fig = figure(3.2 * columns + 1.6, 2.8 * rows)
    panels = np.atleast_1d(fig.subplots(rows, columns)).ravel()
    for panel, (model, codec) in zip(panels, models):
        for name in names:
            points = [p for c in cells if (c["model"], c["codec"]) == (model, codec)
                      for p in c["strategies"].get(name, {}).get("points", ()) if p[0] > 0]
            panel.plot([p[0] for p in points], [p[1] for p in points], linestyle="", marker=".", markersize=3,
                       alpha=0.6, color=styles[name][0], label=name)
        panel.set_xscale("log")
        panel.set_ylim(bottom=0.0)
        title(panel, "{}, {}".format(model_name(model), codec))
    for panel in panels[len(models):]:
        panel.set_visible(False)
    panels[0].set_ylabel("latency [ms]")
    panels[(rows - 1) * columns].set_xlabel("estimated bandwidth [MB/s]")
    panels[min(columns, len(models)) - 1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    save(fig, path)


def _label(axis: Any, cells: Sequence[Mapping[str, Any]], what: str, words: str) -> None:
    axis.set_xticks(range(len(cells)))
    axis.set_xticklabels(["{}\n{}\n{}".format(model_name(c["model"]), trace_name(c["trace"]), c["codec"])
                          for c in cells], fontsize=8)
    axis.set_ylabel(what)
    axis.grid(axis="y", color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(axis, words)


def draw_predicted(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: measured over predicted, median to 95th percentile, of every strategy on every cell."""
    _, marks = _marks(cells)
    fig = figure(max(6.4, 2.4 + 1.8 * len(cells)), 3.6)
    axis = fig.subplots()
    for mark in marks:
        ratio = mark.found["measured_over_predicted"]
        if ratio["median"] is None:
            continue
        axis.plot([mark.x, mark.x], [ratio["median"], ratio["p95"]], color=mark.colour, linewidth=2.0)
        axis.plot(mark.x, ratio["median"], marker=mark.marker, color=mark.colour, label=mark.label)
    axis.axhspan(0.9, 1.1, color=FAINT, alpha=0.5)
    axis.axhline(1.0, color=INK, linewidth=0.8)
    _label(axis, cells, "measured / predicted", "Inference: median (marker) to 95th percentile (line)")
    save(fig, path)
