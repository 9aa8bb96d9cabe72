"""Constant, reflecting and replicating padding; negative amounts cut off."""
from typing import Optional, Tuple

import numpy as np

from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import Context, Rule


def pad_amounts(ctx: Context, tensor: object) -> Tuple[int, int]:
    """Rows put before and after the split axis; the argument lists dimensions from the last one on."""
    pad, place = ctx.arg("pad", ctx.arg("padding")), len(ctx.shape(tensor)) - 1 - ctx.axis(tensor)
    return (pad[2 * place], pad[2 * place + 1]) if len(pad) > 2 * place else (0, 0)


def constant(ctx: Context) -> Optional[Rule]:
    """``constant_pad_nd``: rows put in front shift the input."""
    tensor = ctx.arg("self")
    before, after = pad_amounts(ctx, tensor)
    rows = ctx.rows(tensor)
    return ctx.local(ctx.axis(tensor), (tensor, interval.shifted(rows, rows + before + after, before)))


def replicating(ctx: Context) -> Optional[Rule]:
    """``replication_pad{1,2,3}d``: the first and the last row are repeated."""
    tensor = ctx.arg("self")
    before, after = pad_amounts(ctx, tensor)
    return ctx.local(ctx.axis(tensor), (tensor, interval.replicated(ctx.rows(tensor), before, after)))


def reflecting(ctx: Context) -> Optional[Rule]:
    """``reflection_pad{1,2,3}d``: rows in the padding are read backwards."""
    tensor = ctx.arg("self")
    rows = reflected_rows(ctx.rows(tensor), *pad_amounts(ctx, tensor))
    return ctx.local(ctx.axis(tensor), (tensor, interval.covering(ctx.rows(tensor), rows, rows + 1)))


def other_dims(ctx: Context) -> Optional[Rule]:
    """``pad`` (of which only the circular mode is recorded by this name) of other dimensions; along the axis it is
    rewritten to slices that are joined."""
    tensor = ctx.arg("self")
    return ctx.same_rows(tensor) if pad_amounts(ctx, tensor) == (0, 0) else None


def reflected_rows(n_in: int, before: int, after: int) -> np.ndarray:
    """Which input row each output row is (int64)."""
    rows = np.abs(np.arange(-before, n_in + after))
    return np.where(rows >= n_in, 2 * (n_in - 1) - rows, rows)
