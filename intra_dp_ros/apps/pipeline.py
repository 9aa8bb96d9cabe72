"""A named model on camera images: fit the image to it, make people of what it gives."""
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch

from intra_dp_ros.apps.models import LoadedModel
from intra_dp_ros.apps.people import PersonDetection, decode
from intra_dp_ros.graph.record import Recording, RecordingError, record
from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.wire.picture import Letterbox, preprocess
from intra_dp_ros.wire.source import Source

_KAPAO_GREY = 114  # of its training images where they do not fill the input; the other models' is black


class ImageModel:
    """What happens to an image before and after the model.

    Args:
        model: with one uint8 image `[1, H, W, 3]` or `[1, 3, H, W]` as its input.
        threshold: least score of a person, 0..1; below 0: the model's own.

    Raises:
        ValueError: the model does not take one image.
    """

    def __init__(self, model: LoadedModel, threshold: float = -1.0) -> None:
        self.model = model
        self._threshold = threshold if threshold >= 0.0 else model.threshold
        self.size, self._is_planar = _image_layout(model)
        self.fill = _KAPAO_GREY if self._is_planar else 0

    def prepare(self, rgb: np.ndarray) -> Tuple[Tuple[torch.Tensor, ...], Letterbox]:
        """The model's inputs for an image (uint8 `[H, W, 3]`), and the way back to its pixels."""
        fitted, fit = preprocess(rgb, self.size, self.fill)
        if self._is_planar:
            fitted = fitted.transpose(0, 3, 1, 2)
        return (torch.from_numpy(np.ascontiguousarray(fitted)),), fit

    def source(self, data: bytes) -> Optional[Source]:
        """How the server comes to the same input from the encoded image; None where the bytes are no JPEG."""
        return Source(data, self.size, self.fill, self._is_planar) if data[:2] == b"\xff\xd8" else None

    def people(self, outputs: Sequence[torch.Tensor], fit: Letterbox) -> List[PersonDetection]:
        """The people in the model's outputs, best first; none where its outputs are not people."""
        if not self.model.decode:
            return []
        return decode(self.model.decode, [out.numpy() for out in outputs], fit, self._threshold)

    def unsplit(self, rgb: np.ndarray) -> List[PersonDetection]:
        """The people in an image (uint8 `[H, W, 3]`), by the model as it is, in this process."""
        inputs, fit = self.prepare(rgb)
        with torch.inference_mode():
            outputs = self.model.module(*inputs)
        return self.people(outputs if isinstance(outputs, (tuple, list)) else (outputs,), fit)


def _image_layout(model: LoadedModel) -> Tuple[Tuple[int, int], bool]:
    """Height and width of a model's input image, and whether its channels come first.

    Raises:
        ValueError: its input is not one uint8 image.
    """
    spec = model.input_specs[0] if len(model.input_specs) == 1 else None
    if spec is not None and spec.dtype == "uint8" and len(spec.shape) == 4 and spec.shape[0] == 1:
        if spec.shape[3] == 3:
            return (spec.shape[1], spec.shape[2]), False
        if spec.shape[1] == 3:
            return (spec.shape[2], spec.shape[3]), True
    raise ValueError("model {!r} does not take one uint8 image [1, H, W, 3] or [1, 3, H, W] but {}: use it from Python"
                     .format(model.name, [(s.shape, s.dtype) for s in model.input_specs]))


def record_model(model: LoadedModel) -> Recording:
    """The graph of a model, recorded with zeros.

    Raises:
        RecordingError: the model, or the end of it, cannot be recorded: a node has none of its code to go on with.
    """
    recording = record(model.module, tuple(torch.zeros(s.shape, dtype=TORCH_DTYPE[s.dtype])
                                           for s in model.input_specs))
    if recording.tail is not None:
        raise RecordingError("model {!r} cannot run in a node, only from Python: {}".format(
            model.name, recording.tail.sentence))
    return recording
