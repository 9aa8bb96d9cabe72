"""How the bytes of an array are encoded for the wire: lossless codecs, and decoders that a stranger may be let at.

A decoder is told what array to expect.  It never allocates noticeably more than that array, whatever the bytes say
(`source` besides: a camera's picture, of 40 million pixels at most), and raises nothing but `CodecError`.
Elements travel in the machines' own byte order, little-endian everywhere the package runs.
"""
import importlib
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Callable, Dict, Sequence, Tuple

import numpy as np

from intra_dp_ros.wire import source

#: Longest array that is encoded or decoded in one go [byte].
MAX_BYTES = 256 << 20

Shape = Tuple[int, ...]


class CodecError(ValueError):
    """Something that cannot be encoded or decoded; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Codec:
    """One way to write an array as bytes."""

    encode: Callable[[np.ndarray], bytes]  # of an array of any memory layout, in C order
    decode: Callable[[bytes, np.ndarray], None]  # (data, empty C-contiguous array to be filled); only the array's size
    longest: Callable[[Shape, int], int]  # (shape, bytes of the array) -> longest encoding there can be [byte]
    module: str = ""  # Python module that it needs
    package: str = ""  # where that module comes from


def available() -> Tuple[str, ...]:
    """Names of the codecs that work on this machine."""
    return tuple(name for name, codec in CODECS.items() if not codec.module or _problem(codec.module) is None)


def encode(name: str, array: np.ndarray) -> bytes:
    """The encoded elements of an array, of any memory layout, in C order.

    Raises:
        CodecError: no such codec here, or it cannot encode such an array.
    """
    codec = _codec(name)
    _check(array.shape, array.dtype)
    return codec.encode(array)


def decode(name: str, data: bytes, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """The array that was encoded: writable, C-contiguous and owning its memory.

    Args:
        shape, dtype: of the array; `data` that is not of exactly this is refused.

    Raises:
        CodecError: no such codec here, or `data` is not what it would have made of such an array.
    """
    codec, shape, dtype = _codec(name), tuple(shape), np.dtype(dtype)
    nbytes = _check(shape, dtype)
    longest = codec.longest(shape, nbytes)
    if len(data) > longest:
        raise CodecError("{} bytes of {}, expected at most {} for shape {}".format(len(data), name, longest, shape))
    array = np.empty(shape, dtype)
    try:
        codec.decode(data, array)
    except MemoryError as error:
        raise CodecError("no memory to decode {}: {}".format(name, error)) from None
    return array


def _codec(name: str) -> Codec:
    codec = CODECS.get(name)
    if codec is None:
        raise CodecError("codec {!r:.40}, expected one of {}".format(name, ", ".join(CODECS)))
    problem = _problem(codec.module) if codec.module else None
    if problem is not None:
        raise CodecError("codec {} needs the Python module {}: install {} ({})".format(
            name, codec.module, codec.package, problem))
    return codec


def _check(shape: Shape, dtype: np.dtype) -> int:
    """Bytes of an array that may be coded."""
    if dtype.kind not in "biuf" or not dtype.isnative:
        raise CodecError("elements of type {!r}, expected bool, integers or floats in native byte order".format(dtype))
    if any(n < 0 for n in shape):
        raise CodecError("shape {}, expected no negative length".format(shape))
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > MAX_BYTES:
        raise CodecError("an array of {} bytes, expected at most {}".format(nbytes, MAX_BYTES))
    return nbytes


@lru_cache(maxsize=None)
def _problem(module: str) -> object:
    """Why a module cannot be used; None when it can."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return None


def _module(name: str) -> ModuleType:
    return importlib.import_module(CODECS[name].module)


def _octets(array: np.ndarray) -> np.ndarray:
    """The bytes of an array in C order; of a C-contiguous array they are shared with it."""
    return array.reshape(-1).view(np.uint8)


# raw

def _decode_raw(data: bytes, array: np.ndarray) -> None:
    if len(data) != array.nbytes:
        raise CodecError("{} raw bytes, expected {}".format(len(data), array.nbytes))
    if array.nbytes:  # older numpy makes no array of an empty buffer
        _octets(array)[:] = np.frombuffer(data, np.uint8)


# png: OpenCV is shown nothing but the header of the very image that is expected, and pixels

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_LONGEST_SIDE = 1000000  # libpng reads no longer ones
_PNG_LEVEL = 1  # higher levels cost several times the time for a few percent


def _planes_of(shape: Shape) -> Tuple[Shape, bool]:
    """The array's (planes, height, width), and whether it holds them last (HxWx3) and not first.

    A single image in a batch is seen without the batch.
    """
    inner = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    is_last = len(inner) == 3 and inner[2] in (1, 3)
    if len(inner) == 3:
        inner = (inner[2], inner[0], inner[1]) if is_last else inner
    elif len(inner) == 2:
        inner = (1, *inner)
    if len(inner) != 3 or not all(1 <= n <= _PNG_LONGEST_SIDE for n in (inner[0] * inner[1], inner[2])):
        raise CodecError("png cannot hold shape {}, expected HxW, HxWx3, CxHxW or a batch of one of these, with 1 to "
                         "{} pixels a side; use raw or lz4".format(shape, _PNG_LONGEST_SIDE))
    return inner, is_last


