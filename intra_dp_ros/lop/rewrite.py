"""Equal graphs that can be cut better: reductions over the split axis, norms whose statistics span it, rolls along it.

A reduction over the axis is the reduction of every row by itself, which is local, and then of the few numbers that are
left, which is global but tiny.  So only partial results travel, both sides can combine them, and nothing else in the
system has to know of it.  (Paper section 4.1; the moments of groups of rows are combined as in Chan, Golub and LeVeque,
"Updating formulae and a pairwise algorithm for computing sample variances", 1979.)
"""
import math
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from intra_dp_ros.graph.graph import ConstSpec, DType, Graph, OpNode, Ref, TensorSpec
from intra_dp_ros.lop.rules.rule import LOCAL, REDUCE, Context, Rule, reduced, within, wrap
from intra_dp_ros.lop.tiling import input_axes, rule_of

_HALF = frozenset({"float16", "bfloat16"})


def split_reductions(graph: Graph, axes: Optional[Tuple[Optional[int], ...]] = None) -> Graph:
    """The same graph for rows along `axes` (dimension of each input; default: as `Tiling`), with such calls replaced.

    Results differ by rounding only.
    """
    new = _Growing(graph, axes if axes is not None else input_axes(graph))
    for node in graph.nodes:
        context = Context(new, node, new.axis)
        rewrite = REWRITES.get(node.name)
        if rewrite is None or rule_of(context).kind in (LOCAL, REDUCE) or not rewrite(context, new):
            new.keep(node)
    return replace(graph, tensors=tuple(new.tensors), nodes=tuple(new.nodes), input_axes=new.input_axes)


class _Growing:
    """The new graph under construction; to a `Context` it looks like a graph."""

    def __init__(self, graph: Graph, axes: Tuple[Optional[int], ...]) -> None:
        self.tensors: List[TensorSpec] = list(graph.tensors)
        self.constants: Mapping[str, ConstSpec] = graph.constants
        self.nodes: List[OpNode] = []
        self.input_axes = axes
        self.axis: Dict[int, Optional[int]] = dict(zip(graph.inputs, axes))

    def keep(self, node: OpNode) -> Rule:
        """Append a node as it is."""
        self.nodes.append(node)
        rule = rule_of(Context(self, node, self.axis))
        self.axis.update(zip(node.outputs, rule.axes))
        return rule

    def add(self, like: OpNode, op: str, shape: Tuple[int, ...], dtype: str, /, **args: Any) -> Ref:
        """Append a call that makes a new tensor; it counts as made by the line that made `like`."""
        self.tensors.append(TensorSpec(tuple(shape), dtype))
        made = Ref(len(self.tensors) - 1)
        self.keep(OpNode(op, args, (made.tensor,), like.source))
        return made

    def finish(self, like: OpNode, op: str, output: int, /, **args: Any) -> bool:
        """Append the call that makes an output of the node that is replaced."""
        self.keep(OpNode(op, args, (like.outputs[output],), like.source))
        return True


Rewrite = Callable[[Context, _Growing], bool]  # whether it has appended something in the node's place


def _others(ctx: Context, dims: Any) -> Tuple[int, ...]:
    """Dimensions longer than one, but for the axis, that are reduced; `dims` None or (): all."""
    shape, axis = ctx.shape(ctx.arg("self")), ctx.axis(ctx.arg("self"))
    gone = reduced(dims, len(shape))
    return tuple(d for d in sorted(gone) if d != axis and shape[d] > 1) if axis in gone else ()


def _shrunk(shape: Tuple[int, ...], dims: Tuple[int, ...]) -> Tuple[int, ...]:
    return tuple(1 if d in dims else n for d, n in enumerate(shape))


_PARTIAL = {"mean": "mean.dim", "sum": "sum.dim_IntList", "amax": "amax", "amin": "amin", "max": "amax", "min": "amin",
            "logsumexp": "logsumexp"}


def _reduction(ctx: Context, new: _Growing) -> bool:
    """mean, sum, amax, amin, logsumexp, and max and min of everything."""
    node, tensor = ctx.node, ctx.arg("self")
    others = _others(ctx, ctx.arg("dim"))
    if not others or len(node.outputs) > 1:
        return False
    given, made = new.tensors[tensor.tensor].dtype, new.tensors[node.outputs[0]].dtype
    args: Dict[str, Any] = {"self": tensor, "dim": others, "keepdim": True}
    dtype = given
    if node.name in ("mean", "sum"):
        # Half floats are summed as floats, as within one call, and rounded once in the end; sums of integers are int64.
        dtype = "float32" if made in _HALF else made
        if dtype != given:
            args["dtype"] = DType(dtype)
    partial = new.add(node, _PARTIAL[node.name], _shrunk(ctx.shape(tensor), others), dtype, **args)
    rest = {k: a for k, a in node.args.items() if k not in ("self", "dtype")}
    if dtype == made:
        return new.finish(node, node.op, 0, self=partial, **rest)
    combined = new.add(node, node.op, ctx.out_shape(), dtype, self=partial, **rest)
    return new.finish(node, "to.dtype", 0, self=combined, dtype=DType(made))


