"""Nested arguments and results of a model, taken apart into flat tensors and put together again."""
import collections
import copy
import dataclasses
import enum
import numbers
from collections.abc import Mapping, MutableMapping  # typing's are slow to ask
from typing import Any, Callable, Hashable, Iterator, List, Sequence

import torch

from intra_dp_ros.graph.graph import GraphError, Ref

#: Arguments that a recording can hold as they are: equal means the same recorded program.
_PLAIN = (type(None), numbers.Number, str, bytes, range, enum.Enum, torch.dtype, torch.device, torch.memory_format,
          torch.layout, type(Ellipsis))


def map_tensors(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """`value` with every tensor in it replaced; tuples, lists, mappings and dataclasses are gone through and copied."""
    return _mapped(value, torch.Tensor, change)


def leaves(value: Any) -> List[torch.Tensor]:
    """Every tensor in a nested value, depth first."""
    return list(_iter_tensors(value))


def unflatten(structure: Any, flat_outputs: Sequence[Any]) -> Any:
    """The model's result again: ``Ref(i)`` becomes ``flat_outputs[i]``."""
    return _mapped(structure, Ref, lambda ref: flat_outputs[ref.tensor])


def flatten(value: Any, index_of: Callable[[torch.Tensor], int]) -> Any:
    """The `Graph.structure` of a model's result: tensors become ``Ref(index_of(tensor))``.

    Named tuples become plain tuples and ordered dicts plain dicts: the other side knows none of the model's classes.

    Raises:
        GraphError: something else than tensors, plain values, tuples, lists and dicts with str keys.
    """
    if isinstance(value, torch.Tensor):
        return Ref(index_of(value))
    if type(value) is tuple or isinstance(value, tuple) and (
            hasattr(value, "_fields") or hasattr(value, "n_sequence_fields")):
        return tuple(flatten(v, index_of) for v in value)
    if type(value) is list:
        return [flatten(v, index_of) for v in value]
    if type(value) in (dict, collections.OrderedDict):
        if not all(isinstance(k, str) for k in value):
            raise GraphError("a result dict has the keys {}: only str keys can be recorded".format(list(value)))
        return {k: flatten(v, index_of) for k, v in value.items()}
    if type(value) in (type(None), bool, int, float, str):
        return value
    raise GraphError("the model returns a {}, which cannot be recorded: return tensors in tuples, lists or dicts"
                     .format(type(value).__name__))


def signature(value: Any) -> Hashable:
    """What of a call's arguments a recording depends on: nesting, shapes and types of tensors, plain values.

    Raises:
        GraphError: an argument that is neither a tensor nor a plain value, nor a container or dataclass of these; its
            contents would be recorded as if they never changed.
    """
    if isinstance(value, torch.Tensor):
        return torch.Tensor, tuple(value.shape), value.dtype, value.device
    if isinstance(value, (tuple, list)):
        return (type(value), *map(signature, value))
    if isinstance(value, Mapping):
        return (type(value), *((k, signature(v)) for k, v in value.items()))
    if _is_dataclass(value):
        return (type(value), *(signature(getattr(value, f.name)) for f in dataclasses.fields(value)))
    if isinstance(value, slice):
        return slice, *map(signature, (value.start, value.stop, value.step))
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, (type, torch.nn.Module)) or callable(value) and hasattr(value, "__code__"):
        return type(value), value
    raise GraphError("an argument is a {}.{}: pass tensors (torch.as_tensor(...)) and plain values, in tuples, lists, "
                     "dicts or dataclasses".format(type(value).__module__, type(value).__name__))


def _iter_tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _iter_tensors(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _iter_tensors(item)
    elif _is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _iter_tensors(getattr(value, field.name))


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        items = [_mapped(v, kind, change) for v in value]
        if hasattr(value, "n_sequence_fields"):  # a pair with names, as torch.max gives it
            return type(value)(items)
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [_mapped(v, kind, change) for v in value]
    if isinstance(value, Mapping):
        items = {k: _mapped(v, kind, change) for k, v in value.items()}
        if type(value) is dict or not isinstance(value, MutableMapping):
            return items
        made = copy.copy(value)
        for key, item in items.items():
            made[key] = item
        return made
    if _is_dataclass(value):
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(made, field.name, _mapped(getattr(value, field.name), kind, change))
        return made
    return value


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, (type, Ref))
