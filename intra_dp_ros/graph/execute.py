"""The recorded model in one piece: what every split execution is compared with."""
from typing import Any, Dict, List, Mapping, Tuple

import torch

from intra_dp_ros.graph.constants import dtype_name
from intra_dp_ros.graph.graph import Graph, GraphError, TensorSpec
from intra_dp_ros.graph.registry import Call


class WholeModel:
    """Runs a graph's calls in order on one device, freeing every tensor after its last reader.

    Raises:
        GraphError: an operator that is not allowed or not installed, or a missing weight.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, torch.Tensor], device: Any = "cpu") -> None:
        self.graph = graph
        self.device = torch.device(device)
        last = {t: v for v, node in enumerate(graph.nodes) for t in (*node.outputs, *node.inputs)}
        ends: List[List[int]] = [[] for _ in graph.nodes]
        for tensor, index in last.items():
            if tensor not in graph.outputs:
                ends[index].append(tensor)
        placed = {name: tensor.to(self.device) for name, tensor in weights.items()}
        self._steps = [(Call(node, placed, self.device), node.outputs, tuple(end))
                       for node, end in zip(graph.nodes, ends)]

    def __call__(self, *inputs: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """The flat outputs for flat inputs (`Graph.inputs` order).

        Raises:
            GraphError: inputs of another number, shape or type than recorded.
        """
        specs = [self.graph.tensors[t] for t in self.graph.inputs]
        given = [TensorSpec(tuple(t.shape), dtype_name(t)) for t in inputs]
        if given != specs:
            raise GraphError("the graph was recorded for inputs {} and got {}: record again for these".format(
                specs, given))
        with torch.inference_mode():
            values: Dict[int, torch.Tensor] = {t: x.to(self.device) for t, x in zip(self.graph.inputs, inputs)}
            for call, outputs, ends in self._steps:
                values.update(zip(outputs, call(values)))
                for tensor in ends:
                    del values[tensor]
            return tuple(values[t] for t in self.graph.outputs)
