"""What streaming costs: one whole inference on one side, in row chunks, against the unsplit model."""
import argparse
import functools
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench.check_exact import compare
from intra_dp_ros.bench.memory import peak_bytes
from intra_dp_ros.bench.options import add_model_options, model_of, random_inputs
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import Recording, RecordingError, record, unflatten
from intra_dp_ros.graph.structure import leaves
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.plan import local_plan
from intra_dp_ros.lop.program import Kernels, Program
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.machine import keep_freed_memory, use_threads
from intra_dp_ros.runtime.measure import run_in_chunks

WHOLE = 0  # stands for the unsplit model in the table of times


@dataclass(frozen=True)
class Cost:
    """One inference in so many chunks, against the model's own call on the same input."""

    chunks: int
    median_ms: float
    ratio: float  # median of the ratios to the model's call just before
    memory: float  # peak of tensor bytes, as a share of the model's
    error: float  # max |a - b| / max |b| of the outputs that are not integers
    decided: float  # share of the elements of integer outputs that differ: near ties, see `decisions`


def measure(module: Callable, recording: Recording, image: torch.Tensor, chunk_counts: Sequence[int], runs: int
            ) -> Tuple[float, List[Cost]]:
    """The model's own median time [ms], and what each chunk count costs; runs of all are interleaved."""
    split = prepare(recording)
    tiling = Tiling(split.graph)
    program = Program.of_robot(Kernels(tiling, split.weights), local_plan(tiling))
    with torch.inference_mode():
        # where the model's own end is not recorded, what is recorded is compared
        reference = WholeModel(recording.graph, recording.weights)(image) if recording.rest else leaves(module(image))
    calls: Dict[int, Callable[[], Any]] = {WHOLE: lambda: module(image)}
    calls.update({n: functools.partial(_results, program, image, n) for n in chunk_counts})
    peaks = {n: peak_bytes(call) for n, call in calls.items()}
    results = {n: leaves(unflatten(tiling.graph.structure, calls[n]())) for n in chunk_counts}
    seconds: Dict[int, List[float]] = {n: [] for n in calls}
    with torch.inference_mode():
        for _ in range(runs):
            for n, call in calls.items():
                begin = time.perf_counter()
                call()
                seconds[n].append(time.perf_counter() - begin)
    return statistics.median(seconds[WHOLE]) * 1e3, [
        Cost(n, statistics.median(seconds[n]) * 1e3,
             statistics.median(a / b for a, b in zip(seconds[n], seconds[WHOLE])), peaks[n] / peaks[WHOLE],
             compare(results[n], reference)[0], _differing(results[n], reference))
        for n in chunk_counts]


def _results(program: Program, image: torch.Tensor, chunks: int) -> Tuple[torch.Tensor, ...]:
    stream = run_in_chunks(program, (image,), chunks)
    return tuple(stream.result(t) for t in program.tiling.graph.outputs)


def _differing(outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> float:
    pairs = [(a, b) for a, b in zip(outputs, reference) if not b.dtype.is_floating_point]
    return sum(int((a != b).sum()) for a, b in pairs) / max(1, sum(b.numel() for _, b in pairs))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """What streaming in row chunks costs on one side, against the model's own call."""
    parser = argparse.ArgumentParser(prog="bench_executor", description=main.__doc__)
    add_model_options(parser)
    parser.add_argument("--chunks", type=int, nargs="+", default=(1, 2, 4, 8), help="default: 1 2 4 8")
    parser.add_argument("--runs", type=int, default=9, help="runs of each (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the table as JSON")
    parser.add_argument("--give-back", action="store_true", help="give freed memory back to the kernel, as glibc does")
    options = parser.parse_args(argv)
    use_threads(1)
    if not options.give_back:
        keep_freed_memory()
    try:
        model = model_of(options)
        image, = random_inputs(model, options.seed)
        own_ms, costs = measure(model.module, record(model.module, (image,)), image, options.chunks, options.runs)
    except (ModelError, RecordingError) as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    print("{} ({} weights), input {}, one thread, medians of {} runs".format(
        model.name, model.weights, tuple(image.shape), options.runs))
    print("unsplit  {:8.1f} ms".format(own_ms))
    for c in costs:
        print("{:2d} chunks {:7.1f} ms  {:.3f} x  memory {:.2f} x  max relative error {:.1e}{}".format(
            c.chunks, c.median_ms, c.ratio, c.memory, c.error,
            "  decided differently {:.1e}".format(c.decided) if c.decided else ""))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"model": model.name, "unsplit_ms": own_ms, "costs": [asdict(c) for c in costs]}, file, indent=2)
    return 0
