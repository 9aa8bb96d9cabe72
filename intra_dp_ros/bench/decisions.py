"""Operators whose result jumps when their input changes by a rounding: sorting, argmax, thresholds.

Where two candidates are nearly equal, as with random weights many are, any two ways of computing a convolution may
decide differently; comparing what comes behind then says nothing about the split.  What they decide on can be compared.
"""
from dataclasses import replace
from typing import List, Set, Tuple

from intra_dp_ros.graph.graph import Graph, OpNode

_DECIDING = frozenset((
    "topk sort argsort argmax argmin nms intra_dp_ros::nms one_hot floor ceil round trunc sign fmod remainder "
    "intra_dp_ros::topk_above intra_dp_ros::batched_nms intra_dp_ros::heatmap_keypoints "
    "floor_divide eq ne lt le gt ge isnan isinf isfinite nonzero unique bucketize "
    "searchsorted mode heaviside sgn signbit count_nonzero").split())
#: Operators whose values do not jump, but the positions of these values, their second output.
_LOCATING = frozenset(("max min median kthvalue cummax cummin max_pool2d_with_indices max_pool3d_with_indices "
                       "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d").split())


def watched(graph: Graph) -> Tuple[Graph, List[int], List[int]]:
    """The graph with what decisions are made on as further outputs.

    Returns:
        the graph; positions in its outputs that no decision is behind (the further ones included); positions of the
        original outputs that one is behind.
    """
    decided: Set[int] = set()
    extra: List[int] = []
    for node in graph.nodes:
        if any(t in decided for t in node.inputs):
            decided.update(node.outputs)
        elif _jumping(graph, node):
            decided.update(_jumping(graph, node))
            extra += [t for t in node.inputs if graph.tensors[t].dtype.startswith(("float", "bfloat"))]
    outputs = tuple(dict.fromkeys((*graph.outputs, *extra)))
    steady = [i for i, t in enumerate(outputs) if t not in decided]
    return replace(graph, outputs=outputs), steady, [i for i, t in enumerate(graph.outputs) if t in decided]


def _jumping(graph: Graph, node: OpNode) -> Tuple[int, ...]:
    """Those outputs of a call that jump, and that somebody reads."""
    to_integer = node.name == "to" and "int" in graph.tensors[node.outputs[0]].dtype and any(
        graph.tensors[t].dtype.startswith("float") for t in node.inputs)
    found = node.outputs if node.name in _DECIDING or to_integer else (
        node.outputs[1:] if node.name in _LOCATING else ())
    return tuple(t for t in found if graph.consumers[t] or t in graph.outputs)
