"""Times of a graph's operators on this machine, on the tiles that the line-buffer executor really gives them."""
import time
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch

from intra_dp_ros.loss.profile import Profile, fit
from intra_dp_ros.lop.plan import local_plan
from intra_dp_ros.lop.stream import Kernels, Program, Stream

CHUNKS = (1, 4)  # whole inputs, and pieces: several row counts per operator


class _TimedKernels:
    """`Kernels` whose calls note how long they take; to a `Program` they look the same."""

    def __init__(self, kernels: Kernels) -> None:
        self.tiling = kernels.tiling
        self.device = kernels.device
        self.times: List[Dict[int, List[float]]] = [{} for _ in kernels.run]  # node: rows -> times [ms]
        self.run = [self._timed(v, run) for v, run in enumerate(kernels.run)]

    def _timed(self, node: int, run: Callable[..., Tuple[torch.Tensor, ...]]) -> Callable[..., Tuple]:
        def call(tiles, start, stop):
            self.wait()
            began = time.perf_counter()
            outputs = run(tiles, start, stop)
            self.wait()
            self.times[node].setdefault(stop - start, []).append((time.perf_counter() - began) * 1e3)
            return outputs
        return call

    def wait(self) -> None:
        if self.device.type == "cuda":  # calls return before the GPU has done them
            torch.cuda.synchronize(self.device)


def measure(kernels: Kernels, inputs: Sequence[torch.Tensor], device_name: Optional[str] = None, runs: int = 5,
            progress: Callable[[int, int], None] = lambda done, total: None) -> Profile:
    """Time every operator with the inputs fed in 1 and in 4 chunks; one warm-up, then the least of `runs`.

    The least, not the median: whatever else runs on the machine only ever adds time, and at start much else runs.

    Whole frames are timed as well, and the operators' times are stretched to sum up to theirs: what lies between the
    calls (joining row buffers, bookkeeping) is spread over the operators.

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
    frames: List[float] = []  # [ms]
    done, total = 0, (runs + 1) * (len(CHUNKS) + 1)
    for run in range(runs + 1):
        for chunks in CHUNKS:
            _frame(program, placed, chunks)
            done += 1
            progress(done, total)
        began = time.perf_counter()
        _frame(plain, placed, 1)
        timed.wait()
        frames.append((time.perf_counter() - began) * 1e3)
        done += 1
        progress(done, total)
        if run == 0:  # warm-up
            for times in timed.times:
                times.clear()
    profile = fit(tiling.graph.hash, device_name or str(kernels.device),
                  [{rows: min(t) for rows, t in times.items()} for times in timed.times])
    calls = sum(a + b * rule.rows for a, b, rule in zip(profile.a_ms, profile.b_ms, tiling.rules))
    stretch = min(frames[1:]) / calls if calls > 0 else 1.0
    return replace(profile, a_ms=tuple(a * stretch for a in profile.a_ms),
                   b_ms=tuple(b * stretch for b in profile.b_ms))


def _frame(program: Program, inputs: Sequence[torch.Tensor], chunks: int) -> None:
    stream, tiling = Stream(program), program.tiling
    for i in range(chunks):
        for t, x in zip(tiling.graph.inputs, inputs):
            rows, axis = tiling.rows[t], tiling.axis[t]
            start, stop = rows * i // chunks, rows * (i + 1) // chunks
            if stop > start:
                stream.feed(t, start, x if axis is None else x.narrow(axis, start, stop - start))
        stream.advance()
