"""DINA: every layer split between both sides, and gathered before the next one.

Mohammed et al., "Distributed Inference Acceleration with Adaptive DNN Partitioning and Offloading", INFOCOM 2020, as
the paper compares with it (tensor parallelism, its tables 1 and 2): the rows of every layer that can be cut are shared
by the two sides, and each side then gets all the other's rows, unless every reader works row by row and so needs only
the rows that are there (sums, concatenated channels).  The share is the best of a few around the devices' speeds.
"""
from typing import List

from intra_dp_ros.loss.baselines import local
from intra_dp_ros.loss.contract import contracted
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import DOWN, UP, Plan, Transfer, codec_of, validate
from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.tiling import Tiling

_AROUND = (0.5, 0.75, 1.0, 1.1)  # shares tried, as parts of the server's share of the speed


def plan(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw") -> Plan:
    """The split with the best of the shares tried; never none at all and never everything, which are other systems."""
    if link.up <= 0 or link.down <= 0:
        return local.plan(tiling, timeline, link, codec)
    rows = [rule.rows for rule in tiling.rules]
    robot, server = timeline.robot.frame_ms(rows), timeline.server.frame_ms(rows)
    fast = robot / (robot + server) if robot + server > 0 else 0.5
    small = contracted(tiling)
    times = Timeline(small, small.profile(timeline.robot), small.profile(timeline.server))
    plans = [split(small, min(0.95, fast * part), codec) for part in _AROUND]
    return small.expand(min(plans, key=lambda p: times.predict(p, link).latency_s))


def split(tiling: Tiling, share: float, codec: str = "raw") -> Plan:
    """Every layer split at this share of its rows, gathered after each; layers that cannot be cut run on the server."""
    codecs, stops = codec_of(tiling, codec), []
    transfers: List[Transfer] = []
    graph = tiling.graph
    for t in graph.inputs:
        if graph.consumers[t] and tiling.rows[t]:
            transfers.append(Transfer(t, 0, tiling.rows[t], UP, codecs(t, UP), 1))
    gathered = {t: _is_gathered(tiling, t) for t in tiling.rows}
    for node, rule in zip(graph.nodes, tiling.rules):
        stop = max(1, round(share * rule.rows)) if rule.kind == LOCAL and rule.rows > 1 else rule.rows
        stops.append(stop)
        for t in node.outputs:
            if gathered[t] and stop < rule.rows:
                transfers.append(Transfer(t, stop, rule.rows, UP, "raw", 1))
            if (gathered[t] or t in graph.outputs) and stop:
                transfers.append(Transfer(t, 0, stop, DOWN, codecs(t, DOWN), 1))
    found = Plan(graph.hash, "dina", tuple(stops), tuple(stops), tuple(transfers))
    validate(tiling, found)
    return found


def _is_gathered(tiling: Tiling, tensor: int) -> bool:
    """Whether a reader needs other rows of a tensor than those it computes."""
    readers = [tiling.rules[v] for v in tiling.graph.consumers[tensor]]
    return any(rule.kind != LOCAL or rule.rows < 2 or not dict(rule.maps)[tensor].is_identity for rule in readers)
