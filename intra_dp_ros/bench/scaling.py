"""Several robots on one server: throughput, latency, how fair it is."""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench.plots import FAINT, figure, save, style_of, title
from intra_dp_ros.bench.summary import number


def shares(frames: Sequence[Mapping[str, Any]], robots: int) -> Dict[str, Any]:
    """What every robot got, and Jain's index of it (1: all the same; 1/n: one robot has everything).

    Args:
        frames: of one strategy (`Blocks.frames`).
        robots: how many there were; one without any frame has the rate 0, and no latency.
    """
    rates, means = [], []
    for robot in range(robots):
        own = [f for f in frames if f["robot"] == robot]
        seconds = 0.0
        for segment in {f["segment"] for f in own}:
            block = [f for f in own if f["segment"] == segment]
            seconds += max(f["trace_s"] + f["latency_ms"] / 1e3 for f in block) - min(f["trace_s"] for f in block)
        rates.append(len(own) / max(seconds, 1e-3))
        if own:
            means.append(float(np.mean([f["latency_ms"] for f in own])))
    return {"frames_per_s": float(sum(rates)) if frames else None, "robots_mean_ms": means,
            "fairness_rate": jain(rates), "fairness_latency": jain(means)}


def jain(values: Sequence[float]) -> Optional[float]:
    """Jain's fairness index (Jain, Chiu, Hawe 1984); None of nothing."""
    x = np.asarray(values, float)
    return float(x.sum() ** 2 / (len(x) * (x ** 2).sum())) if x.any() else None


def series(cells: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """The cells of runs with several numbers of robots, all else alike."""
    def alike(cell: Mapping[str, Any]) -> Tuple[Any, ...]:
        return tuple(cell.get(name) for name in ("model", "trace", "codec", "command"))
    counts: Dict[Tuple[Any, ...], set] = {}
    for cell in cells:
        counts.setdefault(alike(cell), set()).add(cell["robots"])
    return [cell for cell in cells if len(counts[alike(cell)]) > 1]


def table(cells: Sequence[Mapping[str, Any]]) -> List[str]:
    """A Markdown table, a row for every number of robots and strategy."""
    lines = ["| model | robots | strategy | frames/s, all | mean ms | p95 | robot computes some or all | "
             "measured / predicted (median, p95) | fairness of rate, latency | lost | server CPU | robot CPU |",
             "|" + "---|" * 12]
    for cell in cells:
        for name, f in cell["strategies"].items():
            alone = None if f["share_local"] is None else 1.0 - f["share_offload"]
            ratio = f["measured_over_predicted"]
            lines.append("| {} | {} | {} | {} | {} | {} | {} | {}, {} | {}, {} | {} | {} | {} |".format(
                cell["model"], cell["robots"], name, number(f["frames_per_s"], "{:.1f}"), number(f["mean_ms"]),
                number(f["p95_ms"]), number(alone, "{:.0%}"), number(ratio["median"], "{:.2f}"),
                number(ratio["p95"], "{:.2f}"), number(f["fairness_rate"], "{:.3f}"),
                number(f["fairness_latency"], "{:.3f}"), f["frames_lost"], number(f["server_cpu_share"], "{:.0%}"),
                number(f["cpu_share"], "{:.0%}")))
    return lines


def picture(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: throughput and latency by the number of robots, of the first cell's model.

    Raises:
        OSError: the file cannot be written.
    """
    cells = sorted((c for c in cells if c["model"] == cells[0]["model"] and c["trace"] == cells[0]["trace"]),
                   key=lambda c: c["robots"])
    names = list(dict.fromkeys(name for cell in cells for name in cell["strategies"]))
    styles, fig = style_of(names), figure(9.0, 3.8)
    rate, latency = fig.subplots(1, 2)
    for name in names:
        found = [(c["robots"], c["strategies"][name]) for c in cells if c["strategies"].get(name, {}).get("mean_ms")]
        robots, colour, marker = [n for n, _ in found], styles[name][0], styles[name][1]
        rate.plot(robots, [f["frames_per_s"] for _, f in found], color=colour, marker=marker, label=name)
        latency.plot(robots, [f["mean_ms"] for _, f in found], color=colour, marker=marker, label=name)
        latency.plot(robots, [f["p95_ms"] for _, f in found], color=colour, linestyle=":", linewidth=1.2)
    for axis, words in ((rate, "frames per second, all robots"), (latency, "latency [ms]: mean, 95 % (dotted)")):
        axis.set_xlabel("robots on one server")
        axis.set_xticks([c["robots"] for c in cells])
        axis.set_ylabel(words)
        axis.set_ylim(bottom=0.0)
        axis.grid(color=FAINT, linewidth=0.6)
    latency.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(rate, "{} on {}".format(cells[0]["model"], cells[0]["trace"]))
    save(fig, path)
