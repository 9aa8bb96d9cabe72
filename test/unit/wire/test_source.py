"""The camera's own JPEG on the wire: both sides make the same tensor of it, and strangers' bytes do no harm."""
import struct
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.wire import picture, source  # noqa: E402  (needs cv2)
from intra_dp_ros.wire.codec import CodecError, decode, encode  # noqa: E402
from intra_dp_ros.wire.source import Source, encode_source, tensor_of  # noqa: E402


def jpeg(height=60, width=80, seed=0, **options):
    ramp = np.linspace(0, 200, width)[None, :, None] + np.linspace(0, 50, height)[:, None, None] + np.zeros(3)
    noise = np.random.RandomState(seed).normal(0, 5, ramp.shape)
    done, data = cv2.imencode(".jpg", np.clip(ramp + noise, 0, 255).astype(np.uint8),
                              [cv2.IMWRITE_JPEG_PROGRESSIVE, options.get("progressive", 0)])
    assert done
    return data.tobytes()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(size=st.tuples(st.integers(1, 90), st.integers(1, 90)), is_planar=st.booleans(), fill=st.integers(0, 255),
       part=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_any_rows_come_over(size, is_planar, fill, part):
    made = Source(jpeg(), size, fill, is_planar)
    tensor = tensor_of(made)
    assert tensor.shape == ((1, 3) + size if is_planar else (1,) + size + (3,)) and tensor.flags.c_contiguous
    first, last = sorted(int(p * size[0]) for p in part)
    rows = tensor[:, :, first:last + 1] if is_planar else tensor[:, first:last + 1]
    data = encode_source(made, first, rows)
    assert len(data) < len(made.data) + 40
    assert np.array_equal(decode("source", data, rows.shape, rows.dtype), rows)


def test_the_tensor_is_what_the_application_makes():
    rgb = picture.decode_picture(jpeg())
    fitted, _ = picture.preprocess(rgb, (64, 64), 114)
    assert np.array_equal(tensor_of(Source(jpeg(), (64, 64), 114, False)), fitted)
    assert np.array_equal(tensor_of(Source(jpeg(), (64, 64), 114, True))[0], fitted[0].transpose(2, 0, 1))
    assert np.array_equal(tensor_of(Source(jpeg(progressive=1), (60, 80), 0, False))[0],
                          picture.decode_picture(jpeg(progressive=1)))


def test_rows_of_other_tensors_travel_raw():
    rows = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(decode("source", encode("source", rows), rows.shape, rows.dtype), rows)
    with pytest.raises(CodecError, match="95 raw bytes, expected 96"):
        decode("source", encode("source", rows)[:-1], rows.shape, rows.dtype)


def test_other_pixels_are_refused():
    made = Source(jpeg(), (60, 80), 0, False)
    rows = tensor_of(made)
    data = encode_source(Source(jpeg(seed=1), (60, 80), 0, False), 0, rows)
    with pytest.raises(CodecError, match=source.DIFFERS):
        decode("source", data, rows.shape, rows.dtype)


def tampered(**fields):
    """A message with other header fields or picture than it should have."""
    rows = tensor_of(Source(jpeg(), (60, 80), 0, False))[:, 10:20]
    true = dict(height=60, width=80, start=10, fill=0, planar=0, crc=crc32(np.ascontiguousarray(rows)))
    values = dict(true, **fields)
    data = values.pop("data", jpeg())
    return b"\x01" + struct.pack("<IIIBBI", *values.values()) + data, rows.shape


def huge_jpeg():
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at:at + 4] = struct.pack(">HH", 65000, 65000)
    return bytes(data)


@pytest.mark.parametrize("fields, words", [
    (dict(height=1 << 31), "rows from 10"), (dict(width=79), "rows from 10"), (dict(start=51), "rows from 51"),
    (dict(planar=1), "rows from 10"), (dict(planar=2), "rows from 10"), (dict(start=9), source.DIFFERS),
    (dict(data=b""), "expected a JPEG"), (dict(data=b"\x89PNG" + bytes(90)), "expected a JPEG"),
    (dict(data=huge_jpeg()), "65000x65000"), (dict(data=b"\xff\xd8\xff\xe0\x00\x10" + bytes(99)), "frame header"),
    (dict(data=b"\xff\xd8" + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60, 80)), "no image"),
])
def test_tampered_messages_are_refused(fields, words):
    good, shape = tampered()
    decode("source", good, shape, np.dtype("uint8"))
    with pytest.raises(CodecError, match=words):
        decode("source", tampered(**fields)[0], shape, np.dtype("uint8"))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60), st.booleans())
def test_anything_is_decoded_or_refused(data, is_picture):
    data = b"\x01" + struct.pack("<IIIBBI", 4, 4, 0, 0, 0, 0) + b"\xff\xd8" + data if is_picture else data
    try:
        decode("source", data, (1, 4, 4, 3), np.dtype("uint8"))
    except CodecError:
        pass


def test_parts_come_together():
    data = bytes(range(256)) * 250  # 64,000 bytes
    parts, joiner = source.cut(data), source.Joiner()
    assert len(parts) == 4 and max(map(len, parts)) < 17000
    for _ in range(2):
        assert [joiner.add("a", part) for part in parts] == [None, None, None, data]
    assert source.cut(data[:1000]) == [data[:1000]] and joiner.add("b", data[:1000]) == data[:1000]
    assert joiner.add("a", parts[0]) is None, "of a frame that was given up"
    assert [joiner.add("b", part) for part in parts] == [None, None, None, data]


def test_parts_that_do_not_follow_are_refused():
    parts = source.cut(bytes(64000))
    for order in ([1], [0, 2], [0, 1, 1], [3]):
        joiner = source.Joiner()
        with pytest.raises(source.SourceError, match="part {} of 4".format(order[-1])):
            for index in order:
                joiner.add("a", parts[index])
    joiner = source.Joiner()
    assert joiner.add("a", parts[0]) is None
    with pytest.raises(source.SourceError, match="part 1 of 4 after 0"):
        joiner.add("b", parts[1])
    for data in (b"\x02", b"\x02" + struct.pack("<HH", 0, 65535) + b"x", b"\x02" + struct.pack("<HH", 5, 4) + b"x",
                 b"\x02" + bytes(99999)):
        with pytest.raises(source.SourceError):
            joiner.add("a", data)
