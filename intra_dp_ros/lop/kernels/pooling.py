"""Pooling of a tile."""
import math

import torch

from intra_dp_ros.lop.kernels.convolution import pad_rows, with_entry
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.pooling import pool_window


def pooling(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``max_pool{1,2,3}d`` and ``avg_pool{1,2,3}d``."""
    ctx, source = kernel.context, kernel.node.args["self"]
    count = int(kernel.node.name[-2])
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
    return kernel.call.with_args(tiles, self=tile, padding=with_entry(ctx.arg("padding", 0), index, count, 0))


def _lowest(dtype: torch.dtype) -> float:
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def _average(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """Average pooling whose windows divide by different counts: plain averages, put right by the counts."""
    ctx, source = kernel.context, kernel.node.args["self"]
    count, tile = int(kernel.node.name[-2]), tiles[source.tensor]
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


def adaptive_average(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``adaptive_avg_pool{1,2,3}d``: windows of unequal sizes are taken one by one."""
    ctx, source = kernel.context, kernel.node.args["self"]
    tile, axis = tiles[source.tensor], kernel.axis
    size = list(ctx.out_shape()[len(ctx.out_shape()) - int(kernel.node.name[-2]):])
    place = axis - (len(ctx.out_shape()) - len(size))
    if ctx.rows(source) % ctx.out_shape()[axis] == 0:
        size[place] = stop - start
        return kernel.call.with_args(tiles, output_size=size)
    rows, size[place] = kernel.rule.maps[0][1], 1
    begin = rows.need(start, stop).start
    parts = []
    for row in range(start, stop):
        need = rows.need(row, row + 1)
        parts += kernel.call.with_args(tiles, self=tile.narrow(axis, need.start - begin, need.size), output_size=size)
    return (torch.cat(parts, axis),)
