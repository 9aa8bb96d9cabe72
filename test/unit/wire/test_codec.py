"""Codecs give back what they were given, and their decoders survive anything."""
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from intra_dp_ros.graph.graph import ITEMSIZE
from intra_dp_ros.wire import codec
from intra_dp_ros.wire.codec import CODECS, CodecError, available, decode, encode

DTYPES = [np.dtype(name) for name in ITEMSIZE if name != "bfloat16"]  # numpy has none: test_tile.py
ARRAYS = hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6))
IMAGE_SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from((1, 3))),
    st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9), st.sampled_from((1, 3))),
    st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)))
LZ4_HEADER = bytes.fromhex("04224d18646085")
needs_lz4 = pytest.mark.skipif("lz4" not in available(), reason="roslz4 is not installed")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=3, height=2, depth=8, colour=0, interlace=0, pixels=None, extra=b""):
    header = struct.pack(">II5B", width, height, depth, colour, 0, 0, interlace)
    rows = bytes(8) if pixels is None else pixels
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def same(found, array):
    return (found.shape == array.shape and found.dtype == array.dtype and found.flags.writeable
            and found.flags.c_contiguous and found.tobytes() == array.tobytes())


def test_raw_and_png_are_here():
    assert set(available()) <= set(CODECS) == {"raw", "png", "lz4", "bits+lz4", "source"}
    assert {"raw", "png"} <= set(available())


@pytest.mark.parametrize("name", ["raw", *(pytest.param(n, marks=needs_lz4) for n in ("lz4", "bits+lz4"))])
@given(ARRAYS, st.booleans())
@settings(deadline=None)
def test_any_array_comes_back(name, array, turned):
    array = array.T if turned else array
    assert same(decode(name, encode(name, array), array.shape, array.dtype), array)


@given(IMAGE_SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape)), st.booleans())
@settings(deadline=None)
def test_any_picture_comes_back(array, turned):
    array = array.swapaxes(-2, -3)[..., ::-1] if turned and array.ndim > 2 else array
    assert same(decode("png", encode("png", array), array.shape, array.dtype), array)


@needs_lz4
def test_areas_of_one_class_are_not_taken_apart():
    classes = np.random.RandomState(0).randint(0, 20, (256, 32, 64)).astype(np.uint8)
    assert len(encode("bits+lz4", classes)) < classes.size * 5 / 8 * 1.01
    areas = np.repeat(np.repeat(classes, 16, 0), 16, 2)
    encoded = encode("bits+lz4", areas)
    assert len(encoded) < areas.size / 16 and encoded[0] == 8
    assert same(decode("bits+lz4", encoded, areas.shape, areas.dtype), areas)


@pytest.mark.parametrize("shape", [(5000, 1), (1, 5000), (60, 80, 3), (1, 3, 60, 80), (300, 400)])
def test_incompressible_pictures_are_within_the_cap(shape):
    array = np.random.RandomState(1).randint(0, 256, shape).astype(np.uint8)
    assert same(decode("png", encode("png", array), shape, np.uint8), array)


@needs_lz4
@pytest.mark.parametrize("nbytes", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5])
@pytest.mark.parametrize("noise", [False, True])
def test_lz4_of_several_blocks(nbytes, noise):
    array = np.random.RandomState(2).randint(0, 256 if noise else 2, nbytes).astype(np.uint8)
    assert same(decode("lz4", encode("lz4", array), (nbytes,), np.uint8), array)


@needs_lz4
def test_lz4_makes_zeros_small():
    assert len(encode("lz4", np.zeros(100000, np.float32))) < 4000


@pytest.mark.parametrize("array, word", [
    (np.zeros((3, 3), np.float32), "float32"), (np.zeros(5, np.uint8), "shape"), (np.zeros((), np.uint8), "shape"),
    (np.zeros((0, 4), np.uint8), "shape"), (np.zeros((2, 3, 4, 5), np.uint8), "shape"),
    (np.zeros((1, 1, 2, 3, 4), np.uint8), "shape"), (np.zeros((1, 1000001), np.uint8), "1000000"),
])
def test_what_is_no_picture_is_refused(array, word):
    with pytest.raises(CodecError, match=word):
        encode("png", array)
    with pytest.raises(CodecError):
        decode("png", png(), array.shape, array.dtype)


