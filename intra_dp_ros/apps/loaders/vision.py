"""torchvision's models by name, with the steps in front that turn the bytes of an image into what they take.

With dtype uint8 the bytes travel: four times fewer than float32, and exact.  Scaling and normalisation are those that
torchvision's own pretrained weights were trained with (`weights.transforms()`), without its resizing and cropping.
"""
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from intra_dp_ros.apps.detection.fixed_size import Trimmed, make_fixed_size
from intra_dp_ros.apps.loaders.base import InputSpec, LoadedModel, ModelError, Request, load_weights, nearest

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
_MVIT = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
_SIGNED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # to -1..1
_PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # detectors normalise inside


@dataclass(frozen=True)
class Family:
    """Models of torchvision that are called alike."""

    module: str  # of torchvision.models; empty: itself
    size: Tuple[int, int]  # default height, width [pixel]
    frames: int  # of a clip; 0: images
    inputs: int  # tensors of one call
    as_list: bool  # called with a list of images [3, height, width]
    options: Tuple[str, ...]  # parameters of the builder that would download weights, set to None
    mean_std: Tuple[Tuple[float, ...], Tuple[float, ...]]  # of R, G, B in 0..1


FAMILIES: Dict[str, Family] = {
    "classification": Family("", (224, 224), 0, 1, False, (), _IMAGENET),
    "segmentation": Family("segmentation", (224, 224), 0, 1, False, ("weights_backbone",), _IMAGENET),
    "detection": Family("detection", (480, 640), 0, 1, True, ("weights_backbone",), _PLAIN),
    "optical flow": Family("optical_flow", (256, 320), 0, 2, False, (), _SIGNED),
    "video": Family("video", (112, 112), 16, 1, False, (), _KINETICS),
}
#: What a family's model takes that differs from its family.
_SIZES = {"inception_v3": (299, 299), "mvit_v1_b": (224, 224), "mvit_v2_s": (224, 224), "s3d": (224, 224),
          "swin3d_t": (224, 224), "swin3d_s": (224, 224), "swin3d_b": (224, 224)}
_MEAN_STD = {"googlenet": _IMAGENET, "mvit_v1_b": _MVIT, "mvit_v2_s": _MVIT, "swin3d_t": _IMAGENET,
             "swin3d_s": _IMAGENET, "swin3d_b": _IMAGENET}


class VisionInput(torch.nn.Module):
    """Puts images (or clips) in front of a torchvision model.

    Args:
        model: takes float32 `[N, 3, H, W]` (clips: `[N, 3, T, H, W]`).
        family: how it is called.
        mean_std: normalisation of uint8 images; None: the images are float32 as the model takes them.
        channels_last: whether images are `[N, H, W, 3]` (clips: `[N, T, H, W, 3]`).
    """

    def __init__(self, model: torch.nn.Module, family: Family, mean_std: Any, channels_last: bool) -> None:
        super().__init__()
        self.model = model
        self.as_list = family.as_list
        clip = 1 if family.frames else 0
        self.order = (0, 3 + clip) + tuple(range(1, 3 + clip)) if channels_last else ()
        self.takes_bytes = mean_std is not None
        self.is_normalised = mean_std not in (None, _PLAIN)
        if self.is_normalised:
            ones = (1,) * (2 + clip)
            self.register_buffer("mean", torch.tensor(mean_std[0]).reshape(1, 3, *ones))
            self.register_buffer("std", torch.tensor(mean_std[1]).reshape(1, 3, *ones))

    def forward(self, *images: torch.Tensor) -> Any:
        ready = [self._ready(image) for image in images]
        if self.as_list:
            return self.model([image for image in ready[0].unbind(0)])
        return self.model(*ready)

    def _ready(self, image: torch.Tensor) -> torch.Tensor:
        if self.order:
            image = image.permute(self.order)
        if self.takes_bytes:
            image = image.to(torch.float32) / 255.0
        return (image - self.mean) / self.std if self.is_normalised else image


