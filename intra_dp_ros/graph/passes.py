"""Simplifications of a recorded graph that leave its results as they are (up to rounding of folded weights)."""
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch

from intra_dp_ros.graph.constants import const_spec
from intra_dp_ros.graph.graph import Const, ConstSpec, Graph, OpNode, Ref

Weights = Dict[str, torch.Tensor]

_CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d", "conv1d.padding", "conv2d.padding", "conv3d.padding"})
_NORMS = frozenset({"batch_norm", "_native_batch_norm_legit_no_training"})


def simplify(graph: Graph, weights: Weights) -> Tuple[Graph, Weights]:
    """All passes."""
    return drop_unused(*fold_batch_norm(*drop_unused(graph, weights)))


def drop_unused(graph: Graph, weights: Weights) -> Tuple[Graph, Weights]:
    """Drop calls whose results nobody reads, and constants; tensors are numbered anew, inputs all stay."""
    needed = set(graph.outputs)
    nodes: List[OpNode] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            nodes.insert(0, node)
            needed.update(node.inputs)
    made = list(dict.fromkeys((*graph.inputs, *(t for n in nodes for t in n.outputs))))
    number = {t: i for i, t in enumerate(made)}
    nodes = [replace(n, args={k: _renumbered(a, number) for k, a in n.args.items()},
                     outputs=tuple(number[t] for t in n.outputs)) for n in nodes]
    used = list(dict.fromkeys(name for n in nodes for name in n.constants))
    kept = Graph(tuple(graph.tensors[t] for t in made), tuple(nodes), tuple(number[t] for t in graph.inputs),
                 tuple(number[t] for t in graph.outputs), graph.structure, {k: graph.constants[k] for k in used})
    return kept, {k: weights[k] for k in used}


def fold_batch_norm(graph: Graph, weights: Weights) -> Tuple[Graph, Weights]:
    """Fold a batch norm into the convolution before it, where nothing else reads that convolution's result.

    Computed in float64 and cast back, so that folding costs no more than one rounding of the weights.
    """
    consumers, producer = graph.consumers, graph.producer
    nodes: List[Optional[OpNode]] = list(graph.nodes)
    constants: Dict[str, ConstSpec] = dict(graph.constants)
    weights = dict(weights)
    for index, norm in enumerate(graph.nodes):
        source = norm.args.get("input") if norm.op in _NORMS else None
        before = producer.get(source.tensor) if isinstance(source, Ref) else None
        if before is None or not _foldable(graph, nodes[before], norm, consumers):
            continue
        conv = nodes[before]
        folded = _fold(conv, norm, weights)
        args: Dict[str, Any] = dict(conv.args)
        for name, tensor in folded.items():
            label = "{}+{}".format(conv.args["weight"].name if name == "weight" else conv.args["weight"].name + ".bias",
                                   norm.args["running_mean"].name)
            spec = const_spec(tensor)
            while label in constants and constants[label] != spec:
                label += "'"
            constants[label], weights[label] = spec, tensor
            args[name] = Const(label)
        nodes[before] = None
        # in the norm's place: its statistics are constants, so nothing can be missing there
        nodes[index] = replace(conv, args=args, outputs=norm.outputs[:1])
    return drop_unused(replace(graph, nodes=tuple(n for n in nodes if n is not None), constants=constants), weights)


def _foldable(graph: Graph, conv: Optional[OpNode], norm: OpNode, consumers: Mapping[int, Tuple[int, ...]]) -> bool:
    if conv is None or conv.op not in _CONVOLUTIONS or norm.args.get("training"):
        return False
    made = conv.outputs[0]
    fixed = [norm.args.get(k) for k in ("weight", "bias")] + [conv.args.get("bias")]
    stats = [norm.args.get(k) for k in ("running_mean", "running_var")] + [conv.args["weight"]]
    return (len(consumers[made]) == 1 and made not in graph.outputs
            and not any(consumers[t] or t in graph.outputs for t in norm.outputs[1:])
            and all(a is None or isinstance(a, Const) for a in fixed) and all(isinstance(a, Const) for a in stats)
            # without a batch the norm's channels are another dimension
            and len(graph.tensors[made].shape) == len(graph.constants[conv.args["weight"].name].shape))


def _fold(conv: OpNode, norm: OpNode, weights: Weights) -> Weights:
    def double(arg: Optional[Const]) -> Optional[torch.Tensor]:
        return None if arg is None else weights[arg.name].double()

    kernel, bias = double(conv.args["weight"]), double(conv.args.get("bias"))
    mean, var = double(norm.args["running_mean"]), double(norm.args["running_var"])
    gain, shift = double(norm.args.get("weight")), double(norm.args.get("bias"))
    scale = torch.rsqrt(var + norm.args["eps"])
    scale = scale if gain is None else scale * gain
    offset = -mean * scale if bias is None else (bias - mean) * scale
    offset = offset if shift is None else offset + shift
    dtype = weights[conv.args["weight"].name].dtype
    return {"weight": (kernel * scale.reshape(-1, *([1] * (kernel.dim() - 1)))).to(dtype), "bias": offset.to(dtype)}


def _renumbered(arg: Any, number: Mapping[int, int]) -> Any:
    if isinstance(arg, Ref):
        return Ref(number[arg.tensor])
    return tuple(_renumbered(a, number) for a in arg) if isinstance(arg, tuple) else arg
