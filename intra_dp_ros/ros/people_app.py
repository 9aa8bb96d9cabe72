"""People in camera images."""
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import rospy
import torch
from sensor_msgs.msg import Image

from intra_dp_ros.apps.models import LoadedModel
from intra_dp_ros.apps.people import draw
from intra_dp_ros.apps.pipeline import ImageModel
from intra_dp_ros.apps.tracking import Track, Tracker
from intra_dp_ros.msg import People
from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.application import Application, Job
from intra_dp_ros.ros.camera import Camera, picture
from intra_dp_ros.ros.complaints import Complaints
from intra_dp_ros.wire.picture import Letterbox


@dataclass(frozen=True)
class View:
    """One image on its way through the model."""

    rgb: np.ndarray  # uint8 [H, W, 3]
    fit: Letterbox
    extra: Any = None  # of applications with more input than the image


class PeopleApp(Application):
    """Answers every image with the people in it, and who they are.

    Subscribes:
        image (sensor_msgs/Image), image/compressed (sensor_msgs/CompressedImage): remap either to your camera.
    Publishes:
        people (People): one message for every accepted image, with its stamp and frame_id.
        overlay (sensor_msgs/Image, rgb8): the image with the people drawn in; made only while somebody listens.
    Parameters:
        ~threshold (double, -1): least score of a person, 0..1; -1: the model's default.
        ~image_transport (string, both): which of the two image topics is subscribed to: raw, compressed or both.

    Args:
        model: takes one image.
        threshold, transport: see above.
        patience_s: how long somebody may be out of sight and still be known [s].
        image, overlay: names of the topics.

    Raises:
        ValueError: the model does not take one image.
    """

    def __init__(self, model: LoadedModel, threshold: float, transport: str, patience_s: float = 2.0,
                 image: str = "image", overlay: str = "overlay") -> None:
        self.model = model
        self._images = ImageModel(model, threshold)
        self._tracker = Tracker(patience_s)
        self._names = image, overlay
        self._transport = transport
        self._people_now = 0

    def setup(self, accept: Callable[[Any], None], complaints: Complaints) -> None:
        self._complaints = complaints
        self._people = rospy.Publisher("people", People, queue_size=10)
        self._overlay = rospy.Publisher(self._names[1], Image, queue_size=2)
        self._camera = Camera(self._names[0], self._transport)
        self._camera.start(accept)

    def wanted(self) -> bool:
        return any(p.get_num_connections() for p in (self._people, self._overlay))

    def waits_for(self) -> Tuple[str, str, int]:
        return self._camera.waits_for()

    def banner(self) -> str:
        return "people on {}".format(self._people.resolved_name)

    def values(self) -> Dict[str, Any]:
        return {"people in the last image": self._people_now}

    def prepare(self, item: Any, extra: Any = None) -> Job:
        rgb, data = picture(item)
        inputs, fit = self._images.prepare(rgb)
        return Job(item.header, inputs, View(rgb, fit, extra), self._images.source(data))

    def publish(self, job: Job, outputs: Sequence[torch.Tensor], frame: int) -> List[Track]:
        tracks = self._tracker.update(self._images.people(outputs, job.context.fit), seconds_of(job.header.stamp))
        self._people_now = len(tracks)
        height, width = job.context.rgb.shape[:2]
        self._people.publish(conversions.people_to_msg(tracks, job.header, frame, width, height, self.model.name,
                                                       self.model.weights))
        return tracks

    def paint(self, job: Job, result: List[Track]) -> None:
        if self._overlay.get_num_connections():
            rgb = draw(job.context.rgb, [t.person for t in result], [t.id for t in result])
            self._overlay.publish(conversions.image_to_msg(rgb, job.header))


def seconds_of(stamp: rospy.Time) -> float:
    """For what grows old with time [s]: cameras whose driver leaves the stamp 0 have the time of this machine."""
    return stamp.to_sec() or time.monotonic()
