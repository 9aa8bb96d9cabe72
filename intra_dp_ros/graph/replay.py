"""The replayer (paper, Algorithm 1): the application's own code again, with the recorded operators already answered.

A recording that ends before the model does has a `Tail`.  To go on from there, the model's own Python runs again: calls
that the graph has computed are answered at once with memory of the right shape and no values in it; after the last of
them the values that are still alive are put in, and everything else runs as ever.  So nested results, loops and
branches are the model's own, and only its Python costs time again.
"""
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from intra_dp_ros.graph.canonical import bind, op_name, reads, written
from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.graph.structure import leaves, map_tensors
from intra_dp_ros.graph.views import storage_of

#: How a recorded call is answered without computing.
VIEW, WRITE, FRESH = "view", "write", "fresh"  # by doing it; by the tensor written to; by new memory

_SIMPLE = frozenset({int, bool, str, type(None)})
_DATA = torch.Tensor.data.__get__


class ReplayError(GraphError):
    """The model did something else than when it was recorded; the message says what."""


class Ended(BaseException):
    """Unwinds the model's code; no Exception, which the model might catch."""


@dataclass(frozen=True)
class Made:
    """A new tensor's memory."""

    shape: Tuple[int, ...]
    stride: Tuple[int, ...]  # in elements
    dtype: torch.dtype
    device: torch.device

    def empty(self) -> torch.Tensor:
        """Memory without values; on the CPU it costs nothing until it is written to."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)


@dataclass(frozen=True)
class CallRecord:
    """One call that depends on the inputs, as the model made it."""

    op: str  # as `OpNode.op`
    plain: Tuple[Any, ...]  # its arguments, without the tensors
    how: str  # VIEW, WRITE or FRESH
    made: Any  # FRESH: its result, with Made for tensors


@dataclass(frozen=True)
class Fill:
    """Where one of the graph's outputs goes."""

    call: int  # the tensor is a result of this call
    position: int  # among its results
    part: Optional[Tuple[int, Tuple[int, ...], Tuple[int, ...]]]  # offset from it, shape, stride; None: the tensor


@dataclass(frozen=True)
class Tail:
    """The part of a model that is not in its graph and runs in the application."""

    operator: str  # the first call in it; "": all are in the graph, only the model's result is made by its own code
    source: str  # "file.py:123", where the model makes that call
    reason: str  # why the graph ends there
    calls: Tuple[CallRecord, ...]  # those before it
    fills: Tuple[Fill, ...]  # for each output of the graph

    @property
    def sentence(self) -> str:
        """For a log."""
        where = " at ".join(p for p in (self.operator, self.source) if p)
        return "{} runs in the application: {}".format(
            "the model from {} on".format(where) if where else "what makes the model's result", self.reason)


def replay(tail: Tail, model: Callable, call: Tuple[Sequence[Any], Mapping[str, Any]],
           outputs: Sequence[torch.Tensor]) -> Any:
    """The model's own result for ``model(*call[0], **call[1])``, given the graph's outputs for these arguments.

    Raises:
        ReplayError: the model did not make the recorded calls.
    """
    with torch.inference_mode():
        args, kwargs = map_tensors((tuple(call[0]), dict(call[1])),  # in the order of elements that was recorded
                                   lambda t: t.clone(memory_format=torch.contiguous_format))
        replayer = Replayer(tail, leaves((args, kwargs)), outputs)
        try:
            with DataIsDetached(), replayer:
                result = model(*args, **kwargs)
        except (Exception, Ended):
            if not replayer.problem:
                raise
        if replayer.problem:
            raise ReplayError(replayer.problem)
        if not replayer.is_filled:
            raise ReplayError("the model made {} of the {} recorded calls".format(
                replayer.answered, len(tail.calls)))
        return result


