"""What a rule function is given and what it answers."""
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Optional, Tuple

from intra_dp_ros.graph.graph import Const, Graph, OpNode, Ref
from intra_dp_ros.lop.interval import IntervalMap, identity, whole

LOCAL = "local"  # output rows need some input rows
REDUCE = "reduce"  # combines one partial result a row: needs all of them, but they are small
GLOBAL = "global"  # needs its whole input


@dataclass(frozen=True)
class Rule:
    """How one node is cut."""

    kind: str  # LOCAL, REDUCE or GLOBAL
    axes: Tuple[Optional[int], ...]  # where the split axis sits in each output; None: the output has no rows
    rows: int  # output rows, alike for all outputs; 1 when they have none
    maps: Tuple[Tuple[int, IntervalMap], ...]  # one entry per input tensor: which of its rows are needed


class Context:
    """One node with what is known of its inputs; rule functions read everything through this."""

    def __init__(self, graph: Graph, node: OpNode, axis: Dict[int, Optional[int]]) -> None:
        self.graph = graph
        self.node = node
        self._axis = axis

    def arg(self, name: str, default: Any = None) -> Any:
        """An argument by schema name."""
        return self.node.args.get(name, default)

    def shape(self, arg: Any) -> Tuple[int, ...]:
        """Shape of a tensor argument: `Ref` or `Const`."""
        spec = self.graph.constants[arg.name] if isinstance(arg, Const) else self.graph.tensors[arg.tensor]
        return spec.shape

    def axis(self, arg: Any) -> Optional[int]:
        """Where the split axis sits in a tensor argument; None: nowhere."""
        return self._axis[arg.tensor] if isinstance(arg, Ref) else None

    def rows(self, arg: Ref) -> int:
        """Rows of a tensor argument along the split axis; 1 when it has none."""
        axis = self.axis(arg)
        return 1 if axis is None else self.shape(arg)[axis]

    def out_shape(self, index: int = 0) -> Tuple[int, ...]:
        """Shape of an output."""
        return self.graph.tensors[self.node.outputs[index]].shape

    def is_row_wise(self, tensor: Ref) -> bool:
        """Whether this is a tensor with rows."""
        return isinstance(tensor, Ref) and self.axis(tensor) is not None

    def is_exact_float(self, tensor: Ref) -> bool:
        """Whether a tensor's values are rounded so finely that the order of its sums does not matter."""
        return self.graph.tensors[tensor.tensor].dtype in ("float32", "float64")

    def local(self, axis: int, *maps: Tuple[Any, IntervalMap]) -> Rule:
        """A local rule whose outputs all carry the split axis at `axis`; inputs not named are needed whole."""
        rows = self.out_shape()[axis]
        named = {ref.tensor: found for ref, found in maps if isinstance(ref, Ref)}
        return Rule(LOCAL, (axis,) * len(self.node.outputs), rows, tuple(
            (t, named.get(t) or whole(self.rows(Ref(t)), rows)) for t in self.node.inputs))

    def same_rows(self, tensor: Any, axis: Optional[int] = None) -> Rule:
        """A local rule in which output row i needs row i of `tensor`; its axis moves to `axis` (default: it stays)."""
        at = self.axis(tensor) if axis is None else axis
        return self.local(at, (tensor, identity(self.rows(tensor))))

    def everything(self, kind: str = GLOBAL) -> Rule:
        """The rule of an operator that is not cut: the whole input is needed for anything."""
        return Rule(kind, (None,) * len(self.node.outputs), 1, tuple(
            (t, whole(self.rows(Ref(t)), 1)) for t in self.node.inputs))


def wrap(dim: int, ndim: int) -> int:
    """A dimension counted from the front."""
    return dim + ndim if dim < 0 else dim


def within(index: int, size: int) -> int:
    """A bound of a slice as ATen takes it: counted from the front, and no further than the ends."""
    return min(max(wrap(index, size), 0), size)


def reduced(dims: Any, ndim: int) -> FrozenSet[int]:
    """The dimensions that a reduction's argument names; None or (): all."""
    every = range(ndim) if dims is None or dims == () else dims if isinstance(dims, tuple) else (dims,)
    return frozenset(wrap(d, ndim) for d in every)


def per_axis(value: Any, index: int) -> int:
    """The entry for spatial dimension `index` of an argument that is one number for all or one for each."""
    if not isinstance(value, tuple):
        return value
    return value[0] if len(value) == 1 else value[index]
