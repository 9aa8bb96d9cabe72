"""Norms whose statistics span the split axis: statistics of every row, combined, then a pointwise normalisation."""
from typing import Any, Dict, List, Tuple

from intra_dp_ros.graph.graph import Const, Ref
from intra_dp_ros.lop.rewrites.growing import HALF, Growing, other_dims, shrunk
from intra_dp_ros.lop.rewrites.reductions import moments
from intra_dp_ros.lop.rules.rule import Context

Steps = List[Tuple[str, Dict[str, Any]]]  # operator, its arguments but for "self"


def group_norm(ctx: Context, new: Growing) -> bool:
    """group_norm and instance_norm: moments of every row, combined, then a pointwise normalisation."""
    node, tensor = ctx.node, ctx.arg("input")
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    dtype = new.tensors[tensor.tensor].dtype
    if node.name == "instance_norm" and not ctx.arg("use_input_stats"):
        return False
    if len(shape) < 3 or axis < 2 or dtype in HALF:
        return False
    groups = ctx.arg("num_groups", shape[1])
    grouped = (shape[0], groups, shape[1] // groups, *shape[2:])
    at = axis + 1
    others = tuple(d for d in range(2, len(grouped)) if d != at)
    one = shrunk(grouped, (*others, at))
    x = new.add(node, "reshape", grouped, dtype, self=tensor, shape=grouped)
    mean, var = moments(node, new, x, at, others)
    var = new.add(node, "add.Scalar", one, dtype, self=var, other=ctx.arg("eps", 1e-5))
    scale = new.add(node, "rsqrt", one, dtype, self=var)
    x = new.add(node, "sub.Tensor", grouped, dtype, self=x, other=mean)
    x = new.add(node, "mul.Tensor", grouped, dtype, self=x, other=scale)
    channel = (shape[1], *(1 for _ in shape[2:]))
    found = [("reshape", {"shape": shape})]
    for op, name in (("mul.Tensor", "weight"), ("add.Tensor", "bias")):
        if ctx.arg(name) is not None:
            found.append((op, {"other": new.add(node, "reshape", channel, dtype, self=ctx.arg(name), shape=channel)}))
    return _apply(ctx, new, x, found)


def layer_norm(ctx: Context, new: Growing) -> bool:
    """layer_norm whose normalised dimensions include the axis and others."""
    tensor, node = ctx.arg("input"), ctx.node
    dims = _normalised(ctx)
    if not dims:
        return False
    shape, dtype = ctx.shape(tensor), new.tensors[tensor.tensor].dtype
    one = shrunk(shape, (*dims, ctx.axis(tensor)))
    mean, var = moments(node, new, tensor, ctx.axis(tensor), dims)
    var = new.add(node, "add.Scalar", one, dtype, self=var, other=ctx.arg("eps", 1e-5))
    scale = new.add(node, "rsqrt", one, dtype, self=var)
    x = new.add(node, "sub.Tensor", shape, dtype, self=tensor, other=mean)
    return _apply(ctx, new, x, [("mul.Tensor", {"other": scale})] + _affine(ctx))


def rms_norm(ctx: Context, new: Growing) -> bool:
    """rms_norm, likewise: the mean of the squares of every row, then of all."""
    tensor, node = ctx.arg("input"), ctx.node
    dims = _normalised(ctx)
    if not dims or ctx.arg("eps") is None:
        return False
    shape, axis, dtype = ctx.shape(tensor), ctx.axis(tensor), new.tensors[tensor.tensor].dtype
    one = shrunk(shape, (*dims, axis))
    squares = new.add(node, "square", shape, dtype, self=tensor)
    rows = new.add(node, "mean.dim", shrunk(shape, dims), dtype, self=squares, dim=dims, keepdim=True)
    mean = new.add(node, "mean.dim", one, dtype, self=rows, dim=(axis,), keepdim=True)
    mean = new.add(node, "add.Scalar", one, dtype, self=mean, other=ctx.arg("eps"))
    scale = new.add(node, "rsqrt", one, dtype, self=mean)
    return _apply(ctx, new, tensor, [("mul.Tensor", {"other": scale})] + _affine(ctx))


def _normalised(ctx: Context) -> Tuple[int, ...]:
    """The normalised dimensions besides the axis; () where the statistics cannot be split."""
    tensor, count = ctx.arg("input"), len(ctx.arg("normalized_shape"))
    fixed = all(ctx.arg(name) is None or isinstance(ctx.arg(name), Const) for name in ("weight", "bias"))
    if not fixed or ctx.graph.tensors[tensor.tensor].dtype in HALF:
        return ()
    return other_dims(ctx, tuple(range(-count, 0)), tensor)


def _affine(ctx: Context) -> Steps:
    return [(op, {"other": ctx.arg(name)}) for op, name in (("mul.Tensor", "weight"), ("add.Tensor", "bias"))
            if ctx.arg(name) is not None]


def _apply(ctx: Context, new: Growing, x: Ref, steps: Steps) -> bool:
    """One call after the other, all of the shape of the node's result; the last one makes it."""
    spec = new.tensors[ctx.node.outputs[0]]
    for op, args in steps[:-1]:
        x = new.add(ctx.node, op, spec.shape, spec.dtype, self=x, **args)
    op, args = steps[-1]
    return new.finish(ctx.node, op, 0, self=x, **args)