def load_vision(request: Request) -> LoadedModel:
    """``torchvision:NAME`` for every model of torchvision's classification, segmentation, detection, optical flow and
    video families (those in the installed torchvision; quantised ones cannot be recorded).

    Detectors choose their boxes in steps of fixed size (`apps.detection`), so that only these boxes travel; their
    results are torchvision's.

    Inputs are uint8 `[1, H, W, 3]`, or `[1, 3, H, W]` where the shape says so, or float32 `[1, 3, H, W]` as torchvision
    takes it; clips have their frames after the batch (`[1, T, H, W, 3]`) or, channels first, after the channels.

    Raises:
        ModelError: torchvision missing, a name it does not have, an input or a weights file that does not fit.
    """
    name, rest = request.name, request.rest
    try:
        import torchvision
    except Exception as error:  # one made for another torch raises more than ImportError
        raise ModelError("model {!r} needs torchvision, which is not installed for this torch ({}): pip3 install "
                         "torchvision, on Debian 12 apt-get install python3-torchvision".format(name, error)) from None
    found = _builders(torchvision)
    if rest not in found:
        raise ModelError("torchvision {} has no model {!r}{}".format(
            torchvision.__version__, rest, nearest(rest, list(found))))
    family, builder = found[rest]
    spec, channels_last = _input(request, family)
    # weights=None and weights_backbone=None from 0.13 on: nothing is ever downloaded here.
    options: Dict[str, Any] = {option: None for option in family.options}
    if rest in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # slow, and warned about; the weights are random either way
    try:
        module = builder(weights=None, **options)
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError("model {!r} cannot be built: {}".format(name, error)) from None
    kind, note = load_weights(module, name, request.weights)
    mean_std = _MEAN_STD.get(rest, family.mean_std) if spec.dtype == "uint8" else None
    has_places = family.as_list and make_fixed_size(module)
    module = VisionInput(module, family, mean_std, channels_last)
    module = Trimmed(module) if has_places else module
    return LoadedModel(name, module.eval(), (spec,) * family.inputs, kind, note, "", 0.0, _labels(torchvision, rest))


def vision_names() -> List[str]:
    """The models that the installed torchvision has; none without it."""
    try:
        import torchvision
    except Exception:  # see `load_vision`, which says so
        return []
    return sorted(_builders(torchvision))


def _labels(torchvision: Any, name: str) -> Tuple[str, ...]:
    """The classes that torchvision's own weights of a model tell apart; () where they do not say."""
    try:
        return tuple(torchvision.models.get_model_weights(name).DEFAULT.meta.get("categories", ()))
    except (AttributeError, KeyError, ValueError):  # torchvision before 0.14; a model without weights
        return ()


def _builders(torchvision: Any) -> Dict[str, Tuple[Family, Callable]]:
    found = {}
    for family in FAMILIES.values():
        module = getattr(torchvision.models, family.module, None) if family.module else torchvision.models
        for name, value in vars(module).items() if module is not None else ():
            if name.islower() and callable(value) and not name.startswith(("_", "get_", "list_")):
                found[name] = (family, value)
    return found


def _input(request: Request, family: Family) -> Tuple[InputSpec, bool]:
    """The input asked for, and whether its channels come last."""
    dtype = request.dtype or "uint8"
    if dtype not in ("uint8", "float32"):
        raise ModelError("model {!r} takes uint8 images or float32 tensors, not {}".format(request.name, dtype))
    frames: List[int] = [family.frames] if family.frames else []
    size = request.size or _SIZES.get(request.rest, family.size)
    shape: Optional[Tuple[int, ...]] = request.shape
    if shape is None:
        shape = (1, 3, *frames, *size) if dtype == "float32" else (1, *frames, *size, 3)
    channels_last = dtype == "uint8" and shape[-1] == 3
    if len(shape) != 4 + len(frames) or not (channels_last or shape[1] == 3):
        first, last = ("[1, 3, T, H, W]", "[1, T, H, W, 3]") if frames else ("[1, 3, H, W]", "[1, H, W, 3]")
        raise ModelError("model {!r} takes uint8 {}, uint8 {} or float32 {}, got {} {}".format(
            request.name, last, first, first, dtype, list(shape)))
    return InputSpec(shape, dtype), channels_last
