"""Models and inputs of a bench: real images and scans where a model takes them, random tensors where it does not."""
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch

from intra_dp_ros.apps.models import LoadedModel, ModelError, load_model
from intra_dp_ros.apps.voxels import GRID, voxelise
from intra_dp_ros.bench.bag import open_source
from intra_dp_ros.bench.clouds import HEIGHT_M, open_clouds
from intra_dp_ros.bench.options import fill_zeros, random_inputs, shape_of
from intra_dp_ros.graph.record import Recording, RecordingError, record
from intra_dp_ros.runtime.exactness import relative_error

_FPS = 2.0  # images, and scans, are so far apart that they differ


def parse_model(text: str) -> Tuple[str, Optional[Tuple[int, ...]]]:
    """``NAME`` or ``NAME@1x224x224x3`` as name and shape of the input; a bare name may be torchvision's.

    Raises:
        ValueError: no such shape.
    """
    name, _, shape = text.partition("@")
    return name, shape_of(shape) if shape else None


def load(text: str, seed: int) -> LoadedModel:
    """The model that ``NAME[@SHAPE]`` says, the same in every process for the same seed.

    Raises:
        ModelError: see `load_model`.
    """
    name, shape = parse_model(text)
    try:
        model = load_model(name, seed=seed, shape=shape)
    except ModelError as error:
        if ":" in name or not str(error).startswith("no model"):
            raise
        try:
            model = load_model("torchvision:" + name, seed=seed, shape=shape)
        except ModelError:
            raise error from None
    if len(model.input_specs) != 1:
        raise ModelError("model {!r} takes {} tensors; a bench's frames are one".format(name, len(model.input_specs)))
    fill_zeros(model)
    return model


def record_whole(model: LoadedModel) -> Recording:
    """The model's graph.

    Raises:
        RecordingError: it, or the end of it, cannot be recorded.
    """
    recording = record(model.module, random_inputs(model, 0))
    if recording.tail is not None:
        raise RecordingError("model {!r} cannot be benched: {}".format(model.name, recording.tail.sentence))
    return recording


def error(outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> float:
    """The relative error of outputs that are numbers; of decisions (classes, indices) the share that differs.

    Where values tie to the last bits, argmax may decide differently, and the class tells nothing of by how little.

    Raises:
        ValueError: other outputs than the reference has.
    """
    decided = [not b.dtype.is_floating_point for b in reference]
    errors = [relative_error([a], [b]) if not whole or a.shape != b.shape else float((a != b).double().mean())
              for a, b, whole in zip(outputs, reference, decided)]
    if len(outputs) != len(reference):
        raise ValueError("{} outputs, the reference has {}".format(len(outputs), len(reference)))
    return max(errors, default=0.0)


def is_image(shape: Tuple[int, ...], dtype: str) -> bool:
    """Whether a model's input is one image, ``[1, H, W, 3]`` or ``[1, 3, H, W]``."""
    return dtype == "uint8" and len(shape) == 4 and shape[0] == 1 and 3 in (shape[1], shape[3])


def make_inputs(model: LoadedModel, count: int, seed: int, is_random: bool = False
                ) -> Tuple[List[torch.Tensor], str]:
    """Inputs for frames, and what they are: images of the video, resized; scans as volumes; random tensors, where
    neither fits or they are asked for."""
    spec = model.input_specs[0]
    if not is_random and (tuple(spec.shape), spec.dtype) == (GRID.shape, "uint8"):
        source = open_clouds()
        clouds = source.clouds(_FPS, count / _FPS)
        return [torch.from_numpy(voxelise(points[:, :3] + np.array([0.0, 0.0, HEIGHT_M], np.float32)))
                for _, points, _ in clouds], source.label
    if is_random or not is_image(spec.shape, spec.dtype):
        return [random_inputs(model, seed + i)[0] for i in range(count)], "random {} tensors".format(spec.dtype)
    channels_last = spec.shape[3] == 3
    height, width = spec.shape[1:3] if channels_last else spec.shape[2:4]
    source = open_source()
    images = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
              for _, image in source.frames(_FPS, count / _FPS)]
    arrays = [image[None] if channels_last else image.transpose(2, 0, 1)[None] for image in images]
    return [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays], "images of {}".format(
        source.label.rsplit("/", 1)[-1])
