"""Convolutions of a tile: what the interval map clipped is padding, and is added back here."""
from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as functional

from intra_dp_ros.graph.graph import Ref
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.convolution import padding_of, recorded_padding
from intra_dp_ros.lop.rules.rule import per_axis


def pad_rows(tile: torch.Tensor, axis: int, before: int, after: int, value: float = 0.0) -> torch.Tensor:
    """Constant rows before and after a tile; negative counts cut off."""
    if not before and not after:
        return tile
    return functional.pad(tile, [0, 0] * (tile.dim() - 1 - axis) + [before, after], value=value)


def with_entry(values: Any, index: int, count: int, entry: int) -> Tuple[int, ...]:
    """An argument of one number per spatial dimension, with another one for dimension `index`."""
    return tuple(entry if i == index else per_axis(values, i) for i in range(count))


def convolution(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``conv{1,2,3}d``."""
    ctx, source = kernel.context, kernel.node.args["input"]
    taps = ctx.shape(ctx.arg("weight"))[2:]
    leading = len(ctx.shape(source)) - len(taps)  # dimensions before the spatial ones: a batch may be missing
    index = kernel.axis - leading
    if index < 0:
        return kernel.call(tiles)
    (edge, behind), stride = padding_of(ctx, index), per_axis(ctx.arg("stride", 1), index)
    reach = per_axis(ctx.arg("dilation", 1), index) * (taps[index] - 1) + 1
    first = start * stride - edge
    last = (stop - 1) * stride - edge + reach
    # A window that lies in the padding is padded to its length, not from the edge on.
    before, after = max(0, min(0, last) - first), max(0, last - max(ctx.rows(source), first))
    tile = tiles[source.tensor]
    rows, skip = tile.shape[kernel.axis], 0 if before else edge // stride
    if (before or after) and rows and edge == behind and (before == edge or (before == 0 and edge % stride == 0)) and (
            (rows + 2 * edge - reach) // stride + 1 >= skip + stop - start):
        # At an edge the recorded padding is right on that side; what it adds on the other side is computed and dropped,
        # which is cheaper than a padded copy of the tile.
        output, = _convolve(kernel, tiles, tile, recorded_padding(ctx))
        return (output.narrow(kernel.axis, skip, stop - start),)
    tile = pad_rows(tile, kernel.axis, before, after)
    padding = recorded_padding(ctx)
    if isinstance(padding, str):
        for other in range(len(taps)):
            if other != index:
                tile = pad_rows(tile, other + leading, *padding_of(ctx, other))
        return _convolve(kernel, tiles, tile, "valid")
    return _convolve(kernel, tiles, tile, with_entry(padding, index, len(taps), 0))


def _convolve(kernel: TileKernel, tiles: Tiles, tile: torch.Tensor, padding: Any) -> Outputs:
    """The recorded call on a tile.

    Volumes go to oneDNN directly: on a processor ATen gives it the whole input but not a tile that is small enough (its
    first four dimensions of fewer than 20481 elements), and its own code takes 5 to 12 times as long for each row
    (torch 1.13: 8x8x3x3x3 over 32x128 cells a row, 0.15 against 0.8 to 2.1 ms).
    """
    ctx = kernel.context
    weight = _operand(kernel, tiles, "weight")
    if weight.dim() != 5 or tile.dim() != 5 or tile.device.type != "cpu" or tile.dtype != torch.float32 \
            or isinstance(padding, str) or not torch.backends.mkldnn.is_available():
        return kernel.call.with_args(tiles, input=tile, padding=padding)
    sizes = [[per_axis(values, i) for i in range(3)]
             for values in (padding, ctx.arg("stride", 1), ctx.arg("dilation", 1))]
    return (torch.mkldnn_convolution(tile, weight, _operand(kernel, tiles, "bias"), *sizes, ctx.arg("groups", 1)),)


def _operand(kernel: TileKernel, tiles: Tiles, name: str) -> Optional[torch.Tensor]:
    arg = kernel.context.arg(name)
    if arg is None:
        return None
    return tiles[arg.tensor] if isinstance(arg, Ref) else kernel.weights[arg.name]


def transposed_convolution(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``conv_transpose{1,2,3}d``: all rows that the tile reaches, of which those asked for are cut out.

    Rows that no input row reaches (between strides, in the output padding) are the bias.
    """
    ctx, source = kernel.context, kernel.node.args["input"]
    taps = len(ctx.shape(ctx.arg("weight"))) - 2
    index = kernel.axis - (len(ctx.shape(source)) - taps)
    if index < 0:
        return kernel.call(tiles)
    need = kernel.rule.maps[0][1].need(start, stop)
    tile, bias = tiles[source.tensor], _operand(kernel, tiles, "bias")
    first = need.start * per_axis(ctx.arg("stride", 1), index) - per_axis(ctx.arg("padding", 0), index)
    reached = 0
    if need.size:
        output, = kernel.call.with_args(
            tiles, input=tile, padding=with_entry(ctx.arg("padding", 0), index, taps, 0),
            output_padding=with_entry(ctx.arg("output_padding", 0), index, taps, 0))
        reached = output.shape[kernel.axis]
        if first <= start and stop <= first + reached:
            return (output.narrow(kernel.axis, start - first, stop - start),)
    shape = kernel.tiling.row_shape(kernel.node.outputs[0], start, stop)
    rows = torch.zeros(shape, dtype=tile.dtype, device=tile.device)
    if bias is not None:
        rows = rows + bias.reshape(-1, *(1 for _ in range(taps)))
    low, high = max(first, start), min(first + reached, stop)
    if reached and low < high:
        rows.narrow(kernel.axis, low - start, high - low).copy_(output.narrow(kernel.axis, low - first, high - low))
    return (rows,)
