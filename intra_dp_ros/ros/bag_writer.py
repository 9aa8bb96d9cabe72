"""A bag of camera images from a video, for demos and tests without a camera."""
import argparse
import os
import sys
from typing import Iterable, Optional, Sequence, Tuple

import genpy
import numpy as np
import rosbag
from sensor_msgs.msg import Image

from intra_dp_ros.bench.bag import open_source

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
    partial, count = path + ".part", 0
    try:
        with rosbag.Bag(partial, "w", compression=compression) as bag:
            for time_s, rgb in frames:
                stamp = genpy.Time.from_sec(_START_S + time_s)
                bag.write(topic, _image(rgb, stamp, frame_id, count), stamp)
                count += 1
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    return count


def _image(rgb: np.ndarray, stamp: genpy.Time, frame_id: str, number: int) -> Image:
    message = Image()
    message.header.seq = number
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    message.height, message.width = rgb.shape[:2]
    message.encoding = "rgb8"
    message.step = rgb.shape[1] * 3
    message.data = rgb.tobytes()
    return message


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make a bag of camera images from a video."""
    parser = argparse.ArgumentParser(prog="make_bag", description=main.__doc__)
    parser.add_argument("bag", help="file to write")
    parser.add_argument("--video", default="", help="video file; default: the pedestrians in the cache")
    parser.add_argument("--seconds", type=float, default=60.0, help="length [s]; a shorter video starts again")
    parser.add_argument("--fps", type=float, default=10.0, help="images a second")
    parser.add_argument("--topic", default=DEFAULT_TOPIC)
    parser.add_argument("--frame-id", default=DEFAULT_FRAME_ID)
    parser.add_argument("--compression", choices=("none", "lz4", "bz2"), default="lz4")
    arguments = parser.parse_args(argv)
    try:
        source = open_source(arguments.video)
        print("images from {}".format(source.label), flush=True)
        count = write_bag(arguments.bag, source.frames(arguments.fps, arguments.seconds), arguments.topic,
                          arguments.frame_id, arguments.compression)
    except (OSError, ValueError) as error:
        print("make_bag: {}".format(error), file=sys.stderr)
        return 1
    print("{}: {} images {}x{} at {:g} Hz on {}, {:.1f} MB".format(
        arguments.bag, count, source.width, source.height, arguments.fps, arguments.topic,
        os.path.getsize(arguments.bag) / 1e6))
    return 0
