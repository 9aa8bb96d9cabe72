"""Half-open row ranges and the maps between them.

An `IntervalMap` answers, for one operator and one of its inputs, which input rows an output row needs.  It is held as
two tables, one entry per output row, so that every operator (convolution, pooling, interpolation, concatenation ...)
looks alike to the planner, to the executor and to the vectorised timeline.  Both tables never decrease: rows are
consumed in order, which is what lets a line buffer stream them.  (Paper section 4.1.)
"""
from dataclasses import dataclass
from functools import cached_property
from typing import List, NamedTuple, Tuple

import numpy as np


class Interval(NamedTuple):
    """Rows ``[start, stop)``."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return max(0, self.stop - self.start)


def pieces(start: int, stop: int, count: int) -> List[Interval]:
    """Rows ``[start, stop)`` in `count` consecutive pieces of nearly equal size."""
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    return [Interval(a, b) for a, b in zip(edges, edges[1:])]


@dataclass(frozen=True, eq=False)
class IntervalMap:
    """Output row ``i`` needs input rows ``[lo[i], hi[i])``, already clipped to ``[0, n_in)``.

    Rows that an operator invents (padding) need nothing: ``lo[i] == hi[i]``.
    """

    n_in: int  # rows of the input
    lo: np.ndarray  # int64 (n_out,), non-decreasing
    hi: np.ndarray  # int64 (n_out,), non-decreasing

    def __post_init__(self) -> None:
        for name, table in (("lo", self.lo), ("hi", self.hi)):
            if np.any(np.diff(table) < 0):
                raise ValueError("interval map: {} decreases; rows would have to be read backwards".format(name))
        if self.n_out and (self.lo[0] < 0 or self.hi[-1] > self.n_in or np.any(self.lo > self.hi)):
            raise ValueError("interval map leaves [0, {})".format(self.n_in))

    @property
    def n_out(self) -> int:
        return len(self.lo)

    def need(self, start: int, stop: int) -> Interval:
        """Input rows needed for output rows ``[start, stop)``."""
        if stop <= start:
            return Interval(0, 0)
        return Interval(int(self.lo[start]), int(self.hi[stop - 1]))

    def ready(self, available: int) -> int:
        """How many leading output rows can be computed from input rows ``[0, available)``."""
        return int(np.searchsorted(self.hi, available, side="right"))

    @cached_property
    def lists(self) -> Tuple[List[int], List[int], List[int]]:
        """``lo``, ``hi`` and `ready_table` as lists: the executor asks for single entries, which arrays are slow at."""
        return self.lo.tolist(), self.hi.tolist(), self.ready_table.tolist()

    @cached_property
    def is_identity(self) -> bool:
        """Whether row ``i`` needs row ``i`` and no other."""
        rows = np.arange(self.n_in)
        return self.n_out == self.n_in and np.array_equal(self.lo, rows) and np.array_equal(self.hi, rows + 1)

    @property
    def ready_table(self) -> np.ndarray:
        """`ready` for every ``available`` in ``0..n_in`` (int64, shape ``(n_in + 1,)``)."""
        return np.searchsorted(self.hi, np.arange(self.n_in + 1), side="right")


def _clipped(n_in: int, lo: np.ndarray, hi: np.ndarray) -> IntervalMap:
    lo = np.clip(lo, 0, n_in)
    hi = np.clip(hi, 0, n_in)
    return IntervalMap(n_in, np.minimum(lo, hi).astype(np.int64), hi.astype(np.int64))


def identity(n: int) -> IntervalMap:
    """Row ``i`` needs row ``i``: every pointwise operator."""
    rows = np.arange(n)
    return IntervalMap(n, rows, rows + 1)


def whole(n_in: int, n_out: int) -> IntervalMap:
    """Every output row needs the whole input: global operators, and inputs that have no rows of their own."""
    return IntervalMap(n_in, np.zeros(n_out, np.int64), np.full(n_out, n_in, np.int64))


def window(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> IntervalMap:
    """Convolution and pooling: ``lo = i*s - p``, ``hi = i*s - p + d*(k-1) + 1``; what is clipped is padding."""
    first = np.arange(n_out) * stride - padding
    return _clipped(n_in, first, first + dilation * (kernel - 1) + 1)


def transposed(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> IntervalMap:
    """Transposed convolution: input row ``i`` reaches output rows ``i*s - p + d*t``, t in 0..k-1."""
    rows = np.arange(n_out) + padding
    return _clipped(n_in, -((dilation * (kernel - 1) - rows) // stride), rows // stride + 1)


def adaptive(n_in: int, n_out: int) -> IntervalMap:
    """Adaptive pooling: row ``i`` pools rows ``[floor(i*n/m), ceil((i+1)*n/m))``."""
    rows = np.arange(n_out)
    return _clipped(n_in, rows * n_in // n_out, -(-(rows + 1) * n_in // n_out))


def covering(n_in: int, lo: np.ndarray, hi: np.ndarray) -> IntervalMap:
    """For rows that are not read in order (reflected padding): the narrowest intervals in order that hold them."""
    return _clipped(n_in, np.minimum.accumulate(lo[::-1])[::-1], np.maximum.accumulate(hi))


def shifted(n_in: int, n_out: int, offset: int) -> IntervalMap:
    """Output row ``i`` is input row ``i - offset``: concatenation along the axis, constant padding, narrowing."""
    rows = np.arange(n_out) - offset
    return _clipped(n_in, rows, rows + 1)


def strided(n_in: int, n_out: int, start: int, step: int) -> IntervalMap:
    """Output row ``i`` is input row ``start + i*step`` (a slice with a positive step)."""
    rows = start + np.arange(n_out) * step
    return _clipped(n_in, rows, rows + 1)


def linear(n_in: int, factor: int) -> IntervalMap:
    """Linear interpolation to ``factor`` times the rows, half-pixel centres: the two rows next to the coordinate."""
    # In whole numbers: floor((i + 1/2)/f - 1/2) = floor((2i + 1 - f) / 2f); the coordinate is clamped to 0 first.
    low = np.maximum(0, (2 * np.arange(n_in * factor) + 1 - factor) // (2 * factor))
    return _clipped(n_in, low, low + 2)


def replicated(n_in: int, before: int, after: int) -> IntervalMap:
    """Padding that repeats the first row ``before`` times and the last row ``after`` times."""
    rows = np.clip(np.arange(n_in + before + after) - before, 0, n_in - 1)
    return IntervalMap(n_in, rows, rows + 1)


def repeated(n_in: int, factor: int) -> IntervalMap:
    """Every input row makes ``factor`` output rows (nearest-neighbour interpolation)."""
    rows = np.arange(n_in * factor) // factor
    return IntervalMap(n_in, rows, rows + 1)
