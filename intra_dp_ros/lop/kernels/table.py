"""The one table: operators whose call differs on a tile -> how.  Every other local operator runs on it as recorded."""
from typing import Callable, Dict, Mapping

import torch

from intra_dp_ros.graph.registry import Call
from intra_dp_ros.lop.kernels import convolution, padding, pooling, resize, rowwise, shuffle
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.table import INTERPOLATIONS, POINTWISE, RESHAPES, RULES
from intra_dp_ros.lop.tiling import Tiling

KERNELS: Dict[str, Callable[[TileKernel, Tiles, int, int], Outputs]] = {
    **{name: rowwise.pointwise for name in POINTWISE},
    **{"conv{}d".format(n): convolution.convolution for n in (1, 2, 3)},
    **{"conv_transpose{}d".format(n): convolution.transposed_convolution for n in (1, 2, 3)},
    **{"{}_pool{}d".format(kind, n): pooling.pooling for kind in ("max", "avg") for n in (1, 2, 3)},
    **{"max_pool{}d_with_indices".format(n): pooling.pooling for n in (2, 3)},
    **{"adaptive_{}_pool{}d".format(kind, n): pooling.adaptive for kind in ("max", "avg") for n in (1, 2, 3)},
    "_adaptive_avg_pool2d": pooling.adaptive,
    **{name: resize.interpolation for name in INTERPOLATIONS},
    "grid_sampler": resize.sampling,
    "grid_sampler_2d": resize.sampling,
    "constant_pad_nd": padding.constant,
    **{"replication_pad{}d".format(n): padding.replicating for n in (1, 2, 3)},
    **{"reflection_pad{}d".format(n): padding.reflecting for n in (1, 2, 3)},
    "pixel_shuffle": shuffle.pixel_shuffle,
    "im2col": shuffle.im2col,
    "col2im": shuffle.col2im,
    **{name: rowwise.reshape for name in RESHAPES},
    "linalg_cross": rowwise.pointwise,
    "expand": rowwise.expand,
    "slice_scatter": rowwise.pointwise,
    "select_scatter": rowwise.pointwise,
    **{name: rowwise.product for name in ("matmul", "bmm", "baddbmm")},
    "scaled_dot_product_attention": rowwise.attention,
    "cat": rowwise.join,
    "stack": rowwise.join,
    "slice": rowwise.slicing,
}

if not set(KERNELS) <= set(RULES):
    raise ImportError("kernels without a rule: {}".format(sorted(set(KERNELS) - set(RULES))))


def tile_kernel(tiling: Tiling, node: int, call: Call, weights: Mapping[str, torch.Tensor]) -> TileKernel:
    """The kernel of a local node.

    Args:
        node: index into the graph's nodes.
        call: the recorded call, bound to its weights.
    """
    return TileKernel(tiling, node, call, weights, KERNELS.get(tiling.graph.nodes[node].name, _as_recorded))


def _as_recorded(kernel: TileKernel, tiles: Tiles, start: int, stop: int) -> Outputs:
    return kernel.call(tiles)
