"""Operators in chains: each but the first needs, row by row, what the one before it computed and nobody else reads."""
from typing import Callable, Dict, Iterable, List, Tuple

from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.tiling import Tiling


def chains(tiling: Tiling, nodes: Iterable[int], joins: Callable[[int, int, int], bool]) -> List[Tuple[int, ...]]:
    """The nodes in chains, ordered by their last one, which keeps every reader behind what it reads.

    Args:
        nodes: in execution order; readers outside of them do not count.
        joins: whether node v may follow node u in a chain, given (u, v, the tensor between them).
    """
    nodes = list(nodes)
    here, graph = frozenset(nodes), tiling.graph
    found: Dict[int, Tuple[int, ...]] = {}  # last node -> chain

    def follows(u: int, v: int, t: int) -> bool:
        return (u in found and tiling.rules[u].kind == LOCAL and len(graph.nodes[u].outputs) == 1
                and [w for w in graph.consumers[t] if w in here] == [v] and joins(u, v, t))

    for v in nodes:
        maps = tiling.rules[v].maps if tiling.rules[v].kind == LOCAL else ()
        before = next((graph.producer[t] for t, rows in maps
                       if t in graph.producer and follows(graph.producer[t], v, t) and rows.is_identity), None)
        found[v] = (v,) if before is None else (*found.pop(before), v)
    return list(found.values())
