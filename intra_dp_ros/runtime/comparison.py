"""Results of split runs against the unsplit model, also where a result is a class."""
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.graph import Graph, OpNode
from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.runtime.exactness import relative_error


class Comparison:
    """Says how far results are from the unsplit model's.

    Where two scores are equal but for their last bits, argmax takes either of them, as it does under another number of
    threads, and the number of the class says nothing of by how little.  So the error of an argmax is by how much the
    score of what was chosen falls short of the best one, relative to the largest score.

    Args:
        graph: recorded.
        weights: constant -> value.
        device: of torch.

    Raises:
        GraphError: an operator that is not allowed or not installed, or a missing weight.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, torch.Tensor], device: str = "cpu") -> None:
        chosen = choices(graph)
        extra = dict.fromkeys(scores for scores, _ in chosen.values())
        outputs = tuple(dict.fromkeys((*graph.outputs, *extra)))
        self._whole = WholeModel(replace(graph, outputs=outputs), weights, device)
        self._at = [outputs.index(t) for t in graph.outputs]
        self._scores = {i: (outputs.index(scores), axis) for i, (scores, axis) in chosen.items()}

    def error(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> float:
        """The worst relative error of all outputs; infinite where one cannot be.

        Raises:
            ValueError: other outputs than the model has.
        """
        found = self._whole(*inputs)
        reference = [found[at] for at in self._at]
        if [tuple(a.shape) for a in outputs] != [tuple(b.shape) for b in reference]:
            return relative_error(outputs, reference)  # raises
        numbers = [i for i in range(len(reference)) if i not in self._scores]
        error = relative_error([outputs[i] for i in numbers], [reference[i] for i in numbers])
        return max([error] + [_shortfall(outputs[i], reference[i], found[at], axis)
                              for i, (at, axis) in self._scores.items()])


def choices(graph: Graph) -> Dict[int, Tuple[int, int]]:
    """Outputs that are an argmax along a dimension: position in the outputs -> tensor of its scores, that dimension."""
    makers = {t: node for node in graph.nodes for t in node.outputs}
    found: Dict[int, Tuple[int, int]] = {}
    for position, tensor in enumerate(graph.outputs):
        node: Optional[OpNode] = makers.get(tensor)
        casts: List[str] = []
        while node is not None and node.name == "to":
            casts.append(graph.tensors[node.outputs[0]].dtype)
            node = makers.get(node.inputs[0])
        if node is not None and node.name == "argmax" and node.args.get("dim") is not None:
            scores, axis = _scores_of(graph, node)
            if all(_holds(dtype, graph.tensors[scores].shape[axis]) for dtype in casts):
                found[position] = scores, axis
    return found


def _scores_of(graph: Graph, node: OpNode) -> Tuple[int, int]:
    scores, = node.inputs
    return scores, node.args["dim"] % len(graph.tensors[scores].shape)


def _holds(dtype: str, count: int) -> bool:
    """Whether every class keeps its number in this type."""
    kind = TORCH_DTYPE[dtype]
    return dtype != "bool" and not kind.is_floating_point and count - 1 <= torch.iinfo(kind).max


def _shortfall(chosen: torch.Tensor, reference: torch.Tensor, scores: torch.Tensor, axis: int) -> float:
    differs = (chosen.to(reference.device) != reference).reshape(-1)
    if not bool(differs.any()):
        return 0.0
    flat = scores.movedim(axis, -1).reshape(-1, scores.shape[axis])[differs].double()
    index = chosen.to(reference.device).reshape(-1)[differs].long()
    if bool(((index < 0) | (index >= flat.shape[1])).any()):
        return float("inf")
    gaps = flat.amax(1) - flat.gather(1, index[:, None])[:, 0]
    error = float(gaps.max() / scores.abs().max().clamp_min(1e-30))
    return error if error == error else float("inf")
