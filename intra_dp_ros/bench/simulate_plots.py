"""Pictures of a simulated drive."""
from typing import Any, Dict, Mapping, Sequence

import numpy as np

from intra_dp_ros.bench.drive import DrivenFrame
from intra_dp_ros.bench.plots import FAINT, INK, figure, save, style_of, title
from intra_dp_ros.wire.shaper import Trace

_WINDOW_S = 60.0  # of the drive that is shown frame by frame


def draw(result: Mapping[str, Any], frames: Dict[str, Sequence[DrivenFrame]], trace: Trace, path: str) -> None:
    """A PNG: means and 95th percentiles by strategy, and one minute of the drive with the bandwidth behind it.

    Args:
        result: what `simulate` writes as JSON.
        frames: of every strategy.

    Raises:
        OSError: the file cannot be written.
    """
    names, styles = list(frames), style_of(list(frames))
    fig = figure(9.6, 6.4)
    bars, time = fig.subplots(2, 1, gridspec_kw={"height_ratios": (1, 1.4)})
    found = result["strategies"]
    for i, name in enumerate(names):
        colour = styles[name][0]
        bars.barh(i, found[name]["mean_ms"], color=colour, height=0.6)
        bars.plot(found[name]["p95_ms"], i, marker="|", markersize=14, color=INK)
        bars.annotate(" {:.0f}".format(found[name]["mean_ms"]), (found[name]["mean_ms"], i), va="center", fontsize=9)
    bars.axvline(result["bound_ms"], color=INK, linestyle="--", linewidth=1.0)
    bars.set_yticks(range(len(names)))
    bars.set_yticklabels(names)
    bars.invert_yaxis()
    bars.set_xlabel("latency [ms]: mean (bar), 95th percentile (tick), lower bound (dashed)")
    fastest = min(names, key=lambda n: found[n]["mean_ms"])
    title(bars, "{} over {}: {} is fastest, {:.0f} ms; no schedule can be below {:.0f} ms".format(
        result["model"], result["trace"], fastest, found[fastest]["mean_ms"], result["bound_ms"]))
    behind = time.twinx()
    when = np.arange(0.0, min(_WINDOW_S, float(result["seconds"])), 0.1)
    behind.fill_between(when, [trace.rate(t) / 1e6 for t in when], color=FAINT, step="post", linewidth=0.0)
    behind.set_ylabel("bandwidth [MB/s]")
    time.set_zorder(behind.get_zorder() + 1)
    time.patch.set_visible(False)
    for name in names:
        shown = [f for f in frames[name] if f.began_s < _WINDOW_S]
        time.plot([f.began_s for f in shown], [f.latency_s * 1e3 for f in shown], color=styles[name][0],
                  marker=styles[name][1], markersize=2.5, linewidth=0.8, label=name)
    time.set_yscale("log")
    time.set_xlabel("time [s]")
    time.set_ylabel("latency [ms]")
    time.legend(loc="upper left", bbox_to_anchor=(1.06, 1.0), frameon=False, fontsize=9)
    title(time, "frame by frame, the bandwidth behind")
    save(fig, path)
