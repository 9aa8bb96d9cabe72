"""Operators on single rows whose arguments name sizes or hold all rows: both are cut to the tile here."""
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
    source = kernel.node.args["self"]
    return (tiles[source.tensor].reshape(kernel.tiling.row_shape(kernel.node.outputs[0], start, stop)),)


def slicing(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    source = kernel.node.args["self"]
    dim = kernel.node.args.get("dim", 0)
    if dim % len(kernel.context.shape(source)) != kernel.axis:
        return kernel.call(tiles)
    return kernel.call.with_args(tiles, start=0, end=tiles[source.tensor].shape[kernel.axis])
