"""Operators that look at neighbouring rows: what the interval map clipped is padding, and is added back here."""
from typing import Any, Dict, Tuple

import torch
import torch.nn.functional as functional

from intra_dp_ros.graph.graph import Ref
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.rule import Context, per_axis
from intra_dp_ros.lop.rules.spatial import pad_amounts, pool_window, upscale_factor


def _pad_rows(tile: torch.Tensor, axis: int, before: int, after: int, value: float) -> torch.Tensor:
    if not before and not after:
        return tile
    amounts = [0, 0] * (tile.dim() - 1 - axis) + [before, after]
    return functional.pad(tile, amounts, value=value)


def _without_padding(padding: Any, index: int, count: int) -> list:
    """The padding argument with nothing left along spatial dimension `index`."""
    return [0 if i == index else per_axis(padding, i) for i in range(count)]


def convolution(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    ctx, source = kernel.context, kernel.node.args["input"]
    taps = ctx.shape(ctx.arg("weight"))[2:]
    index = kernel.axis - 2
    padding, stride = ctx.arg("padding", 0), per_axis(ctx.arg("stride", 1), index)
    reach = per_axis(ctx.arg("dilation", 1), index) * (taps[index] - 1) + 1
    first = start * stride - per_axis(padding, index)
    last = (stop - 1) * stride - per_axis(padding, index) + reach
    before, after, edge = max(0, -first), max(0, last - ctx.rows(source)), per_axis(padding, index)
    tile = tiles[source.tensor]
    rows, skip = tile.shape[kernel.axis], 0 if before else edge // stride
    if (before or after) and rows and (before == edge or (before == 0 and edge % stride == 0)) and (
            (rows + 2 * edge - reach) // stride + 1 >= skip + stop - start):
        # At an edge the recorded padding is right on that side; what it adds on the other side is computed and dropped,
        # which is cheaper than a padded copy of the tile.
        output, = kernel.call(tiles)
        return (output.narrow(kernel.axis, skip, stop - start),)
    tile = _pad_rows(tile, kernel.axis, before, after, 0.0)
    return kernel.call.with_args(tiles, input=tile, padding=_without_padding(padding, index, len(taps)))


def pooling(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    ctx, source = kernel.context, kernel.node.args["self"]
    count = int(kernel.node.name[-2])
    index = kernel.axis - (len(ctx.shape(source)) - count)
    taps, stride, padding, dilation = pool_window(ctx, index)
    first = start * stride - padding
    last = (stop - 1) * stride - padding + dilation * (taps - 1) + 1
    tile = tiles[source.tensor]
    value = 0.0 if kernel.node.name.startswith("avg") else _lowest(tile.dtype)
    tile = _pad_rows(tile, kernel.axis, max(0, -first), max(0, last - ctx.rows(source)), value)
    return kernel.call.with_args(tiles, self=tile,
                                 padding=_without_padding(ctx.arg("padding", 0), index, count))


def _lowest(dtype: torch.dtype) -> float:
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def upsample(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    name = "input" if "input" in kernel.node.args else "self"
    source = kernel.node.args[name]
    factor = upscale_factor(kernel.context, source)
    tile = tiles[source.tensor]
    size = list(kernel.context.out_shape()[2:])
    size[kernel.axis - 2] = tile.shape[kernel.axis] * factor
    override: Dict[str, Any] = {"output_size": size}
    if kernel.node.args.get("scale_factors") is not None:
        override["scale_factors"] = None
    enlarged, = kernel.call.with_args(tiles, **override)
    need = dict(kernel.rule.maps)[source.tensor].need(start, stop)
    return (enlarged.narrow(kernel.axis, start - need.start * factor, stop - start),)


def constant_pad(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    ctx, source = kernel.context, kernel.node.args["self"]
    before, _ = pad_amounts(ctx, source)
    end = before + ctx.rows(source)  # first row of the padding behind
    return kernel.call.with_args(tiles, pad=_pad_list(
        ctx.arg("pad"), ctx, source, max(0, min(before, stop) - start), max(0, stop - max(end, start))))


def replication_pad(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    ctx, source = kernel.context, kernel.node.args["self"]
    before, _ = pad_amounts(ctx, source)
    end = before + ctx.rows(source)
    # A tile wholly inside the padding still holds the one row that is repeated.
    front = max(0, min(before, stop - 1) - start)
    behind = max(0, stop - max(end, start + 1))
    return kernel.call.with_args(tiles, padding=_pad_list(ctx.arg("padding"), ctx, source, front, behind))


def _pad_list(pad: Tuple[int, ...], ctx: Context, source: Ref, before: int, after: int) -> list:
    place = len(ctx.shape(source)) - 1 - ctx.axis(source)
    changed = list(pad)
    if len(changed) > 2 * place:
        changed[2 * place:2 * place + 2] = [before, after]
    return changed
