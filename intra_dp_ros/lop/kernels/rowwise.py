"""Operators on single rows whose arguments name sizes or hold all rows: both are cut to the tile here."""
import math
from typing import Any

import torch

from intra_dp_ros.graph.graph import Const
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles


def pointwise(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    if not kernel.static:
        return kernel.call(tiles)
    override = {}
    for name, place in kernel.static.items():
        override[name] = _value(kernel, tiles, kernel.node.args[name]).narrow(place, start, stop - start)
    return kernel.call.with_args(tiles, **override)


def reshape(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """Elements keep their order: rows of another length are cut out of the tile's sequence of elements."""
    source = kernel.node.args["self"].tensor
    tile, shape = tiles[source], kernel.tiling.row_shape(kernel.node.outputs[0], start, stop)
    need = kernel.rule.maps[0][1].need(start, stop)
    before, behind = math.prod(shape[:kernel.axis]), math.prod(shape[kernel.axis + 1:])
    first = start * behind - need.start * (tile.numel() // (before * need.size))
    if first or tile.numel() != math.prod(shape):
        tile = tile.reshape(before, -1).narrow(1, first, (stop - start) * behind)
    return (tile.reshape(shape),)


def expand(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``expand`` names the size of every dimension."""
    size = list(kernel.node.args["size"])
    size[kernel.axis] = stop - start
    return kernel.call.with_args(tiles, size=size)


def slicing(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    source = kernel.node.args["self"]
    dim = kernel.node.args.get("dim", 0)
    if dim % len(kernel.context.shape(source)) != kernel.axis:
        return kernel.call(tiles)
    return kernel.call.with_args(tiles, start=0, end=tiles[source.tensor].shape[kernel.axis])


def product(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """Factors without rows are cut in a batch dimension only: in rows and columns of the result they are whole."""
    is_batch = kernel.axis < len(kernel.context.out_shape()) - 2
    return pointwise(kernel, tiles, start, stop) if is_batch else kernel.call(tiles)


def attention(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """A mask without rows is held whole and cut here, as the queries are."""
    place = kernel.static.get("attn_mask")
    if place is None:
        return kernel.call(tiles)
    mask = _value(kernel, tiles, kernel.node.args["attn_mask"])
    return kernel.call.with_args(tiles, attn_mask=mask.narrow(place, start, stop - start))


def join(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """cat and stack: what has no rows is held whole and cut here."""
    context, items = kernel.context, kernel.node.args["tensors"]
    if all(context.is_row_wise(t) for t in items):
        return kernel.call(tiles)
    axis = next(context.axis(t) for t in items if context.is_row_wise(t))
    follows = kernel.node.name == "cat" and kernel.node.args.get("dim", 0) % len(context.out_shape()) == axis
    values, offset = [], 0
    for item in items:
        value, rows = _value(kernel, tiles, item), context.shape(item)[axis]
        if not context.is_row_wise(item):
            first, last = (min(max(i - offset, 0), rows) for i in (start, stop))
            value = value.narrow(axis, first, last - first)
        values.append(value)
        offset += rows if follows else 0
    return kernel.call.with_args(tiles, tensors=values)


def _value(kernel: TileKernel, tiles: Tiles, arg: Any) -> torch.Tensor:
    return kernel.weights[arg.name] if isinstance(arg, Const) else tiles[arg.tensor]
