"""Between ROS messages and the package's own data: one small pure function per direction.

What came over the network is checked before it is believed: rospy itself accepts lying lengths and has no size cap.
"""
import math
from typing import Any, Callable, Dict, Sequence, Tuple

import genpy
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from intra_dp_ros.apps.tracking import Track
from intra_dp_ros.msg import (BandwidthEstimate, Heartbeat, Keypoint, People, Person, PlanInfo, TensorTile, TileAck,
                              TileAcks)
from intra_dp_ros.srv import (OpenSessionRequest, OpenSessionResponse, PutBlobRequest, PutBlobResponse)
from intra_dp_ros.wire import messages as wire
from intra_dp_ros.wire.codec import MAX_BYTES
from intra_dp_ros.wire.session import MAX_EPOCHS, MAX_PLAN_BYTES, MAX_TEXT_BYTES
from intra_dp_ros.wire.tile import MAX_RANK

MAX_ACKS = 64  # in a message
_MAX_MISSING = 65536  # weights of one graph
_MAX_JSON = 64 << 20  # of a graph or a profile [byte]


class MessageError(ValueError):
    """A message whose fields cannot be right; the message names the field, what was found and what was expected."""


class InputError(ValueError):
    """A sensor message that cannot be used; the message says what was found and what is supported."""


class ImageError(InputError):
    """An image that cannot be decoded; the message says what was found and what is supported."""


# Headers and checks

def _header(stamp: Tuple[int, int], frame_id: str) -> Header:
    return Header(stamp=genpy.Time(*stamp), frame_id=frame_id)


def _stamp(header: Header) -> Tuple[int, int]:
    return header.stamp.secs, header.stamp.nsecs


def _octets(data: Any, field: str, most: int) -> bytes:
    """`data` without a copy when it is bytes already, as rospy delivers it."""
    if len(data) > most:
        raise MessageError("{} has {} bytes, expected at most {}".format(field, len(data), most))
    return data if isinstance(data, bytes) else bytes(data)


def _text(text: str, field: str, most: int = MAX_TEXT_BYTES) -> str:
    if len(text) > most:
        raise MessageError("{} has {} characters, expected at most {}".format(field, len(text), most))
    return text


def _numbers(values: Sequence[int], field: str, most: int) -> Tuple[int, ...]:
    if len(values) > most:
        raise MessageError("{} has {} entries, expected at most {}".format(field, len(values), most))
    return tuple(values)


def _finite(value: float, field: str) -> float:
    if not math.isfinite(value):
        raise MessageError("{} is {}, expected a finite number".format(field, value))
    return value


# What travels on a link

def tile_to_msg(tile: wire.Tile) -> TensorTile:
    """`Tile` -> TensorTile; shares the data."""
    return TensorTile(
        header=_header(tile.stamp, tile.frame_id), version=tile.version, robot_id=tile.robot_id, session=tile.session,
        frame=tile.frame, epoch=tile.epoch, sequence=tile.sequence, tensor=tile.tensor, axis=tile.axis,
        start=tile.start, stop=tile.stop, shape=list(tile.shape), dtype=tile.dtype, codec=tile.codec, more=tile.more,
        sent=tile.sent, busy=tile.busy, crc32=tile.crc32, data=tile.data)


def tile_from_msg(msg: TensorTile) -> wire.Tile:
    """TensorTile -> `Tile`; shares the data.  Whether it is what the plan allows is `wire.tile.decode_tile`'s to say.

    Raises:
        MessageError: a length or number that no tile has.
    """
    return wire.Tile(
        robot_id=_text(msg.robot_id, "robot_id"), session=msg.session, frame=msg.frame, epoch=msg.epoch,
        sequence=msg.sequence, tensor=msg.tensor, axis=msg.axis, start=msg.start, stop=msg.stop,
        shape=_shape(msg), dtype=_text(msg.dtype, "dtype"), codec=_text(msg.codec, "codec"), crc32=msg.crc32,
        data=_octets(msg.data, "data", MAX_BYTES), more=bool(msg.more), sent=_finite(msg.sent, "sent"),
        busy=_finite(msg.busy, "busy"), version=msg.version, stamp=_stamp(msg.header),
        frame_id=_text(msg.header.frame_id, "frame_id"))


def _shape(msg: TensorTile) -> Tuple[int, ...]:
    return _numbers(msg.shape, "shape", MAX_RANK)


def ack_to_msg(ack: wire.Ack) -> TileAck:
    """`Ack` -> TileAck."""
    return TileAck(robot_id=ack.robot_id, session=ack.session, frame=ack.frame, sequence=ack.sequence,
                   bytes=ack.bytes, received=ack.received, accepted=ack.accepted, reason=ack.reason, sent=ack.sent)


