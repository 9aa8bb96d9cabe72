"""Times of a graph's operators on this machine, on the tiles that the line-buffer executor really gives them."""
import time
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from intra_dp_ros.loss.profile import Profile, fit
from intra_dp_ros.lop.interval import pieces
from intra_dp_ros.lop.plan import local_plan
from intra_dp_ros.lop.program import Kernels, Program
from intra_dp_ros.lop.stream import Stream

CHUNKS = (1, 4)  # whole inputs, and pieces: several row counts per operator


class _TimedKernels:
    """`Kernels` whose calls note how long they take; to a `Program` they look the same."""

    def __init__(self, kernels: Kernels) -> None:
        self.tiling = kernels.tiling
        self.device = kernels.device
        self.join = kernels.join
        self.times: List[Dict[int, List[float]]] = [{} for _ in kernels.run]  # node: rows -> times [ms]
        self.run = [self._timed(v, run) for v, run in enumerate(kernels.run)]

    def _timed(self, node: int, run: Callable[..., Tuple[torch.Tensor, ...]]) -> Callable[..., Tuple]:
        def call(tiles, start, stop):
            elapsed_ms = self._start()
            outputs = run(tiles, start, stop)
            self.times[node].setdefault(stop - start, []).append(elapsed_ms())
            return outputs
        return call

    def _start(self) -> Callable[[], float]:
        """A clock that begins now; on a GPU its own, by events: calls return before they are done."""
        if self.device.type != "cuda":
            began_s = time.perf_counter()
            return lambda: (time.perf_counter() - began_s) * 1e3
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()

        def elapsed_ms() -> float:
            ended.record()
            ended.synchronize()
            return began.elapsed_time(ended)
        return elapsed_ms

    def wait(self) -> None:
        if self.device.type == "cuda":  # calls return before the GPU has done them
            torch.cuda.synchronize(self.device)


def measure(kernels: Kernels, inputs: Sequence[torch.Tensor], device_name: Optional[str] = None, runs: int = 5,
            progress: Callable[[int, int], None] = lambda done, total: None) -> Profile:
    """Time every operator with the inputs fed in 1 and in 4 chunks; one warm-up, then the least of `runs`.

    The least, not the median: whatever else runs on the machine only ever adds time, and at start much else runs.

    Whole frames are timed as well, and the operators' times are fitted to theirs: what lies between the calls (joining
    row buffers, bookkeeping) is a factor on all times and a constant for every call.

    Args:
        inputs: one frame, as the graph's inputs.
        device_name: name in the profile; default: the kernels' torch device.
        progress: called with (frames done, frames in all).

    Raises:
        ValueError: fewer than one run, or not the graph's inputs.
    """
    tiling = kernels.tiling
    if runs < 1:
        raise ValueError("measure: runs must be at least 1, not {}".format(runs))
    if [tuple(x.shape) for x in inputs] != [tuple(tiling.graph.tensors[t].shape) for t in tiling.graph.inputs]:
        raise ValueError("measure: the inputs do not have the shapes that the graph was recorded with")
    timed = _TimedKernels(kernels)
    plan = local_plan(tiling)
    program, plain = Program.of_robot(timed, plan), Program.of_robot(kernels, plan)
    placed = [x.to(kernels.device) for x in inputs]
    frames: Dict[int, List[float]] = {chunks: [] for chunks in CHUNKS}  # chunks -> times [ms]
    done, total = 0, (runs + 1) * 2 * len(CHUNKS)
    for run in range(runs + 1):
        for chunks in CHUNKS:
            run_in_chunks(program, placed, chunks)
            began = time.perf_counter()
            run_in_chunks(plain, placed, chunks)
            timed.wait()
            frames[chunks].append((time.perf_counter() - began) * 1e3)
            done += 2
            progress(done, total)
        if run == 0:  # warm-up
            for times in (*timed.times, *frames.values()):
                times.clear()
    profile = fit(tiling.graph.hash, device_name or str(kernels.device),
                  [{rows: min(t) for rows, t in times.items()} for times in timed.times])
    # Every operator that has rows is called once in a whole frame; the rest of its calls were in pieces.
    calls = [max(0.0, sum(map(len, times.values())) / runs - 1) for times in timed.times]
    return _with_overhead(profile, [rule.rows for rule in tiling.rules], calls, min(frames[CHUNKS[0]]),
                          min(frames[CHUNKS[1]]))


def _with_overhead(profile: Profile, rows: Sequence[int], calls: Sequence[float], whole_ms: float,
                   pieces_ms: float) -> Profile:
    """The factor and the constant per call that explain both frames' times; no constant where that would be negative.

    Args:
        rows, calls: per operator: rows in all, calls of a frame in pieces.
    """
    each = sum(profile.a_ms)
    times = sum(b * n for b, n in zip(profile.b_ms, rows))
    if each + times <= 0:
        return profile
    matrix = np.array([[each + times, sum(n > 0 for n in calls)],
                       [sum(a * n for a, n in zip(profile.a_ms, calls)) + times, sum(calls)]])
    factor, constant = whole_ms / (each + times), 0.0
    if abs(np.linalg.det(matrix)) > 1e-9:
        solved = np.linalg.solve(matrix, np.array([whole_ms, pieces_ms]))
        if solved[0] > 0 and solved[1] > 0:
            factor, constant = float(solved[0]), float(solved[1])
    return replace(profile, a_ms=tuple(a * factor + constant for a in profile.a_ms),
                   b_ms=tuple(b * factor for b in profile.b_ms))


def run_in_chunks(program: Program, inputs: Sequence[torch.Tensor], chunks: int) -> Stream:
    """One inference of a program that needs nothing from the other side, its inputs fed in row chunks."""
    stream, tiling = Stream(program), program.tiling
    fed = [(t, x, pieces(0, tiling.rows[t], chunks)) for t, x in zip(tiling.graph.inputs, inputs)]
    for i in range(chunks):
        for t, x, rows in fed:
            start, stop = rows[i]
            if stop > start:
                stream.feed(t, start, x if tiling.axis[t] is None else x.narrow(tiling.axis[t], start, stop - start))
        stream.advance()
    return stream
