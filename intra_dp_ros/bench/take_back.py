"""The link falls in the middle of a frame: what going on by another plan is worth at best.

A robot goes on by the plan for the new bandwidth when it knows that (`runtime.rethink`).  Simulated here is the best
plan of its table, begun the moment the link falls, with every row of the input that is at the server by then.
"""
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from intra_dp_ros.loss.frame import Frames
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.rest import with_rows
from intra_dp_ros.loss.table import PlanTable
from intra_dp_ros.loss.timeline import Timeline

_LEAST = 0.2e6  # [byte/s]; below it nothing is worth sending
_SENT = (0.2, 0.4, 0.6, 0.8)  # shares of the input's rows that are at the server when the link falls


class Moment(NamedTuple):
    """What a frame still takes after the link fell [s]."""

    sent: float  # share of the input's rows
    rate: float  # of the link from then on [byte/s]
    planned_s: float  # by the plan it began with
    alone_s: float  # computed on the robot
    other_s: float  # by the best other plan; infinite: there is none


def moments(timeline: Timeline, table: PlanTable, link: LinkModel, before: float, after: Sequence[float]
            ) -> List[Moment]:
    """For a link that falls from one rate to each of others [byte/s], after each of some shares of the input.

    Args:
        link: all but the bandwidths.
    """
    tiling = timeline.tiling
    alone_s = timeline.robot.frame_ms([rule.rows for rule in tiling.rules]) / 1e3
    began = table.rungs[table.lookup(before)].plan
    found = []
    for sent in _SENT:
        rows = {t: sent * tiling.rows[t] for t in tiling.graph.inputs}
        played = {plan.epoch: Frames(timeline, plan, with_rows(plan, link, rows))
                  for plan in table.plans if not plan.is_local}
        for rate in after:
            took = {epoch: frames.play(lambda _, start, nbytes: start + nbytes / rate).latency_s
                    for epoch, frames in played.items()}
            found.append(Moment(sent, rate, took.pop(began.epoch, alone_s), alone_s,
                                min(took.values(), default=float("inf"))))
    return found


def rates_below(rates: Sequence[float]) -> List[float]:
    """From the lowest of a trace's rates on, doubled, those below its highest [byte/s]."""
    low, high = max(_LEAST, min(rates)), max(rates)
    found = []
    while low < high:
        found.append(low)
        low *= 2.0
    return found


def figures(found: Sequence[Moment]) -> Dict[str, Any]:
    """Ready for JSON: other plans' times over the sooner of both ways there are, and how often they would be sooner."""
    ratios = [m.other_s / min(m.planned_s, m.alone_s) for m in found if m.other_s < float("inf")]
    return {"moments": [list(m) for m in found], "least": min(ratios, default=None),
            "share_sooner": sum(r < 1.0 for r in ratios) / len(ratios) if ratios else None}


def in_words(found: Mapping[str, Any]) -> str:
    """Of `figures`."""
    if not found["moments"]:
        return "The link does not fall."
    if found["least"] is None:
        return ("Going on by another plan: at no bandwidth is another one the best, so there is no other plan to go on "
                "by in mid-frame.")
    return ("Going on by another plan after a fall (simulated: {} moments and rates; it is known at once, a change "
            "costs nothing): the best other plan would take {:.2f} of the sooner of staying and computing alone at "
            "least, and be sooner in {:.0%} of them.").format(
                len(found["moments"]), found["least"], found["share_sooner"])