def ack_from_msg(msg: TileAck) -> wire.Ack:
    """TileAck -> `Ack`.

    Raises:
        MessageError: a length or number that no acknowledgement has.
    """
    return wire.Ack(robot_id=_text(msg.robot_id, "robot_id"), session=msg.session, frame=msg.frame,
                    sequence=msg.sequence, bytes=msg.bytes, received=_finite(msg.received, "received"),
                    accepted=bool(msg.accepted), reason=_text(msg.reason, "reason"), sent=_finite(msg.sent, "sent"))


def acks_to_msg(acks: Sequence[wire.Ack]) -> TileAcks:
    """Several `Ack` -> TileAcks."""
    return TileAcks(acks=[ack_to_msg(ack) for ack in acks])


def acks_from_msg(msg: TileAcks) -> Tuple[wire.Ack, ...]:
    """TileAcks -> several `Ack`.

    Raises:
        MessageError: more of them than are sent, or a length or number that none has.
    """
    if len(msg.acks) > MAX_ACKS:
        raise MessageError("acks has {} entries, expected at most {}".format(len(msg.acks), MAX_ACKS))
    return tuple(ack_from_msg(ack) for ack in msg.acks)


def heartbeat_to_msg(beat: wire.Heartbeat) -> Heartbeat:
    """`wire.messages.Heartbeat` -> Heartbeat."""
    return Heartbeat(
        header=_header(beat.stamp, beat.frame_id), version=beat.version, robot_id=beat.robot_id, session=beat.session,
        frame=beat.frame, progress=beat.progress, sent=beat.sent, echo=beat.echo, echo_delay=beat.echo_delay,
        epochs=list(beat.epochs), load=beat.load)


def heartbeat_from_msg(msg: Heartbeat) -> wire.Heartbeat:
    """Heartbeat -> `wire.messages.Heartbeat`.

    Raises:
        MessageError: a length or number that no heartbeat has.
    """
    return wire.Heartbeat(
        robot_id=_text(msg.robot_id, "robot_id"), session=msg.session, frame=msg.frame, progress=msg.progress,
        sent=_finite(msg.sent, "sent"), echo=_finite(msg.echo, "echo"),
        echo_delay=_finite(msg.echo_delay, "echo_delay"), epochs=_numbers(msg.epochs, "epochs", MAX_EPOCHS),
        load=_finite(msg.load, "load"), version=msg.version, stamp=_stamp(msg.header),
        frame_id=_text(msg.header.frame_id, "frame_id"))


def plan_to_msg(plan: wire.PlanMessage) -> PlanInfo:
    """`PlanMessage` -> PlanInfo."""
    return PlanInfo(robot_id=plan.robot_id, session=plan.session, epoch=plan.epoch, graph=plan.graph, json=plan.json)


def plan_from_msg(msg: PlanInfo) -> wire.PlanMessage:
    """PlanInfo -> `PlanMessage`.

    Raises:
        MessageError: a length that no plan has.
    """
    return wire.PlanMessage(robot_id=_text(msg.robot_id, "robot_id"), session=msg.session, epoch=msg.epoch,
                            graph=_text(msg.graph, "graph"), json=_text(msg.json, "json", MAX_PLAN_BYTES))


def bandwidth_to_msg(sample: wire.BandwidthSample) -> BandwidthEstimate:
    """`BandwidthSample` -> BandwidthEstimate."""
    return BandwidthEstimate(
        header=_header(sample.stamp, sample.frame_id), robot_id=sample.robot_id, up=sample.up, down=sample.down,
        rtt=sample.rtt, age=sample.age, confidence=sample.confidence, source=sample.source)


def bandwidth_from_msg(msg: BandwidthEstimate) -> wire.BandwidthSample:
    """BandwidthEstimate -> `BandwidthSample`.

    Raises:
        MessageError: a length or number that no estimate has; only `age` may be infinite.
    """
    if math.isnan(msg.age):
        raise MessageError("age is nan, expected a number of seconds")
    return wire.BandwidthSample(
        robot_id=_text(msg.robot_id, "robot_id"), up=_finite(msg.up, "up"), down=_finite(msg.down, "down"),
        rtt=_finite(msg.rtt, "rtt"), age=msg.age, confidence=_finite(msg.confidence, "confidence"),
        source=_text(msg.source, "source"), stamp=_stamp(msg.header), frame_id=_text(msg.header.frame_id, "frame_id"))


# Services

def open_request_to_srv(request: wire.OpenRequest) -> OpenSessionRequest:
    """`OpenRequest` -> request of OpenSession."""
    return OpenSessionRequest(version=request.version, robot_id=request.robot_id, graph=request.graph,
                              graph_json=request.graph_json)


