"""Figures 1 and 7 of the paper and an overview, from simulated results."""
from typing import Dict, Tuple

import numpy as np

from intra_dp_ros.apps.models import load_model
from intra_dp_ros.bench import hardware
from intra_dp_ros.bench.options import random_inputs
from intra_dp_ros.bench.plots import INK, figure, save, style_of, title
from intra_dp_ros.bench.published import CASES, ENVIRONMENTS, Data
from intra_dp_ros.graph.record import record
from intra_dp_ros.loss import device_csv
from intra_dp_ros.loss.baselines.neurosurgeon import cut_plan
from intra_dp_ros.loss.frame import Frames
from intra_dp_ros.loss.link_model import FULL
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.wire.shaper import Trace

_COLOURS = (("share_local", "#0072B2", "local"), ("share_split", "#009E73", "split"),
            ("share_offload", "#E69F00", "offload"))


def strategies(results: Dict[Tuple[str, str, str], Dict], path: str) -> None:
    """Mean latency of every strategy, a panel a model and environment, lossless."""
    fig = figure(10.0, 6.6)
    axes = fig.subplots(2, len(CASES))
    for row, e in enumerate(ENVIRONMENTS):
        for column, case in enumerate(CASES):
            axis, cell = axes[row][column], results["lossless", case.name, e]
            names = list(cell["strategies"])
            styles = style_of(names)
            values = [cell["strategies"][n]["mean_ms"] for n in names]
            axis.bar(range(len(names)), values, color=[styles[n][0] for n in names])
            axis.plot(range(len(names)), [cell["strategies"][n]["p95_ms"] for n in names], linestyle="", marker="_",
                      color=INK, markersize=9)
            axis.axhline(cell["bound_ms"], color=INK, linestyle="--", linewidth=1.0)
            axis.set_yscale("log")
            axis.set_xticks(range(len(names)))
            axis.set_xticklabels(names, rotation=60, ha="right", fontsize=8)
            title(axis, "{}, {}: {:.0f} ms".format(case.name, e, cell["strategies"]["intra_dp"]["mean_ms"]))
    axes[0][0].set_ylabel("latency [ms]")
    axes[1][0].set_ylabel("latency [ms]")
    fig.suptitle("Mean latency (bar), 95th percentile (tick) and lower bound (dashed), lossless codecs", fontsize=11)
    save(fig, path)


def categories(results: Dict[Tuple[str, str, str], Dict], path: str) -> None:
    """Figure 7: how often each strategy stays on the robot, splits, or offloads everything."""
    fig = figure(10.0, 6.6)
    axes = fig.subplots(2, len(CASES), sharey=True)
    for row, e in enumerate(ENVIRONMENTS):
        for column, case in enumerate(CASES):
            axis, cell = axes[row][column], results["as published", case.name, e]["strategies"]
            names, base = list(cell), np.zeros(len(cell))
            for key, colour, word in _COLOURS:
                share = np.array([cell[n][key] for n in names])
                axis.bar(range(len(names)), share * 100, bottom=base * 100, color=colour, label=word)
                base += share
            axis.set_xticks(range(len(names)))
            axis.set_xticklabels(names, rotation=60, ha="right", fontsize=8)
            title(axis, "{}, {}".format(case.name, e))
        axes[row][0].set_ylabel("frames [%]")
    axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    fig.suptitle("Where frames were computed, same bytes for all", fontsize=11)
    save(fig, path)


def cut_layers(data: Data, path: str) -> None:
    """Figure 1: latency and energy of VGG19 by the layer at which it is cut, at the mean bandwidth indoors."""
    case = next(c for c in CASES if c.name == "VGG19_BN")
    model = load_model(case.model, "", seed=0, shape=case.shape, dtype=case.dtype)
    tiling = Tiling(prepare(record(model.module, random_inputs(model, 0))).graph)
    mapped = device_csv.map_rows(tiling, device_csv.read(data.profile(case)), scale=hardware.PUBLISHED_SCALE)
    timeline = Timeline(tiling, mapped.robot, mapped.server)
    link = hardware.link_of(tiling, "raw", hardware.MESSAGE_COSTS["published"], FULL, 0.002, 1.0)
    rate = Trace.read(data.trace("indoors")).mean
    found = [Frames(timeline, cut_plan(tiling, cut), link).play(lambda _, start, nbytes: start + nbytes / rate)
             for cut in range(len(tiling.rules) + 1)]
    fig = figure(9.0, 3.8)
    axis = fig.subplots()
    axis.plot([p.latency_s * 1e3 for p in found], color="#0072B2", marker="o", markersize=3.5, label="latency [ms]")
    axis.set_yscale("log")
    axis.set_xlabel("operators computed on the robot")
    axis.set_ylabel("latency [ms]", color="#0072B2")
    other = axis.twinx()
    other.plot([p.energy_j for p in found], color="#D55E00", marker="s", markersize=3.5)
    other.set_ylabel("energy [J]", color="#D55E00")
    best = int(np.argmin([p.latency_s for p in found]))
    title(axis, "VGG19_BN cut after each operator at {:.1f} MB/s: best after {} of {}, {:.0f} ms".format(
        rate / 1e6, best, len(found) - 1, found[best].latency_s * 1e3))
    save(fig, path)
