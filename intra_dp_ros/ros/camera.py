"""A colour camera: raw or compressed images of a topic, and the picture in them."""
from typing import Any, Callable, Tuple

import numpy as np
import rospy
from sensor_msgs.msg import CompressedImage, Image

from intra_dp_ros.ros import conversions

_BUFFER_BYTES = 2 ** 24  # rospy's default delivers old images (queue_size 1 or not)


#: Values of ~image_transport.  With "both", cameras that offer both encode JPEGs although nobody needs them.
TRANSPORTS = ("both", "raw", "compressed")


class Camera:
    """Subscribes to `topic` (sensor_msgs/Image), `topic`/compressed (sensor_msgs/CompressedImage) or both.

    Args:
        topic: as the application names it; users remap it.
        transport: one of TRANSPORTS; of two messages with one stamp the first is taken.
        deliver: called with every message, on rospy's threads.
    """

    def __init__(self, topic: str, transport: str, deliver: Callable[[Any], None]) -> None:
        compressed = topic + "/compressed"
        self.topic = rospy.resolve_name(compressed if transport == "compressed" else topic)
        self._argument = topic
        self._deliver = deliver
        self._newest: Any = None  # stamp
        self._subscribers = [
            rospy.Subscriber(name, cls, self._receive, queue_size=1, buff_size=_BUFFER_BYTES, tcp_nodelay=True)
            for kind, name, cls in (("raw", topic, Image), ("compressed", compressed, CompressedImage))
            if transport in ("both", kind)]

    def _receive(self, msg: Any) -> None:
        stamp = msg.header.stamp
        if stamp == self._newest and not stamp.is_zero():
            return
        self._newest = stamp
        self._deliver(msg)

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