def _adaptive(ctx: Context, new: _Growing) -> bool:
    """Adaptive average pooling to one value: the mean."""
    tensor, out = ctx.arg("self"), ctx.out_shape()
    count = int(ctx.node.name[-2])
    dims = tuple(range(len(out) - count, len(out)))
    if any(out[d] != 1 for d in dims) or ctx.axis(tensor) not in dims:
        return False
    spec = new.tensors[ctx.node.outputs[0]]
    mean = replace(ctx.node, op="mean.dim", args={"self": tensor, "dim": dims, "keepdim": True})
    others = _others(Context(new, mean, new.axis), dims)
    if others and spec.dtype not in _HALF:
        tensor = new.add(ctx.node, "mean.dim", _shrunk(ctx.shape(tensor), others), spec.dtype, self=tensor, dim=others,
                         keepdim=True)
    elif others:
        return _reduction(Context(new, mean, new.axis), new)
    return new.finish(ctx.node, "mean.dim", 0, self=tensor, dim=dims, keepdim=True)


def _moments(node: OpNode, new: _Growing, x: Ref, at: int, others: Tuple[int, ...]) -> Tuple[Ref, Ref]:
    """Mean and variance (divided by the count) over the axis `at` and the dimensions `others`, all kept."""
    spec = new.tensors[x.tensor]
    rows, one = _shrunk(spec.shape, others), _shrunk(spec.shape, (*others, at))
    row_mean = new.add(node, "mean.dim", rows, spec.dtype, self=x, dim=others, keepdim=True)
    row_var = new.add(node, "var.correction", rows, spec.dtype, self=x, dim=others, correction=0, keepdim=True)
    mean = new.add(node, "mean.dim", one, spec.dtype, self=row_mean, dim=(at,), keepdim=True)
    within = new.add(node, "mean.dim", one, spec.dtype, self=row_var, dim=(at,), keepdim=True)
    between = new.add(node, "var.correction", one, spec.dtype, self=row_mean, dim=(at,), correction=0, keepdim=True)
    return mean, new.add(node, "add.Tensor", one, spec.dtype, self=within, other=between)


def _variance(ctx: Context, new: _Growing) -> bool:
    """var and std: from the moments of every row."""
    node, tensor, out = ctx.node, ctx.arg("self"), ctx.out_shape()
    spec, axis = new.tensors[tensor.tensor], ctx.axis(tensor)
    others = _others(ctx, ctx.arg("dim"))
    correction = ctx.arg("correction", 1 if ctx.arg("unbiased", True) else 0)
    count = math.prod(spec.shape[d] for d in (*others, axis))
    if not others or spec.dtype in _HALF or count <= correction:
        return False
    _, var = _moments(node, new, tensor, axis, others)
    one = new.tensors[var.tensor].shape
    var = new.add(node, "mul.Scalar", one, spec.dtype, self=var, other=count / (count - correction))
    if node.name == "std":
        var = new.add(node, "sqrt", one, spec.dtype, self=var)
    return new.finish(node, "reshape", 0, self=var, shape=out)


