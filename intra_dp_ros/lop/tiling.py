"""Where the split axis sits in every tensor of a graph, and how every operator is cut along it.

This is the analysis that local operator parallelism rests on (paper section 4.1).  It needs no torch.
"""
from collections import Counter
from typing import Dict, List, Optional, Tuple

from intra_dp_ros.graph.graph import Graph, Ref
from intra_dp_ros.lop.rules.rule import GLOBAL, Context, Rule
from intra_dp_ros.lop.rules.table import ANY_OPERAND, RULES


class Tiling:
    """A graph, cut into rows.

    Args:
        graph: the recorded model.
        axes: dimension of each graph input that is the split axis, None where it has no rows; default: see
            `input_axes`.

    Attributes:
        axis: tensor -> dimension of the split axis, None where the tensor has no rows.
        rows: tensor -> rows along it; 1 where it has none.
        row_bytes: tensor -> bytes of one row.
        rules: node -> `Rule`.
    """

    def __init__(self, graph: Graph, axes: Optional[Tuple[Optional[int], ...]] = None) -> None:
        self.graph = graph
        self.axis: Dict[int, Optional[int]] = dict(zip(graph.inputs, input_axes(graph) if axes is None else axes))
        self.rules: List[Rule] = []
        for node in graph.nodes:
            rule = rule_of(Context(graph, node, self.axis))
            self.rules.append(rule)
            self.axis.update(zip(node.outputs, rule.axes))
        self.rows = {t: 1 if a is None else graph.tensors[t].shape[a] for t, a in self.axis.items()}
        self.row_bytes = {t: graph.tensors[t].nbytes // max(1, n) for t, n in self.rows.items()}

    def row_shape(self, tensor: int, start: int, stop: int) -> Tuple[int, ...]:
        """Shape of rows ``[start, stop)`` of a tensor."""
        shape, axis = list(self.graph.tensors[tensor].shape), self.axis[tensor]
        if axis is not None:
            shape[axis] = stop - start
        return tuple(shape)

    def global_operators(self) -> Dict[str, int]:
        """Operators that are not cut, with how often they occur; reported, so that nobody has to guess."""
        return dict(Counter(n.op for n, r in zip(self.graph.nodes, self.rules) if r.kind == GLOBAL))

    def uncut_in_words(self, kinds: int = 4) -> str:
        """What is not cut, for people: the kinds of operators that hold back most bytes, and where they stand."""
        found: Dict[str, List[int]] = {}
        for v, rule in enumerate(self.rules):
            if rule.kind == GLOBAL:
                found.setdefault(self.graph.nodes[v].op, []).append(v)
        if not found:
            return "all operators can be cut into rows"

        def held_back(op: str) -> int:
            return sum(self.graph.tensors[t].nbytes for v in found[op] for t in self.graph.nodes[v].inputs)
        largest = sorted(found, key=held_back, reverse=True)
        words = ["{} {}{}".format(len(found[op]), op, " ({})".format(self.graph.nodes[found[op][0]].source)
                                  if self.graph.nodes[found[op][0]].source else "") for op in largest[:kinds]]
        more = ["{} of other kinds".format(sum(len(found[op]) for op in largest[kinds:]))] if len(found) > kinds else []
        return "{} of {} operators need their whole input: {}".format(
            sum(map(len, found.values())), len(self.rules), ", ".join(words + more))


def rule_of(ctx: Context) -> Rule:
    """How a node is cut, given where the axis sits in its inputs."""
    function = RULES.get(ctx.node.name)
    if function is None or all(ctx.axis(Ref(t)) is None for t in ctx.node.inputs):
        return ctx.everything()
    leading = ctx.arg("self", ctx.arg("input"))
    if function not in ANY_OPERAND and leading is not None and not ctx.is_row_wise(leading):
        return ctx.everything()
    return function(ctx) or ctx.everything()


def input_axes(graph: Graph) -> Tuple[Optional[int], ...]:
    """The axes the graph was prepared for, or the default ones."""
    return graph.input_axes or tuple(default_axis(graph.tensors[t].shape) for t in graph.inputs)


def default_axis(shape: Tuple[int, ...]) -> Optional[int]:
    """H of an NCHW or NHWC image (also without batch), None for tensors of fewer than three dimensions."""
    if len(shape) < 3:
        return None
    spatial = shape[-3:]
    first = len(shape) - 3
    return first if spatial[2] <= 4 < spatial[0] else first + 1
