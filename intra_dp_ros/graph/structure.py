"""Nested arguments and results of a model, taken apart into flat tensors and put together again."""
from typing import Any, Callable, List, Mapping, Sequence

import torch

from intra_dp_ros.graph.graph import GraphError, Ref


def map_tensors(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """`value` with every tensor in it replaced; tuples (named ones too), lists and dicts are gone through."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, tuple):
        items = [map_tensors(v, change) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [map_tensors(v, change) for v in value]
    if isinstance(value, Mapping):
        return {k: map_tensors(v, change) for k, v in value.items()}
    return value


def leaves(value: Any) -> List[torch.Tensor]:
    """Every tensor in a nested value, depth first."""
    found: List[torch.Tensor] = []
    map_tensors(value, found.append)
    return found


def flatten(value: Any, index_of: Callable[[torch.Tensor], int]) -> Any:
    """The `Graph.structure` of a model's result: tensors become ``Ref(index_of(tensor))``.

    Named tuples become plain tuples and mappings plain dicts: the other side knows none of the model's classes.

    Raises:
        GraphError: something else than tensors, plain values, tuples, lists and dicts with str keys.
    """
    if isinstance(value, torch.Tensor):
        return Ref(index_of(value))
    if isinstance(value, tuple):
        return tuple(flatten(v, index_of) for v in value)
    if isinstance(value, list):
        return [flatten(v, index_of) for v in value]
    if isinstance(value, Mapping):
        if not all(isinstance(k, str) for k in value):
            raise GraphError("a result dict has the keys {}: only str keys can be recorded".format(list(value)))
        return {k: flatten(v, index_of) for k, v in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise GraphError("the model returns a {}, which cannot be recorded: return tensors in tuples, lists or dicts"
                     .format(type(value).__name__))


def unflatten(structure: Any, flat_outputs: Sequence[Any]) -> Any:
    """The model's result again: ``Ref(i)`` becomes ``flat_outputs[i]``."""
    if isinstance(structure, Ref):
        return flat_outputs[structure.tensor]
    if isinstance(structure, tuple):
        return tuple(unflatten(s, flat_outputs) for s in structure)
    if isinstance(structure, list):
        return [unflatten(s, flat_outputs) for s in structure]
    if isinstance(structure, Mapping):
        return {k: unflatten(s, flat_outputs) for k, s in structure.items()}
    return structure
