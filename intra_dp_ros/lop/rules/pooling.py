"""Max, average and adaptive pooling of one to three spatial dimensions."""
from typing import Optional, Tuple

from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.convolution import spatial_index
from intra_dp_ros.lop.rules.rule import Context, Rule, per_axis


def pooled_dims(ctx: Context) -> int:
    """How many trailing dimensions a pooling operator pools: the digit of its name."""
    return int(ctx.node.name.split("_with")[0][-2])


def pool_window(ctx: Context, index: int) -> Tuple[int, int, int, int]:
    """Kernel, stride, padding and dilation of a pooling along one spatial dimension; stride defaults to kernel."""
    kernel = ctx.arg("kernel_size")
    stride = ctx.arg("stride")
    return (per_axis(kernel, index), per_axis(kernel if stride in (None, ()) else stride, index),
            per_axis(ctx.arg("padding", 0), index), per_axis(ctx.arg("dilation", 1), index))


def pooling(ctx: Context) -> Optional[Rule]:
    """``max_pool{1,2,3}d``, also with indices, and ``avg_pool{1,2,3}d``."""
    tensor = ctx.arg("self")
    index = spatial_index(ctx, tensor, pooled_dims(ctx))
    if index is None or (ctx.node.name.startswith("avg") and not ctx.is_exact_float(tensor)):
        return None
    axis = ctx.axis(tensor)
    return ctx.local(axis, (tensor, interval.window(
        ctx.rows(tensor), ctx.out_shape()[axis], *pool_window(ctx, index))))


def adaptive(ctx: Context) -> Optional[Rule]:
    """``adaptive_{avg,max}_pool{1,2,3}d`` to more than one row; to one it is a reduction over all rows."""
    tensor = ctx.arg("self")
    axis, rows = ctx.axis(tensor), ctx.rows(tensor)
    if spatial_index(ctx, tensor, pooled_dims(ctx)) is None or ctx.out_shape()[axis] < 2:
        return None
    return ctx.local(axis, (tensor, interval.adaptive(rows, ctx.out_shape()[axis])))
