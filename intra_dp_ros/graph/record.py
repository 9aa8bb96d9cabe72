"""The recorder: one ordinary call of an unmodified model becomes a `Graph` (paper, Algorithm 1: the recorder's part).

The model runs once under `torch.inference_mode()`, where composite operators (conv2d, linear, batch_norm) stay whole,
while a dispatch mode writes down every ATen call.  Data dependence follows tensor identity; whatever does not depend on
the inputs becomes a constant.  It runs a second time on other values of the same shape.  The graph ends before the
first call that cannot be replayed for any values of the inputs; what comes after it is a `Tail`.
"""
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import torch

from intra_dp_ros.graph import passes
from intra_dp_ros.graph.build import Builder, Built, CannotFollow, RecordingError, known_tensors
from intra_dp_ros.graph.graph import Const, Graph, GraphError, OpNode, Ref
from intra_dp_ros.graph.readers import Readers
from intra_dp_ros.graph.recorder import Recorder
from intra_dp_ros.graph.registry import ALLOWED
from intra_dp_ros.graph.replay import CallRecord, Ended, Fill, ReplayError, Tail, replay
from intra_dp_ros.graph.structure import flatten, leaves, map_tensors, signature, unflatten
from intra_dp_ros.graph.two_parts import TwoParts
from intra_dp_ros.graph.views import Group

__all__ = ["Recording", "RecordingError", "ReplayError", "record", "unflatten"]

#: A graph that ends before the model does is worth splitting when it has an operator of these families.
_WORK = frozenset({"convolution", "matmul"})
_REMEDY = "record the model up to there and keep the rest in the application"


@dataclass(frozen=True)
class Recording:
    """A recorded model."""

    graph: Graph
    weights: Dict[str, torch.Tensor]  # key of graph.constants -> value, on the model's device
    result: Any = None  # the model's result with Ref(i) for outputs[i], in its own containers; None: as the graph's
    tail: Optional[Tail] = None  # what of the model is not in the graph; None: nothing
    own_end: str = ""  # class of a model of `TwoParts`, whose own end follows; "": none does

    @property
    def rest(self) -> str:
        """What runs in the application, in a sentence; "" when all of the model is in the graph."""
        if self.tail is not None:
            return self.tail.sentence
        return "{}.finished runs in the application".format(self.own_end) if self.own_end else ""

    def finish(self, model: Callable, args: Sequence[Any], kwargs: Mapping[str, Any],
               outputs: Sequence[torch.Tensor]) -> Any:
        """The result of ``model(*args, **kwargs)`` in its own containers, from the graph's outputs for these arguments.

        Raises:
            ReplayError: the rest of the model cannot go on from there, because the model did something else before.
        """
        if self.tail is not None:
            begun = replay(self.tail, model.begun if self.own_end else model, (args, kwargs), outputs)
        else:
            begun = unflatten(self.graph.structure if self.result is None else self.result, outputs)
        return model.finished(begun) if self.own_end else begun


def record(model: Callable, args: Tuple[Any, ...], kwargs: Optional[Mapping[str, Any]] = None) -> Recording:
    """Record one call ``model(*args, **kwargs)``.

    Args:
        model: a module in eval mode, or any callable; it is neither changed nor traced.  One of `TwoParts` is recorded
            up to where it says.
        args, kwargs: real inputs; every tensor in them becomes an input of the graph (in order, `kwargs` last),
            everything else is part of the recorded program.  They are copied, never written to.

    Raises:
        RecordingError: the model has no part of some work that is a fixed sequence of allowed operators; the message
            names the operator, the line of the model's code and the remedy.
    """
    if isinstance(model, TwoParts):
        return replace(record(model.begun, args, kwargs), own_end=type(model).__name__)
    call = (tuple(args), dict(kwargs or {}))
    if not leaves(call):
        raise RecordingError("the call has no tensor argument, so there is nothing to record")
    try:
        signature(call)
    except GraphError as error:
        raise RecordingError(str(error)) from None
    known = known_tensors(model)
    hashes: Dict[Any, Tuple[str, torch.Tensor]] = {}
    generator = torch.Generator().manual_seed(1)
    others = map_tensors(call, lambda t: _other_values(t, generator))
    first = _run(model, call, known, hashes)
    try:
        run = _run(model, others, known, hashes)
    except RecordingError:
        raise
    except Exception as error:
        raise RecordingError("the model answers the inputs given and fails with others from the same range ({!r}): "
                             "give inputs whose least and greatest values may stand in any place".format(
                                 error)) from error
    end = _difference(first, run)
    del first
    if end is not None:
        limit, cause = end
        run = replace(_run(model, others, known, hashes, limit), end=cause)
    graph, weights = passes.simplify(run.built.graph, run.built.weights)
    if run.end is None:
        if not graph.outputs:
            raise RecordingError("the model returns no tensor that depends on its inputs")
        return Recording(graph, weights, run.result)
    if not any(ALLOWED[node.op].family in _WORK for node in graph.nodes):
        raise RecordingError("{}; too little work comes before it to be split: {}".format(run.end, _REMEDY))
    return Recording(graph, weights, None, Tail(run.end.operator, run.end.source, run.end.reason, run.calls, run.fills))


