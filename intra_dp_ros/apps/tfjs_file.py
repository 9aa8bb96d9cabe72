"""Reading of TensorFlow.js graph models: a JSON with nodes and a table of tensors, and one flat file with their bytes.

Only data is read (JSON and raw numbers), no code is run.  `TfjsError` names what does not fit.
"""
import base64
import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

_PLAIN = {"float32": "<f4", "int32": "<i4", "bool": "?"}  # dtype in the file, not quantised
_QUANTISED = {"float16": "<f2", "uint8": "u1", "uint16": "<u2"}
_MEMORY = {"float32": np.float32, "int32": np.int64, "bool": np.bool_}  # int64: torch's index type


class TfjsError(ValueError):
    """A file that is no TensorFlow.js graph model, or uses what is not supported here; the message names it."""


@dataclass(frozen=True)
class Node:
    """One operation of the graph."""

    name: str
    op: str  # TensorFlow's name: "_FusedConv2D", "Reshape" ...
    inputs: Tuple[str, ...]  # "node" or "node:k" for its k-th output
    attrs: Mapping[str, Any] = field(default_factory=dict)  # int, float, bool, str, dtype name, or a list of them


@dataclass(frozen=True)
class WeightSpec:
    """Where one tensor lies in the weights file."""

    name: str
    shape: Tuple[int, ...]
    dtype: str  # in memory: key of _MEMORY
    stored: str  # numpy dtype of the bytes in the file
    offset: int  # bytes
    scale: float = 1.0  # value = stored * scale + minimum
    minimum: float = 0.0

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def stop(self) -> int:
        """First byte after the tensor."""
        return self.offset + self.count * np.dtype(self.stored).itemsize


@dataclass(frozen=True)
class TfjsGraph:
    """The JSON part."""

    nodes: Tuple[Node, ...]  # every node after those it reads
    outputs: Tuple[str, ...]  # names of values, in the order of the model's signature
    weights: Tuple[WeightSpec, ...]


def read_graph(json_path: str) -> TfjsGraph:
    """Read the JSON part.

    Raises:
        TfjsError: not a TFJS graph model, or it has cycles or loops.
        OSError: the file cannot be read.
    """
    with open(json_path, encoding="utf-8") as stream:
        try:
            return parse_graph(json.load(stream))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TfjsError("{} is no TensorFlow.js graph model: {!r}".format(json_path, error)) from None


def parse_graph(data: Mapping[str, Any]) -> TfjsGraph:
    """As `read_graph`, from the parsed JSON."""
    nodes = [Node(n["name"], n["op"], tuple(i for i in n.get("input", []) if not i.startswith("^")),
                  {key: _attr(value) for key, value in n.get("attr", {}).items()})
             for n in data["modelTopology"]["node"]]
    used = {name.partition(":")[0] for node in nodes for name in node.inputs}
    signature = data.get("signature") or data.get("userDefinedMetadata", {}).get("signature") or {}
    named = [value["name"] for _, value in sorted(signature.get("outputs", {}).items())]
    # A node "x:0" of the signature is the value "x".
    outputs = [name[:-2] if name.endswith(":0") else name for name in named]
    outputs = outputs or [n.name for n in nodes if n.name not in used and n.op not in ("Const", "Placeholder")]
    return TfjsGraph(tuple(_sorted(nodes)), tuple(outputs), tuple(_weights(data.get("weightsManifest", []))))


def read_weights(graph: TfjsGraph, bin_path: str) -> Dict[str, np.ndarray]:
    """The tensors of the weights file by name, float16 and other quantised values widened to float32.

    Raises:
        TfjsError: the file's length differs from the sum of the tensors; names the first tensor that does not fit.
        OSError: the file cannot be read.
    """
    size = os.path.getsize(bin_path)
    for spec in graph.weights:
        if spec.stop > size:
            raise TfjsError("{} does not fit the model: tensor {!r} of shape {} needs bytes {} to {}, the file has {}"
                            .format(bin_path, spec.name, list(spec.shape), spec.offset, spec.stop, size))
    end = graph.weights[-1].stop if graph.weights else 0
    if end != size:
        raise TfjsError("{} does not fit the model: its tensors end with {!r} at byte {}, the file has {}".format(
            bin_path, graph.weights[-1].name if graph.weights else "(none)", end, size))
    with open(bin_path, "rb") as stream:
        raw = stream.read()
    found = {}
    for spec in graph.weights:
        values = np.frombuffer(raw, spec.stored, spec.count, spec.offset)
        if spec.scale != 1.0 or spec.minimum != 0.0:
            values = values * spec.scale + spec.minimum
        found[spec.name] = values.astype(_MEMORY[spec.dtype]).reshape(spec.shape)
    return found


def _attr(value: Mapping[str, Any]) -> Any:
    """{"i": "2"} -> 2, {"s": base64} -> text, {"list": {...}} -> list, {"type": "DT_FLOAT"} -> "DT_FLOAT"."""
    for key, item in value.items():
        if key == "list":
            return [_attr({kind: v}) for kind, items in item.items() for v in items]
        if key == "i":
            return int(item)
        if key == "s":
            return base64.b64decode(item).decode("utf-8", "replace")
        return item
    return None


def _weights(manifest: Sequence[Mapping[str, Any]]) -> List[WeightSpec]:
    specs, offset = [], 0
    for group in manifest:
        for entry in group["weights"]:
            quantised = entry.get("quantization", {})
            kind = quantised.get("dtype")
            table = _QUANTISED if kind else _PLAIN
            if (kind or entry["dtype"]) not in table or entry["dtype"] not in _MEMORY:
                raise ValueError("tensor {!r} is stored as {}, supported: {}".format(
                    entry["name"], kind or entry["dtype"], ", ".join(sorted(table))))
            specs.append(WeightSpec(entry["name"], tuple(int(n) for n in entry["shape"]), entry["dtype"],
                                    table[kind or entry["dtype"]], offset, float(quantised.get("scale", 1.0)),
                                    float(quantised.get("min", 0.0))))
            offset = specs[-1].stop
    return specs


def _sorted(nodes: Sequence[Node]) -> List[Node]:
    """Topological order; the file's own order is free."""
    by_name = {node.name: node for node in nodes}
    done, order = set(), []
    stack = [(node, False) for node in reversed(nodes)]
    open_nodes = set()
    while stack:
        node, is_leaving = stack.pop()
        if is_leaving:
            open_nodes.discard(node.name)
            done.add(node.name)
            order.append(node)
            continue
        if node.name in done:
            continue
        if node.name in open_nodes:
            raise ValueError("the graph has a loop at node {!r}".format(node.name))
        open_nodes.add(node.name)
        stack.append((node, True))
        for name in node.inputs:
            source = name.partition(":")[0]
            if source not in by_name:
                raise ValueError("node {!r} reads {!r}, which does not exist".format(node.name, source))
            if source not in done:
                stack.append((by_name[source], False))
    return order
