"""The networks of `apps.networks`, and KAPAO from the user's own checkout: nothing of KAPAO (GPL-3.0) is in here."""
import importlib
import os
import sys
from typing import Any, Tuple

import torch

from intra_dp_ros.apps.loaders.base import RANDOM, InputSpec, LoadedModel, ModelError, Request, load_weights
from intra_dp_ros.apps.networks.completion_net import HEIGHT, CompletionNet, make_sparse
from intra_dp_ros.apps.networks.people_net import CLASSES, KEYPOINTS, PeopleNet, detections, make_lively

_IMAGE, _VOLUME = (1, 3, 640, 960), (1, 1, 256, HEIGHT, 256)
_CONFIG = os.path.join("models", "yolov5l6.yaml")
_CHECKOUT = "git clone https://github.com/wmcnally/kapao DIR"
_STATE = ("KAPAO's own files hold pickled code, which is not run here: once, inside the checkout, run python3 -c "
          "\"import torch; torch.save(torch.load('kapao_l_coco.pt', map_location='cpu')['model'].float().state_dict(), "
          "'kapao_state.pt')\"")
_THRESHOLD = 0.2  # of a detection's score
_DECODER = "kapao"  # key of people.DECODERS


def load_people(request: Request) -> LoadedModel:
    """`PeopleNet` of the size of KAPAO-L, seeded random weights unless a state dict is given; `:raw`: all predictions.

    Raises:
        ModelError: an input or a weights file that does not fit.
    """
    spec = _image_spec(request)
    module = PeopleNet(raw=request.rest == "raw", score=_THRESHOLD)
    kind, note = _weights(module, request)
    if kind == RANDOM:
        make_lively(module)
    return LoadedModel(request.name, module.eval().fuse(), (spec,), kind, note, "" if module.raw else _DECODER,
                       _THRESHOLD)


def load_completion(request: Request) -> LoadedModel:
    """`CompletionNet`, seeded random weights unless a state dict is given; `:attention`: with criss-cross attention;
    `:measured`: only the operators whose times were published.

    Raises:
        ModelError: an input or a weights file that does not fit.
    """
    shape = request.shape or _VOLUME
    if request.size is not None or request.dtype not in (None, "uint8") or len(shape) != 5 or shape[:2] != (1, 1) \
            or shape[3] != HEIGHT or shape[2] % 8 or shape[4] % 8:
        raise ModelError("model {!r} takes uint8 [1, 1, X, {}, Y] with X and Y multiples of 8, got {} {}".format(
            request.name, HEIGHT, request.dtype or "uint8", list(request.size or shape)))
    module = CompletionNet(request.rest == "attention", 0 if request.rest == "measured" else 3)
    kind, note = _weights(module.eval(), request)
    if kind == RANDOM:
        make_sparse(module)
    return LoadedModel(request.name, module, (InputSpec(shape, "uint8"),), kind, note, "", 0.0)


class Kapao(torch.nn.Module):
    """uint8 image `[1, 3, H, W]` in front of the user's KAPAO, `people_net.detections` behind it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        return detections(self.model(image / 255.0)[0][0], _THRESHOLD, 0.45)


def load_kapao(request: Request) -> LoadedModel:
    """KAPAO-L as the code of the user's checkout builds it, with the state dict that the user names.

    The checkout's code runs in this process: name only a checkout that you trust.  The weights file is read with
    `weights_only`, so no code in it runs.

    Raises:
        ModelError: checkout or weights missing, another network's weights.
    """
    spec, folder = _image_spec(request), os.path.abspath(os.path.expanduser(request.rest))
    if not request.rest or not os.path.isfile(os.path.join(folder, _CONFIG)):
        raise ModelError("model {!r} needs a checkout of KAPAO, and {} has no {}: {}, then kapao:DIR or kapao_dir"
                         .format(request.name, folder if request.rest else "the empty name", _CONFIG, _CHECKOUT))
    if not request.weights:
        raise ModelError("model {!r} needs a weights file. {}".format(request.name, _STATE))
    try:
        model = _import(folder).Model(os.path.join(folder, _CONFIG), ch=3, nc=CLASSES, num_coords=2 * KEYPOINTS)
    except Exception as error:  # the user's own code
        raise ModelError("model {!r}: the code of {} cannot build the network: {!r}. Install what its requirements.txt "
                         "names".format(request.name, folder, error)) from error
    try:
        kind, note = load_weights(model, request.name, request.weights)
    except ModelError as error:
        raise ModelError("{}. {}".format(error, _STATE)) from None
    return LoadedModel(request.name, Kapao(model.eval()).eval(), (spec,), kind, note, _DECODER, _THRESHOLD)


def _import(folder: str) -> Any:
    """`models.yolo` of the checkout, which imports its neighbours by short names."""
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module("models.yolo")
    finally:
        sys.path.remove(folder)
    if not os.path.abspath(module.__file__ or "").startswith(os.path.join(folder, "")):
        raise ModelError("the package models was already imported from {}".format(module.__file__))
    return module


def _image_spec(request: Request) -> InputSpec:
    shape = request.shape or (_IMAGE[:2] + request.size if request.size else _IMAGE)
    if request.dtype not in (None, "uint8") or len(shape) != 4 or shape[:2] != (1, 3) or any(n % 64 for n in shape[2:]):
        raise ModelError("model {!r} takes uint8 [1, 3, H, W] with H and W multiples of 64, got {} {}".format(
            request.name, request.dtype or "uint8", list(shape)))
    return InputSpec(shape, "uint8")


def _weights(module: torch.nn.Module, request: Request) -> Tuple[str, str]:
    if request.weights:
        return load_weights(module, request.name, request.weights)
    return RANDOM, "random, seed {}: no public weights of this network exist; give a state dict".format(request.seed)
