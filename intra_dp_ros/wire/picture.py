"""Pictures as models take them: decoding a JPEG, fitting an image into a model's input.

Here, and not with the applications, because the server does the same to a picture that travelled as it was (codec
`source`): both sides must come to the same pixels, so there is one function.  Needs OpenCV.
"""
import struct
from dataclasses import dataclass
from typing import Sequence, Tuple

import cv2
import numpy as np

_MOST_PIXELS = 40000000  # of a picture that a stranger may have decoded
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's "start of frame" in all its kinds


class PictureError(ValueError):
    """Bytes that are no picture; the message says what was found."""


@dataclass(frozen=True)
class Letterbox:
    """How an image was fitted into a model's input: scaled by one factor, centred, the rest one grey."""

    image_size: Tuple[int, int]  # height, width [pixel] of the application's image
    model_size: Tuple[int, int]  # height, width [pixel] of the model's input
    scale_x: float  # model pixels per image pixel; equal to scale_y up to rounding to whole pixels
    scale_y: float
    left: int  # [pixel] of the model's input
    top: int

    def to_image(self, x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Points in the model's input -> points in the image, clipped to it."""
        height, width = self.image_size
        return (np.clip((np.asarray(x) - self.left) / self.scale_x, 0.0, width),
                np.clip((np.asarray(y) - self.top) / self.scale_y, 0.0, height))

    def to_model(self, x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Points in the image -> points in the model's input."""
        return np.asarray(x) * self.scale_x + self.left, np.asarray(y) * self.scale_y + self.top


def letterbox(image_size: Sequence[int], model_size: Sequence[int]) -> Letterbox:
    """The fit of an image of `(height, width)` into a model input of `(height, width)`.

    Raises:
        ValueError: a size is not positive.
    """
    height, width = int(image_size[0]), int(image_size[1])
    model_height, model_width = int(model_size[0]), int(model_size[1])
    if min(height, width, model_height, model_width) < 1:
        raise ValueError("sizes must be positive, got image {}x{} and model {}x{}".format(
            height, width, model_height, model_width))
    scale = min(model_height / height, model_width / width)
    new_height, new_width = max(1, int(round(height * scale))), max(1, int(round(width * scale)))
    return Letterbox((height, width), (model_height, model_width), new_width / width, new_height / height,
                     (model_width - new_width) // 2, (model_height - new_height) // 2)


def preprocess(rgb: np.ndarray, size: Sequence[int], fill: int = 0) -> Tuple[np.ndarray, Letterbox]:
    """Fit an image to the model.

    Args:
        rgb: uint8 `[H, W, 3]`.
        size: `(height, width)` of the model's input.
        fill: grey of what the image does not cover, 0..255.

    Returns:
        uint8 `[1, height, width, 3]` and the way back.

    Raises:
        TypeError: `rgb` is no uint8 image with three channels.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise TypeError("expected a uint8 RGB image [H, W, 3], got {} {}".format(rgb.dtype, list(rgb.shape)))
    fit = letterbox(rgb.shape[:2], size)
    height, width = fit.model_size
    new_height, new_width = int(round(fit.image_size[0] * fit.scale_y)), int(round(fit.image_size[1] * fit.scale_x))
    if (new_height, new_width) != rgb.shape[:2]:
        # Area averaging keeps thin limbs from aliasing when the image shrinks a lot.
        method = cv2.INTER_AREA if fit.scale_x < 0.5 else cv2.INTER_LINEAR
        rgb = cv2.resize(rgb, (new_width, new_height), interpolation=method)
    if (new_height, new_width) == (height, width):
        return np.ascontiguousarray(rgb)[None], fit
    out = np.full((1, height, width, 3), fill, np.uint8)
    out[0, fit.top:fit.top + new_height, fit.left:fit.left + new_width] = rgb
    return out, fit


def decode_picture(data: bytes) -> np.ndarray:
    """uint8 RGB `[H, W, 3]` of an encoded picture (JPEG, PNG ...), as it was stored, whatever its orientation tag says.

    Raises:
        PictureError: OpenCV cannot decode it.
    """
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise PictureError("OpenCV cannot decode {} bytes: {}".format(len(data), error)) from None
    if bgr is None:
        raise PictureError("{} bytes are no image that OpenCV can decode".format(len(data)))
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def jpeg_size(data: bytes) -> Tuple[int, int]:
    """Height and width that a JPEG declares, without decoding it.

    Raises:
        PictureError: no JPEG, or more pixels than anybody's camera has.
    """
    if data[:2] != b"\xff\xd8":
        raise PictureError("bytes that begin with {!r}, expected a JPEG".format(bytes(data[:4])))
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
            continue
        length, = struct.unpack_from(">H", data, at + 2)
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            if not 0 < height * width <= _MOST_PIXELS:
                raise PictureError("a JPEG of {}x{}, expected 1 to {} pixels".format(width, height, _MOST_PIXELS))
            return height, width
        at += 2 + length
    raise PictureError("a JPEG of {} bytes without a frame header".format(len(data)))