def open_request_from_srv(request: OpenSessionRequest) -> wire.OpenRequest:
    """Request of OpenSession -> `OpenRequest`.

    Raises:
        MessageError: a length that no request has.
    """
    return wire.OpenRequest(robot_id=_text(request.robot_id, "robot_id"), graph=_text(request.graph, "graph"),
                            graph_json=_text(request.graph_json, "graph_json", _MAX_JSON), version=request.version)


def open_reply_to_srv(reply: wire.OpenReply) -> OpenSessionResponse:
    """`OpenReply` -> response of OpenSession."""
    return OpenSessionResponse(
        accepted=reply.accepted, reason=reply.reason, version=reply.version, session=reply.session,
        need_graph=reply.need_graph, missing=list(reply.missing), received=list(reply.received),
        profile_json=reply.profile_json)


def open_reply_from_srv(response: OpenSessionResponse) -> wire.OpenReply:
    """Response of OpenSession -> `OpenReply`.

    Raises:
        MessageError: a length that no reply has.
    """
    if len(response.missing) > _MAX_MISSING:
        raise MessageError("missing has {} entries, expected at most {}".format(len(response.missing), _MAX_MISSING))
    return wire.OpenReply(
        accepted=bool(response.accepted), reason=response.reason, session=response.session,
        need_graph=bool(response.need_graph), missing=tuple(_text(name, "missing") for name in response.missing),
        received=_numbers(response.received, "received", _MAX_MISSING),
        profile_json=_text(response.profile_json, "profile_json", _MAX_JSON), version=response.version)


def blob_request_to_srv(request: wire.BlobRequest) -> PutBlobRequest:
    """`BlobRequest` -> request of PutBlob; shares the data."""
    return PutBlobRequest(robot_id=request.robot_id, sha256=request.sha256, offset=request.offset,
                          total=request.total, data=request.data)


def blob_request_from_srv(request: PutBlobRequest) -> wire.BlobRequest:
    """Request of PutBlob -> `BlobRequest`; shares the data.

    Raises:
        MessageError: a length that no piece has.
    """
    return wire.BlobRequest(
        robot_id=_text(request.robot_id, "robot_id"), sha256=_text(request.sha256, "sha256"), offset=request.offset,
        total=request.total, data=_octets(request.data, "data", MAX_BYTES))


def blob_reply_to_srv(reply: wire.BlobReply) -> PutBlobResponse:
    """`BlobReply` -> response of PutBlob."""
    return PutBlobResponse(accepted=reply.accepted, reason=reply.reason, received=reply.received)


def blob_reply_from_srv(response: PutBlobResponse) -> wire.BlobReply:
    """Response of PutBlob -> `BlobReply`."""
    return wire.BlobReply(accepted=bool(response.accepted), reason=response.reason, received=response.received)


# People

def people_to_msg(people: Sequence[Track], header: Header, frame: int, width: int, height: int, model: str,
                  weights: str) -> People:
    """People in one image and who they are -> People.

    Args:
        header: of the image; kept as it is.
        frame: the robot's frame number.
        width, height: of the image [pixel].
        model: its name.
        weights: "pretrained" or "random".
    """
    return People(header=header, frame=frame, width=width, height=height, model=model, weights=weights,
                  people=[_person(p) for p in people])


def _person(track: Track) -> Person:
    person = track.person
    x_min, y_min, x_max, y_max = person.box
    return Person(track_id=track.id, track_age=track.age_s, score=person.score, x_min=x_min, y_min=y_min, x_max=x_max,
                  y_max=y_max, keypoints=[Keypoint(name=k.name, x=k.x, y=k.y, score=k.score) for k in person.keypoints])


# Images

def image_from_msg(msg: Image) -> np.ndarray:
    """The picture in a sensor_msgs/Image: uint8 RGB `[H, W, 3]`, C-contiguous, writable.

    Raises:
        ImageError: an encoding that is not in the table, no pixels, or fewer bytes than height and step promise.
    """
    known = _ENCODINGS.get(msg.encoding)
    if known is None:
        raise ImageError("encoding {!r:.60} is not supported; supported are: {}".format(
            msg.encoding, ", ".join(_ENCODINGS)))
    pixel_bytes, convert = known
    if msg.height == 0 or msg.width == 0:
        raise ImageError("a {} image of {}x{} has no pixels".format(msg.encoding, msg.width, msg.height))
    row = msg.width * pixel_bytes
    if msg.step < row:
        raise ImageError("step is {} bytes, but {} pixels of {} take {}".format(
            msg.step, msg.width, msg.encoding, row))
    if len(msg.data) < msg.step * (msg.height - 1) + row:  # the last row may come without its padding
        raise ImageError("{} bytes of data, but a {} image of {}x{} with step {} has {}".format(
            len(msg.data), msg.encoding, msg.width, msg.height, msg.step, msg.step * msg.height))
    data = np.frombuffer(msg.data, np.uint8)
    rows = np.lib.stride_tricks.as_strided(data, (msg.height, row), (msg.step, 1), writeable=False)
    out = convert(rows.reshape(msg.height, msg.width, pixel_bytes), bool(msg.is_bigendian))
    return np.array(out, dtype=np.uint8, order="C")