def _check_image(array: np.ndarray) -> Tuple[Shape, bool]:
    if array.dtype != np.uint8:
        raise CodecError("png cannot hold {}, expected uint8; use raw or lz4".format(array.dtype))
    return _planes_of(array.shape)


def _encode_png(array: np.ndarray) -> bytes:
    """One grey picture, the planes below one another.

    Of three planes (colours) the second (green) is taken off the others, modulo 256: colours change together, and what
    is left is smaller.  Huffman coding of filtered rows alone beats searching for repetitions in photos: on ten photos
    of 640x960 pixels 33 % of the bytes in place of 50 %, in three quarters of the time.
    """
    (count, height, width), is_last = _check_image(array)
    cv2 = _module("png")
    planes = np.moveaxis(array.reshape(height, width, count), 2, 0) if is_last else array
    planes = np.array(planes, order="C").reshape(count, height, width)
    if count == 3:
        planes[::2] -= planes[1]
    try:
        done, data = cv2.imencode(".png", planes.reshape(-1, width), [
            cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY])
    except cv2.error as error:
        raise CodecError("OpenCV cannot encode shape {}: {}".format(array.shape, error)) from None
    if not done:
        raise CodecError("OpenCV cannot encode shape {} as png".format(array.shape))
    return data.tobytes()


def _decode_png(data: bytes, array: np.ndarray) -> None:
    (count, height, width), is_last = _check_image(array)
    shape = (count * height, width)
    _check_png(bytes(data), shape)
    cv2 = _module("png")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise CodecError("OpenCV cannot decode a png: {}".format(error)) from None
    if image is None or image.shape != shape or image.dtype != np.uint8:
        raise CodecError("OpenCV decoded a png to {}, expected shape {}".format(
            "nothing" if image is None else image.shape, shape))
    planes = image.reshape(count, height, width)
    if count == 3:
        planes[::2] += planes[1]
    if is_last:
        array.reshape(height, width, count)[...] = np.moveaxis(planes, 0, 2)
    else:
        array.reshape(planes.shape)[...] = planes


def _check_png(data: bytes, shape: Shape) -> None:
    """Refuse everything but this header, pixels and the end; ancillary chunks can unfold to anything."""
    if data[:8] != _PNG_SIGNATURE:
        raise CodecError("bytes that begin with {!r}, expected the signature of a png".format(data[:8]))
    expected = struct.pack(">II5B", shape[1], shape[0], 8, 0, 0, 0, 0)  # 8 bits, grey
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at) if at + 8 <= len(data) else (0, b"")
        if kind != (b"IHDR" if at == 8 else kind) or kind not in (b"IHDR", b"IDAT", b"IEND"):
            raise CodecError("a png with the chunk {!r} at byte {}, expected IHDR, IDAT and IEND".format(kind, at))
        found = data[at + 8:at + 8 + length] if kind == b"IHDR" else expected
        if found != expected:
            raise CodecError("a png with the header (width, height, depth, colour, ...) {}, expected {}".format(
                _ihdr(found), _ihdr(expected)))
        at += 12 + length
    if at != len(data):
        raise CodecError("a png of {} bytes, expected {} from its chunks".format(len(data), at))


def _ihdr(header: bytes) -> Tuple[object, ...]:
    return struct.unpack(">II5B", header) if len(header) == 13 else (header[:16],)


