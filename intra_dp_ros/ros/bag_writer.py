"""A bag of camera images from a video, for demos and tests without a camera."""
import argparse
import os
import sys
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple

import genpy
import numpy as np
import rosbag
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from intra_dp_ros.apps.models import DEFAULT_MODEL, load_model
from intra_dp_ros.apps.pipeline import ImageModel
from intra_dp_ros.bench.bag import open_source
from intra_dp_ros.bench.depth_scene import TiltedCamera, camera_for, depth_image

DEFAULT_TOPIC = "/camera/color/image_raw"
DEFAULT_FRAME_ID = "camera_color_optical_frame"
_START_S = 1600000000.0  # [s] of the first stamp; fixed, so that the same video gives the same bag


def write_bag(path: str, frames: Iterable[Tuple[float, np.ndarray]], topic: str = DEFAULT_TOPIC,
              frame_id: str = DEFAULT_FRAME_ID, compression: str = "lz4") -> int:
    """Write `sensor_msgs/Image` (rgb8) messages; the number written.

    Args:
        path: of the bag; replaced only when the new one is complete.
        frames: time since the start [s], uint8 RGB `[H, W, 3]`.
        compression: of the bag: "none", "lz4" or "bz2".

    Raises:
        OSError: the bag cannot be written, or the frames not read.
    """
    return write_messages(path, ((time_s, topic, image_message(rgb, frame_id))
                                 for time_s, rgb in frames), compression)


def write_messages(path: str, messages: Iterable[Tuple[float, str, Any]], compression: str = "lz4") -> int:
    """Write messages, stamped; the number of them that are pictures in colour or point clouds.

    Args:
        path, compression: as `write_bag`.
        messages: time since the start [s], topic, message.

    Raises:
        OSError: as `write_bag`.
    """
    partial, count = path + ".part", 0
    try:
        with rosbag.Bag(partial, "w", compression=compression) as bag:
            for time_s, topic, message in messages:
                stamp = genpy.Time.from_sec(_START_S + time_s)
                for header in headers_of(message):
                    header.stamp, header.seq = stamp, count
                bag.write(topic, message, stamp)
                count += isinstance(message, PointCloud2) or getattr(message, "encoding", "") == "rgb8"
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    return count


def headers_of(message: Any) -> List[Header]:
    """All headers in a message of a sensor, or of /tf."""
    return [t.header for t in message.transforms] if isinstance(message, TFMessage) else [message.header]


def rgbd_messages(frames: Iterable[Tuple[float, np.ndarray]], topic: str = DEFAULT_TOPIC,
                  frame_id: str = DEFAULT_FRAME_ID) -> Iterator[Tuple[float, str, Any]]:
    """Messages of a camera with depth: colour, a synthetic depth image, camera_info, and its place in the frame map.

    People are found by the default model; the depth is that of boards standing on a floor, see `bench.depth_scene`.

    Args:
        frames: as of `write_bag`.
        topic: of the colour images; depth and camera_info are beside it, in depth/.

    Raises:
        ModelError: that model cannot be loaded.
    """
    finder = ImageModel(load_model(DEFAULT_MODEL))
    beside = topic.rsplit("/", 2)[0] + "/depth/"
    for number, (time_s, rgb) in enumerate(frames):
        camera = camera_for(*rgb.shape[:2])
        people = finder.unsplit(rgb)
        if number == 0:
            yield time_s, "/tf_static", transform_message(camera, frame_id)
        yield time_s, beside + "camera_info", info_message(camera, frame_id)
        yield time_s, beside + "image_raw", image_message(depth_image(camera, people, number), frame_id)
        yield time_s, topic, image_message(rgb, frame_id)


def image_message(pixels: np.ndarray, frame_id: str) -> Image:
    """uint8 RGB `[H, W, 3]` as rgb8, uint16 `[H, W]` [mm] as 16UC1."""
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding="rgb8" if pixels.ndim == 3 else "16UC1",
                    step=pixels.strides[0], data=pixels.tobytes())
    message.header.frame_id = frame_id
    return message


def info_message(camera: TiltedCamera, frame_id: str) -> CameraInfo:
    """Its calibration."""
    own = camera.intrinsics
    message = CameraInfo(width=own.width, height=own.height, distortion_model="plumb_bob", D=[0.0] * 5,
                         K=[own.fx, 0.0, own.cx, 0.0, own.fy, own.cy, 0.0, 0.0, 1.0],
                         R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                         P=[own.fx, 0.0, own.cx, 0.0, 0.0, own.fy, own.cy, 0.0, 0.0, 0.0, 1.0, 0.0])
    message.header.frame_id = frame_id
    return message


def transform_message(camera: TiltedCamera, frame_id: str, parent: str = "map") -> TFMessage:
    """Where it is."""
    message = TransformStamped(child_frame_id=frame_id)
    message.header.frame_id = parent
    message.transform.translation.z = camera.height_m
    turn = message.transform.rotation
    turn.x, turn.y, turn.z, turn.w = camera.rotation
    return TFMessage([message])


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make a bag of camera images from a video."""
    parser = argparse.ArgumentParser(prog="make_bag", description=main.__doc__)
    parser.add_argument("bag", help="file to write")
    parser.add_argument("--video", default="", help="video file; default: the pedestrians in the cache")
    parser.add_argument("--seconds", type=float, default=60.0, help="length [s]; a shorter video starts again")
    parser.add_argument("--fps", type=float, default=10.0, help="images a second")
    parser.add_argument("--topic", default=DEFAULT_TOPIC)
    parser.add_argument("--frame-id", default=DEFAULT_FRAME_ID)
    parser.add_argument("--depth", action="store_true",
                        help="with synthetic depth images, camera_info and /tf_static beside them")
    parser.add_argument("--compression", choices=("none", "lz4", "bz2"), default="lz4")
    arguments = parser.parse_args(argv)
    try:
        source = open_source(arguments.video)
        print("images from {}".format(source.label), flush=True)
        frames = source.frames(arguments.fps, arguments.seconds)
        if arguments.depth:
            count = write_messages(arguments.bag, rgbd_messages(frames, arguments.topic, arguments.frame_id),
                                   arguments.compression)
        else:
            count = write_bag(arguments.bag, frames, arguments.topic, arguments.frame_id, arguments.compression)
    except (OSError, ValueError) as error:
        print("make_bag: {}".format(error), file=sys.stderr)
        return 1
    print("{}: {} images {}x{} at {:g} Hz on {}, {:.1f} MB".format(
        arguments.bag, count, source.width, source.height, arguments.fps, arguments.topic,
        os.path.getsize(arguments.bag) / 1e6))
    return 0
