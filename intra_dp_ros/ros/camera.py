"""A colour camera: raw or compressed images of a topic, and the picture in them."""
from typing import Any, Callable, Tuple

import numpy as np
import rospy
from sensor_msgs.msg import CompressedImage, Image

from intra_dp_ros.ros import conversions

_BUFFER_BYTES = 2 ** 24  # rospy's default delivers old images (queue_size 1 or not)


class Camera:
    """Subscribes to `topic` (sensor_msgs/Image) and `topic`/compressed (sensor_msgs/CompressedImage).

    Args:
        topic: as the application names it; users remap it.
        deliver: called with every message, on rospy's threads.
    """

    def __init__(self, topic: str, deliver: Callable[[Any], None]) -> None:
        self.topic = rospy.resolve_name(topic)
        self._argument = topic
        self._subscribers = [
            rospy.Subscriber(name, cls, deliver, queue_size=1, buff_size=_BUFFER_BYTES, tcp_nodelay=True)
            for name, cls in ((topic, Image), (topic + "/compressed", CompressedImage))]

    def waits_for(self) -> Tuple[str, str, int]:
        """See `Application.waits_for`."""
        return (self.topic, "{}:=/your/camera/topic".format(self._argument),
                sum(s.get_num_connections() for s in self._subscribers))


def picture(msg: Any) -> Tuple[np.ndarray, bytes]:
    """The picture in a message of either type, uint8 RGB `[H, W, 3]`, and the encoded original, empty for raw images.

    Raises:
        ImageError: it cannot be decoded.
    """
    if hasattr(msg, "encoding"):
        return conversions.image_from_msg(msg), b""
    return conversions.image_from_compressed(msg), bytes(msg.data)
