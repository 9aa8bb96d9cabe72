"""The one table: operators whose call differs on a tile -> how.  Every other local operator runs on it as recorded."""
from typing import Callable, Dict, Mapping

import torch

from intra_dp_ros.graph.registry import Call
from intra_dp_ros.lop.kernels import rowwise, spatial
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.rules.table import POINTWISE, RESHAPES, RULES
from intra_dp_ros.lop.tiling import Tiling

KERNELS: Dict[str, Callable[[TileKernel, Tiles, int, int], Outputs]] = {
    **{name: rowwise.pointwise for name in POINTWISE},
    **{"conv{}d".format(n): spatial.convolution for n in (1, 2, 3)},
    **{"{}_pool{}d".format(kind, n): spatial.pooling for kind in ("max", "avg") for n in (1, 2, 3)},
    **{name: spatial.upsample for name in RULES if name.startswith("upsample_")},
    "constant_pad_nd": spatial.constant_pad,
    **{"replication_pad{}d".format(n): spatial.replication_pad for n in (1, 2, 3)},
    **{name: rowwise.reshape for name in RESHAPES},
    "expand": rowwise.expand,
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
