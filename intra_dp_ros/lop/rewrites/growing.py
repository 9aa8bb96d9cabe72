"""A graph under construction in which calls are replaced by equal ones."""
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from intra_dp_ros.graph.graph import ConstSpec, Graph, OpNode, Ref, TensorSpec
from intra_dp_ros.lop.rules.rule import Context, Rule, reduced
from intra_dp_ros.lop.tiling import rule_of

#: Types whose sums are kept in float32 until the end.
HALF = frozenset({"float16", "bfloat16"})


class Growing:
    """The new graph under construction; to a `Context` it looks like a graph."""

    def __init__(self, graph: Graph, axes: Tuple[Optional[int], ...]) -> None:
        self.tensors: List[TensorSpec] = list(graph.tensors)
        self.constants: Mapping[str, ConstSpec] = graph.constants
        self.nodes: List[OpNode] = []
        self.input_axes = axes
        self.axis: Dict[int, Optional[int]] = dict(zip(graph.inputs, axes))
        self.read = {t for node in graph.nodes for t in node.inputs} | set(graph.outputs)  # before anything is replaced

    def keep(self, node: OpNode) -> Rule:
        """Append a node as it is."""
        self.nodes.append(node)
        rule = rule_of(Context(self, node, self.axis))
        self.axis.update(zip(node.outputs, rule.axes))
        return rule

    def add(self, like: OpNode, op: str, shape: Tuple[int, ...], dtype: str, /, *unread: str, **args: Any) -> Ref:
        """Append a call that makes a new tensor; it counts as made by the line that made `like`.

        Args:
            unread: types of further outputs of the call, of the same shape, that nobody reads.
        """
        made = Ref(len(self.tensors))
        self.tensors += [TensorSpec(tuple(shape), name) for name in (dtype, *unread)]
        self.keep(OpNode(op, args, tuple(range(made.tensor, len(self.tensors))), like.source))
        return made

    def finish(self, like: OpNode, op: str, output: int, /, **args: Any) -> bool:
        """Append the call that makes an output of the node that is replaced."""
        self.keep(OpNode(op, args, (like.outputs[output],), like.source))
        return True


Rewrite = Callable[[Context, Growing], bool]  # whether it has appended something in the node's place


def other_dims(ctx: Context, dims: Any, tensor: Optional[Ref] = None) -> Tuple[int, ...]:
    """Dimensions longer than one, but for the axis, that are reduced; `dims` None or (): all."""
    tensor = ctx.arg("self") if tensor is None else tensor
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    gone = reduced(dims, len(shape))
    return tuple(d for d in sorted(gone) if d != axis and shape[d] > 1) if axis in gone else ()


def shrunk(shape: Tuple[int, ...], dims: Tuple[int, ...]) -> Tuple[int, ...]:
    return tuple(1 if d in dims else n for d, n in enumerate(shape))
