"""Pretrained people models of the asset table, or a labelled stand-in where they are not in the cache."""
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import torch

from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.apps.loaders.base import PRETRAINED, RANDOM, InputSpec, LoadedModel, ModelError, Request
from intra_dp_ros.apps.standin import StandIn
from intra_dp_ros.apps.tfjs import TfjsError, TfjsModel

FETCH = "python3 -m intra_dp_ros.apps.assets"


@dataclass(frozen=True)
class Zoo:
    """A model of the asset table."""

    size: Tuple[int, int]  # default height, width [pixel]
    multiple: int  # height and width must be multiples of it
    square: bool  # height must equal width
    outputs: Optional[Tuple[str, ...]]  # nodes; None: as the file says
    standin: Tuple[int, int]  # people and columns of the output
    threshold: float


#: 480x640 has the aspect of most cameras; at 256x352 it finds less than half of the people it finds here.
ZOO: Dict[str, Zoo] = {
    "movenet-multipose": Zoo((480, 640), 32, False, None, (6, 56), 0.25),
    # Only the boxes: the two heat maps beside them are 5.5 MB, made to be looked at.
    "centernet": Zoo((512, 512), 32, True, ("tower_0/detections",), (100, 6), 0.4),
}


def load_zoo(request: Request) -> LoadedModel:
    """One of `ZOO`; its input is a uint8 image `[1, height, width, 3]`.

    Raises:
        ModelError: a size or weights file that does not fit.
    """
    name, zoo = request.name, ZOO[request.name]
    if request.dtype not in (None, "uint8") or (request.shape is not None and (
            len(request.shape) != 4 or request.shape[0] != 1 or request.shape[3] != 3)):
        raise ModelError("model {!r} takes uint8 images [1, height, width, 3], got {} {}".format(
            name, request.dtype or "uint8", request.shape and list(request.shape)))
    height, width = request.shape[1:3] if request.shape else request.size or zoo.size
    if height % zoo.multiple or width % zoo.multiple or (zoo.square and height != width):
        raise ModelError("model {!r} takes heights and widths that are {}multiples of {}, got {}x{}".format(
            name, "equal and " if zoo.square else "", zoo.multiple, height, width))
    shape = (1, height, width, 3)
    graph, values = asset_path(name + ".json"), request.weights or asset_path(name + ".bin")
    if graph is None or values is None:
        if request.weights:
            raise ModelError("the weights {} of model {!r} need its graph, which is not in the cache: {}".format(
                request.weights, name, FETCH))
        module: torch.nn.Module = StandIn(shape, zoo.standin[0], zoo.standin[1], request.seed)
        kind = RANDOM
        note = "stand-in network, seed {}: the pretrained model is not in the cache; get it: {}".format(
            request.seed, FETCH)
    else:
        try:
            module = TfjsModel(graph, values, shape, zoo.outputs)
        except (TfjsError, OSError) as error:
            raise ModelError("model {!r}: {}".format(name, error)) from None
        kind, note = PRETRAINED, values
    return LoadedModel(name, module.eval(), (InputSpec(shape, "uint8"),), kind, note, name, zoo.threshold)
