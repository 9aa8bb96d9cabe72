"""Computing rows ``[start, stop)`` of one operator from just the input rows they need.

Most local operators run as recorded on the tile.  Those that look at neighbouring rows, or that name sizes, get their
arguments adjusted here: what the interval map clipped is padding, and it is added back as the operator has it.
"""
from typing import Any, Callable, Dict, Mapping, Tuple

import torch
import torch.nn.functional as functional

from intra_dp_ros.graph.graph import Const, Ref
from intra_dp_ros.graph.registry import Call
from intra_dp_ros.lop.rules.rule import Context, per_axis
from intra_dp_ros.lop.rules.spatial import pad_amounts, pool_window, upscale_factor
from intra_dp_ros.lop.rules.table import POINTWISE, RULES
from intra_dp_ros.lop.tiling import Tiling

Tiles = Mapping[int, torch.Tensor]
Outputs = Tuple[torch.Tensor, ...]


class TileKernel:
    """One local node, ready to compute any range of its rows."""

    def __init__(self, tiling: Tiling, node_index: int, call: Call, weights: Mapping[str, torch.Tensor]) -> None:
        self.tiling = tiling
        self.node = tiling.graph.nodes[node_index]
        self.rule = tiling.rules[node_index]
        self.call = call
        self.weights = weights
        self.context = Context(tiling.graph, self.node, tiling.axis)
        self.axis = self.rule.axes[0]
        self._reads_all = all(m.need(0, self.rule.rows) == (0, m.n_in) for _, m in self.rule.maps)
        self._run = KERNELS.get(self.node.name, _as_recorded)
        #: argument -> dimension to slice, for operands that hold all rows on every side (constants, whole tensors)
        self.static = _static_operands(self) if self.node.name in POINTWISE else {}

    def __call__(self, tiles: Tiles, start: int, stop: int) -> Outputs:
        """Rows ``[start, stop)`` of every output.

        Args:
            tiles: tensor -> the rows ``rule.maps`` says are needed for ``[start, stop)``, no more and no less.
        """
        if stop - start == self.rule.rows and self._reads_all:
            return self.call(tiles)  # nothing is cut: exactly the recorded call
        return self._run(self, tiles, start, stop)


def _as_recorded(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    return kernel.call(tiles)


def _static_operands(kernel: TileKernel) -> Dict[str, int]:
    found = {}
    for name, arg in kernel.node.args.items():
        if isinstance(arg, (Ref, Const)) and not kernel.context.is_row_wise(arg):
            shape = kernel.context.shape(arg)
            place = kernel.axis - (len(kernel.context.out_shape()) - len(shape))
            if place >= 0 and shape[place] > 1:
                found[name] = place
    return found


def _pointwise(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    if not kernel.static:
        return kernel.call(tiles)
    override = {}
    for name, place in kernel.static.items():
        arg = kernel.node.args[name]
        value = kernel.weights[arg.name] if isinstance(arg, Const) else tiles[arg.tensor]
        override[name] = value.narrow(place, start, stop - start)
    return kernel.call.with_args(tiles, **override)


def _pad_rows(tile: torch.Tensor, axis: int, before: int, after: int, value: float) -> torch.Tensor:
    if not before and not after:
        return tile
    amounts = [0, 0] * (tile.dim() - 1 - axis) + [before, after]
    return functional.pad(tile, amounts, value=value)


def _without_padding(padding: Any, index: int, count: int) -> list:
    """The padding argument with nothing left along spatial dimension `index`."""
    return [0 if i == index else per_axis(padding, i) for i in range(count)]


def _convolution(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
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


def _pooling(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
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


def _upsample(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
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


def _constant_pad(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    ctx, source = kernel.context, kernel.node.args["self"]
    before, _ = pad_amounts(ctx, source)
    end = before + ctx.rows(source)  # first row of the padding behind
    return kernel.call.with_args(tiles, pad=_pad_list(
        ctx.arg("pad"), ctx, source, max(0, min(before, stop) - start), max(0, stop - max(end, start))))


def _replication_pad(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
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


def _reshape(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    source = kernel.node.args["self"]
    return (tiles[source.tensor].reshape(kernel.tiling.row_shape(kernel.node.outputs[0], start, stop)),)


def _slice(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    source = kernel.node.args["self"]
    dim = kernel.node.args.get("dim", 0)
    if dim % len(kernel.context.shape(source)) != kernel.axis:
        return kernel.call(tiles)
    return kernel.call.with_args(tiles, start=0, end=tiles[source.tensor].shape[kernel.axis])


#: Operators whose call differs on a tile; every other local operator runs as recorded.
KERNELS: Dict[str, Callable[[TileKernel, Tiles, int, int], Outputs]] = {
    **{name: _pointwise for name in POINTWISE},
    **{"conv{}d".format(n): _convolution for n in (1, 2, 3)},
    **{"{}_pool{}d".format(kind, n): _pooling for kind in ("max", "avg") for n in (1, 2, 3)},
    **{name: _upsample for name in RULES if name.startswith("upsample_")},
    "constant_pad_nd": _constant_pad,
    **{"replication_pad{}d".format(n): _replication_pad for n in (1, 2, 3)},
    **{name: _reshape for name in ("reshape", "flatten", "squeeze", "unsqueeze")},
    "slice": _slice,
}

if not set(KERNELS) <= set(RULES):
    raise ImportError("kernels without a rule: {}".format(sorted(set(KERNELS) - set(RULES))))