class DataIsDetached(TorchFunctionMode):
    """``tensor.data``, which torch refuses for inference tensors, is ``tensor.detach()``: the same memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == _DATA:
            return args[0].detach()
        return func(*args, **(kwargs or {}))


class Replayer(TorchDispatchMode):
    """Answers the calls before a `Tail`, puts the values in, and lets the rest run."""

    def __init__(self, tail: Tail, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.answered = 0
        self.is_filled = False
        self.problem = ""
        self._tail = tail
        self._outputs = outputs
        self._wanted: Dict[int, List[int]] = {}  # call -> positions
        for fill in tail.fills:
            self._wanted.setdefault(fill.call, []).append(fill.position)
        self._held: Dict[Tuple[int, int], torch.Tensor] = {}  # (call, position) -> tensor
        # memory that depends on the inputs; the weak reference keeps an address from being used again
        self._memory: Dict[int, StorageWeakRef] = {}
        for tensor in inputs:
            self._note(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.is_filled:
            return func(*args, **kwargs)
        op, read = _reads(func)
        if not (self._depends(args[:read]) or kwargs and read > 1 and self._depends(kwargs.values())):
            return func(*args, **kwargs)
        recorded = self._tail.calls[self.answered]
        if recorded.op != op or recorded.plain != plain(args, kwargs) or self.problem:
            self.problem = self.problem or "call {} was {} {}, and is now {} {}".format(
                self.answered, recorded.op, recorded.plain, op, plain(args, kwargs))
            raise Ended
        if recorded.how == VIEW:
            out = func(*args, **kwargs)
        elif recorded.how == WRITE:
            given = bind(func, args, kwargs)
            out = given[written(func, given)[0]]
        else:
            out = _fresh(recorded.made)
        self._answer(out)
        return out

    def _depends(self, values: Iterable[Any]) -> bool:
        for value in values:
            if isinstance(value, torch.Tensor):
                if _address(value) in self._memory:
                    return True
            elif isinstance(value, (list, tuple)) and self._depends(value):
                return True
        return False

    def _answer(self, out: Any) -> None:
        made = [out] if isinstance(out, torch.Tensor) else leaves(out)
        for tensor in made:
            self._note(tensor)
        for position in self._wanted.get(self.answered, ()):
            self._held[self.answered, position] = made[position]
        self.answered += 1
        if self.answered == len(self._tail.calls):
            for fill, value in zip(self._tail.fills, self._outputs):
                tensor = self._held[fill.call, fill.position]
                if fill.part is not None:
                    offset, shape, stride = fill.part
                    tensor = tensor.as_strided(shape, stride, tensor.storage_offset() + offset)
                tensor.copy_(value)
            self.is_filled = True
            self._held, self._memory, self._outputs = {}, {}, ()

    def _note(self, tensor: torch.Tensor) -> None:
        address = _address(tensor)
        if address not in self._memory:
            self._memory[address] = StorageWeakRef(storage_of(tensor))


@lru_cache(maxsize=None)
def _reads(func: Any) -> Tuple[str, int]:
    """An operator's name, and of how many of its first arguments it reads the values."""
    op = op_name(func)
    found = reads(op, {"self": "", **{a.name: "" for a in func._schema.arguments}})
    return op, 1 if found == "" else len(found)


def plain(args: Any, kwargs: Mapping[str, Any]) -> Tuple[Any, ...]:
    """A call's arguments without its tensors, so that they can be compared."""
    found = tuple([_plain(v) for v in args])
    return (*found, *((k, _plain(v)) for k, v in sorted(kwargs.items()))) if kwargs else found


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return "tensor"
    if type(value) in _SIMPLE:
        return value
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain, value))
    return "nan" if isinstance(value, float) and value != value else value


def made_of(out: Any) -> Any:
    """A call's result as `CallRecord.made` holds it."""
    return map_tensors(out, lambda t: Made(tuple(t.shape), t.stride(), t.dtype, t.device))


def _fresh(made: Any) -> Any:
    if isinstance(made, Made):
        return made.empty()
    return type(made)(map(_fresh, made)) if isinstance(made, (tuple, list)) else made


def _address(tensor: torch.Tensor) -> int:
    return storage_of(tensor)._cdata
