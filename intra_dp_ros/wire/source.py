"""Codec `source`: a camera's own JPEG travels, and the server makes the model's input of it as the robot did.

Exact and many times smaller than the pixels: the bytes name the picture, how it is fitted into the tensor, and a
checksum of the rows that must come out.  Where decoders differ the rows are refused, never used.  Rows of a tensor that
was made of no picture travel raw.
"""
import struct
from dataclasses import dataclass
from typing import Hashable, List, Optional, Tuple
from zlib import crc32

import numpy as np

DIFFERS = "the JPEG decoders of both sides differ"  # in the reason for refusing such a tile
_RAW, _PICTURE, _PART = b"\x00", b"\x01", b"\x02"
_HEADER = struct.Struct("<IIIBBI")  # model height, width, first row, fill, planar, crc32 of the rows
_PART_HEADER = struct.Struct("<HH")  # number of the part, of how many
_PART_BYTES = 16 << 10  # several to a picture: when they arrive tells what the link carries
_MOST_SIDE = 1 << 15  # of a model's input [pixel]
MAX_PICTURE_BYTES = 16 << 20


class SourceError(ValueError):
    """Bytes that are not what they should be; the message says what was found and expected."""


@dataclass(frozen=True)
class Source:
    """The encoded picture that a tensor was made of, and how."""

    data: bytes  # JPEG
    size: Tuple[int, int]  # height, width of the model's input [pixel]
    fill: int  # grey of what the picture does not cover, 0..255
    is_planar: bool  # tensor [1, 3, H, W]; else [1, H, W, 3]


def tensor_of(source: Source) -> np.ndarray:
    """The model's input: uint8 `[1, H, W, 3]` or `[1, 3, H, W]`, C-contiguous.

    Raises:
        SourceError: no JPEG that can be decoded.
    """
    from intra_dp_ros.wire.picture import PictureError, decode_picture, jpeg_size, preprocess  # needs OpenCV
    try:
        jpeg_size(source.data)
        fitted, _ = preprocess(decode_picture(source.data), source.size, source.fill)
    except PictureError as error:
        raise SourceError(str(error)) from None
    return np.ascontiguousarray(fitted.transpose(0, 3, 1, 2)) if source.is_planar else fitted


def encode_source(source: Source, start: int, rows: np.ndarray) -> bytes:
    """Rows from `start` on of the tensor that was made of `source`.

    Raises:
        SourceError: more bytes than may travel.
    """
    if len(source.data) > MAX_PICTURE_BYTES:
        raise SourceError("a picture of {} bytes, expected at most {}".format(len(source.data), MAX_PICTURE_BYTES))
    return _PICTURE + _HEADER.pack(*source.size, start, source.fill, source.is_planar,
                                   crc32(np.ascontiguousarray(rows))) + source.data


def encode_raw(array: np.ndarray) -> bytes:
    """Rows of a tensor that was made of no picture."""
    return _RAW + array.tobytes()


def decode_source(data: bytes, array: np.ndarray) -> None:
    """Fill an array with the rows.

    Raises:
        SourceError: `data` does not make such an array.
    """
    octets = array.reshape(-1).view(np.uint8)
    if data[:1] == _RAW:
        if len(data) != 1 + array.nbytes:
            raise SourceError("{} raw bytes, expected {}".format(len(data) - 1, array.nbytes))
        if array.nbytes:  # older numpy makes no array of an empty buffer
            octets[:] = np.frombuffer(data, np.uint8, offset=1)
        return
    if data[:1] != _PICTURE or len(data) < 1 + _HEADER.size:
        raise SourceError("{} bytes that begin with {!r}, expected rows or a picture".format(len(data), data[:1]))
    height, width, start, fill, is_planar, crc = _HEADER.unpack_from(data, 1)
    axis = 2 if is_planar else 1
    shape = (1, 3, height, width) if is_planar else (1, height, width, 3)
    if array.dtype != np.uint8 or array.ndim != 4 or is_planar > 1 or max(height, width) > _MOST_SIDE or \
            array.shape != shape[:axis] + (array.shape[axis],) + shape[axis + 1:] or \
            start + array.shape[axis] > height:
        raise SourceError("rows from {} on of a picture fitted to {}x{}, expected {} {}".format(
            start, width, height, array.dtype, array.shape))
    tensor = tensor_of(Source(data[1 + _HEADER.size:], (height, width), fill, bool(is_planar)))
    array[...] = np.take(tensor, np.arange(start, start + array.shape[axis]), axis)
    if crc32(array) != crc:
        raise SourceError("other pixels than the robot's: {}".format(DIFFERS))


def cut(data: bytes) -> List[bytes]:
    """An encoding in parts, each of which travels as a tile."""
    if len(data) <= _PART_BYTES:
        return [data]
    pieces = [data[at:at + _PART_BYTES] for at in range(0, len(data), _PART_BYTES)]
    return [_PART + _PART_HEADER.pack(index, len(pieces)) + piece for index, piece in enumerate(pieces)]


class Joiner:
    """Puts the parts of encodings together, as they come in their order; of one sender, one thread at a time."""

    def __init__(self) -> None:
        self._key: Hashable = None  # what the parts so far belong to
        self._parts: List[bytes] = []

    def add(self, key: Hashable, data: bytes) -> Optional[bytes]:
        """The whole encoding when `data` is its last part, or all of it; else None.

        Args:
            key: of what it belongs to; parts of something else are dropped.

        Raises:
            SourceError: a part that does not follow the last one.
        """
        if data[:1] != _PART:
            return data
        if len(data) <= 1 + _PART_HEADER.size or len(data) > 1 + _PART_HEADER.size + _PART_BYTES:
            raise SourceError("a part of {} bytes, expected 1 to {}".format(len(data), _PART_BYTES))
        index, count = _PART_HEADER.unpack_from(data, 1)
        if key != self._key or index == 0:
            self._key, self._parts = key, []
        if index != len(self._parts) or index >= count or count > MAX_PICTURE_BYTES // _PART_BYTES + 1:
            raise SourceError("part {} of {} after {} parts".format(index, count, len(self._parts)))
        self._parts.append(data[1 + _PART_HEADER.size:])
        if index + 1 < count:
            return None
        whole, self._key, self._parts = b"".join(self._parts), None, []
        return whole


def longest(nbytes: int) -> int:
    """Longest encoding of an array of this many bytes."""
    return max(1 + nbytes, 1 + _HEADER.size + MAX_PICTURE_BYTES)
