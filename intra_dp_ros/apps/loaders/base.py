"""What every loader takes and gives, and the reading of weights files."""
import difflib
from dataclasses import dataclass
from typing import List, Mapping, Optional, Tuple

import torch

PRETRAINED, RANDOM = "pretrained", "random"


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
    labels: Tuple[str, ...] = ()  # of a classifier's classes, where they are known


@dataclass(frozen=True)
class Request:
    """What the caller asked for."""

    name: str  # the whole name
    rest: str  # what follows the first colon of the name
    weights: str  # an existing file, or empty
    size: Optional[Tuple[int, int]]  # height, width [pixel]
    shape: Optional[Tuple[int, ...]]  # of the whole input; not together with `size`
    dtype: Optional[str]  # of the input
    seed: int  # of random weights

    def fixed(self, shape: Tuple[int, ...], dtype: str = "uint8") -> InputSpec:
        """The only input there is.

        Raises:
            ModelError: another one was asked for.
        """
        if (self.size is not None or self.shape not in (None, shape)) or self.dtype not in (None, dtype):
            raise ModelError("model {!r} takes {} {} and nothing else: leave size, shape and dtype out".format(
                self.name, dtype, list(shape)))
        return InputSpec(shape, dtype)


def load_weights(module: torch.nn.Module, name: str, weights: str) -> Tuple[str, str]:
    """Put a state dict from a local file into the module; without a file it keeps its random weights.

    The file is read with `weights_only`: tensors and plain containers, no code in it is run.

    Returns:
        `LoadedModel.weights` and `LoadedModel.weights_note`.

    Raises:
        ModelError: no state dict, or one of another network; the message names the first tensor that does not fit.
    """
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
    put_state(module, name, weights, state)
    return PRETRAINED, weights


def put_state(module: torch.nn.Module, name: str, weights: str, state: Mapping[str, torch.Tensor]) -> None:
    """Copy the tensors of `state` into the module; more of them than it has are allowed.

    Raises:
        ModelError: a tensor is missing or has another shape.
    """
    for key, tensor in module.state_dict().items():
        if key not in state:
            raise ModelError("weights file {} does not fit model {!r}: it has no tensor {!r} of shape {}".format(
                weights, name, key, list(tensor.shape)))
        shape = getattr(state[key], "shape", None)
        if shape != tensor.shape:
            raise ModelError("weights file {} does not fit model {!r}: tensor {!r} has shape {}, the model needs {}"
                             .format(weights, name, key, None if shape is None else list(shape), list(tensor.shape)))
    module.load_state_dict(state, strict=False)


def nearest(name: str, names: List[str]) -> str:
    """``(did you mean ...?)`` where a name is close, else nothing."""
    close = difflib.get_close_matches(name, names, 1, 0.4)
    return " (did you mean {!r}?)".format(close[0]) if close else ""
