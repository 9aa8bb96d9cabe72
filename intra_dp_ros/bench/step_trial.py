"""The link falls or rises in the middle of a frame: what that frame takes, with and without adapting to it.

A step at time t into a frame cannot cost less than t plus a whole frame on the robot, unless the robot had computed all
along: that is what a robot would need that knew of the step the moment it happens.  A frame that the robot computes
alone when the link rises takes a whole local frame, unless the rise is noticed in time for the server to be sooner:
by a probe, or by rows of the frame that are sent to find out.  Most frames that the robot begins alone and the server
finishes began after the rise, while the estimate was still low: those are told apart from the ones that a rise met.
"""
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench.plots import FAINT, INK, figure, save, title
from intra_dp_ros.bench.summary import number
from intra_dp_ros.runtime.stats import LOCAL

LIMIT = 1.2  # what a frame should take at most, in frames on the robot alone
_LEAST = 0.7  # of the higher rate the lower one is at most this share, or it is no step
_COLOURS = {True: "#009E73", False: "#D55E00"}
_GIVEN = "begun on the robot"  # in the reason of a frame that the server finished
_WORDS = {True: "adapts in mid-frame", False: "keeps to its plan"}


class Hit(NamedTuple):
    """A frame during which the link fell; times in frames on the robot alone."""

    after: float  # when it fell, since the frame began
    latency: float


#: When the link's rate changed (monotonic [s]), and to what [byte/s].
Changes = Sequence[Tuple[float, float]]


def rises(frames: Sequence[Mapping[str, Any]], changes: Changes, local_s: float) -> List[Hit]:
    """The frames in whose middle the link rose.

    Args:
        see `hits`.
    """
    return [hit for frame in frames for hit in _within(frame, _rises(changes), local_s)]


def hits(frames: Sequence[Mapping[str, Any]], changes: Changes, local_s: float) -> List[Hit]:
    """The frames begun with the server in whose middle the link fell.

    Args:
        frames: `Blocks.frames`.
        changes: of the rate, as the shaper made them: up to a tenth of a second after the trace's.
        local_s: a frame on the robot alone.
    """
    return [hit for frame in frames if frame["outcome"] != LOCAL and _GIVEN not in frame["reason"]
            for hit in _within(frame, _moments(changes, lambda before, after: after < _LEAST * before), local_s)]


def _rises(changes: Changes) -> List[float]:
    return _moments(changes, lambda before, after: _LEAST * after > before)


def _moments(changes: Changes, wanted: Callable[[float, float], bool]) -> List[float]:
    return [when for (_, before), (when, after) in zip(changes, changes[1:]) if wanted(before, after)]


def _within(frame: Mapping[str, Any], moments: Sequence[float], local_s: float) -> List[Hit]:
    took = frame["latency_ms"] / 1e3
    return [Hit((when - frame["sent"]) / local_s, took / local_s)
            for when in moments if 0.0 < when - frame["sent"] < took]


def _latencies(frames: Sequence[Mapping[str, Any]], local_s: float) -> List[float]:
    """In frames on the robot alone."""
    return [f["latency_ms"] / 1e3 / local_s for f in frames]


