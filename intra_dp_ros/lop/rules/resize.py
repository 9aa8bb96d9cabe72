"""Interpolation: which rows an output row is made of, and with which weights, computed exactly as ATen does."""
from dataclasses import dataclass
from typing import Optional

import numpy as np

from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import Context, Rule

_CUBIC = -0.75  # ATen's coefficient of bicubic interpolation


@dataclass(frozen=True)
class Resampling:
    """One dimension of an interpolation; row i is ``sum_j weight[i, j] * input[clip(first[i] + j)]``."""

    n_in: int
    first: np.ndarray  # int64 (n_out,), may lie outside of the input: the rows at its edges are repeated
    weight: np.ndarray  # (n_out, taps); float32, float64 for inputs of float64

    def rows(self) -> interval.IntervalMap:
        """Input rows that are needed."""
        last = self.n_in - 1
        taps = self.weight.shape[1]
        return interval.covering(self.n_in, np.clip(self.first, 0, last), np.clip(self.first + taps - 1, 0, last) + 1)


def resampling(ctx: Context, dim: int) -> Resampling:
    """How dimension `dim` of an ``upsample_*`` call is interpolated (ATen: UpSample.h)."""
    tensor = source(ctx)
    n_in, n_out = ctx.shape(tensor)[dim], ctx.out_shape()[dim]
    real = np.float64 if ctx.graph.tensors[tensor.tensor].dtype == "float64" else np.float32
    rows, name = np.arange(n_out).astype(real), ctx.node.name
    scale = _scale(ctx, dim, n_in, n_out, real)
    if "nearest" in name:
        # in float32 whatever the type of the values, as ATen has it
        rows, scale = rows.astype(np.float32), np.float32(scale)
        exact = np.float32(0.5) if "exact" in name else np.float32(0)
        first = np.minimum(np.floor((rows + exact) * scale).astype(np.int64), n_in - 1)
        return Resampling(n_in, first, np.ones((n_out, 1), real))
    if ctx.arg("align_corners", False):
        at = rows * scale
    else:
        at = (rows + real(0.5)) * scale - real(0.5)
        at = at if "cubic" in name else np.maximum(at, real(0))
    first = np.floor(at).astype(np.int64)
    t = (at - first).astype(real)
    if "cubic" not in name:
        first = np.minimum(first, n_in - 1)
        return Resampling(n_in, first, np.stack([1 - t, t], axis=1).astype(real))
    weight = np.stack([_far(t + 1), _near(t), _near(1 - t), _far(2 - t)], axis=1).astype(real)
    return Resampling(n_in, first - 1, weight)


def _scale(ctx: Context, dim: int, n_in: int, n_out: int, real: type) -> float:
    if ctx.arg("align_corners", False):
        return real(n_in - 1) / real(n_out - 1) if n_out > 1 else real(0)
    factors = ctx.arg("scale_factors")
    count = len(ctx.out_shape()) - 2
    if factors is not None:
        given = factors[dim - 2]
    elif count == 1:
        given = ctx.arg("scales")
    else:
        given = ctx.arg(("scales_d", "scales_h", "scales_w")[3 - count:][dim - 2])
    # A scale that is given is used as it is, even where the sizes say otherwise.
    return real(1.0 / given) if given is not None and given > 0 else real(n_in) / real(n_out)


def _near(x: np.ndarray) -> np.ndarray:
    return ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1


def _far(x: np.ndarray) -> np.ndarray:
    return ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC


def source(ctx: Context) -> object:
    """The interpolated tensor."""
    return ctx.arg("input", ctx.arg("self"))


def whole_factor(ctx: Context) -> int:
    """Output rows per input row where every dimension grows by whole numbers from half-pixel centres, else 0.

    Such calls run as recorded on a tile.
    """
    tensor = source(ctx)
    axis, sizes = ctx.axis(tensor), list(zip(ctx.shape(tensor)[2:], ctx.out_shape()[2:]))
    if ctx.arg("align_corners", False) or "cubic" in ctx.node.name or "exact" in ctx.node.name:
        return 0
    if any(ctx.arg(name) is not None for name in ("scales", "scales_d", "scales_h", "scales_w")):
        return 0
    given = ctx.arg("scale_factors") or [n_out / n_in for n_in, n_out in sizes]
    if any(n_in * factor != n_out for factor, (n_in, n_out) in zip(given, sizes)):
        return 0
    n_in, n_out = sizes[axis - 2]
    if n_out % n_in:
        return 0
    # By some factors (41, 47, 55 ...) rounding in float32 takes the row before, and where depends on the rows above.
    is_even = "nearest" not in ctx.node.name or np.array_equal(
        resampling(ctx, axis).first, np.arange(n_out) // (n_out // n_in))
    return n_out // n_in if is_even else 0


def interpolation(ctx: Context) -> Optional[Rule]:
    """``upsample_{nearest,linear,bilinear,bicubic,trilinear}``, ``_upsample_nearest_exact``; any sizes and scales."""
    tensor = source(ctx)
    axis = ctx.axis(tensor)
    if axis < 2:  # every image and every channel by itself
        return ctx.same_rows(tensor)
    if 0 in ctx.shape(tensor):
        return None
    if "nearest" not in ctx.node.name and not ctx.is_exact_float(tensor):
        return None  # ATen weights and rounds these in its own ways, with another result for other tiles
    factor = whole_factor(ctx)
    if factor:
        make = interval.repeated if "nearest" in ctx.node.name else interval.linear
        return ctx.local(axis, (tensor, make(ctx.rows(tensor), factor)))
    return ctx.local(axis, (tensor, resampling(ctx, axis).rows()))


def sampling(ctx: Context) -> Optional[Rule]:
    """``grid_sampler``: a row of the grid makes a row of the result, out of the whole input; or image by image."""
    tensor, grid = ctx.arg("input"), ctx.arg("grid")
    if grid == tensor or ctx.axis(grid) == len(ctx.shape(grid)) - 1:
        return None
    if ctx.is_row_wise(grid) and ctx.axis(grid) > 0:
        return ctx.same_rows(grid, ctx.axis(grid) + 1)
    cut = [t for t in (tensor, grid) if ctx.is_row_wise(t)]
    if {ctx.axis(t) for t in cut} != {0}:
        return None
    return ctx.local(0, *((t, interval.identity(ctx.rows(t))) for t in cut))