@pytest.mark.parametrize("dtype", [object, "complex64", "U4", ">f4", "V3"])
@pytest.mark.parametrize("name", available())
def test_elements_that_do_not_travel(name, dtype):
    with pytest.raises(CodecError, match="elements"):
        encode(name, np.zeros(3, dtype))
    with pytest.raises(CodecError, match="elements"):
        decode(name, bytes(24), (3,), np.dtype(dtype))


def test_unknown_codec_and_impossible_shapes():
    with pytest.raises(CodecError, match="'zip'.*raw, png, lz4"):
        encode("zip", np.zeros(1))
    with pytest.raises(CodecError, match="negative"):
        decode("raw", b"", (-1,), np.uint8)
    with pytest.raises(CodecError, match="at most"):
        decode("raw", b"", (1 << 20, 1 << 20), np.float64)


def test_a_codec_without_its_module_says_what_to_install(monkeypatch):
    monkeypatch.setitem(CODECS, "lz4", codec.Codec(bytes, print, lambda s, n: n, "no_such_module_x", "python3-roslz4"))
    assert "lz4" not in available() and {"raw", "png"} <= set(available())
    with pytest.raises(CodecError, match="install python3-roslz4"):
        encode("lz4", np.zeros(1))


@pytest.mark.parametrize("name", available())
@given(st.data())
@settings(deadline=None, max_examples=150)
def test_arbitrary_bytes_raise_nothing_else(name, data):
    """Noise; noise behind a true beginning; true data with a few bytes changed, or cut."""
    shape, dtype = (2, 3), np.uint8
    good = encode(name, np.arange(6, dtype=dtype).reshape(shape))
    kind = data.draw(st.sampled_from(("noise", "behind", "changed", "cut")))
    if kind == "noise":
        found = data.draw(st.binary(max_size=200))
    elif kind == "behind":
        found = good[:data.draw(st.integers(0, len(good)))] + data.draw(st.binary(max_size=64))
    elif kind == "changed":
        found = bytearray(good)
        for at in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=4)):
            found[at] = data.draw(st.integers(0, 255))
        found = bytes(found)
    else:
        found = good[:data.draw(st.integers(0, len(good) - 1))]
    try:
        array = decode(name, found, shape, dtype)
    except CodecError:
        return
    assert array.shape == shape and array.dtype == dtype


@pytest.mark.parametrize("changed, word", [
    (dict(width=4), "header"), (dict(height=3), "header"), (dict(depth=16), "header"), (dict(depth=1), "header"),
    (dict(colour=2), "header"), (dict(colour=3), "header"), (dict(colour=6), "header"), (dict(interlace=1), "header"),
    (dict(width=1 << 31, height=1 << 31), "header"), (dict(extra=chunk(b"tEXt", b"a\0b")), "tEXt"),
    (dict(extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 16)))), "zTXt"),
    (dict(extra=chunk(b"IHDR", bytes(13))), "header"), (dict(pixels=b"\0\0"), "nothing"),
])
def test_another_png_is_refused(changed, word):
    assert decode("png", png(), (2, 3), np.uint8).tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.raises(CodecError, match=word):
        decode("png", png(**changed), (2, 3), np.uint8)


def test_png_header_is_read_before_opencv_is_asked(monkeypatch):
    import cv2
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the header should have been refused"))
    with pytest.raises(CodecError, match="header"):
        decode("png", png(width=100000, height=100000), (2, 3), np.uint8)
    with pytest.raises(CodecError, match="from its chunks"):
        decode("png", png() + b"x", (2, 3), np.uint8)


@needs_lz4
@given(st.integers(0, 2 ** 32 - 1), st.binary(max_size=80), st.binary(max_size=20))
@example(2 ** 31 + (1 << 30), bytes(60), b"")
@example(1 << 30, bytes(60), b"")
@example(2 ** 31, b"", bytes(8))
@settings(deadline=None)
def test_lying_lz4_blocks(length, block, tail):
    """roslz4 itself would copy a block of any length into its buffer."""
    for size in (length, len(block), len(block) | 1 << 31):
        with pytest.raises(CodecError):
            decode("lz4", LZ4_HEADER + struct.pack("<I", size) + block + tail, (1234,), np.uint8)


@needs_lz4
@pytest.mark.parametrize("expected", [1000, 300000, 3 << 20])
def test_lz4_bombs_allocate_little(expected):
    bomb = encode("lz4", np.zeros(64 << 20, np.uint8))
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode("lz4", bomb, (expected,), np.uint8)
        assert tracemalloc.get_traced_memory()[1] < expected + (4 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [name for name in available() if name != "source"])  # of any length: a picture's