def figures(frames: Sequence[Mapping[str, Any]], changes: Changes, local_s: float, is_adaptive: bool
            ) -> Dict[str, Any]:
    """In a few numbers, ready for JSON; None where there was nothing.

    Args:
        see `hits`.
        is_adaptive: whether the robot's frames could change sides.
    """
    def of(values: Sequence[float], what: float) -> Optional[float]:
        return float(np.percentile(values, what)) if values else None

    found, risen = hits(frames, changes, local_s), rises(frames, changes, local_s)
    latency, floor = [h.latency for h in found], [h.after + 1.0 for h in found]
    given = [f for f in frames if _GIVEN in f["reason"]]  # and the server finished them
    met = [bool(_within(f, _rises(changes), local_s)) for f in given]
    given_in, given_after = (_latencies([f for f, is_met in zip(given, met) if is_met is wanted], local_s)
                             for wanted in (True, False))
    went_on = _latencies([f for f in frames if "went on by another plan" in f["reason"]], local_s)
    return {"adaptive": is_adaptive, "hits": [list(h) for h in found], "latency_median": of(latency, 50),
            "latency_max": of(latency, 100), "floor_median": of(floor, 50), "floor_max": of(floor, 100),
            "share_within": float(np.mean([x <= LIMIT for x in latency])) if found else None,
            "rises": [list(h) for h in risen], "rise_latency_mean": _mean([h.latency for h in risen]),
            "given_in_rise": given_in, "given_in_rise_latency_mean": _mean(given_in),
            "given_after_rise": given_after, "given_after_rise_latency_mean": _mean(given_after),
            "went_on": went_on, "went_on_latency_mean": _mean(went_on)}


def _mean(values: Sequence[float]) -> Optional[float]:
    return float(np.mean(values)) if values else None


def table(cells: Sequence[Mapping[str, Any]]) -> List[str]:
    """A Markdown table of cells with "steps"."""
    lines = ["| model | trace | the robot | steps in mid-frame | latency / local, median | largest | at most {:g} | "
             "knowing of the step at once, median | largest | rises in mid-frame | latency / local, mean | "
             "of them begun alone, finished by the server | latency / local, mean | begun alone after a rise, "
             "finished by the server | latency / local, mean | went on by another plan | "
             "latency / local, mean |".format(LIMIT), "|" + "---|" * 17]
    for cell in cells:
        found = cell["steps"]
        if not found["hits"]:
            lines.append("| {} | {} | {} | 0 |  |  |  |  |  | {} |".format(
                cell["model"], cell["trace"], _WORDS[found["adaptive"]], _risen(found)))
            continue
        lines.append("| {} | {} | {} | {} | {:.2f} | {:.2f} | {:.0%} | {:.2f} | {:.2f} | {} |".format(
            cell["model"], cell["trace"], _WORDS[found["adaptive"]], len(found["hits"]), found["latency_median"],
            found["latency_max"], found["share_within"], found["floor_median"], found["floor_max"], _risen(found)))
    return lines


def _risen(found: Mapping[str, Any]) -> str:
    """Counts and means; a dash for a count that an earlier run did not write."""
    return " | ".join("{} | {}".format(number(len(found[name]) if name in found else None),
                                       number(found.get(mean), "{:.2f}")) for name, mean in (
        ("rises", "rise_latency_mean"), ("given_in_rise", "given_in_rise_latency_mean"),
        ("given_after_rise", "given_after_rise_latency_mean"), ("went_on", "went_on_latency_mean")))


def picture(cells: Sequence[Mapping[str, Any]], path: str) -> None:
    """A PNG: when the link fell in a frame against what the frame took.

    Raises:
        OSError: the file cannot be written.
    """
    fig = figure(8.0, 4.2)
    axis = fig.subplots()
    latest = 0.1
    for is_adaptive in (False, True):
        found = [Hit(*h) for c in cells if c["steps"]["adaptive"] == is_adaptive for h in c["steps"]["hits"]]
        latest = max([latest, *(h.after for h in found)])
        axis.plot([h.after for h in found], [h.latency for h in found], linestyle="", marker="o", markersize=5,
                  color=_COLOURS[is_adaptive], label=_WORDS[is_adaptive])
    axis.plot([0.0, latest], [1.0, 1.0 + latest], color=INK, linestyle="--", label="knowing of the step at once")
    axis.axhline(LIMIT, color=FAINT)
    axis.set_xlabel("when the link fell, in frames on the robot alone since the frame began")
    axis.set_ylabel("latency, in frames on the robot alone")
    axis.set_ylim(bottom=0.0)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(axis, "Frames during which the link fell: {}".format(", ".join(sorted({c["trace"] for c in cells}))))
    save(fig, path)
