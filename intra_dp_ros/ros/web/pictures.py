"""Images of ROS topics as JPEGs, of those topics only that somebody looks at.

Threading: `want` may be called from any thread and does not wait.  One thread subscribes and unsubscribes, because the
master may be slow to answer; one more for each topic encodes, and leaves out what it has no time for.
"""
import threading
import time
from typing import Callable, Dict

import cv2
import numpy as np
import rospy
from sensor_msgs.msg import Image

from intra_dp_ros.ros.conversions import ImageError, image_from_msg
from intra_dp_ros.ros.mailbox import Mailbox
from intra_dp_ros.ros.web.jsontext import to_json
from intra_dp_ros.ros.web.wants import Wants

_WIDEST = 1280  # [pixel]; wider images are made smaller: browsers far away are not to fill the robot's link
_BUFFER_BYTES = 2 ** 24  # rospy's default delivers old images

#: Called with a topic and a message for browsers (see `packed`), and with a topic and what is wrong with its images.
Deliver = Callable[[str, bytes], None]
Complain = Callable[[str, str], None]


class Pictures(Wants):
    """Subscribes to the topics that are wanted.

    Args:
        fps: of each topic, at most [Hz].
        quality: of the JPEGs, 1..100.
        deliver, complain: called on the encoding threads.
    """

    def __init__(self, fps: float, quality: int, deliver: Deliver, complain: Complain) -> None:
        self._make: Callable[[str], _Feed] = lambda topic: _Feed(topic, 1.0 / fps, quality, deliver, complain)
        super().__init__("picture_topics")

    def _run(self) -> None:
        feeds: Dict[str, _Feed] = {}
        while True:
            with self._change:
                while self._wanted == feeds.keys() and not self._closed:
                    self._change.wait()
                wanted = frozenset() if self._closed else self._wanted
            for topic in feeds.keys() - wanted:
                feeds.pop(topic).close()
            for topic in wanted - feeds.keys():
                try:
                    feeds[topic] = self._make(topic)
                except OSError as error:  # of the master; it is asked again
                    rospy.logwarn_throttle(10.0, "cannot subscribe to {}: {}".format(topic, error))
                    time.sleep(1.0)
            if self._closed:
                return


class _Feed:
    """One topic: subscription, newest image, encoding thread."""

    def __init__(self, topic: str, period_s: float, quality: int, deliver: Deliver, complain: Complain) -> None:
        self._topic = topic
        self._period_s = period_s
        self._quality = quality
        self._deliver = deliver
        self._complain = complain
        self._newest = Mailbox()
        self._closed = threading.Event()
        self._subscriber = rospy.Subscriber(topic, Image, self._newest.put, queue_size=1, buff_size=_BUFFER_BYTES)
        threading.Thread(target=self._run, name="pictures", daemon=True).start()

    def close(self) -> None:
        """Unsubscribe."""
        self._closed.set()
        self._subscriber.unregister()
        self._newest.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            msg = self._newest.take()
            if msg is None:
                return
            began = time.monotonic()
            try:
                self._deliver(self._topic, packed(self._topic, msg, self._quality))
            except (ImageError, cv2.error) as error:
                self._complain(self._topic, "the images cannot be shown: {}".format(error))
            self._closed.wait(max(0.0, began + self._period_s - time.monotonic()))


def packed(topic: str, msg: Image, quality: int) -> bytes:
    """A line of JSON (topic, stamp [s], width and height [pixel] of the original), then the image as JPEG.

    Raises:
        ImageError: it cannot be decoded.
    """
    rgb = image_from_msg(msg)
    height, width = rgb.shape[:2]
    if width > _WIDEST:
        rgb = cv2.resize(rgb, (_WIDEST, max(1, round(height * _WIDEST / width))), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    about = {"topic": topic, "stamp": msg.header.stamp.to_sec(), "width": width, "height": height}
    return to_json(about).encode() + b"\n" + encoded.tobytes()
