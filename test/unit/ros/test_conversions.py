"""Messages survive the way to serialised bytes and back; images of every encoding decode; nonsense is refused."""
import io
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rospy")
pytest.importorskip("intra_dp_ros.msg", reason="the workspace is not built: scripts/run /usr/bin/python3 -m pytest")

import cv2  # noqa: E402
import genpy  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from intra_dp_ros.apps.people import PersonDetection, PersonKeypoint  # noqa: E402
from intra_dp_ros.apps.tracking import Track  # noqa: E402
from intra_dp_ros.ros import conversions  # noqa: E402
from intra_dp_ros.ros.raw import raw_class, raw_message  # noqa: E402
from intra_dp_ros.wire import messages as wire  # noqa: E402

TILE = wire.Tile(
    "robot", session=2 ** 64 - 1, frame=7, epoch=3, sequence=2 ** 32 - 1, tensor=5, axis=2, start=4, stop=6,
    shape=(1, 3, 2, 4), dtype="float32", codec="lz4", crc32=2 ** 32 - 1, data=bytes(range(256)), more=True, sent=12.5,
    busy=0.25, stamp=(1600000000, 999999999), frame_id="camera")
MESSAGES = {
    "tile": (TILE, conversions.tile_to_msg, conversions.tile_from_msg),
    "empty tile": (replace(TILE, data=b"", shape=(), axis=-1, frame_id="", more=False),
                   conversions.tile_to_msg, conversions.tile_from_msg),
    "zero-size tile": (replace(TILE, data=b"", shape=(0, 3)), conversions.tile_to_msg, conversions.tile_from_msg),
    "ack": (wire.Ack("robot", 9, 7, 3, 65536, 3.25, False, "größer"), conversions.ack_to_msg,
            conversions.ack_from_msg),
    "heartbeat": (wire.Heartbeat("robot", 9, 7, 2, 1.5, 0.5, 0.125, (1, 2, 9), 0.5, stamp=(1, 2), frame_id="f"),
                  conversions.heartbeat_to_msg, conversions.heartbeat_from_msg),
    "plan": (wire.PlanMessage("robot", 9, 4, "ab" * 32, "{}"), conversions.plan_to_msg, conversions.plan_from_msg),
    "bandwidth": (wire.BandwidthSample("robot", 1e6, 2e6, 0.002, math.inf, 0.5, "none", (3, 4), "f"),
                  conversions.bandwidth_to_msg, conversions.bandwidth_from_msg),
    "open": (wire.OpenRequest("robot", "ab" * 32, "{}"), conversions.open_request_to_srv,
             conversions.open_request_from_srv),
    "opened": (wire.OpenReply(True, "", 2 ** 64 - 1, False, ("a", "b"), (0, 9), "{}"), conversions.open_reply_to_srv,
               conversions.open_reply_from_srv),
    "blob": (wire.BlobRequest("robot", "ab" * 32, 5, 2 ** 40, b"\0\1"), conversions.blob_request_to_srv,
             conversions.blob_request_from_srv),
    "put": (wire.BlobReply(False, "full", 2 ** 40), conversions.blob_reply_to_srv, conversions.blob_reply_from_srv),
}


def serialised(msg):
    out = io.BytesIO()
    msg.serialize(out)
    return out.getvalue()


@pytest.mark.parametrize("name", MESSAGES)
def test_round_trip_through_bytes(name):
    message, to_msg, from_msg = MESSAGES[name]
    msg = to_msg(message)
    data = serialised(msg)
    assert from_msg(type(msg)().deserialize(data)) == message
    if isinstance(message, (wire.Tile, wire.Ack, wire.Heartbeat, wire.PlanMessage)):
        assert wire.serialised_bytes(message) == len(data)


def test_data_is_not_copied():
    msg = conversions.tile_to_msg(TILE)
    assert msg.data is TILE.data
    assert conversions.tile_from_msg(msg).data is TILE.data


@pytest.mark.parametrize("field, value", [
    ("shape", [1] * 7), ("sent", math.nan), ("busy", math.inf), ("robot_id", "r" * 5000), ("codec", "c" * 5000)])
def test_impossible_tiles_are_refused(field, value):
    msg = conversions.tile_to_msg(TILE)
    setattr(msg, field, value)
    with pytest.raises(conversions.MessageError, match=field):
        conversions.tile_from_msg(msg)


def test_impossible_control_messages_are_refused():
    beat = conversions.heartbeat_to_msg(wire.Heartbeat("robot", 1, epochs=tuple(range(65))))
    with pytest.raises(conversions.MessageError, match="epochs"):
        conversions.heartbeat_from_msg(beat)
    with pytest.raises(conversions.MessageError, match="received"):
        conversions.ack_from_msg(conversions.ack_to_msg(wire.Ack("robot", 1, 1, 1, 1, math.nan)))
    with pytest.raises(conversions.MessageError, match="json"):
        conversions.plan_from_msg(conversions.plan_to_msg(wire.PlanMessage("robot", 1, 1, "", "x" * (5 << 20))))
    with pytest.raises(conversions.MessageError, match="age"):
        sample = wire.BandwidthSample("robot", 1.0, 1.0, 1.0, math.nan, 1.0, "none")
        conversions.bandwidth_from_msg(conversions.bandwidth_to_msg(sample))


def test_raw_messages_stand_in_for_typed_ones():
    msg = conversions.tile_to_msg(TILE)
    raw = raw_message(type(msg), serialised(msg))
    assert (raw._md5sum, raw._type, raw._full_text) == (msg._md5sum, msg._type, msg._full_text)
    assert serialised(raw) == serialised(msg)
    assert raw_class(type(msg))().deserialize(b"abc")._buff == b"abc"
    assert not raw._has_header, "rospy would look for a header to number"