def _longest_png(shape: Shape, nbytes: int) -> int:
    # A filter byte a row; deflate's stored blocks and the chunks of 8 kB add less than 1 %.
    filtered = nbytes + (nbytes if len(shape) < 2 else nbytes // max(1, _planes_of(shape)[0][2]))
    return filtered + filtered // 64 + 1024


# lz4: roslz4 copies a block into its buffer without looking at its length, so its frames are taken apart here

_LZ4_HEADER = b"\x04\x22\x4d\x18\x64\x60\x85"  # independent blocks of up to 1 MiB and a checksum, all roslz4 writes
_LZ4_BLOCK = 1 << 20


def _encode_lz4(array: np.ndarray) -> bytes:
    return _module("lz4").compress(_octets(array))


def _decode_lz4(data: bytes, array: np.ndarray) -> None:
    data = bytes(data)
    if data[:7] != _LZ4_HEADER:
        raise CodecError("bytes that begin with {!r}, expected roslz4's header {!r}".format(data[:7], _LZ4_HEADER))
    decompressor = _module("lz4").LZ4Decompressor()
    octets, filled, at = _octets(array), 0, 7
    try:
        decompressor.decompress(data[:7])
        while filled < len(octets):
            word, = struct.unpack_from("<I", data, at) if at + 4 <= len(data) else (0,)
            length = word & 0x7fffffff
            if not 0 < length <= min(_LZ4_BLOCK, len(data) - at - 4):
                raise CodecError("an lz4 block of {} bytes at byte {} of {}, expected 1 to {}".format(
                    length, at, len(data), _LZ4_BLOCK))
            block = decompressor.decompress(data[at:at + 4 + length])
            expected = min(_LZ4_BLOCK, len(octets) - filled)
            if len(block) != expected:
                raise CodecError("an lz4 block of {} bytes decoded, expected {}".format(len(block), expected))
            octets[filled:filled + expected] = np.frombuffer(block, np.uint8)
            filled += expected
            at += 4 + length
        if len(data) != at + 8 or data[at:at + 4] != bytes(4):
            raise CodecError("an lz4 frame with {} bytes after its blocks, expected an end mark of 4 and a checksum of "
                             "4".format(len(data) - at))
        decompressor.decompress(data[at:])
    except (OSError, RuntimeError) as error:
        raise CodecError("broken lz4 data: {}".format(error)) from None


def _longest_lz4(nbytes: int) -> int:
    return nbytes + 4 * (nbytes // _LZ4_BLOCK + 1) + 15


# bits+lz4: a byte, the number of bits (1..7) of which no element needs more, then as lz4 their planes, lowest first,
# eight elements a byte.  Where elements do not fit into 7 bits, or shrink as well whole, the byte is _WHOLE and lz4 of
# the elements follows.

_WHOLE = 8
_MOST_PLANES = 7
_UNPACKED = 1 << 17  # elements that are unpacked at once: a multiple of 8 that stays in the cache


def _encode_bits(array: np.ndarray) -> bytes:
    flat = np.ascontiguousarray(array).reshape(-1)
    planes = _planes(flat)
    if planes == _WHOLE:
        return bytes([_WHOLE]) + _encode_lz4(flat)
    if planes > 1:  # large areas of one class: their bytes shrink as well as bits do, and need not be taken apart
        whole = _encode_lz4(flat)
        if len(whole) < planes * flat.size // 16:
            return bytes([_WHOLE]) + whole
    narrow = flat.view(np.uint8) if flat.itemsize == 1 else flat.astype(np.uint8)
    packed = np.concatenate([np.packbits(narrow & (1 << plane)) for plane in range(planes)])
    return bytes([planes]) + _encode_lz4(packed)


def _planes(flat: np.ndarray) -> int:
    """Bits that every element needs at most, or _WHOLE when they are not few."""
    if flat.dtype.kind not in "biu":
        return _WHOLE
    least, most = (int(flat.min()), int(flat.max())) if flat.size else (0, 0)
    return max(1, most.bit_length()) if least >= 0 and most < 1 << _MOST_PLANES else _WHOLE


def _decode_bits(data: bytes, array: np.ndarray) -> None:
    if not data:
        raise CodecError("no bytes, expected the number of bit planes first")
    planes = data[0]
    if planes == _WHOLE:
        _decode_lz4(data[1:], array)
        return
    most = {"b": 1, "f": 0}.get(array.dtype.kind, _MOST_PLANES)
    if not 1 <= planes <= most:
        raise CodecError("{} bit planes of {}, expected 1 to {}, or {} for whole elements".format(
            planes, array.dtype, most, _WHOLE))
    packed = np.empty((planes, (array.size + 7) // 8), np.uint8)
    _decode_lz4(data[1:], packed)
    flat = array.reshape(-1)
    for first in range(0, array.size, _UNPACKED):
        part = flat[first:first + _UNPACKED]
        bits = np.unpackbits(packed[:, first // 8:(first + _UNPACKED) // 8], axis=1)[:, :len(part)]
        for plane in range(1, planes):
            bits[0] |= bits[plane] << plane
        part[...] = bits[0]


# source: see there; the robot's sender encodes rows whose picture it has

def _decode_source(data: bytes, array: np.ndarray) -> None:
    try:
        source.decode_source(bytes(data), array)
    except source.SourceError as error:
        raise CodecError(str(error)) from None


_ROSLZ4 = ("roslz4", "python3-roslz4 or ros-noetic-roslz4")
CODECS: Dict[str, Codec] = {
    "raw": Codec(lambda array: array.tobytes(), _decode_raw, lambda shape, nbytes: nbytes),
    "png": Codec(_encode_png, _decode_png, _longest_png, "cv2", "python3-opencv"),
    "lz4": Codec(_encode_lz4, _decode_lz4, lambda shape, nbytes: _longest_lz4(nbytes), *_ROSLZ4),
    # seven planes of a single element are longer than the element
    "bits+lz4": Codec(_encode_bits, _decode_bits, lambda shape, nbytes: 1 + _longest_lz4(nbytes + _MOST_PLANES),
                      *_ROSLZ4),
    "source": Codec(source.encode_raw, _decode_source, lambda shape, nbytes: source.longest(nbytes), "cv2",
                    "python3-opencv"),
}
