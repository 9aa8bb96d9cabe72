"""Frames and results of a bench as ROS messages.

A frame is a sensor_msgs/Image: an rgb8 image where the model takes one, otherwise the tensor's elements as a matrix of
one channel with the tensor's last dimension as its width.  A result is one TensorTile for every output.
"""
from typing import Any, Dict, List, Tuple
from zlib import crc32

import numpy as np
import torch
from sensor_msgs.msg import Image

from intra_dp_ros.bench.frames import is_image
from intra_dp_ros.graph.constants import dtype_name
from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.msg import TensorTile
from intra_dp_ros.ros.conversions import tile_from_msg, tile_to_msg
from intra_dp_ros.wire.messages import Tile
from intra_dp_ros.wire.tile import TileSpec, decode_tile, encode_rows

_ENCODING = {"uint8": "8UC1", "float32": "32FC1", "int32": "32SC1", "int16": "16SC1"}


class FrameError(ValueError):
    """A frame that is not what the model takes; the message says what was found and expected."""


def frame_to_msg(tensor: torch.Tensor, header: Any) -> Image:
    """A model's input as an image message.

    Raises:
        FrameError: elements that no image has.
    """
    shape, dtype = tuple(tensor.shape), dtype_name(tensor)
    if is_image(shape, dtype):
        pixels = tensor[0] if shape[3] == 3 else tensor[0].permute(1, 2, 0)
        height, width, encoding, step = int(pixels.shape[0]), int(pixels.shape[1]), "rgb8", 3 * int(pixels.shape[1])
        data = pixels.contiguous().numpy().tobytes()
    else:
        if dtype not in _ENCODING:
            raise FrameError("a tensor of {}, expected one of {}".format(dtype, ", ".join(_ENCODING)))
        width = shape[-1]
        height, encoding, step = tensor.numel() // width, _ENCODING[dtype], width * tensor.element_size()
        data = tensor.contiguous().numpy().tobytes()
    return Image(header=header, height=height, width=width, encoding=encoding, step=step, is_bigendian=0, data=data)


def frame_from_msg(msg: Image, shape: Tuple[int, ...], dtype: str) -> torch.Tensor:
    """What `frame_to_msg` was given.

    Raises:
        FrameError: an image of another size or encoding.
    """
    image = is_image(shape, dtype)
    if image:
        height, width = shape[1:3] if shape[3] == 3 else shape[2:4]
        expected = (height, width, "rgb8", height * width * 3)
    else:
        size = torch.empty(0, dtype=TORCH_DTYPE[dtype]).element_size()
        expected = (int(np.prod(shape[:-1])), shape[-1], _ENCODING.get(dtype, "?"), int(np.prod(shape)) * size)
    found = (msg.height, msg.width, msg.encoding, len(msg.data))
    if found != expected:
        raise FrameError("a frame of height, width, encoding, bytes {}, expected {}".format(found, expected))
    flat = torch.frombuffer(bytearray(msg.data), dtype=TORCH_DTYPE[dtype])
    if image and shape[3] != 3:
        return flat.view(1, shape[2], shape[3], 3).permute(0, 3, 1, 2).contiguous()
    return flat.view(shape)


def result_to_msgs(outputs: Tuple[torch.Tensor, ...], frame: int, header: Any, robot_id: str) -> List[TensorTile]:
    """One message for every output, the last with ``more`` false."""
    msgs = []
    for index, output in enumerate(outputs):
        data = encode_rows(output, "raw")
        msg = tile_to_msg(Tile(
            robot_id, session=0, frame=frame, epoch=0, sequence=index, tensor=index, axis=-1, start=0, stop=1,
            shape=tuple(output.shape), dtype=dtype_name(output), codec="raw", crc32=crc32(data), data=data,
            more=index + 1 < len(outputs)))
        msg.header = header
        msgs.append(msg)
    return msgs


def output_from_msg(msg: TensorTile) -> torch.Tensor:
    """One output.

    Raises:
        MessageError, TileError: a message that holds something else than it says.
    """
    tile = tile_from_msg(msg)
    specs: Dict[int, TileSpec] = {tile.tensor: TileSpec(tile.tensor, None, tile.shape, tile.dtype, 0, 1, "raw")}
    return decode_tile(tile, specs)
