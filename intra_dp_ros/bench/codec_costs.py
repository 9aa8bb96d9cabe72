"""What lossless codecs cost on real data: photographs, a voxelised laser scan, completed volumes.

``scripts/measure_codecs`` measures them; `MEASURED` is what it printed, for machines that lack the data.
"""
import math
import time
from typing import Dict, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from intra_dp_ros.lop.interval import pieces
from intra_dp_ros.wire.codec import decode, encode

_CHUNKS, _RUNS = 8, 3  # pieces of rows, as they stream; the best of so many runs


class Cost(NamedTuple):
    """Of one kind of tensor."""

    pixels: int  # of a plane of the samples, for kinds that come in several sizes
    ratio: float  # bytes sent per raw byte
    encode_s_per_byte: float  # per raw byte [s]
    decode_s_per_byte: float


#: By kind, on a 2-core AMD EPYC virtual machine with one thread.
MEASURED: Mapping[str, Sequence[Cost]] = {
    "image": (Cost(50176, 0.4836, 15.2e-9, 9.9e-9), Cost(614400, 0.3335, 15.5e-9, 10.8e-9)),
    "occupancy": (Cost(2097152, 0.0082, 0.18e-9, 0.16e-9),),
    "classes": (Cost(2097152, 0.0161, 0.65e-9, 0.59e-9),),
}


def nearest(kind: str, pixels: int) -> Cost:
    """The cost of the sample whose size is nearest.

    Raises:
        KeyError: no such kind.
    """
    return min(MEASURED[kind], key=lambda cost: abs(math.log(cost.pixels / max(1, pixels))))


def measured(name: str, arrays: Sequence[np.ndarray], axis: int, pixels: int) -> Cost:
    """Means over arrays, each encoded in row chunks along `axis`."""
    found = np.array([_one(name, array, axis) for array in arrays])
    return Cost(pixels, *(float(x) for x in found.mean(axis=0)))


def _one(name: str, array: np.ndarray, axis: int) -> Tuple[float, float, float]:
    parts = [np.ascontiguousarray(array.take(range(p.start, p.stop), axis))
             for p in pieces(0, array.shape[axis], _CHUNKS)]
    coded = [encode(name, part) for part in parts]

    def seconds(run) -> float:
        best = math.inf
        for _ in range(_RUNS):
            began = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - began)
        return best / array.nbytes
    return (sum(map(len, coded)) / array.nbytes, seconds(lambda: [encode(name, part) for part in parts]),
            seconds(lambda: [decode(name, data, part.shape, part.dtype) for data, part in zip(coded, parts)]))


def as_lines(costs: Dict[str, Sequence[Cost]]) -> str:
    """`MEASURED` as code."""
    def one(c: Cost) -> str:
        return "Cost({}, {:.4f}, {:.2f}e-9, {:.2f}e-9)".format(
            c.pixels, c.ratio, c.encode_s_per_byte * 1e9, c.decode_s_per_byte * 1e9)
    return "\n".join('    "{}": ({},),'.format(kind, ", ".join(map(one, found))) for kind, found in costs.items())