@dataclass(frozen=True)
class _Run:
    """One run of the model, written down."""

    built: Built
    calls: Tuple[CallRecord, ...]  # those that depend on the inputs
    end: Optional[CannotFollow]  # why it ended before the model did
    fills: Tuple[Fill, ...]  # when it did
    result: Any  # when it did not: with Ref(i) for output i


def _run(model: Callable, call: Tuple[Tuple[Any, ...], Dict[str, Any]], known: Mapping[Any, str],
         hashes: Dict[Any, Tuple[str, torch.Tensor]], limit: Optional[int] = None) -> _Run:
    recorder = Recorder(Builder(known), _run.__code__, limit)
    builder = recorder.builder
    with torch.inference_mode():
        # Inference tensors: made inside.  In one order of elements: what is recorded must not hang on it.
        call = map_tensors(call, lambda t: t.clone(memory_format=torch.contiguous_format))
        for tensor in leaves(call):
            recorder.register(tensor, Group(builder.add_input(tensor), tensor))
        result = None
        try:
            with Readers(recorder), recorder:
                result = model(*call[0], **call[1])
        except (Exception, Ended):
            if recorder.error is None and recorder.end is None:
                raise
        if recorder.error is not None:  # also when the model's code swallowed it
            raise recorder.error from None
        if recorder.end is None and limit is not None:
            recorder.end_at_result("")
        if recorder.end is None:
            def index_of(tensor: torch.Tensor) -> int:
                return builder.add_output(recorder.read(tensor), tuple(tensor.shape), tensor.dtype)
            try:
                builder.structure = flatten(result, index_of)
                result = map_tensors(result, lambda t: Ref(index_of(t)))
            except GraphError as error:
                recorder.end_at_result(str(error))
    if recorder.end is not None:
        builder.structure = result = None
    return _Run(builder.build(hashes), tuple(recorder.calls), recorder.end, recorder.fills, result)


def _other_values(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random values of the same shape, type and range (an index input must stay a valid index)."""
    if tensor.dtype == torch.bool:
        values = torch.randint(0, 2, tensor.shape, generator=generator)
    elif tensor.numel() == 0:
        values = torch.zeros(tensor.shape)
    elif tensor.dtype == torch.uint8 and tensor.min() == tensor.max():  # an image of nothing
        values = torch.randint(0, 256, tensor.shape, generator=generator)
    elif tensor.dtype.is_floating_point:
        finite = tensor[torch.isfinite(tensor)].float()
        low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 1.0)
        values = torch.rand(tensor.shape, generator=generator) * ((high - low) or 1.0) + low
    else:
        values = torch.randint(int(tensor.min()), int(tensor.max()) + 1, tensor.shape, generator=generator)
    return values.to(tensor.device, tensor.dtype)


def _difference(first: _Run, second: _Run) -> Optional[Tuple[int, CannotFollow]]:
    """Where the graph has to end because two runs differ: after how many calls, and why; None where they agree."""
    calls = list(zip(first.calls, second.calls))
    limit = next((i for i, (a, b) in enumerate(calls) if a != b), len(calls))
    graphs = first.built.graph, second.built.graph
    end = None
    for index, (a, b) in enumerate(zip(graphs[0].nodes, graphs[1].nodes)):
        if _content(a, graphs[0]) == _content(b, graphs[1]):
            continue
        end = CannotFollow(b.op, b.source, "two calls with inputs of the same shape ran different operators, here and "
                           "{} ({}): the model's control flow depends on the data or is random".format(a.op, a.source))
        changed = {n for n in b.constants if graphs[0].constants.get(n) != graphs[1].constants[n]}
        if a.op == b.op and changed:
            end = CannotFollow(b.op, b.source, "it uses a value that changed between two calls although no operator "
                               "made it from the input: it is random, or was computed outside torch")
        # what computed such a value may have read what is alive when it was made
        limit = min([limit, second.built.call_of[index], *(second.built.born.get(n, limit) for n in changed)])
        break
    is_alike = len(first.calls) == len(second.calls) == limit and (first.end is None) == (second.end is None)
    if end is None and (not is_alike or first.end is None and graphs[0].hash != graphs[1].hash):
        end = CannotFollow("", "", "two calls with inputs of the same shape ended differently ({} and {} operators): "
                           "the model's control flow or its result depends on the data".format(
                               *(len(g.nodes) for g in graphs)))
    return None if end is None else (limit, end)


def _content(node: OpNode, graph: Graph) -> Any:
    """What a call computes, whatever its constants are called."""
    def plain(arg: Any) -> Any:
        if isinstance(arg, Const):
            return graph.constants[arg.name]
        return tuple(map(plain, arg)) if isinstance(arg, tuple) else arg
    return node.op, {k: plain(a) for k, a in node.args.items()}, node.outputs
