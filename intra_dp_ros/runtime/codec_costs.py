"""What a codec costs and saves on this machine, for the scheduler."""
import time
from typing import Dict, Tuple

import numpy as np

from intra_dp_ros.lop.plan import VOLUMES
from intra_dp_ros.wire.codec import decode, encode

_ROWS, _COLUMNS = 64, 640  # of the strip that is measured [pixel]
_NOISE = 6.0  # standard deviation of its noise, of 255: about what cameras have
_RUNS = 5
_CELLS = (64, 32, 256)  # of the slab of a volume that is measured
_OCCUPIED = 0.002  # of its cells: as many as one scan of a lidar hits in 25 m x 25 m


def codec_costs(name: str) -> Dict[str, Tuple[float, float, float]]:
    """`LinkModel.codecs` with ``raw`` and this codec: bytes sent, encoding [s] and decoding [s], each per raw byte.

    Measured on a gradient with a camera's noise, because no image has come yet (real images of plain scenes do better),
    and for ``bits+lz4`` on a sparse volume (real scans, whose points lie in rings and on walls, do better).

    Raises:
        CodecError: no such codec here.
    """
    costs = {"raw": (1.0, 0.0, 0.0)}
    if name != "raw":
        sample = _volume() if name == VOLUMES else _image()
        encoded = encode(name, sample)
        costs[name] = (len(encoded) / sample.nbytes, _seconds(lambda: encode(name, sample)) / sample.nbytes,
                       _seconds(lambda: decode(name, encoded, sample.shape, sample.dtype)) / sample.nbytes)
    return costs


def _image() -> np.ndarray:
    random = np.random.RandomState(0)
    ramp = np.linspace(40.0, 200.0, _COLUMNS)[None, :, None] + np.array([0.0, 10.0, 20.0])
    return np.clip(ramp + random.normal(0.0, _NOISE, (_ROWS, _COLUMNS, 3)), 0, 255).astype(np.uint8)


def _volume() -> np.ndarray:
    return (np.random.RandomState(0).rand(*_CELLS) < _OCCUPIED).astype(np.uint8)


def _seconds(call) -> float:
    best = float("inf")
    for _ in range(_RUNS):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best
