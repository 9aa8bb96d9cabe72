"""The best layer cut: the robot computes the operators before it, the server the rest.

Kang et al., "Neurosurgeon: Collaborative Intelligence Between the Cloud and Mobile Edge", ASPLOS 2017.  Published for
chains; on a graph the cut lies anywhere in the execution order and every tensor that crosses it travels.
"""
from typing import List, Tuple

from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan, complete
from intra_dp_ros.lop.tiling import Tiling

_SIMULATED = 6  # cuts that the formula likes best are simulated


def plan(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw") -> Plan:
    """The cut with the least predicted latency; offloading and running locally are cuts at either end."""
    plans = [cut_plan(tiling, cut, codec) for cut in best_cuts(tiling, timeline, link)[:_SIMULATED]]
    return min(plans, key=lambda p: timeline.predict(p, link).latency_s)


def cut_plan(tiling: Tiling, cut: int, codec: str = "raw", strategy: str = "neurosurgeon") -> Plan:
    """The robot computes the first `cut` operators."""
    split = [0 if v < cut else rule.rows for v, rule in enumerate(tiling.rules)]
    inputs = set(tiling.graph.inputs)
    return complete(tiling, strategy, split, split, lambda t, _: codec if t in inputs else "raw")


def best_cuts(tiling: Tiling, timeline: Timeline, link: LinkModel) -> List[int]:
    """All cuts, the best first, by the sum of computing and sending; ties go to the earlier cut."""
    robot, server = (_prefix_s(p.a_ms, p.b_ms, tiling) for p in (timeline.robot, timeline.server))
    crossing = crossing_tensors(tiling)
    out = sum(tiling.graph.tensors[t].nbytes for t in tiling.graph.outputs)
    costs: List[Tuple[float, int]] = []
    for cut, tensors in enumerate(crossing):
        cost = robot[cut] + server[-1] - server[cut]
        if cut < len(tiling.rules):
            up = sum(tiling.graph.tensors[t].nbytes for t in tensors)
            cost += (up / link.up if link.up > 0 else float("inf")) + link.rtt_s
            cost += out / link.down if link.down > 0 else float("inf")
        costs.append((cost, cut))
    return [cut for _, cut in sorted(costs)]


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


def _prefix_s(a_ms: Tuple[float, ...], b_ms: Tuple[float, ...], tiling: Tiling) -> List[float]:
    total = [0.0]
    for a, b, rule in zip(a_ms, b_ms, tiling.rules):
        total.append(total[-1] + (a + b * rule.rows) / 1e3)
    return total