def _group_norm(ctx: Context, new: _Growing) -> bool:
    """group_norm and instance_norm: moments of every row, combined, then a pointwise normalisation."""
    node, tensor = ctx.node, ctx.arg("input")
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    dtype = new.tensors[tensor.tensor].dtype
    if node.name == "instance_norm" and not ctx.arg("use_input_stats"):
        return False
    if len(shape) < 3 or axis < 2 or dtype in _HALF:
        return False
    groups = ctx.arg("num_groups", shape[1])
    grouped = (shape[0], groups, shape[1] // groups, *shape[2:])
    at = axis + 1
    others = tuple(d for d in range(2, len(grouped)) if d != at)
    one = _shrunk(grouped, (*others, at))
    x = new.add(node, "reshape", grouped, dtype, self=tensor, shape=grouped)
    mean, var = _moments(node, new, x, at, others)
    var = new.add(node, "add.Scalar", one, dtype, self=var, other=ctx.arg("eps", 1e-5))
    scale = new.add(node, "rsqrt", one, dtype, self=var)
    x = new.add(node, "sub.Tensor", grouped, dtype, self=x, other=mean)
    x = new.add(node, "mul.Tensor", grouped, dtype, self=x, other=scale)
    channel = (shape[1], *(1 for _ in shape[2:]))
    affine = [(op, ctx.arg(name)) for op, name in (("mul.Tensor", "weight"), ("add.Tensor", "bias"))
              if ctx.arg(name) is not None]
    if not affine:
        return new.finish(node, "reshape", 0, self=x, shape=shape)
    x = new.add(node, "reshape", shape, dtype, self=x, shape=shape)
    for index, (op, value) in enumerate(affine):
        value = new.add(node, "reshape", channel, dtype, self=value, shape=channel)
        if index < len(affine) - 1:
            x = new.add(node, op, shape, dtype, self=x, other=value)
        else:
            new.finish(node, op, 0, self=x, other=value)
    return True


def _roll(ctx: Context, new: _Growing) -> bool:
    """A roll along the axis: the two parts that change places."""
    node, tensor = ctx.node, ctx.arg("self")
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    dims, shifts = ctx.arg("dims", ()), ctx.arg("shifts")
    if axis not in [wrap(d, len(shape)) for d in dims]:
        return False
    by = sum(s for s, d in zip(shifts, dims) if wrap(d, len(shape)) == axis) % shape[axis]
    rest = [(s, d) for s, d in zip(shifts, dims) if wrap(d, len(shape)) != axis]
    dtype = new.tensors[tensor.tensor].dtype
    if rest:
        tensor = new.add(node, "roll", shape, dtype, self=tensor, shifts=tuple(s for s, _ in rest),
                         dims=tuple(d for _, d in rest))
    if by == 0:
        return new.finish(node, "clone", 0, self=tensor)
    parts = [_slice(ctx, new, tensor, axis, shape[axis] - by, shape[axis]),
             _slice(ctx, new, tensor, axis, 0, shape[axis] - by)]
    return new.finish(node, "cat", 0, tensors=tuple(parts), dim=axis)


def _slice(ctx: Context, new: _Growing, tensor: Ref, axis: int, start: int, stop: int) -> Ref:
    spec = new.tensors[tensor.tensor]
    shape = (*spec.shape[:axis], stop - start, *spec.shape[axis + 1:])
    return new.add(ctx.node, "slice.Tensor", shape, spec.dtype, self=tensor, dim=axis, start=start, end=stop)


def _split(ctx: Context, new: _Growing) -> bool:
    """split and chunk along the axis: a slice for every part."""
    tensor, start = ctx.arg("self"), 0
    axis = ctx.axis(tensor)
    if wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))) != axis:
        return False
    for index in range(len(ctx.node.outputs)):
        stop = start + ctx.out_shape(index)[axis]
        new.finish(ctx.node, "slice.Tensor", index, self=tensor, dim=axis, start=start, end=stop)
        start = stop
    return True


def _repeated_cat(ctx: Context, new: _Growing) -> bool:
    """A tensor that is joined to itself along the axis: copies, each read once and forwards."""
    tensors, seen = list(ctx.arg("tensors")), set()
    if not all(ctx.is_row_wise(t) for t in tensors) or len(set(tensors)) == len(tensors):
        return False
    for place, tensor in enumerate(tensors):
        if tensor in seen:
            spec = new.tensors[tensor.tensor]
            tensors[place] = new.add(ctx.node, "clone", spec.shape, spec.dtype, self=tensor)
        seen.add(tensor)
    return new.finish(ctx.node, ctx.node.op, 0, tensors=tuple(tensors), dim=ctx.arg("dim", 0))


def _overwrite(ctx: Context, new: _Growing) -> bool:
    """A slice along the axis that is written over: what is before it, the source, and what is behind it."""
    tensor, source, rows = ctx.arg("self"), ctx.arg("src"), ctx.shape(ctx.arg("self"))
    axis = wrap(ctx.arg("dim", 0), len(rows))
    start, end = within(ctx.arg("start") or 0, rows[axis]), ctx.arg("end")
    end = rows[axis] if end is None else max(start, within(end, rows[axis]))
    if ctx.axis(source) != axis or ctx.arg("step", 1) != 1:
        return False
    if (start, end) == (0, rows[axis]):
        return new.finish(ctx.node, "clone", 0, self=source)
    if not ctx.is_row_wise(tensor) or ctx.axis(tensor) != axis:
        return False
    parts = [_slice(ctx, new, tensor, axis, 0, start)] if start else []
    parts.append(source)
    if end < rows[axis]:
        parts.append(_slice(ctx, new, tensor, axis, end, rows[axis]))
    return new.finish(ctx.node, "cat", 0, tensors=tuple(parts), dim=axis)


def _row_wise(argument: str, rewrite: Rewrite) -> Rewrite:
    return lambda ctx, new: ctx.is_row_wise(ctx.arg(argument)) and rewrite(ctx, new)


REWRITES: Dict[str, Rewrite] = {
    **{name: _row_wise("self", _reduction) for name in _PARTIAL},
    **{"adaptive_avg_pool{}d".format(n): _row_wise("self", _adaptive) for n in (1, 2, 3)},
    "_adaptive_avg_pool2d": _row_wise("self", _adaptive),
    "var": _row_wise("self", _variance),
    "std": _row_wise("self", _variance),
    "group_norm": _row_wise("input", _group_norm),
    "instance_norm": _row_wise("input", _group_norm),
    "roll": _row_wise("self", _roll),
    **{name: _row_wise("self", _split) for name in ("split", "split_with_sizes", "chunk")},
    "cat": _repeated_cat,
    "slice_scatter": _row_wise("src", _overwrite),
}
