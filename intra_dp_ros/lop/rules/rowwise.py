"""Operators whose output row i needs input row i alone: pointwise ones, and those that work on other axes."""
from typing import Optional, Tuple

from intra_dp_ros.graph.graph import Ref, iter_args
from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import REDUCE, Context, Rule, reduced, wrap


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


def cross(ctx: Context) -> Optional[Rule]:
    """``linalg_cross`` of vectors along another dimension."""
    rule = pointwise(ctx)
    return None if rule is None or wrap(ctx.arg("dim", -1), len(ctx.out_shape())) == rule.axes[0] else rule


def sorted_into(ctx: Context) -> Optional[Rule]:
    """bucketize and searchsorted with one list of bounds for all values."""
    values, bounds = ctx.arg("self"), ctx.arg("boundaries", ctx.arg("sorted_sequence"))
    return ctx.same_rows(values) if len(ctx.shape(bounds)) == 1 and bounds != values else None


def layer_norm(ctx: Context) -> Optional[Rule]:
    """``layer_norm`` takes its statistics over the trailing dimensions."""
    return _self_other_axis(ctx, tuple(-1 - i for i in range(len(ctx.arg("normalized_shape")))))


def batch_norm(ctx: Context) -> Optional[Rule]:
    """``batch_norm`` with running statistics is pointwise within a channel; without, it needs all rows."""
    if ctx.arg("training", False):
        return None
    return _self_other_axis(ctx, (1,))


def of_image(ctx: Context) -> Optional[Rule]:
    """``group_norm`` takes its statistics within an image."""
    tensor = ctx.arg("input")
    return ctx.same_rows(tensor) if ctx.axis(tensor) == 0 else None


def reduction(ctx: Context) -> Optional[Rule]:
    """mean, sum, amax, argmax, max ...: local over other dimensions, of partial results over the axis itself."""
    tensor = ctx.arg("self")
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    gone = reduced(ctx.arg("dim", -1 if ctx.node.name in ("mode", "kthvalue") else None), len(shape))
    if axis in gone:
        return ctx.everything(REDUCE) if all(shape[d] == 1 for d in gone - {axis}) else None
    return ctx.same_rows(tensor, axis if ctx.arg("keepdim", False) else axis - sum(d < axis for d in gone))


def prelu(ctx: Context) -> Optional[Rule]:
    """``prelu``: a slope for every channel, dimension 1."""
    return _self_other_axis(ctx, (1,) if len(ctx.shape(ctx.arg("self"))) > 1 else ())


def triangle(ctx: Context) -> Optional[Rule]:
    """tril and triu of the last two dimensions."""
    return _self_other_axis(ctx, (-2, -1))


def gather(ctx: Context) -> Optional[Rule]:
    """gather and take_along_dim in another dimension, by indices that are cut alike."""
    tensor, index = ctx.arg("self"), ctx.arg("index", ctx.arg("indices"))
    axis = ctx.axis(tensor)
    if (not ctx.is_row_wise(index) or ctx.axis(index) != axis or ctx.rows(index) != ctx.rows(tensor)
            or ctx.arg("dim") is None or wrap(ctx.arg("dim"), len(ctx.shape(tensor))) == axis or index == tensor):
        return None
    identity = interval.identity(ctx.rows(tensor))
    return ctx.local(axis, (tensor, identity), (index, identity))


def embedding(ctx: Context) -> Optional[Rule]:
    """``embedding``: a row of the table for every index; the table is needed whole."""
    indices = ctx.arg("indices")
    return ctx.same_rows(indices) if ctx.is_row_wise(indices) and ctx.arg("weight") != indices else None


def one_hot(ctx: Context) -> Optional[Rule]:
    """``one_hot`` with a number of classes puts a dimension behind."""
    return ctx.same_rows(ctx.arg("self")) if ctx.arg("num_classes", -1) > 0 else None
