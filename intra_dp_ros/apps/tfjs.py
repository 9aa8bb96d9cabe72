"""TensorFlow.js graph models as torch modules.

`TfjsModel` evaluates once, when it is built, everything that does not depend on the image (shapes, grids, ranges), and
keeps the rest as a list of torch calls on NHWC tensors.  `forward` never reads the values of a tensor in Python, so
that a recorder sees the same calls for every image.
"""
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from intra_dp_ros.apps.tfjs_file import Node, TfjsError, TfjsGraph, read_graph, read_weights
from intra_dp_ros.apps.tfjs_ops import SHAPE_OPS, Arg, Held, lower

__all__ = ["TfjsError", "TfjsModel"]


@dataclass(frozen=True)
class Step:
    """One torch call."""

    run: Callable
    inputs: Tuple[str, ...]  # names of values
    outputs: Tuple[str, ...]
    last_used: Tuple[str, ...]  # values that no later step reads


class TfjsModel(torch.nn.Module):
    """A TensorFlow.js graph model.

    `forward(image)` takes uint8 `[1, height, width, 3]` (RGB, 0..255) and gives the tuple of the outputs of the model's
    signature in alphabetical order of their keys, or the tensor where there is one only.

    Args:
        graph: path of the JSON file, or what `read_graph` gave.
        weights: path of the weights file, or arrays by tensor name.
        input_shape: `(1, height, width, 3)`; fixed from here on.
        outputs: names of nodes to give instead of those of the signature.
        scale, offset: `image * scale + offset` is what the graph's input expects.

    Raises:
        TfjsError: unsupported operation, or weights that do not fit; names the node or tensor.
    """

    def __init__(self, graph: Union[str, TfjsGraph], weights: Union[str, Mapping[str, np.ndarray]],
                 input_shape: Sequence[int], outputs: Optional[Sequence[str]] = None, scale: float = 1.0,
                 offset: float = 0.0) -> None:
        super().__init__()
        graph = read_graph(graph) if isinstance(graph, str) else graph
        arrays = read_weights(graph, weights) if isinstance(weights, str) else weights
        self.input_shape = tuple(int(n) for n in input_shape)
        self._scale, self._offset = float(scale), float(offset)
        self._outputs = tuple(_value_name(name) for name in outputs or graph.outputs)
        self._held: List[Tuple[str, str]] = []  # value, attribute that keeps it
        self._input = ""
        with torch.no_grad():
            self._steps = tuple(_Builder(self, arrays).build(_needed(graph, self._outputs)))

    def forward(self, image: torch.Tensor) -> Any:
        if tuple(image.shape) != self.input_shape or image.dtype != torch.uint8:
            raise TypeError("expected a uint8 image {}, got {} {}".format(
                list(self.input_shape), image.dtype, list(image.shape)))
        values = {name: getattr(self, attribute) for name, attribute in self._held}
        values[self._input] = self._prepare(image)
        for step in self._steps:
            out = step.run(*[values[name] for name in step.inputs])
            if isinstance(out, torch.Tensor):
                values[step.outputs[0]] = out
            else:
                values.update(zip(step.outputs, out))
            for name in step.last_used:
                del values[name]
        outputs = tuple(values[name] for name in self._outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _prepare(self, image: torch.Tensor) -> torch.Tensor:
        x = image.to(torch.float32)
        if self._scale != 1.0:
            x = x * self._scale
        return x + self._offset if self._offset != 0.0 else x


class _Builder:
    """Walks the nodes once with an example image."""

    def __init__(self, model: TfjsModel, arrays: Mapping[str, np.ndarray]) -> None:
        self._model = model
        self._arrays = arrays
        self._known: Dict[str, Arg] = {}
        self._steps: List[Step] = []

    def build(self, nodes: Sequence[Node]) -> List[Step]:
        for node in nodes:
            if node.op == "Const":
                self._known[node.name] = Arg(node.name, self._constant(node), True)
            elif node.op == "Placeholder":
                self._add_input(node)
            else:
                self._add(node)
        return self._with_last_use()

    def _constant(self, node: Node) -> torch.Tensor:
        if node.name not in self._arrays:
            raise TfjsError("the weights hold no tensor {!r}".format(node.name))
        return torch.from_numpy(np.array(self._arrays[node.name]))

    def _add_input(self, node: Node) -> None:
        model = self._model
        if model._input:
            raise TfjsError("the model has two inputs, {!r} and {!r}; one is supported".format(model._input, node.name))
        model._input = node.name
        example = torch.zeros(model.input_shape, dtype=torch.uint8)
        self._known[node.name] = Arg(node.name, model._prepare(example), False)

    def _add(self, node: Node) -> None:
        args = [self._known[_value_name(name)] for name in node.inputs]
        run, operands = lower(node, args)
        try:
            result = run(*[operand.value for operand in operands])
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise TfjsError("node {!r} ({}) does not accept arguments of shape {}: {}".format(
                node.name, node.op, [list(arg.value.shape) for arg in args], error)) from None
        results = [result] if isinstance(result, torch.Tensor) else list(result)
        names = [_value_name("{}:{}".format(node.name, i)) for i in range(len(results))]
        is_static = node.op in SHAPE_OPS or all(arg.is_static for arg in args)
        for name, value in zip(names, results):
            self._known[name] = Arg(name, value, is_static)
        if is_static:
            return
        if node.op == "Identity":  # another name of the same value, no call
            self._known[node.name] = args[0]
            return
        inputs = tuple(self._hold(node, operand) for operand in operands)
        self._steps.append(Step(run, inputs, tuple(names), ()))

    def _hold(self, node: Node, operand: Union[Arg, Held]) -> str:
        """The name under which a step finds an operand; static ones are kept by the model."""
        if isinstance(operand, Arg) and not operand.is_static:
            return operand.name
        is_held = isinstance(operand, Held)
        name = "{} {}".format(node.name, operand.suffix) if is_held else operand.name
        if name not in dict(self._model._held):
            attribute = _attribute_name(name, self._model)
            if is_held:
                self._model.register_parameter(attribute, torch.nn.Parameter(operand.value, requires_grad=False))
            else:
                self._model.register_buffer(attribute, operand.value.clone())
            self._model._held.append((name, attribute))
        return name

    def _with_last_use(self) -> List[Step]:
        outputs = tuple(self._known[name].name for name in self._model._outputs)
        self._model._outputs = outputs
        later = set(outputs) | {name for name, _ in self._model._held}
        done = []
        for step in reversed(self._steps):
            last = tuple(name for name in dict.fromkeys(step.inputs + step.outputs) if name not in later)
            later.update(step.inputs)
            done.append(Step(step.run, step.inputs, step.outputs, last))
        return done[::-1]


def _value_name(name: str) -> str:
    """The first output of a node goes by the node's own name."""
    return name[:-2] if name.endswith(":0") else name


def _needed(graph: TfjsGraph, outputs: Sequence[str]) -> List[Node]:
    """The nodes that the outputs depend on, in order."""
    names = {node.name for node in graph.nodes}
    for name in outputs:
        if name.partition(":")[0] not in names:
            raise TfjsError("the graph has no node {!r} to give as an output".format(name))
    needed = {name.partition(":")[0] for name in outputs}
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed or node.op == "Placeholder":
            needed.update(name.partition(":")[0] for name in node.inputs)
            kept.append(node)
    return kept[::-1]


def _attribute_name(name: str, model: torch.nn.Module) -> str:
    """The last parts of a node's path as an attribute name that is still free."""
    parts = [part for part in re.split(r"[^A-Za-z0-9_]+", name) if part]
    for count in range(min(3, len(parts)), len(parts) + 1):
        attribute = "_".join(parts[-count:])
        if not hasattr(model, attribute):
            return attribute
    number = 2
    while hasattr(model, "{}_{}".format(attribute, number)):
        number += 1
    return "{}_{}".format(attribute, number)
