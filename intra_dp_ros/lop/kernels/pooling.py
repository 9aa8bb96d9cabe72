"""Pooling of a tile."""
import math

import torch

from intra_dp_ros.lop.kernels.convolution import pad_rows, with_entry
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.pooling import pool_window, pooled_dims


def pooling(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``max_pool{1,2,3}d``, also with indices, and ``avg_pool{1,2,3}d``."""
    ctx, source = kernel.context, kernel.node.args["self"]
    count = pooled_dims(ctx)
    is_average = kernel.node.name.startswith("avg")
    if is_average and (ctx.arg("ceil_mode", False) or not ctx.arg("count_include_pad", True)):
        return _average(kernel, tiles, start, stop)
    index = kernel.axis - (len(ctx.shape(source)) - count)
    taps, stride, padding, dilation = pool_window(ctx, index)
    first = start * stride - padding
    last = (stop - 1) * stride - padding + dilation * (taps - 1) + 1
    tile = tiles[source.tensor]
    tile = pad_rows(tile, kernel.axis, max(0, -first), max(0, last - ctx.rows(source)),
                    0.0 if is_average else _lowest(tile.dtype))
    found = kernel.call.with_args(tiles, self=tile, padding=with_entry(ctx.arg("padding", 0), index, count, 0))
    return _placed(kernel, found, tile, first if first < 0 else kernel.rule.maps[0][1].need(start, stop).start)


def _placed(kernel: TileKernel, found: Outputs, tile: torch.Tensor, begin: int) -> Outputs:
    """Positions (a second output, counted within the pooled dimensions of `tile`) as positions in the whole input.

    Args:
        begin: row of the input that is the tile's first; negative where the tile begins with padding.
    """
    if len(found) == 1:
        return found
    rows, behind = tile.shape[kernel.axis], math.prod(tile.shape[kernel.axis + 1:])
    values, at = found
    before, rest = _divided(at, rows * behind)
    row, column = _divided(rest, behind)
    row = (row + begin).clamp(min=0)  # where nothing is above the padding's value, it is the first row of the window
    return values, (before * kernel.context.rows(kernel.node.args["self"]) + row) * behind + column


def _divided(values: torch.Tensor, by: int) -> Outputs:
    quotient = torch.div(values, by, rounding_mode="floor")
    return quotient, values - quotient * by


def _lowest(dtype: torch.dtype) -> float:
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def _average(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """Average pooling whose windows divide by different counts: plain averages, put right by the counts."""
    ctx, source = kernel.context, kernel.node.args["self"]
    count, tile = pooled_dims(ctx), tiles[source.tensor]
    leading = tile.dim() - count
    factor = torch.ones((), dtype=tile.dtype, device=tile.device)
    for index in range(count):
        dim = leading + index
        taps, stride, padding, _ = pool_window(ctx, index)
        n_in, rows = ctx.shape(source)[dim], (start, stop) if dim == kernel.axis else (0, ctx.out_shape()[dim])
        first = rows[0] * stride - padding
        last = (rows[1] - 1) * stride - padding + taps
        tile = pad_rows(tile, dim, max(0, -first), max(0, last - n_in) if dim == kernel.axis else last - n_in)
        begin = torch.arange(*rows, device=tile.device) * stride - padding
        end = (begin + taps).clamp(max=n_in + padding)  # what lies beyond the padding never counts
        if not ctx.arg("count_include_pad", True):
            begin, end = begin.clamp(min=0), end.clamp(max=n_in)
        each = taps / (end - begin).to(tile.dtype)
        factor = factor.unsqueeze(-1) * each if factor.dim() else each
    override = {"divisor_override": None} if "divisor_override" in kernel.node.args else {}
    divisor = ctx.arg("divisor_override")
    output, = kernel.call.with_args(tiles, self=tile, padding=[0] * count, ceil_mode=False, **override)
    if divisor:
        return (output * (math.prod(pool_window(ctx, index)[0] for index in range(count)) / divisor),)
    return (output * factor,)


def adaptive(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``adaptive_{avg,max}_pool{1,2,3}d``: windows of unequal sizes are taken one by one."""
    ctx, source = kernel.context, kernel.node.args["self"]
    tile, axis, rows = tiles[source.tensor], kernel.axis, kernel.rule.maps[0][1]
    size = list(ctx.out_shape()[len(ctx.out_shape()) - pooled_dims(ctx):])
    place = axis - (len(ctx.out_shape()) - len(size))
    begin = rows.need(start, stop).start
    if ctx.rows(source) % ctx.out_shape()[axis] == 0:
        size[place] = stop - start
        return _placed(kernel, kernel.call.with_args(tiles, output_size=size), tile, begin)
    size[place] = 1
    parts = []
    for row in range(start, stop):
        need = rows.need(row, row + 1)
        part = tile.narrow(axis, need.start - begin, need.size)
        parts.append(_placed(kernel, kernel.call.with_args(tiles, self=part, output_size=size), part, need.start))
    return tuple(torch.cat(outputs, axis) for outputs in zip(*parts))
