"""The recorded inference operator sequence as plain, frozen data.

The paper calls it the *inference operator sequence* (Algorithm 1, ``IOS``): every operator call of one inference, in
execution order, with its data dependencies.  Nothing here needs torch, so that the scheduler can be used and tested
without it; weights are held apart (`store.py`) and are named by the SHA-256 of their bytes.
"""
import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

FORMAT_VERSION = 2

#: Bytes of one element, by dtype name.  The allow-list of dtypes: what is not here is neither recorded nor sent.
ITEMSIZE = {
    "bool": 1, "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
}


class GraphError(ValueError):
    """A graph that cannot be built or read; the message names the node and the remedy."""


@dataclass(frozen=True)
class Ref:
    """An argument that is a tensor computed in the graph (or one of its inputs)."""

    tensor: int  # index into Graph.tensors


@dataclass(frozen=True)
class Const:
    """An argument that is a weight, a buffer or any tensor that does not depend on the input."""

    name: str  # key of Graph.constants


@dataclass(frozen=True)
class DType:
    """An argument that is a dtype."""

    name: str  # key of ITEMSIZE


@dataclass(frozen=True)
class TensorSpec:
    """Shape and element type of one tensor of the graph."""

    shape: Tuple[int, ...]
    dtype: str  # key of ITEMSIZE

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.numel * ITEMSIZE[self.dtype]


@dataclass(frozen=True)
class ConstSpec:
    """Shape, element type and content address of one constant."""

    shape: Tuple[int, ...]
    dtype: str
    sha256: str  # of the little-endian, C-contiguous bytes

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * ITEMSIZE[self.dtype]


@dataclass(frozen=True)
class OpNode:
    """One operator call, free of side effects."""

    op: str  # ATen name with overload: "conv2d", "add.Tensor" ("default" is left out)
    args: Mapping[str, Any]  # by schema name: Ref, Const, DType, None, bool, int, float, str, or tuples of these
    outputs: Tuple[int, ...]  # indices into Graph.tensors
    source: str = ""  # "file.py:123", the line of the model's code that made the call; not part of the hash

    @property
    def name(self) -> str:
        """The operator without its overload: ``add.Tensor`` -> ``add``."""
        return self.op.split(".", 1)[0]

    @property
    def inputs(self) -> Tuple[int, ...]:
        """Tensors it reads, in argument order, each once."""
        return tuple(dict.fromkeys(a.tensor for a in iter_args(self.args) if isinstance(a, Ref)))

    @property
    def constants(self) -> Tuple[str, ...]:
        """Constants it reads, in argument order, each once."""
        return tuple(dict.fromkeys(a.name for a in iter_args(self.args) if isinstance(a, Const)))


def iter_args(arg: Any) -> Iterator[Any]:
    """Every leaf of a (nested) argument, depth first."""
    if isinstance(arg, Mapping):
        arg = tuple(arg.values())
    if isinstance(arg, tuple):
        for item in arg:
            yield from iter_args(item)
    else:
        yield arg


