"""The graph under construction: values, nodes and constants as they are recorded."""
import hashlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import torch

from intra_dp_ros.graph.constants import dtype_name, tensor_to_bytes
from intra_dp_ros.graph.graph import Const, ConstSpec, DType, Graph, GraphError, OpNode, Ref, TensorSpec
from intra_dp_ros.graph.registry import DTYPE_NAME, PLACEMENT_ARGS, is_default, normal, resolve


class RecordingError(GraphError):
    """The model cannot be recorded; the message names the operator, the line and the remedy."""


class CannotFollow(RecordingError):
    """The graph has to end before this call."""

    def __init__(self, operator: str, source: str, reason: str) -> None:
        super().__init__("{} at {}: {}".format(operator, source, reason) if operator else reason)
        self.operator = operator
        self.source = source  # "file.py:123"
        self.reason = reason


def known_tensors(model: Callable) -> Dict[Any, str]:
    """Names of the tensors a model keeps: parameters, buffers and plain tensor attributes, by their memory."""
    module = model if isinstance(model, torch.nn.Module) else getattr(model, "__self__", None)
    if not isinstance(module, torch.nn.Module):
        return {}
    found: Dict[Any, str] = {}
    for prefix, part in module.named_modules():
        plain = {k: v for k, v in vars(part).items() if isinstance(v, torch.Tensor)}
        for name, tensor in {**part._parameters, **part._buffers, **plain}.items():
            if tensor is not None:
                found.setdefault(memory_key(tensor), prefix + "." + name if prefix else name)
    return found


def memory_key(tensor: torch.Tensor) -> Any:
    """Equal for two tensor objects that are the same part of the same memory."""
    return tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


