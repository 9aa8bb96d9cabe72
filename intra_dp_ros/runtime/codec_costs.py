"""What a codec costs and saves on this machine, for the scheduler."""
import time
from typing import Dict, Tuple

import numpy as np

from intra_dp_ros.wire.codec import decode, encode

_ROWS, _COLUMNS = 64, 640  # of the strip that is measured [pixel]
_NOISE = 6.0  # standard deviation of its noise, of 255: about what cameras have
_RUNS = 5


def codec_costs(name: str) -> Dict[str, Tuple[float, float, float]]:
    """`LinkModel.codecs` with ``raw`` and this codec: bytes sent, encoding [s] and decoding [s], each per raw byte.

    Measured on a gradient with a camera's noise, because no image has come yet.  Real images of plain scenes do better.

    Raises:
        CodecError: no such codec here.
    """
    costs = {"raw": (1.0, 0.0, 0.0)}
    if name != "raw":
        random = np.random.RandomState(0)
        ramp = np.linspace(40.0, 200.0, _COLUMNS)[None, :, None] + np.array([0.0, 10.0, 20.0])
        strip = np.clip(ramp + random.normal(0.0, _NOISE, (_ROWS, _COLUMNS, 3)), 0, 255).astype(np.uint8)
        encoded = encode(name, strip)
        costs[name] = (len(encoded) / strip.nbytes, _seconds(lambda: encode(name, strip)) / strip.nbytes,
                       _seconds(lambda: decode(name, encoded, strip.shape, strip.dtype)) / strip.nbytes)
    return costs


def _seconds(call) -> float:
    best = float("inf")
    for _ in range(_RUNS):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best
