"""Models by name.

| name | input | what it gives |
|---|---|---|
| `movenet-multipose` | uint8 image, default 480x640 | up to 6 people, 17 keypoints each |
| `centernet` | uint8 image, default 512x512 | boxes of up to 100 objects of COCO's 80 classes |
| `torchvision:NAME` | uint8 image(s) or float32, default 224x224 | what torchvision's model gives |
| `kapao-style` | uint8 `[1, 3, 640, 960]` | up to 100 people and keypoints; random weights (`kapao-style:raw`: all) |
| `kapao:DIR` | uint8 `[1, 3, 640, 960]` | the same, from the user's KAPAO checkout and weights |
| `sconet-style` | uint8 `[1, 1, 256, 32, 256]` | classes of the volume; random weights (`sconet-style:attention`) |
| `module:FACTORY` | as the factory says | what your model gives: `module:my_package.my_file:make_model` |

Images are uint8 `[1, height, width, 3]`, RGB, 0..255, unless the shape says `[1, 3, height, width]`; scaling and
normalisation happen inside the model, so that a recorded graph starts at the bytes of the image: four times fewer to
transmit than float32, and exact.
"""
import os
from typing import Callable, Dict, Optional, Sequence

import torch

from intra_dp_ros.apps.loaders.base import PRETRAINED, RANDOM, InputSpec, LoadedModel, ModelError, Request, nearest
from intra_dp_ros.apps.loaders.factory import load_factory
from intra_dp_ros.apps.loaders.networks import load_completion, load_kapao, load_people
from intra_dp_ros.apps.loaders.vision import load_vision
from intra_dp_ros.apps.loaders.zoo import ZOO, load_zoo
from intra_dp_ros.graph.registry import TORCH_DTYPE

__all__ = ["DEFAULT_MODEL", "NAMES", "PRETRAINED", "RANDOM", "InputSpec", "LoadedModel", "ModelError", "load_model"]

DEFAULT_MODEL = "movenet-multipose"
#: Whole names, and kinds that a colon and something of the user's follow.
_WHOLE: Dict[str, Callable[[Request], LoadedModel]] = {
    **{name: load_zoo for name in ZOO}, "kapao-style": load_people, "kapao-style:raw": load_people,
    "sconet-style": load_completion, "sconet-style:attention": load_completion,
    "sconet-style:measured": load_completion, "kapao": load_kapao,
}
_KINDS: Dict[str, Callable[[Request], LoadedModel]] = {
    "torchvision": load_vision, "module": load_factory, "kapao": load_kapao,
}
#: What may be asked for.
NAMES = (*_WHOLE, "kapao:DIR", "torchvision:NAME", "module:PACKAGE.FILE:FACTORY")


def load_model(name: str, weights: str = "", size: Optional[Sequence[int]] = None, seed: int = 0,
               shape: Optional[Sequence[int]] = None, dtype: Optional[str] = None, kapao_dir: str = "") -> LoadedModel:
    """Load a model by name.

    Args:
        name: see the table above.
        weights: a file instead of the default one: the `.bin` of a TensorFlow.js model, or for torch models a state
            dict (tensors only, read without running code).
        size: `(height, width)` of the input image; default as in the table.
        seed: of random weights.
        shape: of the whole input, instead of `size`.
        dtype: of the input: "uint8", "float32" ...; default as in the table.
        kapao_dir: checkout of KAPAO, for the model `kapao`; the same as `kapao:DIR`.

    Raises:
        ModelError: unknown name, an input or weights file that does not fit, missing library.
    """
    if size is not None and shape is not None:
        raise ModelError("give size or shape of the input of model {!r}, not both".format(name))
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ModelError("size must be (height, width) in pixels, got {}".format(tuple(size)))
    if shape is not None and (not len(shape) or min(shape) < 1):
        raise ModelError("shape must be positive numbers such as (1, 3, 224, 224), got {}".format(tuple(shape)))
    if dtype is not None and dtype not in TORCH_DTYPE:
        raise ModelError("no element type {!r}; there are: {}".format(dtype, ", ".join(TORCH_DTYPE)))
    weights = os.path.expanduser(weights)
    if weights and not os.path.isfile(weights):
        raise ModelError("weights file {} of model {!r} does not exist{}".format(
            weights, name, "" if os.path.isabs(weights) else " in {}: give its whole path".format(os.getcwd())))
    kind, _, rest = name.partition(":")
    loader = _WHOLE.get(name) or (_KINDS.get(kind) if rest else None)
    if loader is None:
        raise ModelError("no model {!r}{}; there are: {}".format(name, nearest(name, list(_WHOLE)), ", ".join(NAMES)))
    request = Request(name, rest or kapao_dir, weights, None if size is None else (int(size[0]), int(size[1])),
                      None if shape is None else tuple(int(n) for n in shape), dtype, seed)
    with torch.random.fork_rng(devices=[]):  # the application's random numbers stay as they were
        torch.manual_seed(seed)
        return loader(request)
