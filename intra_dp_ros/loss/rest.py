"""What a plan takes when a frame goes on by it in its middle: the rows of its inputs that were sent stay there."""
from dataclasses import replace
from typing import Mapping

from intra_dp_ros.loss.link_model import Carrier, LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import UP, Plan


def rest_s(timeline: Timeline, plan: Plan, link: LinkModel, sent: Mapping[int, float], in_flight: float = 0.0) -> float:
    """From now on [s], until the outputs are whole; nothing that was computed is used again.

    Args:
        link: as it is from now on.
        sent: tensor -> one past the last row of it that was sent; of the inputs only it counts.
        in_flight: of those, on their way [byte]: the link carries nothing before them.
    """
    free_s, inputs = link.finish(UP, 0.0, in_flight), timeline.tiling.graph.inputs
    there = {t: sent[t] for t in inputs if t in sent}
    return timeline.predict(plan, with_rows(plan, link, there), carrier=_after(free_s, link.finish)).latency_s


def with_rows(plan: Plan, link: LinkModel, sent: Mapping[int, float]) -> LinkModel:
    """The link for a plan of which these rows of the inputs need no sending: its pieces are so much smaller."""
    codecs = dict(link.codecs)
    for t in plan.transfers:
        if t.direction == UP and t.tensor in sent:
            left = max(0.0, t.stop - max(t.start, sent[t.tensor])) / (t.stop - t.start)
            codecs["{}@{}".format(t.codec, t.tensor)] = tuple(left * cost for cost in link.costs(t.codec, t.tensor))
    return replace(link, codecs=codecs)


def _after(free_s: float, carrier: Carrier) -> Carrier:
    return lambda direction, start, nbytes: carrier(direction, max(start, free_s), nbytes)
