"""Operators that move elements between channels and space, and windows as a dimension of their own."""
from typing import Optional

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


def columns_per_row(ctx: Context) -> int:
    """Windows of ``im2col`` in one row of windows."""
    taps, dilation, padding, stride = (per_axis(ctx.arg(name), 1)
                                       for name in ("kernel_size", "dilation", "padding", "stride"))
    width = ctx.shape(ctx.arg("self"))[-1]
    return (width + 2 * padding - dilation * (taps - 1) - 1) // stride + 1


def im2col(ctx: Context) -> Optional[Rule]:
    """``im2col``: windows, row by row of them, are the last dimension; local along H."""
    tensor = ctx.arg("self")
    ndim = len(ctx.shape(tensor))
    if ctx.axis(tensor) != ndim - 2:
        return None
    width, out = columns_per_row(ctx), ctx.out_shape()
    taps, stride, padding, dilation = (per_axis(ctx.arg(name), 0)
                                       for name in ("kernel_size", "stride", "padding", "dilation"))
    rows = interval.window(ctx.rows(tensor), out[-1] // width, taps, stride, padding, dilation)
    at = np.arange(out[-1]) // width
    return ctx.local(len(out) - 1, (tensor, interval.IntervalMap(rows.n_in, rows.lo[at], rows.hi[at])))