def test_encodings_longer_than_any_are_refused(name):
    array = np.zeros((20, 30), np.uint8)
    with pytest.raises(CodecError, match="at most"):
        decode(name, encode(name, array) + bytes(10000), array.shape, array.dtype)


@needs_lz4
def test_lz4_checksum_end_mark_and_length():
    good = encode("lz4", np.zeros(100, np.uint8))  # far below the longest that 100 bytes may take
    assert decode("lz4", good, (100,), np.uint8).tolist() == [0] * 100
    for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:-1], good[:-4], good[:-8], good + b"\0",
                good[:-8] + b"\1" + good[-7:]):
        with pytest.raises(CodecError):
            decode("lz4", bad, (100,), np.uint8)
    for length in (99, 101):
        with pytest.raises(CodecError):
            decode("lz4", good, (length,), np.uint8)


@needs_lz4
@given(st.integers(0, 8), st.sampled_from(["bool", "uint8", "int8", "int64"]), st.integers(0, 400000), st.booleans())
@example(1, "bool", 1 << 17, False)
@example(5, "uint8", (1 << 17) + 1, True)
@settings(deadline=None, max_examples=60)
def test_small_numbers_come_back_from_their_bits(bits, dtype, size, turned):
    top = min(1 << bits, 2 if dtype == "bool" else 128 if dtype == "int8" else 256)
    array = np.random.RandomState(size).randint(0, top, (size, 3)).astype(dtype)
    array = array.T if turned else array
    assert same(decode("bits+lz4", encode("bits+lz4", array), array.shape, array.dtype), array)


@needs_lz4
@pytest.mark.parametrize("top, dtype, planes", [
    (1, "uint8", 1), (1, "bool", 1), (0, "uint8", 1), (15, "uint8", 4), (19, "uint8", 5), (19, "int64", 5),
    (127, "uint8", 7), (128, "uint8", 8), (200, "int16", 8), (-1, "int8", 8), (1, "float32", 8)])
def test_bits_are_as_many_as_are_needed(top, dtype, planes):
    """8: elements that do not fit into 7 bits travel whole, and are as long as with lz4 alone."""
    array = np.random.RandomState(0).randint(min(0, top), max(0, top) + 1, 999).astype(dtype)
    array[:2] = top, top
    encoded = encode("bits+lz4", array)
    assert encoded[0] == planes and same(decode("bits+lz4", encoded, array.shape, array.dtype), array)
    if planes == 8:
        assert encoded[1:] == encode("lz4", array)


@needs_lz4
def test_bits_make_an_occupancy_small():
    array = (np.random.RandomState(3).rand(1, 1, 64, 32, 64) < 0.004).astype(np.uint8)
    assert len(encode("bits+lz4", array)) < array.nbytes / 20
    noise = np.random.RandomState(4).randint(0, 2, 80000).astype(np.uint8)
    assert len(encode("bits+lz4", noise)) < noise.nbytes / 7.9  # incompressible, but an eighth


@needs_lz4
@pytest.mark.parametrize("data, dtype, word", [
    (b"", "uint8", "no bytes"), (b"\0", "uint8", "0 bit planes"), (b"\x09", "uint8", "9 bit planes"),
    (b"\2", "bool", "2 bit planes of bool"), (b"\1", "float32", "1 bit planes of float32"), (b"\1", "uint8", "header"),
    (b"\1" + LZ4_HEADER, "uint8", "block of 0")])
def test_bits_that_cannot_be_are_refused(data, dtype, word):
    with pytest.raises(CodecError, match=word):
        decode("bits+lz4", data, (100,), dtype)


@needs_lz4
def test_bits_of_another_number_of_planes_or_elements_are_refused():
    good = encode("bits+lz4", np.arange(32, dtype=np.uint8))
    assert good[0] == 5
    for bad, shape in ((b"\4" + good[1:], (32,)), (b"\6" + good[1:], (32,)), (good, (24,)), (good, (40,))):
        with pytest.raises(CodecError):
            decode("bits+lz4", bad, shape, np.uint8)


@needs_lz4
@pytest.mark.parametrize("kind", [b"\1", b"\7", b"\x08"])
def test_bombs_of_bits_allocate_little(kind):
    bomb, expected = encode("lz4", np.zeros(64 << 20, np.uint8)), 300000
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode("bits+lz4", kind + bomb, (expected,), np.uint8)
        assert tracemalloc.get_traced_memory()[1] < expected + (4 << 20)
    finally:
        tracemalloc.stop()
