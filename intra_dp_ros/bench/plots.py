"""Pictures of a demo record.

Every title states what the picture shows.  The strategies' colours are Okabe and Ito's, which colour-blind people tell
apart, and their markers tell them apart without colour.
"""
from typing import Dict, List, Sequence, Tuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from intra_dp_ros.bench.record import INTRA_DP, LOCAL, OFFLOAD, PARTS, BandwidthPoint, DemoRecord
from intra_dp_ros.bench.summary import samples_of, strategies_of

INK, FAINT = "#333333", "#D9D9D9"
DPI = 120  # [pixel/inch]
_MANY = 120  # frames of a strategy from which markers are small
_SEEN = 0.004  # of the longest bar: parts below are a hairline, and not in the legend
_STRATEGY = {LOCAL: ("#0072B2", "s"), OFFLOAD: ("#E69F00", "^"), INTRA_DP: ("#009E73", "o")}
_OTHERS = (("#CC79A7", "D"), ("#D55E00", "v"), ("#56B4E9", "P"), ("#999999", "X"))
#: Paul Tol's light scheme: other colours than the strategies', and dark text can be read on them.
PART_COLOURS: Dict[str, str] = {
    "capture": "#DDDDDD", "encode": "#BBCC33", "uplink_wait": "#EEDD88", "robot_compute": "#77AADD",
    "server_compute": "#EE8866", "downlink": "#44BB99", "merge": "#FFAABB", "publish": "#999999",
}
_PART_NAMES = {"uplink_wait": "uplink", "robot_compute": "robot compute", "server_compute": "server compute"}


