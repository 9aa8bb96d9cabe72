"""The rows of one tensor that are still needed on one side."""
from typing import Callable, List, Optional, Sequence, Tuple

import torch

_SMALL = 4  # a run of which no more than 1/_SMALL is needed is copied
#: Rows of several runs, one after the other along an axis, in new memory; `torch.cat` is one.
Join = Callable[[Sequence[torch.Tensor], int], torch.Tensor]
Run = Tuple[int, int, torch.Tensor]  # first row, one past the last, rows


class LineBuffer:
    """Runs of rows in ascending order, contiguous up to `frontier`.

    Args:
        axis: dimension of the rows; None: the tensor is one row.
        base: first row that this side will ever hold.
        join: how runs are made one.
    """

    __slots__ = ("_axis", "_join", "_runs", "_early", "_lowest", "frontier")

    def __init__(self, axis: Optional[int], base: int, join: Join = torch.cat) -> None:
        self._axis = axis
        self._join = join
        self._runs: List[Run] = []
        self._early: List[Run] = []  # rows that came before those in front of them
        self._lowest = base  # no reader needs a row below this one
        self.frontier = base

    def put(self, start: int, rows: torch.Tensor) -> None:
        """Rows from `start` on; those that are here already are ignored."""
        stop = start + (1 if self._axis is None else rows.shape[self._axis])
        if start == self.frontier and not self._early:  # in order, as nearly always
            if stop > start:
                self._runs.append((start, stop, rows))
                self.frontier = stop
            return
        self._early.append((start, stop, rows))
        self._early.sort(key=lambda run: run[0])
        while self._early and self._early[0][0] <= self.frontier:
            first, last, value = self._early.pop(0)
            if last <= self.frontier:
                continue  # computed here and received as well
            self._runs.append((self.frontier, last, cut(value, self._axis, self.frontier - first, last - first)))
            self.frontier = last

    def take(self, start: int, stop: int) -> torch.Tensor:
        """Rows ``[start, stop)``, joined into one run if they are not yet."""
        first, last, value = self._runs[0]
        if self._axis is None:
            return value
        if start < first or stop > last:
            first, last, value = self._joined(start, stop)
        if start == first and stop == last:
            return value
        return value.narrow(self._axis, start - first, stop - start)

    def drop(self, below: Optional[int]) -> None:
        """Forget whole runs below a row; None: everything."""
        if below is None:
            self._runs.clear()
            return
        self._lowest = below
        while self._runs and self._runs[0][1] <= below:
            del self._runs[0]
        if self._runs and self._axis is not None:
            first, last, rows = self._runs[0]
            if 0 < (last - below) * _SMALL <= last - first:  # a copy of the halo rows sets the rest of the run free
                self._runs[0] = (below, last, self._join(
                    [rows.narrow(self._axis, below - first, last - below)], self._axis))

    def _joined(self, start: int, stop: int) -> Run:
        """One run that holds rows ``[start, stop)``; joining copies, so rows that nobody needs stay behind."""
        begin = next(i for i, run in enumerate(self._runs) if run[1] > start)
        end = next(i for i, run in enumerate(self._runs) if run[1] >= stop) + 1
        if end - begin > 1:
            touched = self._runs[begin:end]
            low = max(touched[0][0], self._lowest)
            self._runs[begin:end] = [(low, touched[-1][1], self._join(
                [cut(rows, self._axis, max(0, low - a), b - a) for a, b, rows in touched], self._axis))]
        return self._runs[begin]


def cut(rows: torch.Tensor, axis: Optional[int], start: int, stop: int) -> torch.Tensor:
    """Rows ``[start, stop)`` of a run, without a copy."""
    if axis is None or (start == 0 and stop == rows.shape[axis]):
        return rows
    return rows.narrow(axis, start, stop - start)
