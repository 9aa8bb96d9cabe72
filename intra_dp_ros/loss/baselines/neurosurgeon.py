"""The best layer cut: the robot computes the operators before it, the server the rest.

Kang et al., "Neurosurgeon: Collaborative Intelligence Between the Cloud and Mobile Edge", ASPLOS 2017.  Published for
chains; on a graph the cut lies anywhere in the execution order and every tensor that crosses it travels.
"""
from typing import List, Sequence, Tuple

import numpy as np

from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.population import Population
from intra_dp_ros.loss.queues import outcomes
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan, complete, codec_of
from intra_dp_ros.lop.tiling import Tiling

_AT_ONCE = 64  # cuts evaluated together: more would only take memory


def plan(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw") -> Plan:
    """The cut with the least predicted latency; offloading and running locally are cuts at either end.

    Ties go to the cut that leaves more to the robot.
    """
    return plans(tiling, timeline, [link], codec)[0]


def plans(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str = "raw") -> List[Plan]:
    """`plan` for links that differ in their bandwidths only."""
    latencies = cut_latencies(tiling, timeline, links, codec)[::-1]
    return [cut_plan(tiling, len(latencies) - 1 - cut, codec) for cut in np.argmin(latencies, axis=0).tolist()]


def cut_latencies(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str = "raw") -> np.ndarray:
    """Predicted latency [s] of every cut, from 0 (offload) to the number of operators (local), on every link."""
    rows = np.array([rule.rows for rule in tiling.rules])
    cuts = np.arange(len(rows) + 1)
    split = np.where(np.arange(len(rows)) < cuts[:, None], 0, rows)
    people, found = Population(timeline), []
    for i in range(0, len(cuts), _AT_ONCE):
        part = split[i:i + _AT_ONCE]
        once = np.ones(len(part), np.int64)
        work, _ = people.work(part, part, once, once, Plan.grain * once, once, codec_of(tiling, codec))
        found.append(outcomes(work, links).latency_s)
    return np.concatenate(found)


def cut_plan(tiling: Tiling, cut: int, codec: str = "raw", strategy: str = "neurosurgeon") -> Plan:
    """The robot computes the first `cut` operators."""
    split = [0 if v < cut else rule.rows for v, rule in enumerate(tiling.rules)]
    return complete(tiling, strategy, split, split, codec_of(tiling, codec))


def crossing_tensors(tiling: Tiling) -> List[Tuple[int, ...]]:
    """For every cut from 0 to the number of operators: the tensors made before it and read after it."""
    graph = tiling.graph
    last = {t: max(vs) for t, vs in graph.consumers.items() if vs}
    alive, found = [t for t in graph.inputs if t in last], []
    for v in range(len(graph.nodes) + 1):
        found.append(tuple(t for t in alive if last[t] >= v))
        if v < len(graph.nodes):
            alive = list(found[-1]) + [t for t in graph.nodes[v].outputs if last.get(t, -1) > v]
    return found