def style_of(strategies: Sequence[str]) -> Dict[str, Tuple[str, str]]:
    """Strategy -> (colour, marker), the same in every picture."""
    others = [s for s in strategies if s not in _STRATEGY]
    found = dict(_STRATEGY)
    found.update((s, _OTHERS[i % len(_OTHERS)]) for i, s in enumerate(others))
    return found


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size [inch].  Without pyplot: no display, no global state, any thread."""
    fig = Figure(figsize=(width, height), dpi=DPI, constrained_layout=True)
    FigureCanvasAgg(fig)
    return fig


def title(axis, text: str) -> None:
    """What the picture shows, above it."""
    axis.set_title(text, loc="left", fontsize=11.5, color=INK)


def save(fig: Figure, path: str) -> None:
    """Write a PNG."""
    for axis in fig.axes:
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    fig.savefig(path, dpi=DPI, facecolor="white")


def medians_words(record: DemoRecord) -> str:
    """Median latency of the three strategies that every report compares, the fastest first."""
    medians = {s: float(np.median([x.latency_ms for x in samples_of(record, s)]))
               for s in (LOCAL, OFFLOAD, INTRA_DP) if samples_of(record, s)}
    if not medians:
        return "No frame was answered"
    words = ", ".join("{} {:.0f} ms".format(s, medians[s]) for s in sorted(medians, key=lambda s: medians[s]))
    return words + " (medians)"


def latency(record: DemoRecord, path: str) -> None:
    """Latency over time, one line a strategy, over the true bandwidth."""
    strategies = strategies_of(record)
    fig = figure(9.6, 5.0)
    top, low = fig.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    for strategy in strategies:
        samples, (colour, marker) = samples_of(record, strategy), style_of(strategies)[strategy]
        size = 3.5 if len(samples) < _MANY else 1.8
        top.plot([s.time_s for s in samples], [s.latency_ms for s in samples], color=colour, marker=marker,
                 markersize=size, linewidth=size / 3.0, label="{} ({} frames)".format(strategy, len(samples)))
    taken = [s for s in record.samples if s.outcome == "takeover"]
    if taken:
        top.plot([s.time_s for s in taken], [s.latency_ms for s in taken], linestyle="", marker="o", markersize=9,
                 markerfacecolor="none", markeredgecolor="#D55E00", label="robot took over ({})".format(len(taken)))
    top.set_ylim(bottom=0.0)
    top.set_ylabel("latency [ms]")
    top.grid(axis="y", color=FAINT, linewidth=0.6)
    top.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(top, "Latency over time: " + medians_words(record))
    _true_bandwidth(low, record)
    low.set_xlabel("time since the strategy's run began [s]")
    low.set_xlim(left=0.0)
    save(fig, path)


def _true_bandwidth(axis, record: DemoRecord) -> None:
    """Shaded for the run of intra_dp; thin lines for the other runs, which lie on its edge if the trace is the same."""
    runs = _runs(record)
    main = INTRA_DP if INTRA_DP in runs else next(iter(runs), "")
    for strategy, points in runs.items():
        times, values = [p.time_s for p in points], [p.true_MBps for p in points]
        if strategy == main:
            axis.fill_between(times, values, step="post", color="#BBBBBB", linewidth=0.0)
        axis.plot(times, values, drawstyle="steps-post", color=style_of(list(runs))[strategy][0], linewidth=0.7)
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("true link\n[MB/s]")


def _runs(record: DemoRecord) -> Dict[str, List[BandwidthPoint]]:
    """Bandwidth points by strategy, by time; strategies without any are left out."""
    runs = {s: sorted((p for p in record.bandwidth if p.strategy == s), key=lambda p: p.time_s)
            for s in dict.fromkeys(strategies_of(record) + [p.strategy for p in record.bandwidth])}
    return {s: points for s, points in runs.items() if points}


def bandwidth(record: DemoRecord, path: str) -> None:
    """What the link let through and what the robot believed, one panel for every run that estimated anything."""
    runs = {s: points for s, points in _runs(record).items() if any(p.estimate_MBps > 0.0 for p in points)}
    fig = figure(9.6, 1.0 + 2.0 * max(1, len(runs)))
    panels = fig.subplots(max(1, len(runs)), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (strategy, points) in zip(panels, runs.items()):
        times = [p.time_s for p in points]
        axis.fill_between(times, [p.true_MBps for p in points], step="post", color="#BBBBBB", linewidth=0.0,
                          label="true")
        axis.plot(times, [p.estimate_MBps if p.estimate_MBps > 0.0 else np.nan for p in points],
                  color=style_of(list(runs))[strategy][0], linewidth=1.6, label="estimate ({})".format(strategy))
        axis.set_ylabel("bandwidth [MB/s]")
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    panels[0].set_ylim(bottom=0.0)
    panels[0].set_xlim(left=0.0)
    title(panels[0], _bandwidth_title(runs))
    panels[-1].set_xlabel("time since the strategy's run began [s]")
    save(fig, path)


def _bandwidth_title(runs: Dict[str, List[BandwidthPoint]]) -> str:
    off = [abs(p.estimate_MBps - p.true_MBps) / p.true_MBps for points in runs.values() for p in points
           if p.estimate_MBps > 0.0 and p.true_MBps > 0.0]
    if not off:
        return "The bandwidth was never estimated"
    return "Uplink bandwidth: half of the estimates are within {:.0f} % of the true value".format(
        100.0 * float(np.median(off)))


def bars(record: DemoRecord, path: str) -> None:
    """Distribution of the latencies, and where the time of a mean frame goes."""
    strategies = [s for s in strategies_of(record) if samples_of(record, s)]
    fig = figure(9.6, 2.9 + 0.45 * len(strategies))
    left, right = fig.subplots(1, 2, gridspec_kw={"width_ratios": (1, 1.25)})
    _distribution(left, record, strategies)
    _parts(right, record, strategies)
    for axis in (left, right):
        axis.set_yticks(range(len(strategies)))
        axis.set_ylim(len(strategies) - 0.4, -0.6)
        axis.set_xlim(left=0.0)
        axis.grid(axis="x", color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(axis="y", length=0)
    left.set_yticklabels(strategies)
    right.set_yticklabels([])
    save(fig, path)


def _distribution(axis, record: DemoRecord, strategies: Sequence[str]) -> None:
    random = np.random.RandomState(0)
    for row, strategy in enumerate(strategies):
        values = np.array([s.latency_ms for s in samples_of(record, strategy)])
        colour, marker = style_of(strategies)[strategy]
        is_many = len(values) >= _MANY
        axis.scatter(values, row + random.uniform(-0.22, 0.22, len(values)), s=9 if is_many else 22, marker=marker,
                     color=colour, alpha=0.45 if is_many else 0.7, linewidths=0.0)
        low, middle, high = np.percentile(values, (5.0, 50.0, 95.0))
        axis.plot((low, high), (row, row), color=INK, linewidth=1.2)
        axis.plot((middle, middle), (row - 0.32, row + 0.32), color=INK, linewidth=2.4)
        axis.text(middle, row - 0.36, "{:.0f}".format(middle), ha="center", va="bottom", fontsize=9, color=INK)
    axis.set_xlabel("latency [ms]; thick: median, line: 5-95 %")
    title(axis, "Latency of every frame")


def _parts(axis, record: DemoRecord, strategies: Sequence[str]) -> None:
    """Parts that ran at the same time stand behind one another, so a bar may be longer than the frame took."""
    means = {s: {part: float(np.mean([x.parts.get(part, 0.0) for x in samples_of(record, s)])) for part in PARTS}
             for s in strategies}
    longest = max((sum(parts.values()) for parts in means.values()), default=0.0)
    shown = {part for parts in means.values() for part, mean in parts.items() if mean > _SEEN * longest}
    for row, strategy in enumerate(strategies):
        samples, begin = samples_of(record, strategy), 0.0
        for part in PARTS:
            mean = means[strategy][part]
            if mean > 0.0:
                axis.barh(row, mean, left=begin, height=0.5, color=PART_COLOURS[part], edgecolor="white",
                          linewidth=0.6)
                begin += mean
        whole = float(np.mean([s.latency_ms for s in samples]))
        axis.plot((whole, whole), (row - 0.36, row + 0.36), color=INK, linewidth=2.4)
    handles = [Line2D((), (), marker="s", linestyle="", markersize=8, color=PART_COLOURS[part],
                      label=_PART_NAMES.get(part, part)) for part in PARTS if part in shown]
    handles.append(Line2D((), (), color=INK, linewidth=2.4, marker="|", markersize=10, linestyle="",
                          markeredgewidth=2.4, label="latency"))
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, -0.22), ncol=(len(handles) + 1) // 2,
                frameon=False, fontsize=8.5, columnspacing=1.0, handletextpad=0.3)
    axis.set_xlabel("mean of frames [ms]; past the mark: overlap")
    title(axis, _parts_title(record))


def _parts_title(record: DemoRecord) -> str:
    hidden = [sum(s.parts.values()) - s.latency_ms for s in samples_of(record, INTRA_DP)]
    if not hidden or np.mean(hidden) < 1.0:
        return "Parts of a frame"
    return "Parts: at least {:.0f} ms overlap in intra_dp".format(np.mean(hidden))
