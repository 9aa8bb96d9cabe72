"""What streaming costs: one whole inference on one side, in 1, 2, 4 and 8 row chunks, against the unsplit model."""
import argparse
import statistics
import time
from typing import Dict, List, Tuple

import torch

from intra_dp_ros.apps.models import DEFAULT_MODEL, load_model
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import Recording, record
from intra_dp_ros.lop.plan import local_plan
from intra_dp_ros.lop.program import Kernels, Program
from intra_dp_ros.lop.stream import Stream
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.exactness import relative_error
from intra_dp_ros.runtime.machine import keep_freed_memory, use_threads

WHOLE = 0  # stands for the unsplit model in the table of times


def run_in_chunks(program: Program, image: torch.Tensor, chunks: int) -> Tuple[torch.Tensor, ...]:
    """One inference of a graph with one input, fed in row chunks; the flat outputs."""
    tiling = program.tiling
    source, = tiling.graph.inputs
    rows, axis = tiling.rows[source], tiling.axis[source]
    stream = Stream(program)
    for i in range(chunks):
        start, stop = rows * i // chunks, rows * (i + 1) // chunks
        stream.feed(source, start, image.narrow(axis, start, stop - start))
        stream.advance()
    return tuple(stream.result(t) for t in tiling.graph.outputs)


def measure(recording: Recording, image: torch.Tensor, chunk_counts: Tuple[int, ...], runs: int
            ) -> Tuple[Dict[int, List[float]], Dict[int, float]]:
    """Seconds per run (`WHOLE` and each chunk count, interleaved) and the relative error of each chunk count."""
    tiling = Tiling(recording.graph)
    whole = WholeModel(recording.graph, recording.weights)
    program = Program.of_robot(Kernels(tiling, recording.weights), local_plan(tiling))
    reference = whole(image)
    errors = {n: relative_error(run_in_chunks(program, image, n), reference) for n in chunk_counts}
    seconds: Dict[int, List[float]] = {n: [] for n in (WHOLE, *chunk_counts)}
    for _ in range(runs):
        for count in seconds:
            begin = time.perf_counter()
            if count == WHOLE:
                whole(image)
            else:
                run_in_chunks(program, image, count)
            seconds[count].append(time.perf_counter() - begin)
    return seconds, errors


def main() -> None:
    """Read the options, measure, print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="model name (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=9, help="runs of each (default: %(default)s)")
    parser.add_argument("--give-back", action="store_true", help="give freed memory back to the kernel, as glibc does")
    options = parser.parse_args()
    use_threads(1)
    if not options.give_back:
        keep_freed_memory()
    model = load_model(options.model)
    image = torch.randint(0, 256, model.input_specs[0].shape, dtype=torch.uint8)
    seconds, errors = measure(record(model.module, (image,)), image, (1, 2, 4, 8), options.runs)
    print("{} ({} weights), input {}, one thread, medians of {} runs".format(
        model.name, model.weights, tuple(image.shape), options.runs))
    print("unsplit  {:7.1f} ms".format(statistics.median(seconds[WHOLE]) * 1e3))
    for count, error in errors.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[count], seconds[WHOLE]))
        print("{} chunks {:7.1f} ms  {:.3f} x  max relative error {:.1e}".format(
            count, statistics.median(seconds[count]) * 1e3, ratio, error))
