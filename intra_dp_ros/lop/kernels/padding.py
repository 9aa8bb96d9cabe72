"""Padding of a tile."""
import torch

from intra_dp_ros.graph.graph import Ref
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.padding import pad_amounts, reflected_rows
from intra_dp_ros.lop.rules.rule import Context


def constant(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``constant_pad_nd``."""
    ctx, source = kernel.context, kernel.node.args["self"]
    before, _ = pad_amounts(ctx, source)
    end = before + ctx.rows(source)  # first row of the padding behind
    return kernel.call.with_args(tiles, pad=_pad_list(
        ctx.arg("pad"), ctx, source, max(0, min(before, stop) - start), max(0, stop - max(end, start))))


def replicating(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``replication_pad{1,2,3}d``."""
    ctx, source = kernel.context, kernel.node.args["self"]
    before, _ = pad_amounts(ctx, source)
    end = before + ctx.rows(source)
    # A tile wholly inside the padding still holds the one row that is repeated.
    front = max(0, min(before, stop - 1) - start)
    behind = max(0, stop - max(end, start + 1))
    return kernel.call.with_args(tiles, padding=_pad_list(ctx.arg("padding"), ctx, source, front, behind))


def reflecting(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``reflection_pad{1,2,3}d``: the other dimensions as recorded, then the rows one by one."""
    ctx, source = kernel.context, kernel.node.args["self"]
    rows = reflected_rows(ctx.rows(source), *pad_amounts(ctx, source))[start:stop]
    padded, = kernel.call.with_args(tiles, padding=_pad_list(ctx.arg("padding"), ctx, source, 0, 0))
    begin = kernel.rule.maps[0][1].need(start, stop).start
    return (padded.index_select(kernel.axis, torch.from_numpy(rows - begin).to(padded.device)),)


def _pad_list(pad: tuple, ctx: Context, source: Ref, before: int, after: int) -> list:
    place = len(ctx.shape(source)) - 1 - ctx.axis(source)
    changed = list(pad)
    if len(changed) > 2 * place:
        changed[2 * place:2 * place + 2] = [before, after]
    return changed
