"""Interpolation of a tile."""
from typing import Any, Dict

import torch

from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.kernels.rowwise import pointwise
from intra_dp_ros.lop.rules.resize import Resampling, resampling, source, whole_factor


def interpolation(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """Whole factors run as recorded on the tile; anything else is resampled dimension by dimension."""
    ctx, tensor = kernel.context, source(kernel.context)
    if kernel.axis < 2:
        return kernel.call(tiles)
    tile, need = tiles[tensor.tensor], kernel.rule.maps[0][1].need(start, stop)
    factor = kernel.once(whole_factor)
    if factor:
        size = list(ctx.out_shape()[2:])
        size[kernel.axis - 2] = tile.shape[kernel.axis] * factor
        override: Dict[str, Any] = {"output_size": size}
        if kernel.node.args.get("scale_factors") is not None:
            override["scale_factors"] = None
        enlarged, = kernel.call.with_args(tiles, **override)
        return (enlarged.narrow(kernel.axis, start - need.start * factor, stop - start),)
    tile = _resampled(tile, kernel.axis, kernel.once(resampling, kernel.axis), start, stop, need.start)
    for dim in range(2, tile.dim()):
        if dim != kernel.axis:
            tile = _resampled(tile, dim, kernel.once(resampling, dim), 0, ctx.out_shape()[dim], 0)
    return (tile,)


def sampling(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``grid_sampler``: along the batch, an operand held whole is cut here; along the grid, the input stays whole."""
    return pointwise(kernel, tiles, start, stop) if kernel.axis == 0 else kernel.call(tiles)


def _resampled(tile: torch.Tensor, dim: int, how: Resampling, start: int, stop: int, begin: int) -> torch.Tensor:
    """Rows [start, stop) of a dimension; the tile's first row is row `begin` of the input."""
    first = torch.from_numpy(how.first[start:stop]).to(tile.device)
    weights = torch.from_numpy(how.weight[start:stop]).to(tile.device)
    taps = [tile.index_select(dim, (first + j).clamp(0, how.n_in - 1) - begin) for j in range(weights.shape[1])]
    if len(taps) == 1:
        return taps[0]
    shape = [-1 if d == dim else 1 for d in range(tile.dim())]
    # half floats are weighted in float32 and rounded in the end, as ATen does
    return sum(tap * weights[:, j].reshape(shape) for j, tap in enumerate(taps)).to(tile.dtype)