class Builder:
    """Collects one run's values; `build` names the constants and freezes the graph.

    Args:
        known: `known_tensors` of the model.
    """

    def __init__(self, known: Mapping[Any, str]) -> None:
        self.structure: Any = None
        self.call = 0  # calls of the model that depend on the inputs, so far
        self._known = known
        self._specs: List[TensorSpec] = []
        self._nodes: List[OpNode] = []
        self._call_of: List[int] = []  # by node: the call that made it
        self._inputs: List[int] = []
        self._outputs: List[int] = []
        self._output_of: Dict[Any, int] = {}  # value -> index into _outputs
        self._constants: List[Tuple[torch.Tensor, Optional[int]]] = []  # and `call` when the model made it
        self._kept: List[torch.Tensor] = []

    def keep(self, tensor: torch.Tensor) -> None:
        """Keep a tensor object alive, so that its id stays its own."""
        self._kept.append(tensor)

    def name_of(self, tensor: torch.Tensor) -> str:
        """The model's name of a tensor, or "" when it has none."""
        return self._known.get(memory_key(tensor), "")

    def add_input(self, tensor: torch.Tensor) -> Ref:
        value = self._value(tuple(tensor.shape), dtype_name(tensor))
        self._inputs.append(value.tensor)
        return value

    def add_constant(self, tensor: torch.Tensor, born: Optional[int] = None) -> Const:
        """A tensor that does not depend on the inputs.

        Args:
            born: `call` when the model made it; None: the model kept it before.
        """
        dtype_name(tensor)
        self._constants.append((tensor, born))
        return Const("#{}".format(len(self._constants) - 1))

    def add_node(self, op: str, args: Mapping[str, Any], made: List[torch.Tensor], source: str) -> List[Ref]:
        """Record a call that made the tensors `made`."""
        values = [self._value(tuple(t.shape), dtype_name(t)) for t in made]
        self._append(OpNode(op, args, tuple(v.tensor for v in values), source))
        return values

    def add_described(self, op: str, args: Mapping[str, Any], shape: Tuple[int, ...], dtype: torch.dtype,
                      source: str) -> Ref:
        """Record a call that the model did not make itself."""
        value = self._value(shape, DTYPE_NAME[dtype])
        self._append(OpNode(op, args, (value.tensor,), source))
        return value

    def add_output(self, value: Any, shape: Tuple[int, ...], dtype: torch.dtype) -> int:
        """Index into the graph's outputs of a result; a constant result is copied by a node: outputs are made."""
        if value not in self._output_of:
            made = value if isinstance(value, Ref) else self.add_described("clone", {"self": value}, shape, dtype, "")
            self._output_of[value] = len(self._outputs)
            self._outputs.append(made.tensor)
        return self._output_of[value]

    def encode(self, op: str, args: Mapping[str, Any]) -> Dict[str, Any]:
        """Arguments (tensors already as values) as the graph holds them: defaults and placement are left out."""
        schema = {a.name: a for a in resolve(op)._schema.arguments}
        found = {}
        for name, value in args.items():
            value = self._plain(op, name, value) if name not in PLACEMENT_ARGS else None
            if name not in PLACEMENT_ARGS and not is_default(schema[name], value):
                found[name] = value
        return found

    def build(self, hashes: Dict[Any, Tuple[str, torch.Tensor]]) -> "Built":
        """The graph as recorded, and its weights.

        Args:
            hashes: SHA-256 by `memory_key` of the tensors that the model keeps, filled in, to hash each of them once
                only; with the tensor, so that its address stays its own.
        """
        names, specs, weights = {}, {}, {}
        by_content: Dict[Any, str] = {}
        born: Dict[str, int] = {}
        for index, (tensor, call) in enumerate(self._constants):
            name = self.name_of(tensor)
            spec = _const_spec(tensor, hashes if call is None else {})
            if spec not in by_content:
                if not name or name in specs:
                    name = "const_{}".format(len(by_content))
                by_content[spec] = name
                specs[name] = spec
                weights[name] = tensor.detach()
            names["#{}".format(index)] = by_content[spec]
            if call is not None:
                born[by_content[spec]] = min(call, born.get(by_content[spec], call))
        nodes = tuple(OpNode(n.op, {k: _renamed(a, names) for k, a in n.args.items()}, n.outputs, n.source)
                      for n in self._nodes)
        structure = self.structure if self.structure is not None else tuple(map(Ref, range(len(self._outputs))))
        graph = Graph(tuple(self._specs), nodes, tuple(self._inputs), tuple(self._outputs), structure, specs)
        return Built(graph, weights, tuple(self._call_of), born)

    def _append(self, node: OpNode) -> None:
        self._nodes.append(node)
        self._call_of.append(self.call)

    def _value(self, shape: Tuple[int, ...], dtype: str) -> Ref:
        self._specs.append(TensorSpec(shape, dtype))
        return Ref(len(self._specs) - 1)

    def _plain(self, op: str, name: str, value: Any) -> Any:
        if isinstance(value, torch.dtype):
            if value not in DTYPE_NAME:
                raise RecordingError("{}: {} is not supported".format(op, value))
            return DType(DTYPE_NAME[value])
        if isinstance(value, (list, tuple)):
            return tuple(self._plain(op, name, v) for v in normal(value))
        if value is None or isinstance(value, (bool, int, float, str, Ref, Const, DType)):
            return value
        raise RecordingError("{}: the argument {}={!r} cannot be recorded".format(op, name, value))


@dataclass(frozen=True)
class Built:
    """One run as it was recorded."""

    graph: Graph
    weights: Dict[str, torch.Tensor]
    call_of: Tuple[int, ...]  # by node: how many calls that depend on the inputs the model made before
    born: Dict[str, int]  # the same by constant, for those that the model made during the run


def _const_spec(tensor: torch.Tensor, hashes: Dict[Any, Tuple[str, torch.Tensor]]) -> ConstSpec:
    key = memory_key(tensor)
    if key not in hashes:
        hashes[key] = hashlib.sha256(tensor_to_bytes(tensor)).hexdigest(), tensor
    return ConstSpec(tuple(tensor.shape), dtype_name(tensor), hashes[key][0])


def _renamed(arg: Any, names: Mapping[str, str]) -> Any:
    if isinstance(arg, Const):
        return Const(names[arg.name])
    return tuple(_renamed(a, names) for a in arg) if isinstance(arg, tuple) else arg
