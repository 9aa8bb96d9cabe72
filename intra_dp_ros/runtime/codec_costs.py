"""What codecs cost and save, for the scheduler: assumed while nothing real has come, measured on what travels."""
import time
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch

from intra_dp_ros.lop.plan import DOWN, LOSSLESS, UP, VOLUMES, codec_of
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.sender import TILE_BYTES
from intra_dp_ros.wire.codec import available, decode, encode
from intra_dp_ros.wire.source import Source, encode_source, tensor_of
from intra_dp_ros.wire.tile import elements

#: `LinkModel.codecs`: codec, or codec@tensor -> bytes sent, encoding [s], decoding [s], each per raw byte.
Costs = Dict[str, Tuple[float, float, float]]

_ROWS, _COLUMNS = 64, 640  # of the strip that is assumed [pixel]
_NOISE = 6.0  # standard deviation of its noise, of 255: about what cameras have
_RUNS = 5
_CELLS = (64, 32, 256)  # of the slab of a volume that is assumed
_OCCUPIED = 0.002  # of its cells: about as many as one scan of a lidar hits in 25 m x 25 m
_QUALITY = 90  # of JPEG: about what cameras and image_transport use
_TILES = 16  # of a tensor, evenly chosen, that are encoded for a sample
_OTHER_RATIO, _OTHER_TIME = 1.2, 2.0  # costs are other ones beyond these factors; times are noisy and matter less
_QUICK = 1e-9  # [s/byte] quicker than any link: such times are alike


def default_codec() -> str:
    """Of inputs and results, when nobody says: `LOSSLESS` where all that it may choose is here, else raw."""
    return LOSSLESS if {"png", VOLUMES} <= set(available()) else "raw"


def codec_costs(name: str) -> Costs:
    """`LinkModel.codecs` with ``raw`` and this codec, while nothing real has come.

    Measured on a gradient with a camera's noise, and for `VOLUMES` on a sparse volume; for `LOSSLESS` both.

    Raises:
        CodecError: no such codec here.
    """
    costs = {"raw": (1.0, 0.0, 0.0)}
    if name == LOSSLESS:
        return {**codec_costs("png"), **codec_costs(VOLUMES)}
    if name != "raw":
        random = np.random.RandomState(0)
        ramp = np.linspace(40.0, 200.0, _COLUMNS)[None, :, None] + np.array([0.0, 10.0, 20.0])
        strip = np.clip(ramp + random.normal(0.0, _NOISE, (_ROWS, _COLUMNS, 3)), 0, 255).astype(np.uint8)
        if name == VOLUMES:
            strip = (random.rand(*_CELLS) < _OCCUPIED).astype(np.uint8)
        if name == "source":
            strip, write = _picture(strip)
        else:
            def write() -> bytes:
                return encode(name, strip)
        encoded = write()
        costs[name] = (len(encoded) / strip.nbytes, _seconds(write) / strip.nbytes,
                       _seconds(lambda: decode(name, encoded, strip.shape, strip.dtype)) / strip.nbytes)
    return costs


def _picture(strip: np.ndarray) -> Tuple[np.ndarray, Callable[[], bytes]]:
    """A tensor made of a camera's JPEG, and how it is sent: the picture is there already, nothing is compressed."""
    import cv2  # the other codecs do without
    _, data = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    source = Source(data.tobytes(), strip.shape[:2], 0, False)
    rows = tensor_of(source)
    return rows, lambda: encode_source(source, 0, rows)


def _seconds(call: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(_RUNS):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def sampled(tiling: Tiling, codec: str, values: Mapping[int, torch.Tensor], source: Optional[Source] = None) -> Costs:
    """What a codec costs for these tensors, tile by tile: "codec@tensor" of each that it is for.

    Args:
        values: input or output tensor of the graph -> its value.
        source: what the first input was made of.

    Raises:
        CodecError: the codec cannot encode them.
    """
    choose, found = codec_of(tiling, codec), {}
    for t, value in values.items():
        name = choose(t, UP if t in tiling.graph.inputs else DOWN)
        if name == "source" and source is not None and t == tiling.graph.inputs[0]:
            found["{}@{}".format(name, t)] = (len(source.data) / max(1, tiling.graph.tensors[t].nbytes), 0.0, 0.0)
        elif name not in ("raw", "source") and value.numel():
            found["{}@{}".format(name, t)] = _of_rows(name, value, tiling.axis[t], tiling.row_bytes[t])
    return found


def _of_rows(name: str, value: torch.Tensor, axis: Optional[int], row_bytes: int) -> Tuple[float, float, float]:
    count = 1 if axis is None else value.shape[axis]
    step = count if axis is None else max(1, TILE_BYTES // max(1, row_bytes))
    starts = range(0, count, step)
    raw = coded = 0
    encoding = decoding = 0.0
    for first in starts[::max(1, len(starts) // _TILES)]:
        began = time.thread_time()
        rows = elements(value if axis is None else value.narrow(axis, first, min(step, count - first)))
        data = encode(name, rows)
        encoded = time.thread_time()
        decode(name, data, rows.shape, rows.dtype)
        decoding += time.thread_time() - encoded
        encoding += encoded - began
        raw += rows.nbytes
        coded += len(data)
    return coded / raw, encoding / raw, decoding / raw


def are_alike(some: Costs, others: Costs, with_times: bool = True) -> bool:
    """Whether plans made for the one serve the other.

    Args:
        with_times: False: as far as bytes go.
    """
    limits = (_OTHER_RATIO, *([_OTHER_TIME] * 2 if with_times else []))
    return set(some) == set(others) and all(_alike(a, others[name], limits) for name, a in some.items())


def _alike(some: Sequence[float], others: Sequence[float], limits: Sequence[float]) -> bool:
    return all((max(a, b) + _QUICK) / (min(a, b) + _QUICK) < limit for a, b, limit in zip(some, others, limits))
