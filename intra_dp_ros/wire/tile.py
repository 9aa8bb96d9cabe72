"""Rows of tensors as tiles: what a plan lets travel, encoding on one side, checking and decoding on the other."""
import math
import os
import reprlib
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple
from zlib import crc32

import numpy as np
import torch

from intra_dp_ros.graph.graph import ITEMSIZE
from intra_dp_ros.graph.registry import DTYPE_NAME, TORCH_DTYPE
from intra_dp_ros.wire.codec import MAX_BYTES, CodecError, decode, encode
from intra_dp_ros.wire.messages import PROBE, Tile

MAX_RANK = 6

#: Elements that travel as others of the same length: numpy has no bfloat16, and a bool read from the wire may be 2.
_CARRIER = {"bool": "uint8", "bfloat16": "int16"}


class TileError(ValueError):
    """A tile that is not what the plan lets travel; the message names the tensor, what was found and expected."""


@dataclass(frozen=True)
class TileSpec:
    """What a plan lets travel of one tensor, in one direction."""

    tensor: int  # index into Graph.tensors
    axis: Optional[int]  # the dimension that is cut; None: the tensor has no rows and travels whole, as row [0, 1)
    shape: Tuple[int, ...]  # of the whole tensor
    dtype: str  # key of graph.ITEMSIZE
    start: int  # first row that may travel
    stop: int  # one past the last row
    codec: str  # key of wire.codec.CODECS


def encode_rows(rows: torch.Tensor, codec: str) -> bytes:
    """The data of a tile: the elements of a tensor of any layout on any device, in C order, encoded.

    Raises:
        CodecError: the codec is not there, or it or the wire has no such elements.
    """
    return encode(codec, elements(rows))


def elements(rows: torch.Tensor) -> np.ndarray:
    """A tensor of any layout on any device as a codec takes it: in C order, numbers that numpy has.

    Raises:
        CodecError: the wire has no such elements.
    """
    name = DTYPE_NAME.get(rows.dtype)
    if name is None:
        raise CodecError("elements of {}, expected one of {}".format(rows.dtype, ", ".join(DTYPE_NAME.values())))
    # Contiguous before it leaves the GPU, so that rows of a channels-first tensor are one transfer.
    plain = rows.detach().contiguous().cpu()
    return plain.view(TORCH_DTYPE[_CARRIER.get(name, name)]).numpy()


def decode_tile(tile: Tile, specs: Mapping[int, TileSpec], device: Any = "cpu") -> torch.Tensor:
    """The rows that a tile brings, on `device`; shape ``tile.shape``.

    Everything is checked against what the plan lets travel before anything is allocated.

    Args:
        specs: tensor -> what may come of it.

    Raises:
        TileError: the tile is something else, or broken.
    """
    spec = specs.get(tile.tensor)
    if spec is None:
        raise TileError("a tile of tensor {}, expected one of {}".format(tile.tensor, reprlib.repr(sorted(specs))))
    _require(tile, "dtype", tile.dtype, spec.dtype)
    _require(tile, "codec", tile.codec, spec.codec)
    if len(tile.shape) > MAX_RANK:
        raise _error(tile, "rank", len(tile.shape), "at most {}".format(MAX_RANK))
    _require(tile, "axis", tile.axis, -1 if spec.axis is None else spec.axis)
    if not spec.start <= tile.start < tile.stop <= spec.stop:
        raise _error(tile, "start, stop", (tile.start, tile.stop),
                     "rows within [{}, {}) and at least one".format(spec.start, spec.stop))
    shape = list(spec.shape)
    if spec.axis is not None:
        shape[spec.axis] = tile.stop - tile.start
    _require(tile, "shape", tuple(tile.shape), tuple(shape))
    nbytes = math.prod(shape) * ITEMSIZE[spec.dtype]
    if nbytes > MAX_BYTES:
        raise _error(tile, "size", nbytes, "at most {} bytes".format(MAX_BYTES))
    if spec.codec == "raw":
        _require(tile, "data length", len(tile.data), nbytes)
    _require(tile, "crc32 of data", crc32(tile.data), tile.crc32)
    try:
        array = decode(spec.codec, tile.data, shape, np.dtype(_CARRIER.get(spec.dtype, spec.dtype)))
    except CodecError as error:
        raise TileError("a tile of tensor {}: data: {}".format(tile.tensor, error)) from None
    if spec.dtype == "bool" and array.size and array.max() > 1:
        raise _error(tile, "data", "an element {}".format(array.max()), "0 and 1 only in a bool tensor")
    return torch.from_numpy(array).view(TORCH_DTYPE[spec.dtype]).to(device)


def no_rows(tile: Tile) -> torch.Tensor:
    """What a tile brings that says only that its frame goes on by its plan.

    Raises:
        TileError: it brings anything.
    """
    for field, expected in (("data", b""), ("shape", ()), ("start", 0), ("stop", 0), ("more", False)):
        _require(tile, field, getattr(tile, field), expected)
    return torch.empty(0)


def probe_tile(robot_id: str, sequence: int, nbytes: int) -> Tile:
    """A tile of `nbytes` random bytes that belong to no tensor: nothing on the way can make them fewer.

    Raises:
        ValueError: a length that no tile can have.
    """
    if not 0 <= nbytes <= MAX_BYTES:
        raise ValueError("a probe of {} bytes, expected 0 to {}".format(nbytes, MAX_BYTES))
    data = os.urandom(nbytes)
    return Tile(robot_id, session=0, frame=0, epoch=0, sequence=sequence, tensor=PROBE, axis=-1, start=0, stop=0,
                shape=(nbytes,), dtype="uint8", codec="raw", crc32=crc32(data), data=data)


def _require(tile: Tile, field: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise _error(tile, field, found, reprlib.repr(expected))


def _error(tile: Tile, field: str, found: Any, expected: str) -> TileError:
    return TileError("a tile of tensor {}: {} is {}, expected {}".format(
        tile.tensor, field, reprlib.repr(found), expected))
