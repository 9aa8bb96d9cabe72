"""Views as values: how a view is cut out of its source, and how a changed view is put back into it.

A model may write through a view (``y[:, 0] = x``).  A graph has values only, so the write becomes a new value of the
whole source (``select_scatter``), and every other view of it is cut out again from that value when it is next read.
"""
from dataclasses import dataclass
from typing import Any, Mapping, Tuple

import torch

from intra_dp_ros.graph.canonical import PERMUTATIONS, RESHAPES, SYNONYMS, permutation


@dataclass(frozen=True)
class Step:
    """One view operator of a chain; `op` and `args` cut it out, `back_op` and `back_args` put it back."""

    op: str  # "" when the view cannot be cut out again
    args: Mapping[str, Any]  # without "self"
    shape: Tuple[int, ...]  # of the view
    back_op: str  # "" when it cannot be written through
    back_args: Mapping[str, Any]  # without "self" and "src"
    source_shape: Tuple[int, ...]

    @property
    def is_scatter(self) -> bool:
        """Whether putting back needs the old source as well."""
        return self.back_op.endswith("_scatter")


def step_of(func: Any, op: str, args: Mapping[str, Any], source: torch.Tensor, out: torch.Tensor,
            offset: int) -> Step:
    """The step from `source` to its view `out`, made by `op` with (canonical) `args`.

    Args:
        offset: of `out` along the operator's axis, for operators that make several views (split, chunk, unbind).
    """
    base = op.split(".")[0]
    base = SYNONYMS.get(base, base)
    shapes = tuple(out.shape), tuple(source.shape)
    dim = args.get("dim", 0)
    if base in RESHAPES and op != "view.dtype":
        return _step("reshape", {"shape": shapes[0]}, "reshape", {"shape": shapes[1]}, *shapes)
    if base in PERMUTATIONS:
        dims = permutation(func, source, args)
        inverse = tuple(sorted(range(len(dims)), key=dims.__getitem__))
        return _step("permute", {"dims": dims}, "permute", {"dims": inverse}, *shapes)
    if base == "slice":
        part = {k: args[k] for k in ("dim", "start", "end", "step")}
        return _step("slice.Tensor", part, "slice_scatter", part, *shapes)
    if base == "select":
        part = {"dim": dim, "index": args["index"]}
        return _step("select.int", part, "select_scatter", part, *shapes)
    if base == "unbind":
        part = {"dim": dim, "index": offset}
        return _step("select.int", part, "select_scatter", part, *shapes)
    if base in ("split", "split_with_sizes", "chunk"):
        part = {"dim": dim, "start": offset, "end": offset + out.shape[dim], "step": 1}
        return _step("slice.Tensor", part, "slice_scatter", part, *shapes)
    if base == "expand":
        return _step("expand", {"size": shapes[0]}, "", {}, *shapes)
    return _step("", {}, "", {}, *shapes)


def _step(op: str, args: Mapping[str, Any], back_op: str, back_args: Mapping[str, Any], shape: Tuple[int, ...],
          source_shape: Tuple[int, ...]) -> Step:
    return Step(op, args, shape, back_op, back_args, source_shape)


def storage_of(tensor: torch.Tensor) -> Any:
    """The memory that a tensor looks at."""
    return tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor._storage()  # torch < 2.0


class Group:
    """Tensors that share one memory: the source and its views."""

    __slots__ = ("value", "version", "dtype", "is_external", "born", "origin", "geometry", "_memory")

    def __init__(self, value: Any, root: torch.Tensor, is_external: bool = False, born: int = 0) -> None:
        self.value = value  # Ref or Const of the source; None while it does not depend on the input
        self.version = 0  # counts writes
        self.dtype = root.dtype
        self.is_external = is_external  # the model keeps it between calls (a parameter, a buffer, an attribute)
        self.born = born  # how many calls that depend on the inputs came before
        self.origin: Any = None  # (call, position in its result, offset) of the first result in this memory
        self.geometry = root.storage_offset(), tuple(root.shape), root.stride()
        # torch 1.13 refuses a new inference tensor that somebody else holds already: hold its memory instead
        self._memory = None if value is not None else (
            storage_of(root), root.device)

    def snapshot(self) -> torch.Tensor:
        """A copy of what the source holds now."""
        storage, device = self._memory
        return torch.empty(0, dtype=self.dtype, device=device).set_(storage, *self.geometry).clone()

    def release(self) -> None:
        """Let go of the memory: from now on `value` is all that counts."""
        self._memory = None


class View:
    """What is known of one tensor object: where its value is now."""

    __slots__ = ("group", "chain", "value", "version", "weak", "origin")

    def __init__(self, group: Group, chain: Tuple[Step, ...], value: Any) -> None:
        self.group = group
        self.chain = chain  # from the source to this view
        self.value = value  # Ref or Const, right while `version` is the group's
        self.version = group.version
        self.weak: Any = None  # weak reference to the tensor
        self.origin: Any = None  # (call, position in its result) that made it