@dataclass(frozen=True)
class Graph:
    """A recorded model for one set of input shapes."""

    tensors: Tuple[TensorSpec, ...]
    nodes: Tuple[OpNode, ...]  # in execution order, which is a topological order
    inputs: Tuple[int, ...]  # tensors the caller supplies
    outputs: Tuple[int, ...]  # tensors the caller gets, flat
    structure: Any  # how the outputs were nested: Ref(i) stands for outputs[i], inside tuples, lists and dicts
    constants: Mapping[str, ConstSpec] = field(default_factory=dict)
    #: Dimension along which each input is cut into rows, None where it is not; empty: not decided.
    input_axes: Tuple[Optional[int], ...] = ()

    def __post_init__(self) -> None:
        made = set(self.inputs)
        beyond = [t for t in (*self.inputs, *(t for n in self.nodes for t in n.outputs)) if t >= len(self.tensors)]
        if beyond:
            raise GraphError("tensors {} are made but not described".format(beyond))
        for index, node in enumerate(self.nodes):
            late = [t for t in node.inputs if t not in made]
            if late:
                raise GraphError("node {} ({}) reads tensors {} before they are made".format(index, node.op, late))
            missing = [c for c in node.constants if c not in self.constants]
            if missing:
                raise GraphError("node {} ({}) reads unknown constants {}".format(index, node.op, missing))
            if made.intersection(node.outputs):
                raise GraphError("node {} ({}) makes a tensor a second time".format(index, node.op))
            made.update(node.outputs)
        if self.input_axes and (len(self.input_axes) != len(self.inputs) or not all(
                a is None or 0 <= a < len(self.tensors[t].shape) for t, a in zip(self.inputs, self.input_axes))):
            raise GraphError("input axes {} are no dimensions of the inputs".format(self.input_axes))
        lost = [t for t in self.outputs if t not in made]
        if lost:
            raise GraphError("outputs {} are made by no node".format(lost))

    @cached_property
    def producer(self) -> Dict[int, int]:
        """tensor -> index of the node that makes it (inputs are absent)."""
        return {t: v for v, node in enumerate(self.nodes) for t in node.outputs}

    @cached_property
    def consumers(self) -> Dict[int, Tuple[int, ...]]:
        """tensor -> indices of the nodes that read it."""
        found: Dict[int, list] = {t: [] for t in range(len(self.tensors))}
        for v, node in enumerate(self.nodes):
            for t in node.inputs:
                found[t].append(v)
        return {t: tuple(vs) for t, vs in found.items()}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON; the graph's name on disk and on the wire."""
        return hashlib.sha256(self.to_json(with_source=False).encode()).hexdigest()

    def to_json(self, with_source: bool = True) -> str:
        """Canonical JSON: sorted keys, no spaces, so that equal graphs give equal text."""
        return json.dumps({
            "version": FORMAT_VERSION,
            "tensors": [[list(t.shape), t.dtype] for t in self.tensors],
            "nodes": [{
                "op": n.op,
                "args": {k: _arg_to_json(a) for k, a in n.args.items()},
                "outputs": list(n.outputs),
                **({"source": n.source} if with_source and n.source else {}),
            } for n in self.nodes],
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "structure": _arg_to_json(self.structure),
            "input_axes": list(self.input_axes),
            "constants": {k: [list(c.shape), c.dtype, c.sha256] for k, c in self.constants.items()},
        }, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Graph":
        """Read `to_json`'s text.

        Raises:
            GraphError: not such a text, another format version, or a graph that does not hold together.
        """
        try:
            raw = json.loads(text)
            if raw["version"] != FORMAT_VERSION:
                raise GraphError("graph format {} is not the {} this version reads: use the same intra_dp_ros version "
                                 "on robot and server".format(raw["version"], FORMAT_VERSION))
            return Graph(
                tensors=tuple(TensorSpec(_shape(s), _dtype(d)) for s, d in raw["tensors"]),
                nodes=tuple(OpNode(str(n["op"]), {str(k): _arg_from_json(a) for k, a in n["args"].items()},
                                   _shape(n["outputs"]), str(n.get("source", ""))) for n in raw["nodes"]),
                inputs=_shape(raw["inputs"]),
                outputs=_shape(raw["outputs"]),
                structure=_arg_from_json(raw["structure"]),
                constants={str(k): ConstSpec(_shape(s), _dtype(d), str(h))
                           for k, (s, d, h) in raw["constants"].items()},
                input_axes=tuple(None if a is None else _shape((a,))[0] for a in raw["input_axes"]),
            )
        except GraphError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise GraphError("not a recorded graph: {!r}".format(error)) from None


def _shape(values: Any) -> Tuple[int, ...]:
    if not all(isinstance(v, int) and v >= 0 for v in values):
        raise GraphError("expected a list of sizes, got {!r}".format(values))
    return tuple(values)


def _dtype(name: Any) -> str:
    if name not in ITEMSIZE:
        raise GraphError("dtype {!r} is not one of {}".format(name, ", ".join(ITEMSIZE)))
    return name


def _arg_to_json(arg: Any) -> Any:
    if isinstance(arg, Ref):
        return {"t": arg.tensor}
    if isinstance(arg, Const):
        return {"c": arg.name}
    if isinstance(arg, DType):
        return {"d": arg.name}
    if isinstance(arg, float) and not math.isfinite(arg):
        return {"f": repr(arg)}
    if isinstance(arg, tuple):
        return [_arg_to_json(a) for a in arg]
    if isinstance(arg, list):  # only in Graph.structure, where list and tuple differ
        return {"list": [_arg_to_json(a) for a in arg]}
    if isinstance(arg, Mapping):
        return {"dict": {k: _arg_to_json(a) for k, a in arg.items()}}
    if arg is None or isinstance(arg, (bool, int, float, str)):
        return arg
    raise GraphError("an argument of type {} cannot be recorded: {!r}".format(type(arg).__name__, arg))


def _arg_from_json(raw: Any) -> Any:
    if isinstance(raw, list):
        return tuple(_arg_from_json(a) for a in raw)
    if isinstance(raw, dict):
        (kind, value), = raw.items()
        if kind == "t" and isinstance(value, int):
            return Ref(value)
        if kind == "c" and isinstance(value, str):
            return Const(value)
        if kind == "d":
            return DType(_dtype(value))
        if kind == "f" and value in ("inf", "-inf", "nan"):
            return float(value)
        if kind == "list":
            return [_arg_from_json(a) for a in value]
        if kind == "dict":
            return {str(k): _arg_from_json(a) for k, a in value.items()}
        raise GraphError("unknown argument {!r}".format(raw))
    return raw
