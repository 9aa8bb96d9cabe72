"""Operators whose output row i needs input row i alone: pointwise ones, and those that work on other axes."""
from typing import Optional, Tuple

from intra_dp_ros.graph.graph import Const, Ref, iter_args
from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import Context, Rule, wrap


def pointwise(ctx: Context) -> Optional[Rule]:
    """Elementwise operators with broadcasting; dimensions are matched from the last one on."""
    tensors = [a for a in iter_args(ctx.node.args) if isinstance(a, Ref)]
    ndim = len(ctx.out_shape())
    places = {ctx.axis(t) + ndim - len(ctx.shape(t)) for t in tensors if ctx.is_row_wise(t)}
    if len(places) != 1:
        return None  # the axis sits in different places: the operands would have to be cut across
    axis = places.pop()
    rows = ctx.out_shape()[axis]
    return ctx.local(axis, *((t, interval.identity(rows)) for t in tensors
                             if ctx.is_row_wise(t) and ctx.rows(t) == rows))


def _self_other_axis(ctx: Context, dims: Tuple[int, ...]) -> Optional[Rule]:
    """Shape-preserving along the axis as long as it is none of `dims`."""
    tensor = ctx.arg("self", ctx.arg("input"))
    axis, ndim = ctx.axis(tensor), len(ctx.shape(tensor))
    return None if axis in {wrap(d, ndim) for d in dims} else ctx.same_rows(tensor)


def along_dim(ctx: Context) -> Optional[Rule]:
    """softmax, sort, topk, cumsum ... along another dimension."""
    return _self_other_axis(ctx, (ctx.arg("dim", -1),))


def linear(ctx: Context) -> Optional[Rule]:
    """``linear`` contracts the last dimension."""
    return _self_other_axis(ctx, (-1,))


def layer_norm(ctx: Context) -> Optional[Rule]:
    """``layer_norm`` takes its statistics over the trailing dimensions."""
    return _self_other_axis(ctx, tuple(-1 - i for i in range(len(ctx.arg("normalized_shape")))))


def batch_norm(ctx: Context) -> Optional[Rule]:
    """``batch_norm`` with running statistics is pointwise within a channel."""
    return _self_other_axis(ctx, (1,))


def matmul(ctx: Context) -> Optional[Rule]:
    """Local in the rows of the left factor, global in the right one."""
    left, right = ctx.arg("self"), ctx.arg("other", ctx.arg("mat2"))
    if not ctx.is_row_wise(left) or left == right or len(ctx.shape(right)) < 2:
        return None
    shape = ctx.shape(left)
    if ctx.axis(left) != len(shape) - 2:
        return None
    return ctx.local(len(ctx.out_shape()) - 2, (left, interval.identity(ctx.rows(left))))


def reduction(ctx: Context) -> Optional[Rule]:
    """mean, sum, amax, argmax, max ... over dimensions that are not the split axis."""
    tensor, dims = ctx.arg("self"), ctx.arg("dim")
    if dims is None or dims == ():
        return None
    ndim, axis = len(ctx.shape(tensor)), ctx.axis(tensor)
    gone = {wrap(d, ndim) for d in (dims if isinstance(dims, tuple) else (dims,))}
    if axis in gone:
        return None
    return ctx.same_rows(tensor, axis if ctx.arg("keepdim", False) else axis - sum(d < axis for d in gone))


def index_select(ctx: Context) -> Optional[Rule]:
    """Picking entries of another dimension by constant indices."""
    return _self_other_axis(ctx, (ctx.arg("dim"),)) if isinstance(ctx.arg("index"), Const) else None


def permute(ctx: Context) -> Optional[Rule]:
    """The axis goes where its dimension goes."""
    tensor = ctx.arg("self")
    ndim = len(ctx.shape(tensor))
    return ctx.same_rows(tensor, [wrap(d, ndim) for d in ctx.arg("dims")].index(ctx.axis(tensor)))


def transpose(ctx: Context) -> Optional[Rule]:
    """``transpose.int`` and ``t``: two dimensions change places."""
    tensor = ctx.arg("self")
    ndim = len(ctx.shape(tensor))
    a, b = wrap(ctx.arg("dim0", 0), ndim), wrap(ctx.arg("dim1", 1), ndim)
    axis = ctx.axis(tensor)
    if ndim < 2:
        return None
    return ctx.same_rows(tensor, {a: b, b: a}.get(axis, axis))


def reshape(ctx: Context) -> Optional[Rule]:
    """reshape, flatten, squeeze, unsqueeze: local when the axis stays a dimension of its own."""
    tensor, out = ctx.arg("self"), ctx.out_shape()
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    rows, before = shape[axis], _product(shape[:axis])
    found = [d for d in range(len(out)) if out[d] == rows and _product(out[:d]) == before]
    if rows <= 1 or not found:  # with one row nothing tells its dimension from others of size one
        return None
    return ctx.same_rows(tensor, found[0])


def _product(sizes: Tuple[int, ...]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def slicing(ctx: Context) -> Optional[Rule]:
    """``slice.Tensor``: along the axis a strided map, along another dimension nothing changes."""
    tensor = ctx.arg("self")
    axis, rows = ctx.axis(tensor), ctx.rows(tensor)
    if wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))) != axis:
        return ctx.same_rows(tensor)
    start = ctx.arg("start") or 0
    start = min(max(wrap(start, rows), 0), rows)
    return ctx.local(axis, (tensor, interval.strided(rows, ctx.out_shape()[axis], start, ctx.arg("step", 1))))


def select(ctx: Context) -> Optional[Rule]:
    """``select.int`` of another dimension drops that dimension."""
    tensor = ctx.arg("self")
    dim, axis = wrap(ctx.arg("dim"), len(ctx.shape(tensor))), ctx.axis(tensor)
    return None if dim == axis else ctx.same_rows(tensor, axis - (dim < axis))


def split(ctx: Context) -> Optional[Rule]:
    """split and chunk of another dimension; unbind drops it."""
    tensor = ctx.arg("self")
    dim, axis = wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))), ctx.axis(tensor)
    if dim == axis:
        return None
    return ctx.same_rows(tensor, axis - (ctx.node.name == "unbind" and dim < axis))


def concatenate(ctx: Context) -> Optional[Rule]:
    """``cat``: on another dimension row i needs rows i; on the axis the inputs follow one another."""
    tensors = ctx.arg("tensors")
    if not all(ctx.is_row_wise(t) for t in tensors) or len({ctx.axis(t) for t in tensors}) != 1:
        return None
    axis = ctx.axis(tensors[0])
    if wrap(ctx.arg("dim", 0), len(ctx.out_shape())) != axis:
        return ctx.local(axis, *((t, interval.identity(ctx.rows(t))) for t in tensors))
    if len(set(tensors)) != len(tensors):
        return None  # one tensor at two places would be read twice, the second time backwards
    maps, offset = [], 0
    for tensor in tensors:
        maps.append((tensor, interval.shifted(ctx.rows(tensor), ctx.out_shape()[axis], offset)))
        offset += ctx.rows(tensor)
    return ctx.local(axis, *maps)


def stack(ctx: Context) -> Optional[Rule]:
    """``stack`` puts a new dimension in."""
    tensors = ctx.arg("tensors")
    if not all(ctx.is_row_wise(t) for t in tensors) or len({ctx.axis(t) for t in tensors}) != 1:
        return None
    axis, dim = ctx.axis(tensors[0]), wrap(ctx.arg("dim", 0), len(ctx.out_shape()))
    return ctx.local(axis + (dim <= axis), *((t, interval.identity(ctx.rows(t))) for t in tensors))
