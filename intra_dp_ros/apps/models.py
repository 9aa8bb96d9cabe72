"""Models by name.

| name | input | what it gives |
|---|---|---|
| `movenet-multipose` | uint8 image, default 480x640 | up to 6 people, 17 keypoints each |
| `centernet` | uint8 image, default 512x512 | boxes of up to 100 objects of COCO's 80 classes |
| `torchvision:NAME` | uint8 image, default 224x224 | what torchvision's model gives |
| `module:FACTORY` | as the factory says | what your model gives: `module:my_package.my_file:make_model` |

Images are uint8 `[1, height, width, 3]`, RGB, 0..255; scaling and normalisation happen inside the model, so that a
recorded graph starts at the bytes of the image: four times fewer to transmit than float32, and exact.
"""
import difflib
import importlib
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.apps.standin import StandIn
from intra_dp_ros.apps.tfjs import TfjsError, TfjsModel

PRETRAINED, RANDOM = "pretrained", "random"
_FETCH = "python3 -m intra_dp_ros.apps.assets"


class ModelError(ValueError):
    """A model or its weights cannot be loaded; the message names the thing and the remedy."""


@dataclass(frozen=True)
class InputSpec:
    """One input of a model."""

    shape: Tuple[int, ...]
    dtype: str  # torch's name: "uint8", "float32" ...


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run."""

    name: str
    module: torch.nn.Module  # in eval mode, on the CPU
    input_specs: Tuple[InputSpec, ...]
    weights: str  # PRETRAINED or RANDOM
    weights_note: str  # where the weights come from, or why they are random
    decode: str  # key of people.DECODERS; empty: outputs are not people
    threshold: float  # score from which a detection is worth showing, 0..1


@dataclass(frozen=True)
class _Zoo:
    """A model of the asset table."""

    size: Tuple[int, int]  # default height, width [pixel]
    multiple: int  # height and width must be multiples of it
    square: bool  # height must equal width
    outputs: Optional[Tuple[str, ...]]  # nodes; None: as the file says
    standin: Tuple[int, int]  # people and columns of the output
    threshold: float


#: 480x640 has the aspect of most cameras; at 256x352 it finds less than half of the people it finds here.
_ZOO: Dict[str, _Zoo] = {
    "movenet-multipose": _Zoo((480, 640), 32, False, None, (6, 56), 0.25),
    # Only the boxes: the two heat maps beside them are 5.5 MB, made to be looked at.
    "centernet": _Zoo((512, 512), 32, True, ("tower_0/detections",), (100, 6), 0.4),
}
DEFAULT_MODEL = "movenet-multipose"


def load_model(name: str, weights: str = "", size: Optional[Sequence[int]] = None, seed: int = 0) -> LoadedModel:
    """Load a model by name.

    Args:
        name: see the table above.
        weights: a file instead of the default one: the `.bin` of a TensorFlow.js model, or for torch models a state
            dict (tensors only, read without running code).
        size: `(height, width)` of the input image; default as in the table.
        seed: of random weights.

    Raises:
        ModelError: unknown name, size or weights file that does not fit, missing library.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ModelError("size must be (height, width) in pixels, got {}".format(tuple(size)))
    if weights and not os.path.isfile(weights):
        raise ModelError("weights file {} of model {!r} does not exist".format(weights, name))
    kind, _, rest = name.partition(":")
    if name in _ZOO:
        return _load_zoo(name, weights, size, seed)
    if rest and kind in _KINDS:
        with torch.random.fork_rng(devices=[]):  # the application's random numbers stay as they were
            torch.manual_seed(seed)
            return _KINDS[kind](name, rest, weights, size)
    raise ModelError("no model {!r}{}; there are: {}, torchvision:NAME, module:PACKAGE.FILE:FACTORY".format(
        name, _nearest(name, list(_ZOO)), ", ".join(_ZOO)))


def _load_zoo(name: str, weights: str, size: Optional[Sequence[int]], seed: int) -> LoadedModel:
    zoo = _ZOO[name]
    height, width = (int(n) for n in size or zoo.size)
    if height % zoo.multiple or width % zoo.multiple or (zoo.square and height != width):
        raise ModelError("model {!r} takes heights and widths that are {}multiples of {}, got {}x{}".format(
            name, "equal and " if zoo.square else "", zoo.multiple, height, width))
    shape = (1, height, width, 3)
    graph, values = asset_path(name + ".json"), weights or asset_path(name + ".bin")
    if graph is None or values is None:
        if weights:
            raise ModelError("the weights {} of model {!r} need its graph, which is not in the cache: {}".format(
                weights, name, _FETCH))
        module: torch.nn.Module = StandIn(shape, zoo.standin[0], zoo.standin[1], seed)
        kind = RANDOM
        note = "stand-in network, seed {}: the pretrained model is not in the cache; get it: {}".format(seed, _FETCH)
    else:
        try:
            module = TfjsModel(graph, values, shape, zoo.outputs)
        except (TfjsError, OSError) as error:
            raise ModelError("model {!r}: {}".format(name, error)) from None
        kind, note = PRETRAINED, values
    return LoadedModel(name, module.eval(), (InputSpec(shape, "uint8"),), kind, note, name, zoo.threshold)