def image_from_compressed(msg: CompressedImage) -> np.ndarray:
    """The picture in a sensor_msgs/CompressedImage (JPEG, PNG ...): uint8 RGB `[H, W, 3]`.

    Raises:
        ImageError: not a picture that OpenCV can read, or OpenCV is missing.
    """
    _cv2("compressed images")
    from intra_dp_ros.wire.picture import PictureError, decode_picture  # needs OpenCV
    if "compressedDepth" in msg.format:
        raise ImageError("format {!r:.60} is a depth image, expected a compressed colour image".format(msg.format))
    if not msg.data:
        raise ImageError("a compressed image without any data")
    try:
        return decode_picture(msg.data)
    except PictureError as error:
        raise ImageError("a compressed image of format {!r:.60}: {}".format(msg.format, error)) from None


def image_to_msg(rgb: np.ndarray, header: Header) -> Image:
    """uint8 RGB `[H, W, 3]` -> sensor_msgs/Image (rgb8) with this header.

    Raises:
        ImageError: not such an array.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ImageError("an array {} of shape {}, expected uint8 of shape [H, W, 3]".format(rgb.dtype, rgb.shape))
    return Image(header=header, height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", is_bigendian=0,
                 step=rgb.shape[1] * 3, data=rgb.tobytes())


def _cv2(what: str) -> Any:
    # Only here: cameras that send rgb8 or bgr8 work without OpenCV.
    try:
        import cv2
    except ImportError as error:
        raise ImageError("{} need OpenCV: install python3-opencv ({})".format(what, error)) from None
    return cv2


def _swapped(pixels: np.ndarray, _: bool) -> np.ndarray:
    try:
        cv2 = _cv2("")
    except ImageError:
        return pixels[:, :, ::-1]
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2RGB)  # ten times as fast


def _grey16(pixels: np.ndarray, big_endian: bool) -> np.ndarray:
    return np.repeat(pixels[:, :, :1] if big_endian else pixels[:, :, 1:], 3, axis=2)  # the high byte is value >> 8


def _with_cv2(code: str) -> Callable[[np.ndarray, bool], np.ndarray]:
    def convert(pixels: np.ndarray, _: bool) -> np.ndarray:
        cv2 = _cv2("images to be converted with {}".format(code))
        if pixels.shape[2] == 2 and pixels.shape[1] % 2:
            raise ImageError("a yuv422 image of {}x{}, expected an even width: two pixels share their colour".format(
                pixels.shape[1], pixels.shape[0]))
        plain = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        try:
            return cv2.cvtColor(plain, getattr(cv2, code))
        except cv2.error as error:
            raise ImageError("OpenCV cannot convert an image of {}x{} with {}: {}".format(
                pixels.shape[1], pixels.shape[0], code, error)) from None
    return convert


#: encoding -> (bytes of a pixel, (uint8 pixels `[H, W, bytes]`, is_bigendian) -> RGB `[H, W, 3]`).  8UC1 is taken for
#: grey and 8UC3 for BGR, as OpenCV has them.  OpenCV names Bayer patterns by the pixels of the second row and column.
_ENCODINGS: Dict[str, Tuple[int, Callable[[np.ndarray, bool], np.ndarray]]] = {
    "rgb8": (3, lambda p, _: p),
    "bgr8": (3, _swapped),
    "rgba8": (4, lambda p, _: p[:, :, :3]),
    "bgra8": (4, lambda p, _: p[:, :, 2::-1]),
    "mono8": (1, lambda p, _: np.repeat(p, 3, axis=2)),
    "mono16": (2, _grey16),
    "8UC1": (1, lambda p, _: np.repeat(p, 3, axis=2)),
    "8UC3": (3, _swapped),
    "bayer_rggb8": (1, _with_cv2("COLOR_BayerBG2RGB")),
    "bayer_bggr8": (1, _with_cv2("COLOR_BayerRG2RGB")),
    "bayer_gbrg8": (1, _with_cv2("COLOR_BayerGR2RGB")),
    "bayer_grbg8": (1, _with_cv2("COLOR_BayerGB2RGB")),
    "yuv422": (2, _with_cv2("COLOR_YUV2RGB_UYVY")),
    "yuv422_yuy2": (2, _with_cv2("COLOR_YUV2RGB_YUY2")),
}
