"""A colour camera: raw or compressed images of a topic, and the picture in them."""
import math
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import rospy
from sensor_msgs.msg import CompressedImage, Image

from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.application import remapping

_BACK_S = 0.5
#: What inputs are read with: more than rospy's 64 kB, which make large messages slow; not more, because a thread holds
#: a buffer of this size while it waits.  Subscriptions have no queue_size: whoever is given the messages does not wait,
#: keeps the newest and counts the others, while rospy would drop some without a word.
INPUT_BUFFER_BYTES = 2 ** 20


#: Values of ~image_transport.  With "both", cameras that offer both encode JPEGs although nobody needs them.
TRANSPORTS = ("both", "raw", "compressed")


class Camera:
    """Subscribes to `topic` (sensor_msgs/Image), `topic`/compressed (sensor_msgs/CompressedImage) or both.

    Args:
        topic: as the application names it; users remap it.
        transport: one of TRANSPORTS; of two messages of one image the first is taken.
    """

    def __init__(self, topic: str, transport: str) -> None:
        compressed = topic + "/compressed"
        self.topic = rospy.resolve_name(compressed if transport == "compressed" else topic)
        self._remapping = (remapping("image", compressed, "/your/camera/topic", "/your/camera/topic/compressed")
                           if transport == "compressed" else remapping("image", topic, "/your/camera/topic"))
        self._deliver: Callable[[Any], None] = lambda msg: None
        #: Kind -> stamp of its newest message [s].  Every kind is in it from the start: each has a thread of its own.
        self._newest: Dict[str, float] = {"raw": -math.inf, "compressed": -math.inf}
        self._topics = [(kind, name, cls) for kind, name, cls in (
            ("raw", topic, Image), ("compressed", compressed, CompressedImage)) if transport in ("both", kind)]
        self._subscribers: List[rospy.Subscriber] = []

    def start(self, deliver: Callable[[Any], None]) -> None:
        """Subscribe; `deliver` is called with every message, on rospy's threads."""
        self._deliver = deliver
        self._subscribers = [
            rospy.Subscriber(name, cls, self._receive, kind, buff_size=INPUT_BUFFER_BYTES, tcp_nodelay=True)
            for kind, name, cls in self._topics]

    def _receive(self, msg: Any, kind: str) -> None:
        stamp = msg.header.stamp.to_sec()
        others = [newest for other, newest in self._newest.items() if other != kind]
        self._newest[kind] = stamp
        # Older than what came the other way is the same again; much older, a bag that began again.
        if not any(0.0 < stamp <= newest < stamp + _BACK_S for newest in others):
            self._deliver(msg)

    def waits_for(self) -> Tuple[str, str, int]:
        """See `Application.waits_for`."""
        return self.topic, self._remapping, sum(s.get_num_connections() for s in self._subscribers)


def picture(msg: Any) -> Tuple[np.ndarray, bytes]:
    """The picture in a message of either type, uint8 RGB `[H, W, 3]`, and the encoded original, empty for raw images.

    Raises:
        ImageError: it cannot be decoded.
    """
    if hasattr(msg, "encoding"):
        return conversions.image_from_msg(msg), b""
    return conversions.image_from_compressed(msg), bytes(msg.data)
