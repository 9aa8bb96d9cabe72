"""The line-buffer executor that both sides run.

Per tensor only the rows that a reader still needs are kept.  Whenever rows arrive or are computed, every operator
advances as far as its inputs allow, so that the server computes while rows are still arriving and the robot sends rows
of one layer while it computes the next rows of it.  (Paper sections 3.1 and 4.1.)

One `Stream` serves one frame and is used by one thread; `Program` holds what frames have in common and is not changed
after construction.
"""
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from intra_dp_ros.graph.registry import TORCH_DTYPE, Call
from intra_dp_ros.lop.interval import Interval
from intra_dp_ros.lop.kernels.table import tile_kernel
from intra_dp_ros.lop.plan import DOWN, UP, Plan
from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.tiling import Tiling

Emit = Callable[[int, int, torch.Tensor], None]  # tensor, first row, rows


@dataclass(frozen=True)
class _Step:
    node: int
    run: Callable[..., Tuple[torch.Tensor, ...]]
    first: int  # rows [first, last) are computed here
    last: int
    inputs: Tuple[Tuple[int, Any], ...]  # tensor, IntervalMap
    outputs: Tuple[int, ...]


class Kernels:
    """All calls of a graph, bound to their weights once and shared by every plan."""

    def __init__(self, tiling: Tiling, weights: Mapping[str, torch.Tensor], device: Any = "cpu") -> None:
        self.tiling = tiling
        self.device = torch.device(device)
        placed = {name: tensor.to(self.device) for name, tensor in weights.items()}
        self.run: List[Callable[..., Tuple[torch.Tensor, ...]]] = []
        for v, (node, rule) in enumerate(zip(tiling.graph.nodes, tiling.rules)):
            call = Call(node, placed, self.device)
            self.run.append(tile_kernel(tiling, v, call, placed) if rule.kind == LOCAL else _Whole(call))


class _Whole:
    """A global operator: one call on whole inputs."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __call__(self, tiles: Mapping[int, torch.Tensor], start: int, stop: int) -> Tuple[torch.Tensor, ...]:
        return self.call(tiles)


class Program:
    """One side's part of a plan.

    Args:
        kernels: the graph's calls.
        first, last: node -> rows ``[first, last)`` it computes on this side.
        emit: tensor -> rows of it that are handed out as soon as they are computed.
        keep: tensors kept whole, to be read with `Stream.result`.
        arrives: tensor -> first row that will be fed.
    """

    def __init__(self, kernels: Kernels, first: Sequence[int], last: Sequence[int], emit: Mapping[int, Interval],
                 keep: Sequence[int], arrives: Mapping[int, int]) -> None:
        self.tiling = kernels.tiling
        self.device = kernels.device
        self.emit = dict(emit)
        self.keep = frozenset(keep)
        self.steps = [
            _Step(v, kernels.run[v], first[v], last[v], rule.maps, node.outputs)
            for v, (node, rule) in enumerate(zip(self.tiling.graph.nodes, self.tiling.rules)) if first[v] < last[v]]
        self.base: Dict[int, int] = dict(arrives)  # tensor -> first row that this side will ever hold
        self.readers: Dict[int, List[int]] = {}  # tensor -> steps that read it
        for t in self.keep:
            self.base.setdefault(t, 0)  # a tensor of no rows is neither computed nor received
        for index, step in enumerate(self.steps):
            for t in step.outputs:
                self.base[t] = min(step.first, self.base.get(t, step.first))
            for t, _ in step.inputs:
                self.readers.setdefault(t, []).append(index)

    @staticmethod
    def of_robot(kernels: Kernels, plan: Plan) -> "Program":
        """The robot's side: its rows of every operator, all outputs kept, rows to send handed out."""
        tiling = kernels.tiling
        sent, received = _by_direction(plan, UP), _by_direction(plan, DOWN)
        arrives = {t: rows.start for t, rows in received.items()}
        arrives.update({t: 0 for t in tiling.graph.inputs})
        return Program(kernels, plan.robot_start, [r.rows for r in tiling.rules],
                       {t: rows for t, rows in sent.items() if t not in tiling.graph.inputs},
                       tiling.graph.outputs, arrives)

    @staticmethod
    def of_server(kernels: Kernels, plan: Plan) -> "Program":
        """The server's side: rows from 0 on of every operator, results handed out."""
        sent, received = _by_direction(plan, DOWN), _by_direction(plan, UP)
        return Program(kernels, [0] * len(plan.server_stop), plan.server_stop, sent, (),
                       {t: rows.start for t, rows in received.items()})


def _by_direction(plan: Plan, direction: str) -> Dict[int, Interval]:
    return {t.tensor: Interval(t.start, t.stop) for t in plan.transfers if t.direction == direction}


