"""The line-buffer executor that both sides run.

Per tensor only the rows that a reader still needs are kept.  Whenever rows arrive or are computed, every operator
advances as far as its inputs allow, so that the server computes while rows are still arriving and the robot sends rows
of one layer while it computes the next rows of it.  (Paper sections 3.1 and 4.1.)

One `Stream` serves one frame and is used by one thread; `Program` holds what frames have in common and is not changed
after construction.
"""
from heapq import heapify, heappop, heappush
from typing import Callable, Dict, List, Optional, Sequence, Set

import torch

from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.lop.kernels.kernel import Outputs
from intra_dp_ros.lop.line_buffer import LineBuffer, cut
from intra_dp_ros.lop.plan import reachable
from intra_dp_ros.lop.program import Program, Step

Emit = Callable[[int, int, torch.Tensor], None]  # tensor, first row, rows


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
        self._left = len(program.steps)  # steps that are not done
        self._stirred = set(range(len(program.steps)))  # steps that have not been looked at since their inputs grew
        self._buffers = {t: LineBuffer(self._axis[t], base, program.join) for t, base in program.base.items()}
        self.steps_done = 0

    def feed(self, tensor: int, start: int, rows: torch.Tensor) -> None:
        """Rows from `start` on of a tensor, from the application or from the other side; in any order.

        Raises:
            KeyError: this side never reads such a tensor.
        """
        buffer = self._buffers[tensor]
        before = buffer.frontier
        buffer.put(start, rows)
        if buffer.frontier > before:
            self._stirred.update(index for index, _ in self.program.readers.get(tensor, ()))

    def advance(self) -> None:
        """Compute all that can be computed from the rows that are here."""
        stirred, self._stirred = self._stirred, set()
        with torch.inference_mode():
            for stops in self.program.waves if stirred else ():
                stirred = self._wave(stirred, stops)

    def _wave(self, stirred: Set[int], stops: Sequence[int]) -> Set[int]:
        """Take steps, and those they feed, as far as their inputs and this wave allow; returns all looked at.

        Others need no look: their inputs are what they were.  A graph has hundreds of steps, a piece feeds a few.
        """
        steps, at, feeds = self.program.steps, self._at, self.program.feeds
        queue, seen = list(stirred), set(stirred)
        heapify(queue)
        while queue:  # a step comes after those that it reads, so that none is looked at twice
            index = heappop(queue)
            step = steps[index]
            if at[index] >= stops[index]:
                continue
            stop = self._reachable(step, stops[index])
            if stop > at[index]:
                self._compute(index, step, at[index], stop)
                self._left -= stop == step.last
                for reader in feeds[index]:
                    if reader not in seen:
                        seen.add(reader)
                        heappush(queue, reader)
        return seen

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
        return self._left > 0

    def _reachable(self, step: Step, last: int) -> int:
        ready = last
        for t, rows, _ in step.inputs:
            buffer = self._buffers.get(t)  # None: a valid plan needs no row of it on this side
            if buffer is not None and buffer.frontier < rows.n_in:
                ready = min(ready, rows.lists[2][buffer.frontier])
        return reachable(step.first, last, ready, self.program.grain)

    def _compute(self, index: int, step: Step, start: int, stop: int) -> None:
        tiles = self._take(step, start, stop)
        self._at[index] = stop
        for t, _, _ in step.inputs:
            self._release(t)  # before computing: the tiles hold what is needed, and let go of it operator by operator
        outputs = _run(step, tiles, start, stop)
        self.steps_done += 1
        for t, value in zip(step.outputs, outputs):
            wanted = self.program.emit.get(t)
            if wanted is not None and self._on_rows is not None:
                first, last = max(start, wanted.start), min(stop, wanted.stop)
                if first < last:
                    self._on_rows(t, first, cut(value, self._axis[t], first - start, last - start))
            if t in self.program.readers or t in self.program.keep:
                self._buffers[t].put(start, value)
        if self._pace is not None:
            self._pace()

    def _take(self, step: Step, start: int, stop: int) -> List[Dict[int, torch.Tensor]]:
        """What the operators of a step read from the buffers."""
        tiles: List[Dict[int, torch.Tensor]] = [{} for _ in step.run]
        for t, rows, place in step.inputs:
            first, last = rows.lists[0][start], rows.lists[1][stop - 1]
            tiles[place][t] = self._buffers[t].take(first, last) if first < last else self._no_rows(t)
        return tiles

    def _no_rows(self, tensor: int) -> torch.Tensor:
        """A tile of no rows: what lies in the padding, or in another input of a concatenation."""
        tiling = self.program.tiling
        return torch.empty(tiling.row_shape(tensor, 0, 0), dtype=TORCH_DTYPE[tiling.graph.tensors[tensor].dtype],
                           device=self.program.device)

    def _release(self, tensor: int) -> None:
        """Drop the rows that no reader on this side needs any more."""
        if tensor in self.program.keep or tensor not in self._buffers:
            return
        lowest, steps = None, self.program.steps
        for index, needs in self.program.readers[tensor]:
            at = self._at[index]
            if at < steps[index].last and (lowest is None or needs[at] < lowest):
                lowest = needs[at]
        self._buffers[tensor].drop(lowest)


def _run(step: Step, tiles: List[Dict[int, torch.Tensor]], start: int, stop: int) -> Outputs:
    """The operators of a step, one after the other; what they have read is dropped as they go."""
    tiles.reverse()
    outputs = step.run[0](tiles.pop(), start, stop)
    for run, t in zip(step.run[1:], step.passed):
        own = tiles.pop()
        own[t] = outputs[0]
        del outputs
        outputs = run(own, start, stop)
    return outputs
