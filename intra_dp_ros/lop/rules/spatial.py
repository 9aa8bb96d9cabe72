"""Operators that look at neighbouring rows: convolution, pooling, interpolation, padding."""
from typing import Optional, Tuple

from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import Context, Rule, per_axis


def spatial_index(ctx: Context, tensor: object, count: int) -> Optional[int]:
    """Which of the trailing `count` spatial dimensions is the split axis; None when it is another dimension."""
    index = ctx.axis(tensor) - (len(ctx.shape(tensor)) - count)
    return index if index >= 0 else None


def convolution(ctx: Context) -> Optional[Rule]:
    """``conv{1,2,3}d`` with any kernel, stride, padding, dilation and groups."""
    tensor, kernel = ctx.arg("input"), ctx.shape(ctx.arg("weight"))[2:]
    index = spatial_index(ctx, tensor, len(kernel))
    if index is None or len(ctx.shape(tensor)) != len(kernel) + 2 or isinstance(ctx.arg("padding"), str):
        return None
    axis = ctx.axis(tensor)
    return ctx.local(axis, (tensor, interval.window(
        ctx.rows(tensor), ctx.out_shape()[axis], kernel[index], per_axis(ctx.arg("stride", 1), index),
        per_axis(ctx.arg("padding", 0), index), per_axis(ctx.arg("dilation", 1), index))))


def pool_window(ctx: Context, index: int) -> Tuple[int, int, int, int]:
    """Kernel, stride, padding and dilation of a pooling along one spatial dimension; stride defaults to kernel."""
    kernel = ctx.arg("kernel_size")
    stride = ctx.arg("stride")
    return (per_axis(kernel, index), per_axis(kernel if stride in (None, ()) else stride, index),
            per_axis(ctx.arg("padding", 0), index), per_axis(ctx.arg("dilation", 1), index))


def pooling(ctx: Context) -> Optional[Rule]:
    """``max_pool{1,2,3}d`` in full; ``avg_pool{1,2,3}d`` where every window divides by the same count."""
    tensor = ctx.arg("self")
    index = spatial_index(ctx, tensor, int(ctx.node.name[-2]))
    if index is None:
        return None
    if ctx.node.name.startswith("avg") and (ctx.arg("ceil_mode", False) or not ctx.arg("count_include_pad", True)):
        return None
    axis = ctx.axis(tensor)
    return ctx.local(axis, (tensor, interval.window(
        ctx.rows(tensor), ctx.out_shape()[axis], *pool_window(ctx, index))))


def upscale_factor(ctx: Context, tensor: object) -> int:
    """Output rows per input row when that is whole, else 0."""
    axis = ctx.axis(tensor)
    n_in, n_out = ctx.shape(tensor)[axis], ctx.out_shape()[axis]
    return n_out // n_in if n_out % n_in == 0 else 0


def upsample_nearest(ctx: Context) -> Optional[Rule]:
    """Nearest-neighbour enlargement by a whole factor of rows (others are global)."""
    tensor = ctx.arg("input", ctx.arg("self"))
    factor = upscale_factor(ctx, tensor)
    if not factor or ctx.axis(tensor) < 2 or _has_odd_scale(ctx, tensor):
        return None
    return ctx.local(ctx.axis(tensor), (tensor, interval.repeated(ctx.rows(tensor), factor)))


def upsample_linear(ctx: Context) -> Optional[Rule]:
    """Bilinear enlargement by a whole factor of rows with half-pixel centres (others are global)."""
    tensor = ctx.arg("input", ctx.arg("self"))
    factor = upscale_factor(ctx, tensor)
    if not factor or ctx.axis(tensor) < 2 or ctx.arg("align_corners") or _has_odd_scale(ctx, tensor):
        return None
    return ctx.local(ctx.axis(tensor), (tensor, interval.linear(ctx.rows(tensor), factor)))


def _has_odd_scale(ctx: Context, tensor: object) -> bool:
    """ATen uses a scale given as a number as it is, even where the sizes say otherwise; such calls are not cut."""
    if any(ctx.arg(name) is not None for name in ("scales", "scales_d", "scales_h", "scales_w")):
        return True
    sizes = zip(ctx.arg("scale_factors") or (), ctx.shape(tensor)[2:], ctx.out_shape()[2:])
    return any(scale * n_in != n_out for scale, n_in, n_out in sizes)


def pad_amounts(ctx: Context, tensor: object) -> Tuple[int, int]:
    """Rows put before and after the split axis; the argument lists dimensions from the last one on."""
    pad, place = ctx.arg("pad", ctx.arg("padding")), len(ctx.shape(tensor)) - 1 - ctx.axis(tensor)
    return (pad[2 * place], pad[2 * place + 1]) if len(pad) > 2 * place else (0, 0)


def constant_pad(ctx: Context) -> Optional[Rule]:
    """``constant_pad_nd``: rows put in front shift the input."""
    tensor = ctx.arg("self")
    before, after = pad_amounts(ctx, tensor)
    if before < 0 or after < 0:
        return None
    rows = ctx.rows(tensor)
    return ctx.local(ctx.axis(tensor), (tensor, interval.shifted(rows, rows + before + after, before)))


def replication_pad(ctx: Context) -> Optional[Rule]:
    """``replication_pad{1,2,3}d``: the first and the last row are repeated."""
    tensor = ctx.arg("self")
    before, after = pad_amounts(ctx, tensor)
    if before < 0 or after < 0:
        return None
    return ctx.local(ctx.axis(tensor), (tensor, interval.replicated(ctx.rows(tensor), before, after)))
