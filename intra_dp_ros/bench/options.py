"""The options by which every tool names a model, and the model recorded as they say."""
import argparse
from typing import Tuple

import torch

from intra_dp_ros.apps.models import DEFAULT_MODEL, RANDOM, LoadedModel, load_model
from intra_dp_ros.graph.registry import TORCH_DTYPE


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--input``, ``--dtype``, ``--weights``, ``--seed``."""
    parser.add_argument("--model", default=DEFAULT_MODEL, help="model name (default: %(default)s)")
    parser.add_argument("--input", type=shape_of, metavar="SHAPE", help="input shape, as 1x3x224x224")
    parser.add_argument("--dtype", choices=sorted(TORCH_DTYPE), help="input element type (default: the model's)")
    parser.add_argument("--weights", default="", metavar="FILE", help="weights file instead of the default ones")
    parser.add_argument("--seed", type=int, default=0, help="of random weights, inputs and plans (default: 0)")


def shape_of(text: str) -> Tuple[int, ...]:
    """``1x3x224x224`` as numbers.

    Raises:
        argparse.ArgumentTypeError: not such a text.
    """
    try:
        shape = tuple(int(n) for n in text.lower().split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError("{!r} is not a shape such as 1x3x224x224".format(text))
    return shape


def model_of(options: argparse.Namespace) -> LoadedModel:
    """The model that the options name.

    Raises:
        ModelError: see `load_model`.
    """
    return load_model(options.model, options.weights, seed=options.seed, shape=options.input, dtype=options.dtype)


def random_inputs(model: LoadedModel, seed: int) -> Tuple[torch.Tensor, ...]:
    """Inputs of the model's shapes: images of noise, normal values, zeros and ones for volumes of occupancy."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_random(spec.shape, TORCH_DTYPE[spec.dtype], generator) for spec in model.input_specs)


def _random(shape: Tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    top = 256 if dtype == torch.uint8 and len(shape) == 4 else 2
    return torch.randint(0, top, shape, generator=generator).to(dtype)


def fill_zeros(model: LoadedModel) -> None:
    """Give layers that begin at zero small random weights, where weights are random: an output of zeros compares well.

    Models with trained weights stay as they are.
    """
    if model.weights != RANDOM:
        return
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.module.parameters():
            if weight.dim() > 1 and not weight.any():
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
