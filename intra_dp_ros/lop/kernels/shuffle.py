"""Operators between channels and space of a tile."""
from intra_dp_ros.lop.kernels.convolution import pad_rows, with_entry
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.shuffle import columns_per_row, window_of


def pixel_shuffle(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``pixel_shuffle``: all rows that the tile makes, of which those asked for are cut out."""
    output, = kernel.call(tiles)
    first = kernel.rule.maps[0][1].need(start, stop).start
    factor = kernel.rule.rows // kernel.rule.maps[0][1].n_in
    return (output.narrow(kernel.axis, start - first * factor, stop - start),)


def im2col(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``im2col``: whole rows of windows, of which the windows asked for are cut out."""
    ctx, source = kernel.context, kernel.node.args["self"]
    width, tile = columns_per_row(ctx), tiles[source.tensor]
    first, last = start // width, -(-stop // width)
    taps, stride, padding, dilation = window_of(ctx, 0)
    begin = first * stride - padding
    end = (last - 1) * stride - padding + dilation * (taps - 1) + 1
    tile = pad_rows(tile, tile.dim() - 2, max(0, -begin), max(0, end - ctx.rows(source)))
    output, = kernel.call.with_args(tiles, self=tile, padding=with_entry(ctx.arg("padding"), 0, 2, 0))
    return (output.narrow(kernel.axis, start - first * width, stop - start),)


def col2im(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    """``col2im``: all rows that the tile's windows reach, of which those asked for are cut out, or zero."""
    ctx, source = kernel.context, kernel.node.args["self"]
    tile, width, need = tiles[source.tensor], columns_per_row(ctx), kernel.rule.maps[0][1].need(start, stop)
    if not need.size:
        return (tile.new_zeros(kernel.tiling.row_shape(kernel.node.outputs[0], start, stop)),)
    taps, stride, padding, dilation = window_of(ctx, 0)
    first = need.start // width * stride - padding
    reached = (need.size // width - 1) * stride + dilation * (taps - 1) + 1
    output, = kernel.call.with_args(tiles, output_size=[reached, ctx.out_shape()[-1]],
                                    padding=with_entry(ctx.arg("padding"), 0, 2, 0))
    return (pad_rows(output, kernel.axis, first - start, stop - first - reached),)
