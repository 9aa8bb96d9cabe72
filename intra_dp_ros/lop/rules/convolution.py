"""Convolutions and transposed convolutions of one to three spatial dimensions."""
from typing import Optional, Tuple

from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import Context, Rule, per_axis


def spatial_index(ctx: Context, tensor: object, count: int) -> Optional[int]:
    """Which of the trailing `count` spatial dimensions is the split axis; None when it is another dimension."""
    index = ctx.axis(tensor) - (len(ctx.shape(tensor)) - count)
    return index if index >= 0 else None


def recorded_padding(ctx: Context) -> object:
    """The padding argument: a number, one for each spatial dimension, or "same" or "valid"."""
    return ctx.arg("padding", "valid" if ctx.node.op.endswith(".padding") else 0)


def padding_of(ctx: Context, index: int) -> Tuple[int, int]:
    """Rows of padding before and after spatial dimension `index`; "same" puts the odd one behind."""
    padding = recorded_padding(ctx)
    if padding == "valid":
        return 0, 0
    if padding == "same":
        taps = ctx.shape(ctx.arg("weight"))[2 + index]
        total = per_axis(ctx.arg("dilation", 1), index) * (taps - 1)
        return total // 2, total - total // 2
    return per_axis(padding, index), per_axis(padding, index)


def convolution(ctx: Context) -> Optional[Rule]:
    """``conv{1,2,3}d`` with any kernel, stride, padding, dilation and groups."""
    return _windowed(ctx, lambda n_in, n_out, taps, index: interval.window(
        n_in, n_out, taps, per_axis(ctx.arg("stride", 1), index), padding_of(ctx, index)[0],
        per_axis(ctx.arg("dilation", 1), index)))


def transposed_convolution(ctx: Context) -> Optional[Rule]:
    """``conv_transpose{1,2,3}d`` with any kernel, stride, padding, output padding, dilation and groups."""
    return _windowed(ctx, lambda n_in, n_out, taps, index: interval.transposed(
        n_in, n_out, taps, per_axis(ctx.arg("stride", 1), index), per_axis(ctx.arg("padding", 0), index),
        per_axis(ctx.arg("dilation", 1), index)))


def _windowed(ctx: Context, make) -> Optional[Rule]:
    tensor, weight = ctx.arg("input"), ctx.arg("weight")
    taps = ctx.shape(weight)[2:]
    index, axis = spatial_index(ctx, tensor, len(taps)), ctx.axis(tensor)
    if tensor in (weight, ctx.arg("bias")):
        return None
    if index is None:  # every image by itself, but all of its channels
        return ctx.same_rows(tensor) if axis == 0 and len(ctx.shape(tensor)) == len(taps) + 2 else None
    return ctx.local(axis, (tensor, make(ctx.rows(tensor), ctx.out_shape()[axis], taps[index], index)))
