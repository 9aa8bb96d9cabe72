"""Operators on single rows whose arguments name sizes or hold all rows: both are cut to the tile here."""
import math

from intra_dp_ros.graph.graph import Const
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles


def pointwise(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    if not kernel.static:
        return kernel.call(tiles)
    override = {}
    for name, place in kernel.static.items():
        arg = kernel.node.args[name]
        value = kernel.weights[arg.name] if isinstance(arg, Const) else tiles[arg.tensor]
        override[name] = value.narrow(place, start, stop - start)
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
