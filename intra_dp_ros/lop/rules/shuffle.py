"""Operators that move elements between channels and space, and windows as a dimension of their own."""
from typing import Optional, Tuple

import numpy as np

from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import Context, Rule, per_axis, wrap


def pixel_shuffle(ctx: Context) -> Optional[Rule]:
    """``pixel_shuffle``: every row makes `upscale_factor` rows."""
    tensor = ctx.arg("self")
    axis = ctx.axis(tensor)
    if axis < len(ctx.shape(tensor)) - 2:
        return None if axis == len(ctx.shape(tensor)) - 3 else ctx.same_rows(tensor)
    return ctx.local(axis, (tensor, interval.repeated(ctx.rows(tensor), ctx.arg("upscale_factor"))))


def pixel_unshuffle(ctx: Context) -> Optional[Rule]:
    """``pixel_unshuffle``: `downscale_factor` rows make one."""
    tensor, factor = ctx.arg("self"), ctx.arg("downscale_factor")
    axis = ctx.axis(tensor)
    if axis < len(ctx.shape(tensor)) - 2:
        return None if axis == len(ctx.shape(tensor)) - 3 else ctx.same_rows(tensor)
    return ctx.local(axis, (tensor, interval.window(ctx.rows(tensor), ctx.out_shape()[axis], factor, factor, 0, 1)))


def channel_shuffle(ctx: Context) -> Optional[Rule]:
    """``channel_shuffle`` within dimension 1."""
    tensor = ctx.arg("self")
    return None if ctx.axis(tensor) == 1 else ctx.same_rows(tensor)


def unfold(ctx: Context) -> Optional[Rule]:
    """``Tensor.unfold``: windows of a dimension, their elements as a new last one."""
    tensor = ctx.arg("self")
    axis = ctx.axis(tensor)
    if wrap(ctx.arg("dimension"), len(ctx.shape(tensor))) != axis:
        return ctx.same_rows(tensor)
    return ctx.local(axis, (tensor, interval.window(ctx.rows(tensor), ctx.out_shape()[axis], ctx.arg("size"),
                                                    ctx.arg("step"), 0, 1)))


def window_of(ctx: Context, index: int) -> Tuple[int, int, int, int]:
    """Kernel, stride, padding and dilation of ``im2col`` and ``col2im`` along one of their two dimensions."""
    return tuple(per_axis(ctx.arg(name), index) for name in ("kernel_size", "stride", "padding", "dilation"))


def columns_per_row(ctx: Context) -> int:
    """Windows of ``im2col`` and ``col2im`` in one row of windows."""
    taps, stride, padding, dilation = window_of(ctx, 1)
    width = (ctx.arg("output_size") or ctx.shape(ctx.arg("self")))[-1]
    return (width + 2 * padding - dilation * (taps - 1) - 1) // stride + 1


def im2col(ctx: Context) -> Optional[Rule]:
    """``im2col``: windows, row by row of them, are the last dimension; local along H."""
    tensor = ctx.arg("self")
    ndim = len(ctx.shape(tensor))
    if ctx.axis(tensor) != ndim - 2:
        return None
    width, out = columns_per_row(ctx), ctx.out_shape()
    rows = interval.window(ctx.rows(tensor), out[-1] // width, *window_of(ctx, 0))
    at = np.arange(out[-1]) // width
    return ctx.local(len(out) - 1, (tensor, interval.IntervalMap(rows.n_in, rows.lo[at], rows.hi[at])))


def col2im(ctx: Context) -> Optional[Rule]:
    """``col2im``: the windows, row by row of them, are the last dimension; they make the rows that they cover."""
    tensor = ctx.arg("self")
    if ctx.axis(tensor) != len(ctx.shape(tensor)) - 1:
        return None
    width, axis = columns_per_row(ctx), len(ctx.out_shape()) - 2
    rows = interval.transposed(ctx.rows(tensor) // width, ctx.out_shape()[axis], *window_of(ctx, 0))
    return ctx.local(axis, (tensor, interval.IntervalMap(ctx.rows(tensor), rows.lo * width, rows.hi * width)))