class Stream:
    """One frame on one side.

    Args:
        program: what to compute.
        on_rows: called with (tensor, first row, rows) for every run of rows that `program.emit` asks for.
        pace: called after every operator step; may sleep (slower-device emulation) or raise to abandon the frame.
    """

    def __init__(self, program: Program, on_rows: Optional[Emit] = None,
                 pace: Optional[Callable[[], None]] = None) -> None:
        self.program = program
        self._on_rows = on_rows
        self._pace = pace
        self._axis = program.tiling.axis
        self._at = [step.first for step in program.steps]  # next row each step computes
        self._buffers = {t: _LineBuffer(self._axis[t], base) for t, base in program.base.items()}
        self.steps_done = 0

    def feed(self, tensor: int, start: int, rows: torch.Tensor) -> None:
        """Rows from `start` on of a tensor, from the application or from the other side; in any order.

        Raises:
            KeyError: this side never reads such a tensor.
        """
        self._buffers[tensor].put(start, rows)

    def advance(self) -> None:
        """Compute all that can be computed from the rows that are here."""
        with torch.inference_mode():
            for index, step in enumerate(self.program.steps):
                start = self._at[index]
                if start >= step.last:
                    continue
                stop = step.last
                for t, rows in step.inputs:
                    buffer = self._buffers.get(t)  # None: a valid plan needs no row of it on this side
                    if buffer is not None and buffer.frontier < rows.n_in:
                        ready = rows.lists[2][buffer.frontier]
                        if ready < stop:
                            stop = ready
                if stop > start:
                    self._compute(index, step, start, stop)

    def result(self, tensor: int) -> torch.Tensor:
        """A kept tensor, whole.

        Raises:
            RuntimeError: not all rows are there yet.
        """
        rows = self.program.tiling.rows[tensor]
        buffer = self._buffers[tensor]
        if buffer.frontier < rows:
            raise RuntimeError("tensor {} has rows up to {} of {}".format(tensor, buffer.frontier, rows))
        return buffer.take(0, rows) if rows else self._no_rows(tensor)

    @property
    def is_complete(self) -> bool:
        """Whether every row this side has to compute is computed and every kept tensor is whole."""
        return not self.has_work and all(
            self._buffers[t].frontier >= self.program.tiling.rows[t] for t in self.program.keep)

    @property
    def has_work(self) -> bool:
        """Whether rows are left that this side has to compute."""
        return any(at < s.last for at, s in zip(self._at, self.program.steps))

    def _compute(self, index: int, step: _Step, start: int, stop: int) -> None:
        tiles = {}
        for t, rows in step.inputs:
            first, last = rows.lists[0][start], rows.lists[1][stop - 1]
            tiles[t] = self._buffers[t].take(first, last) if first < last else self._no_rows(t)
        outputs = step.run(tiles, start, stop)
        self._at[index] = stop
        self.steps_done += 1
        for t, _ in step.inputs:
            self._release(t)
        for t, value in zip(step.outputs, outputs):
            wanted = self.program.emit.get(t)
            if wanted is not None and self._on_rows is not None:
                first, last = max(start, wanted.start), min(stop, wanted.stop)
                if first < last:
                    self._on_rows(t, first, _cut(value, self._axis[t], first - start, last - start))
            if t in self.program.readers or t in self.program.keep:
                self._buffers[t].put(start, value)
        if self._pace is not None:
            self._pace()

    def _no_rows(self, tensor: int) -> torch.Tensor:
        """A tile of no rows: what lies in the padding, or in another input of a concatenation."""
        tiling = self.program.tiling
        return torch.empty(tiling.row_shape(tensor, 0, 0), dtype=TORCH_DTYPE[tiling.graph.tensors[tensor].dtype],
                           device=self.program.device)

    def _release(self, tensor: int) -> None:
        """Drop the rows that no reader on this side needs any more."""
        if tensor in self.program.keep or tensor not in self._buffers:
            return
        lowest = None
        for index in self.program.readers[tensor]:
            step, at = self.program.steps[index], self._at[index]
            if at >= step.last:
                continue
            for t, rows in step.inputs:
                if t == tensor:
                    low = rows.lists[0][at]
                    lowest = low if lowest is None or low < lowest else lowest
        self._buffers[tensor].drop(lowest)


class _LineBuffer:
    """The rows of one tensor that are still needed: runs in ascending order, contiguous up to `frontier`."""

    __slots__ = ("_axis", "_runs", "_early", "_lowest", "frontier")

    def __init__(self, axis: Optional[int], base: int) -> None:
        self._axis = axis
        self._runs: List[Tuple[int, int, torch.Tensor]] = []  # start, stop, rows
        self._early: List[Tuple[int, int, torch.Tensor]] = []  # rows that came before those in front of them
        self._lowest = base  # no reader needs a row below this one
        self.frontier = base

    def put(self, start: int, rows: torch.Tensor) -> None:
        stop = start + (1 if self._axis is None else rows.shape[self._axis])
        self._early.append((start, stop, rows))
        self._early.sort(key=lambda run: run[0])
        while self._early and self._early[0][0] <= self.frontier:
            first, last, value = self._early.pop(0)
            if last <= self.frontier:
                continue  # computed here and received as well
            self._runs.append((self.frontier, last, _cut(value, self._axis, self.frontier - first, last - first)))
            self.frontier = last

    def take(self, start: int, stop: int) -> torch.Tensor:
        """Rows ``[start, stop)``, joined into one run if they are not yet."""
        if self._axis is None:
            return self._runs[0][2]
        touched = [run for run in self._runs if run[0] < stop and run[1] > start]
        if len(touched) == 1:
            first, last, value = touched[0]
        else:
            low = max(touched[0][0], self._lowest)  # joining copies: rows that nobody needs stay behind
            value = torch.cat([_cut(v, self._axis, max(0, low - a), b - a) for a, b, v in touched], self._axis)
            first, last = low, touched[-1][1]
            self._runs = ([run for run in self._runs if run[1] <= start] + [(first, last, value)]
                          + [run for run in self._runs if run[0] >= stop])
        return _cut(value, self._axis, start - first, stop - first)

    def drop(self, below: Optional[int]) -> None:
        """Forget whole runs below a row; None: everything."""
        if below is None:
            self._runs.clear()
            return
        self._lowest = below
        if self._runs and self._runs[0][1] <= below:
            self._runs = [run for run in self._runs if run[1] > below]


def _cut(rows: torch.Tensor, axis: Optional[int], start: int, stop: int) -> torch.Tensor:
    """Rows ``[start, stop)`` of a run, without a copy."""
    if axis is None or (start == 0 and stop == rows.shape[axis]):
        return rows
    return rows.narrow(axis, start, stop - start)
