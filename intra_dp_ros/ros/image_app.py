"""Any model on camera images: its outputs as they are, its classes, or what a decoder of the user makes of them."""
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np
import rospy
import torch
from std_msgs.msg import Header

from intra_dp_ros.apps.models import LoadedModel
from intra_dp_ros.apps.pipeline import ImageModel
from intra_dp_ros.graph.registry import DTYPE_NAME
from intra_dp_ros.msg import ClassScores, Outputs, Tensor
from intra_dp_ros.ros.application import Application, Job
from intra_dp_ros.ros.camera import Camera, picture
from intra_dp_ros.ros.complaints import Complaints
from intra_dp_ros.ros.decoder import Decoder, DecoderError


class ImageApp(Application):
    """Answers every image with what the model gives for it.

    Subscribes:
        image (sensor_msgs/Image), image/compressed (sensor_msgs/CompressedImage): remap either to your camera.
    Publishes:
        outputs (Outputs): all outputs as they are, made only while somebody listens.
        classes (ClassScores): the best classes, of models with one output [1, classes].
        decoded (the decoder's type): what the decoder made; only with ~decoder.
    Parameters:
        ~decoder (string, ''): PACKAGE.FILE:FUNCTION, see `ros.decoder`.
        ~top_k (int, 5): classes published.
        ~image_transport (string, both): which of the two image topics is subscribed to: raw, compressed or both.

    Args:
        model: takes one image.
        decoder, top_k, transport: see above.

    Raises:
        ValueError: the model does not take one image.
    """

    def __init__(self, model: LoadedModel, decoder: Optional[Decoder], top_k: int, transport: str) -> None:
        self.model = model
        self._images = ImageModel(model)
        self._decoder = decoder
        self._top_k = top_k
        self._transport = transport

    def setup(self, accept: Callable[[Any], None], complaints: Complaints) -> None:
        self._complaints = complaints
        self._outputs = rospy.Publisher("outputs", Outputs, queue_size=2)
        self._classes = rospy.Publisher("classes", ClassScores, queue_size=10)
        self._publishers = [self._outputs, self._classes]
        if self._decoder is not None:
            self._decoded = rospy.Publisher("decoded", self._decoder.type, queue_size=10)
            self._publishers.append(self._decoded)
        self._camera = Camera("image", self._transport)
        self._camera.start(accept)

    def wanted(self) -> bool:
        return any(p.get_num_connections() for p in self._publishers)

    def waits_for(self) -> Tuple[str, str, int]:
        return self._camera.waits_for()

    def banner(self) -> str:
        return ", ".join("{} on {}".format(words, publisher.resolved_name) for words, publisher in zip(
            ("outputs", "classes", "decoded results"), self._publishers))

    def prepare(self, item: Any) -> Job:
        rgb, data = picture(item)
        inputs, _ = self._images.prepare(rgb)
        return Job(item.header, inputs, rgb, self._images.source(data))

    def publish(self, job: Job, outputs: Sequence[torch.Tensor], frame: int) -> None:
        about = dict(header=job.header, frame=frame, model=self.model.name, weights=self.model.weights)
        if self._outputs.get_num_connections():
            self._outputs.publish(Outputs(tensors=[tensor_to_msg(t) for t in outputs], **about))
        if self._classes.get_num_connections():
            if is_scores(outputs):
                self._classes.publish(ClassScores(**best_classes(outputs[0], self.model.labels, self._top_k), **about))
            else:
                self._complaints.say("somebody listens to {}, but model {} gives {}, not one row of class scores: "
                                     "listen to {}".format(self._classes.resolved_name, self.model.name,
                                                           [list(t.shape) for t in outputs],
                                                           self._outputs.resolved_name))
        if self._decoder is not None:
            self._publish_decoded(outputs, job.context, job.header)

    def _publish_decoded(self, outputs: Sequence[torch.Tensor], rgb: np.ndarray, header: Header) -> None:
        try:
            found = self._decoder([t.numpy() for t in outputs], rgb, header)
        except DecoderError as error:
            self._complaints.say(str(error))
            return
        if found is not None:
            self._decoded.publish(found)


def tensor_to_msg(tensor: torch.Tensor) -> Tensor:
    """A tensor on the CPU as a message."""
    array = np.ascontiguousarray(tensor.numpy())
    return Tensor(dtype=DTYPE_NAME[tensor.dtype], shape=list(tensor.shape), data=array.tobytes())


def is_scores(outputs: Sequence[torch.Tensor]) -> bool:
    """Whether outputs are one row of class scores."""
    return len(outputs) == 1 and outputs[0].dim() == 2 and outputs[0].shape[0] == 1 and outputs[0].shape[1] > 1 \
        and outputs[0].is_floating_point()


def best_classes(scores: torch.Tensor, labels: Sequence[str], count: int) -> dict:
    """The fields of ClassScores that hold classes.

    Args:
        scores: [1, classes].
        labels: of all classes; others than these leave the labels empty.
    """
    row = scores[0].float()
    best = row.argsort(descending=True)[:count]
    names: List[str] = [labels[k] for k in best.tolist()] if len(labels) == len(row) else []
    return {"ids": best.tolist(), "labels": names, "scores": row[best].tolist(),
            "probabilities": row.softmax(0)[best].tolist()}