def test_people():
    person = PersonDetection(0.5, (1.0, 2.0, 3.0, 4.0), (PersonKeypoint("nose", 2.0, 3.0, 0.25),))
    header = Header(stamp=genpy.Time(5, 6), frame_id="camera")
    msg = conversions.people_to_msg([Track(7, 1.5, person)], header, 9, 640, 480, "model", "random")
    back = type(msg)().deserialize(serialised(msg))
    assert (back.header.stamp, back.header.frame_id) == (header.stamp, "camera")
    assert (back.frame, back.width, back.height, back.model, back.weights) == (9, 640, 480, "model", "random")
    found = back.people[0]
    assert (found.track_id, found.track_age) == (7, 1.5)
    assert (found.score, found.x_min, found.y_min, found.x_max, found.y_max) == (0.5, 1.0, 2.0, 3.0, 4.0)
    assert [(k.name, k.x, k.y, k.score) for k in found.keypoints] == [("nose", 2.0, 3.0, 0.25)]


RGB = np.random.RandomState(0).randint(0, 256, (4, 6, 3), np.uint8)
GREY = np.repeat(RGB[:, :, :1], 3, axis=2)


def image(encoding, pixels, padding=0, big_endian=0):
    """`pixels`: uint8 [H, W, bytes]."""
    height, width, size = pixels.shape
    rows = np.full((height, width * size + padding), 77, np.uint8)
    rows[:, :width * size] = pixels.reshape(height, -1)
    return Image(height=height, width=width, encoding=encoding, step=rows.shape[1], data=rows.tobytes(),
                 is_bigendian=big_endian)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding, pixels, expected, big_endian", [
    ("rgb8", RGB, RGB, 0),
    ("bgr8", RGB[:, :, ::-1], RGB, 0),
    ("8UC3", RGB[:, :, ::-1], RGB, 0),
    ("rgba8", np.dstack([RGB, RGB[:, :, 0]]), RGB, 0),
    ("bgra8", np.dstack([RGB[:, :, ::-1], RGB[:, :, 0]]), RGB, 0),
    ("mono8", GREY[:, :, :1], GREY, 0),
    ("8UC1", GREY[:, :, :1], GREY, 0),
    ("mono16", np.dstack([RGB[:, :, 2], GREY[:, :, 0]]), GREY, 0),
    ("mono16", np.dstack([GREY[:, :, 0], RGB[:, :, 2]]), GREY, 1),
])
def test_encodings(encoding, pixels, expected, big_endian, padding):
    rgb = conversions.image_from_msg(image(encoding, pixels, padding, big_endian))
    np.testing.assert_array_equal(rgb, expected)
    assert rgb.flags.c_contiguous and rgb.flags.writeable and rgb.dtype == np.uint8


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer(pattern):
    color = {"r": 200, "g": 120, "b": 40}
    tile = np.array([color[c] for c in pattern], np.uint8).reshape(2, 2)
    rgb = conversions.image_from_msg(image("bayer_{}8".format(pattern), np.tile(tile, (4, 4))[:, :, None], 3))
    np.testing.assert_array_equal(rgb[2:-2, 2:-2], np.broadcast_to([200, 120, 40], (4, 4, 3)))


@pytest.mark.parametrize("encoding, order", [("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv")])
def test_yuv422(encoding, order):
    value = {"y": 82, "u": 90, "v": 240}  # ITU-R BT.601 red
    pixels = np.tile(np.array([value[c] for c in order], np.uint8).reshape(1, 2, 2), (2, 3, 1))
    rgb = conversions.image_from_msg(image(encoding, pixels, 4))
    np.testing.assert_allclose(rgb.astype(int), np.broadcast_to([255, 0, 0], (2, 6, 3)), atol=3)


@pytest.mark.parametrize("change, words", [
    (dict(encoding="rgb9"), "rgb9.*supported are.*rgb8.*bayer_rggb8"),
    (dict(height=0), "6x0 has no pixels"), (dict(width=0), "0x4 has no pixels"),
    (dict(step=17), "step is 17"), (dict(height=5), "72 bytes of data.*90"), (dict(data=b""), "0 bytes of data"),
    (dict(height=2 ** 32 - 1, width=2 ** 30), "step is 18")])
def test_bad_images_are_refused(change, words):
    msg = image("rgb8", RGB)
    for field, value in change.items():
        setattr(msg, field, value)
    with pytest.raises(conversions.ImageError, match=words):
        conversions.image_from_msg(msg)


def test_odd_yuv_is_refused():
    with pytest.raises(conversions.ImageError, match="5x2"):
        conversions.image_from_msg(image("yuv422", np.zeros((2, 5, 2), np.uint8)))


def test_compressed():
    data = cv2.imencode(".png", RGB[:, :, ::-1])[1].tobytes()
    rgb = conversions.image_from_compressed(CompressedImage(format="rgb8; png compressed bgr8", data=data))
    np.testing.assert_array_equal(rgb, RGB)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("fmt, data, words", [
    ("jpeg", b"", "without any data"), ("jpeg", b"\xff\xd8 nonsense", "no image"),
    ("16UC1; compressedDepth png", b"x", "depth")])
def test_bad_compressed_images_are_refused(fmt, data, words):
    with pytest.raises(conversions.ImageError, match=words):
        conversions.image_from_compressed(CompressedImage(format=fmt, data=data))


def test_image_to_msg():
    header = Header(stamp=genpy.Time(5, 6), frame_id="camera")
    msg = conversions.image_to_msg(RGB[:, ::2], header)
    np.testing.assert_array_equal(conversions.image_from_msg(msg), RGB[:, ::2])
    assert msg.header is header
    with pytest.raises(conversions.ImageError, match="float64"):
        conversions.image_to_msg(RGB / 255.0, header)
