"""The recorder: one ordinary call of an unmodified model becomes a `Graph` (paper, Algorithm 1: the recorder's part).

The model runs once under `torch.inference_mode()`, where composite operators (conv2d, linear, batch_norm) stay whole,
while a dispatch mode writes down every ATen call.  Data dependence follows tensor identity; whatever does not depend on
the inputs becomes a constant.  It runs a second time on other values of the same shape, because a model whose sequence
of operators or whose constants change with the values cannot be replayed.
"""
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch

from intra_dp_ros.graph import passes
from intra_dp_ros.graph.build import Builder, RecordingError, known_tensors
from intra_dp_ros.graph.graph import Graph, GraphError
from intra_dp_ros.graph.recorder import REMEDY, Recorder
from intra_dp_ros.graph.structure import flatten, leaves, map_tensors, unflatten
from intra_dp_ros.graph.views import Group

__all__ = ["Recording", "RecordingError", "record", "unflatten"]


@dataclass(frozen=True)
class Recording:
    """A recorded model."""

    graph: Graph
    weights: Dict[str, torch.Tensor]  # key of graph.constants -> value, on the model's device


def record(model: Callable, args: Tuple[Any, ...], kwargs: Optional[Mapping[str, Any]] = None) -> Recording:
    """Record one call ``model(*args, **kwargs)``.

    Args:
        model: a module in eval mode, or any callable; it is neither changed nor traced.
        args, kwargs: real inputs; every tensor in them becomes an input of the graph (in order, `kwargs` last),
            everything else is part of the recorded program.  They are copied, never written to.

    Raises:
        RecordingError: the model cannot be replayed as a fixed sequence of allowed operators; the message names the
            operator, the line of the model's code and the remedy.
    """
    call = (tuple(args), dict(kwargs or {}))
    if not leaves(call):
        raise RecordingError("the call has no tensor argument, so there is nothing to record")
    known = known_tensors(model)
    hashes: Dict[Any, str] = {}
    first = _run(model, map_tensors(call, lambda t: t.detach().clone()), known).build(hashes)
    generator = torch.Generator().manual_seed(1)
    second = _run(model, map_tensors(call, lambda t: _other_values(t, generator)), known).build(hashes)
    _compare(first[0], second[0])
    return Recording(*passes.simplify(*first))


def _run(model: Callable, call: Tuple[Tuple[Any, ...], Dict[str, Any]], known: Mapping[Any, str]) -> Builder:
    recorder = Recorder(Builder(known), _run.__code__)
    with torch.inference_mode():
        call = map_tensors(call, lambda t: t.clone())  # inference tensors: made inside
        for tensor in leaves(call):
            recorder.register(tensor, Group(recorder.builder.add_input(tensor), tensor))
        result = None
        try:
            with recorder:
                result = model(*call[0], **call[1])
        except Exception:
            if recorder.error is None:
                raise
        if recorder.error is not None:  # also when the model's code swallowed it
            raise recorder.error from None
        try:
            structure = flatten(result, lambda t: recorder.builder.add_output(recorder.read(t), t))
        except GraphError as error:
            raise RecordingError(str(error)) from None
    recorder.builder.structure = structure
    return recorder.builder


def _other_values(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random values of the same shape, type and range (an index input must stay a valid index)."""
    if tensor.dtype == torch.bool:
        values = torch.randint(0, 2, tensor.shape, generator=generator)
    elif tensor.dtype == torch.uint8:
        values = torch.randint(0, 256, tensor.shape, generator=generator)
    elif tensor.numel() == 0:
        values = torch.zeros(tensor.shape)
    elif tensor.dtype.is_floating_point:
        low, high = float(tensor.min()), float(tensor.max())
        values = torch.rand(tensor.shape, generator=generator) * ((high - low) or 1.0) + low
    else:
        values = torch.randint(int(tensor.min()), int(tensor.max()) + 1, tensor.shape, generator=generator)
    return values.to(tensor.device, tensor.dtype)


def _compare(first: Graph, second: Graph) -> None:
    if first.hash == second.hash:
        return
    for a, b in zip(first.nodes, second.nodes):
        if (a.op, a.args, a.outputs) != (b.op, b.args, b.outputs):
            raise RecordingError(
                "two calls with inputs of the same shape ran different operators: {} ({}) and {} ({}). The model's "
                "control flow depends on the data or is random: {}".format(a.op, a.source, b.op, b.source, REMEDY))
    changed = [name for name, spec in first.constants.items() if second.constants.get(name) != spec]
    for node in first.nodes:
        if set(changed).intersection(node.constants):
            raise RecordingError(
                "{} at {} uses a value that changed between two calls although no operator made it from the input: it "
                "is random, or was computed outside torch (numpy, item): {}".format(node.op, node.source, REMEDY))
    raise RecordingError(
        "two calls with inputs of the same shape gave different graphs ({} and {} operators): the model's control flow "
        "or a shape in it depends on the data: {}".format(len(first.nodes), len(second.nodes), REMEDY))
