"""What a codec costs and saves on this machine, for the scheduler."""
import time
from typing import Callable, Dict, Tuple

import numpy as np

from intra_dp_ros.lop.plan import LOSSLESS, VOLUMES
from intra_dp_ros.wire.codec import decode, encode
from intra_dp_ros.wire.source import Source, encode_source, tensor_of

_ROWS, _COLUMNS = 64, 640  # of the strip that is measured [pixel]
_NOISE = 6.0  # standard deviation of its noise, of 255: about what cameras have
_RUNS = 5
_CELLS = (64, 32, 256)  # of the slab of a volume that is measured
_OCCUPIED = 0.002  # of its cells: about as many as one scan of a lidar hits in 25 m x 25 m
_QUALITY = 90  # of JPEG: about what cameras and image_transport use


def codec_costs(name: str) -> Dict[str, Tuple[float, float, float]]:
    """`LinkModel.codecs` with ``raw`` and this codec: bytes sent, encoding [s] and decoding [s], each per raw byte.

    Measured on a gradient with a camera's noise, because no image has come yet (real images of plain scenes do better),
    and for `VOLUMES` on a sparse volume (real scans, whose points lie in rings and on walls, do better); for `LOSSLESS`
    both.

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


def _seconds(call) -> float:
    best = float("inf")
    for _ in range(_RUNS):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best
