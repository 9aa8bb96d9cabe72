"""What an operator has to do, whatever it runs on: its kind, its arithmetic, the bytes that it reads and writes."""
import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Tuple

from intra_dp_ros.graph.graph import Const, Graph, OpNode, Ref
from intra_dp_ros.lop.rules.table import POINTWISE, RESHAPES

CONVOLUTION, GROUPED, VOLUME = "convolution", "grouped convolution", "volume convolution"
TRANSPOSED, PRODUCT = "transposed convolution", "matrix product"
NORM, ELEMENTWISE, POOLING, COPY, OTHER = "normalisation", "elementwise", "pooling and reduction", "copy", "other"
VIEW = "view"

#: Families with arithmetic worth counting; the others are as slow as memory is.
ARITHMETIC = (CONVOLUTION, GROUPED, VOLUME, TRANSPOSED, PRODUCT)
FAMILIES = (*ARITHMETIC, NORM, ELEMENTWISE, POOLING, COPY, OTHER)

#: GPUs multiply matrices in tiles of at least so many outputs: fewer take as long.  (In the published times a 3-D
#: convolution to 8 channels takes 104 ms on the robot, the same one to 20 channels 109 ms.)
TILE = 32

_NORMS = ("batch_norm layer_norm group_norm instance_norm rms_norm native_layer_norm native_group_norm "
          "_native_batch_norm_legit_no_training softmax log_softmax _softmax _log_softmax").split()
_COPIES = ("to clone cat stack repeat tile constant_pad_nd pad roll flip pixel_shuffle pixel_unshuffle channel_shuffle "
           "index_select index gather slice_scatter select_scatter embedding").split()
_REDUCTIONS = "mean sum prod amax amin max min argmax argmin any all var std norm logsumexp".split()
_VIEWS = (*RESHAPES, "view", "permute", "transpose", "t", "select", "slice", "split", "split_with_sizes", "chunk",
          "unbind", "expand", "diagonal")

_FAMILY: Dict[str, str] = {
    **{name: ELEMENTWISE for name in POINTWISE}, **{name: COPY for name in _COPIES},
    **{name: NORM for name in _NORMS}, **{name: POOLING for name in _REDUCTIONS}, **{name: VIEW for name in _VIEWS},
}


@dataclass(frozen=True)
class Work:
    """One call, of all its rows."""

    family: str  # of FAMILIES, or VIEW: nothing to do
    flops: int  # floating-point operations, a multiplication and an addition being two; outputs in whole tiles
    nbytes: int  # read and written, weights included


def work_of(graph: Graph, node: OpNode) -> Work:
    """The work of a graph's operator; of an unknown one its bytes."""
    count = _COUNTED.get(node.name)
    family, flops = (family_of(node.name), 0) if count is None else count(graph, node)
    if family == VIEW:
        return Work(VIEW, 0, 0)
    read = sum(graph.tensors[t].nbytes for t in node.inputs) + sum(graph.constants[c].nbytes for c in node.constants)
    return Work(family, flops, read + sum(graph.tensors[t].nbytes for t in node.outputs))


def family_of(name: str) -> str:
    """Family of an operator that multiplies no matrices, by its ATen name."""
    if "pool" in name:
        return POOLING
    return COPY if name.startswith("upsample") else _FAMILY.get(name, OTHER)


def _shape(graph: Graph, arg: Any) -> Tuple[int, ...]:
    if isinstance(arg, Const):
        return graph.constants[arg.name].shape
    return graph.tensors[arg.tensor].shape if isinstance(arg, Ref) else ()


def _whole_tiles(outputs: int) -> int:
    return -(-outputs // TILE) * TILE


def _convolution(graph: Graph, node: OpNode) -> Tuple[str, int]:
    if node.args.get("transposed"):
        return _transposed(graph, node)
    weight, out = _shape(graph, node.args["weight"]), graph.tensors[node.outputs[0]]
    sites = out.numel // max(1, weight[0])
    if node.args.get("groups", 1) > 1:  # no matrices as wide as a tile
        return GROUPED, 2 * math.prod(weight) * sites
    return VOLUME if len(weight) == 5 else CONVOLUTION, 2 * _whole_tiles(weight[0]) * math.prod(weight[1:]) * sites


def _transposed(graph: Graph, node: OpNode) -> Tuple[str, int]:
    weight, given = _shape(graph, node.args["weight"]), _shape(graph, node.args["input"])
    return TRANSPOSED, 2 * math.prod(weight) * (math.prod(given) // max(1, weight[0]))


def _product(first: str) -> Callable[[Graph, OpNode], Tuple[str, int]]:
    """Of an operator whose argument `first` is the left matrix: its last dimension is summed over."""
    def count(graph: Graph, node: OpNode) -> Tuple[str, int]:
        out, left = graph.tensors[node.outputs[0]].shape, _shape(graph, node.args[first])
        if not out or not left:
            return PRODUCT, 0
        return PRODUCT, 2 * math.prod(out[:-1]) * _whole_tiles(out[-1]) * left[-1]
    return count


def _attention(graph: Graph, node: OpNode) -> Tuple[str, int]:
    query, key = (_shape(graph, node.args[name]) for name in ("query", "key"))
    if len(query) < 2 or len(key) < 2:
        return PRODUCT, 0
    return PRODUCT, 4 * math.prod(query) * key[-2]


_COUNTED: Mapping[str, Callable[[Graph, OpNode], Tuple[str, int]]] = {
    **{name: _convolution for name in ("conv1d", "conv2d", "conv3d", "convolution")},
    **{"conv_transpose{}d".format(n): _transposed for n in (1, 2, 3)},
    "linear": _product("input"), "addmm": _product("mat1"), "mm": _product("self"), "bmm": _product("self"),
    "matmul": _product("self"), "baddbmm": _product("batch1"), "scaled_dot_product_attention": _attention,
}
