"""Operators whose result jumps when their input changes by a rounding: sorting, argmax, thresholds.

Where two candidates are nearly equal, as with random weights many are, any two ways of computing a convolution may
decide differently; comparing what comes behind then says nothing about the split.  What they decide on can be compared.
"""
from dataclasses import replace
from typing import List, Set, Tuple

from intra_dp_ros.graph.graph import Graph

_DECIDING = frozenset((
    "topk sort argsort argmax argmin max min nms intra_dp_ros::nms one_hot floor ceil round trunc sign fmod remainder "
    "intra_dp_ros::topk_above intra_dp_ros::batched_nms intra_dp_ros::heatmap_keypoints "
    "floor_divide eq ne lt le gt ge isnan isinf isfinite nonzero unique bucketize").split())


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
        elif _decides(graph, node):
            decided.update(node.outputs)
            extra += [t for t in node.inputs if graph.tensors[t].dtype.startswith(("float", "bfloat"))]
    outputs = tuple(dict.fromkeys((*graph.outputs, *extra)))
    steady = [i for i, t in enumerate(outputs) if t not in decided]
    return replace(graph, outputs=outputs), steady, [i for i, t in enumerate(graph.outputs) if t in decided]


def _decides(graph: Graph, node) -> bool:
    if node.name in ("max", "min"):
        return len(node.outputs) > 1  # their values do not jump, their indices do
    to_integer = node.name == "to" and "int" in graph.tensors[node.outputs[0]].dtype and any(
        graph.tensors[t].dtype.startswith("float") for t in node.inputs)
    return node.name in _DECIDING or to_integer
