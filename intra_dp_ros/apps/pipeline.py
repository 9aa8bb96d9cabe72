"""From an image to people: preprocess, split inference, decode."""
import time
from dataclasses import dataclass
from typing import Callable, List, Tuple

import numpy as np
import torch

from intra_dp_ros.apps.models import LoadedModel
from intra_dp_ros.apps.people import PersonDetection, decode, preprocess
from intra_dp_ros.graph.record import Recording, RecordingError, record
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.stats import Inference


@dataclass(frozen=True)
class Answer:
    """What is known of one image."""

    people: List[PersonDetection]
    inference: Inference
    inputs: Tuple[torch.Tensor, ...]  # what the model was given
    decode_s: float  # decoding the outputs


class ImagePipeline:
    """A named model on camera images.

    Args:
        model: with one uint8 image `[1, H, W, 3]` as its input.
        robot: runs the recorded model.
        threshold: least score of a person; None: the model's own.

    Raises:
        ValueError: the model does not take one image.
    """

    def __init__(self, model: LoadedModel, robot: Robot, threshold: float = -1.0) -> None:
        self.model = model
        self.robot = robot
        self._threshold = threshold if threshold >= 0.0 else model.threshold
        self._size = image_size(model)

    def __call__(self, rgb: np.ndarray, stamp: Tuple[int, int] = (0, 0), frame_id: str = "",
                 started: Callable[[], None] = lambda: None) -> Answer:
        """People in an image.

        Args:
            rgb: uint8 `[H, W, 3]`.
            stamp, frame_id: of the sensor message.
            started: called when the image is ready for the model.
        """
        fitted, fit = preprocess(rgb, self._size)
        inputs = (torch.from_numpy(np.ascontiguousarray(fitted)),)
        started()
        inference = self.robot.infer(inputs, stamp, frame_id)
        began = time.perf_counter()
        people: List[PersonDetection] = []
        if self.model.decode:
            people = decode(self.model.decode, [out.numpy() for out in inference.outputs], fit, self._threshold)
        return Answer(people, inference, inputs, time.perf_counter() - began)


def image_size(model: LoadedModel) -> Tuple[int, int]:
    """Height and width of a model's input image.

    Raises:
        ValueError: its input is not one uint8 image.
    """
    spec = model.input_specs[0] if len(model.input_specs) == 1 else None
    if spec is None or spec.dtype != "uint8" or len(spec.shape) != 4 or spec.shape[0] != 1 or spec.shape[3] != 3:
        raise ValueError("model {!r} does not take one uint8 image [1, H, W, 3] but {}: use it from Python".format(
            model.name, [(s.shape, s.dtype) for s in model.input_specs]))
    return spec.shape[1], spec.shape[2]


def record_model(model: LoadedModel) -> Recording:
    """The graph of an image model, recorded with a black image.

    Raises:
        RecordingError: the model, or the end of it, cannot be recorded: a node has none of its code to go on with.
    """
    height, width = image_size(model)
    recording = record(model.module, (torch.zeros((1, height, width, 3), dtype=torch.uint8),))
    if recording.tail is not None:
        raise RecordingError("model {!r} cannot run in a node, only from Python: {}".format(
            model.name, recording.tail.sentence))
    return recording
