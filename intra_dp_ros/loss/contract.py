"""The graph as the scheduler sees it: cheap operators that work row by row belong to the operator before them.

Plans are searched on the contracted graph, a third to two thirds as large, and then spelled out for all operators.
"""
from dataclasses import replace
from functools import lru_cache
from typing import Dict, Sequence

import numpy as np

from intra_dp_ros.graph.graph import Graph, OpNode, Ref
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.lop.chains import chains
from intra_dp_ros.lop.interval import IntervalMap
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.rules.rule import Rule
from intra_dp_ros.lop.rules.table import POINTWISE
from intra_dp_ros.lop.tiling import Tiling


#: Operators that cost so little that a boundary right before them is never better than one right behind them.
_CHEAP = frozenset(POINTWISE) | frozenset((
    "permute transpose t reshape flatten squeeze unsqueeze layer_norm batch_norm softmax log_softmax prelu glu"
).split())


class ContractedTiling(Tiling):
    """A tiling with one rule for every chain; tensors keep their numbers.

    Attributes:
        chains: per operator of `graph` the nodes of the whole graph that it stands for, in execution order.
    """

    def __init__(self, whole: Tiling) -> None:
        self.whole = whole
        outputs, nodes = frozenset(whole.graph.outputs), whole.graph.nodes
        self.chains = chains(whole, range(len(nodes)),
                             lambda u, v, t: nodes[v].name in _CHEAP and t not in outputs)
        self.graph: Graph = replace(
            whole.graph, nodes=tuple(_node(whole, chain) for chain in self.chains), constants={})
        self.rules = [_rule(whole, chain) for chain in self.chains]
        self.axis, self.rows, self.row_bytes = whole.axis, whole.rows, whole.row_bytes

    def profile(self, profile: Profile) -> Profile:
        """Times of the chains, from those of their operators."""
        a, b = (tuple(sum(times[v] for v in chain) for chain in self.chains)
                for times in (profile.a_ms, profile.b_ms))
        return replace(profile, graph=self.graph.hash, a_ms=a, b_ms=b)

    def expand(self, plan: Plan) -> Plan:
        """The same plan for the whole graph."""
        stop, start = ([0] * len(self.whole.rules) for _ in range(2))
        for chain, s, r in zip(self.chains, plan.server_stop, plan.robot_start):
            for v in chain:
                stop[v], start[v] = s, r
        return replace(plan, graph=self.whole.graph.hash, server_stop=tuple(stop), robot_start=tuple(start))


@lru_cache(maxsize=4)
def contracted(tiling: Tiling) -> ContractedTiling:
    """The contraction of a tiling, made once for all bandwidths and strategies."""
    return ContractedTiling(tiling)


def _inner(tiling: Tiling, chain: Sequence[int]) -> frozenset:
    return frozenset(t for v in chain[:-1] for t in tiling.graph.nodes[v].outputs)


def _node(tiling: Tiling, chain: Sequence[int]) -> OpNode:
    nodes = [tiling.graph.nodes[v] for v in chain]
    reads = dict.fromkeys(t for n in nodes for t in n.inputs if t not in _inner(tiling, chain))
    return OpNode("+".join(n.op for n in nodes), {"inputs": tuple(Ref(t) for t in reads)}, nodes[-1].outputs,
                  nodes[0].source)


def _rule(tiling: Tiling, chain: Sequence[int]) -> Rule:
    last, inner = tiling.rules[chain[-1]], _inner(tiling, chain)
    maps: Dict[int, IntervalMap] = {}
    for v in chain:
        for t, rows in tiling.rules[v].maps:
            if t not in inner:
                maps[t] = _union(maps[t], rows) if t in maps else rows
    return replace(last, maps=tuple(maps.items()))


def _union(a: IntervalMap, b: IntervalMap) -> IntervalMap:
    """Rows that either of two readers needs, and those between."""
    lo = np.where(a.lo == a.hi, b.lo, np.where(b.lo == b.hi, a.lo, np.minimum(a.lo, b.lo)))
    return IntervalMap(a.n_in, np.minimum.accumulate(lo[::-1])[::-1], np.maximum(a.hi, b.hi))