class ImageInput(torch.nn.Module):
    """Puts a uint8 NHWC image in front of a torchvision model: to 0..1, ImageNet's normalisation, NCHW."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).reshape(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> Any:
        return self.model((image.permute(0, 3, 1, 2).to(torch.float32) / 255.0 - self.mean) / self.std)


def _load_torchvision(name: str, rest: str, weights: str, size: Optional[Sequence[int]]) -> LoadedModel:
    try:
        import torchvision
    except ImportError:
        raise ModelError("model {!r} needs torchvision, which is not installed: apt-get install python3-torchvision"
                         .format(name)) from None
    found = _torchvision_models(torchvision)
    if rest not in found:
        raise ModelError("torchvision {} has no model {!r}{}".format(
            torchvision.__version__, rest, _nearest(rest, list(found))))
    # weights=None and weights_backbone=None from 0.13 on: nothing is ever downloaded here.
    builder = found[rest]
    options = {"weights_backbone": None} if "segmentation" in builder.__module__ else {}
    try:
        module = builder(weights=None, **options)
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError("model {!r} cannot be built: {}".format(name, error)) from None
    kind, note = _torch_weights(module, name, weights)
    shape = (1,) + tuple(int(n) for n in size or (224, 224)) + (3,)
    return LoadedModel(name, ImageInput(module).eval(), (InputSpec(shape, "uint8"),), kind, note, "", 0.0)


def _torchvision_models(torchvision: Any) -> Dict[str, Callable]:
    """Builders of classification and segmentation networks; detectors have steps that depend on the image."""
    found = {}
    for module in (torchvision.models, torchvision.models.segmentation):
        for name, value in vars(module).items():
            if name.islower() and callable(value) and not name.startswith(("_", "get_", "list_")):
                found[name] = value
    return found


def _load_module(name: str, rest: str, weights: str, size: Optional[Sequence[int]]) -> LoadedModel:
    """A factory gives a torch module, or `(module, example inputs)` where its input is not an image."""
    path, _, attribute = rest.partition(":")
    try:
        factory = getattr(importlib.import_module(path), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ModelError("model {!r}: cannot import {!r} from {!r}: {}. The name is module:PACKAGE.FILE:FACTORY, and "
                         "the package must be on PYTHONPATH".format(name, attribute, path, error)) from None
    try:
        made = factory()
    except Exception as error:  # the user's own code
        raise ModelError("model {!r}: the factory raised {!r}".format(name, error)) from error
    module, examples = made if isinstance(made, tuple) else (made, None)
    if not isinstance(module, torch.nn.Module):
        raise ModelError("model {!r}: the factory gave a {}, expected a torch.nn.Module or (module, example inputs)"
                         .format(name, type(module).__name__))
    kind, note = _torch_weights(module, name, weights)
    if examples is None:
        specs = (InputSpec((1,) + tuple(int(n) for n in size or (480, 640)) + (3,), "uint8"),)
    elif size is not None:
        raise ModelError("model {!r}: its factory fixes the input, size cannot be given".format(name))
    else:
        examples = examples if isinstance(examples, (list, tuple)) else (examples,)
        specs = tuple(InputSpec(tuple(x.shape), str(x.dtype).replace("torch.", "")) for x in examples)
    if not weights:
        kind, note = RANDOM, "as the factory made them; give a weights file to have them called pretrained"
    return LoadedModel(name, module.eval(), specs, kind, note, "", 0.0)


def _torch_weights(module: torch.nn.Module, name: str, weights: str) -> Tuple[str, str]:
    if not weights:
        return RANDOM, "random: no weights file was given"
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception:  # torch.load raises nearly anything on a file that is no checkpoint
        raise ModelError("weights file {} is no state dict of tensors; make one with torch.save(model.state_dict(), "
                         "path)".format(weights)) from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping):
        raise ModelError("weights file {} holds a {}, expected a state dict".format(weights, type(state).__name__))
    for key, tensor in module.state_dict().items():
        if key not in state:
            raise ModelError("weights file {} does not fit model {!r}: it has no tensor {!r} of shape {}".format(
                weights, name, key, list(tensor.shape)))
        shape = getattr(state[key], "shape", None)
        if shape != tensor.shape:
            raise ModelError("weights file {} does not fit model {!r}: tensor {!r} has shape {}, the model needs {}"
                             .format(weights, name, key, None if shape is None else list(shape), list(tensor.shape)))
    module.load_state_dict(state, strict=False)
    return PRETRAINED, weights


def _nearest(name: str, names: List[str]) -> str:
    close = difflib.get_close_matches(name, names, 1, 0.4)
    return " (did you mean {!r}?)".format(close[0]) if close else ""


_KINDS: Dict[str, Callable[[str, str, str, Optional[Sequence[int]]], LoadedModel]] = {
    "torchvision": _load_torchvision, "module": _load_module,
}
