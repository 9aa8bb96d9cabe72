"""Models that a function of the user makes: ``module:PACKAGE.FILE:FACTORY``."""
import importlib

import torch

from intra_dp_ros.apps.loaders.base import RANDOM, InputSpec, LoadedModel, ModelError, Request, load_weights
from intra_dp_ros.graph.registry import DTYPE_NAME


def load_factory(request: Request) -> LoadedModel:
    """A factory gives a torch module, or `(module, example inputs)` where its input is not an image.

    Raises:
        ModelError: it cannot be imported, fails, or gives something else; another input than its example was asked for.
    """
    name = request.name
    path, _, attribute = request.rest.partition(":")
    try:
        factory = getattr(importlib.import_module(path), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ModelError("model {!r}: cannot import {!r} from {!r}: {}. The name is module:PACKAGE.FILE:FACTORY, and "
                         "the package must be on PYTHONPATH".format(name, attribute, path, error)) from None
    try:
        made = factory()
    except Exception as error:  # the user's own code
        raise ModelError("model {!r}: the factory raised {!r}".format(name, error)) from error
    module, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module):
        raise ModelError("model {!r}: the factory gave a {}, expected a torch.nn.Module or (module, example inputs)"
                         .format(name, type(module).__name__))
    if examples is None:
        shape = request.shape or (1,) + (request.size or (480, 640)) + (3,)
        specs = (InputSpec(shape, request.dtype or "uint8"),)
    else:
        examples = examples if isinstance(examples, (list, tuple)) else (examples,)
        specs = tuple(_spec_of(name, example) for example in examples)
        wanted = InputSpec(request.shape or specs[0].shape, request.dtype or specs[0].dtype)
        if request.size is not None or wanted != specs[0]:
            raise ModelError("model {!r}: its factory fixes the input to {} {}; another size, shape or "
                             "dtype cannot be given"
                             .format(name, specs[0].dtype, list(specs[0].shape)))
    kind, note = load_weights(module, name, request.weights)
    if not request.weights:
        kind, note = RANDOM, "as the factory made them; give a weights file to have them called pretrained"
    return LoadedModel(name, module.eval(), specs, kind, note, "", 0.0)


def _spec_of(name: str, example: object) -> InputSpec:
    if not isinstance(example, torch.Tensor) or example.dtype not in DTYPE_NAME:
        raise ModelError("model {!r}: an example input of its factory is {}, expected tensors of {}".format(
            name, example.dtype if isinstance(example, torch.Tensor) else "a " + type(example).__name__,
            ", ".join(DTYPE_NAME.values())))
    return InputSpec(tuple(example.shape), DTYPE_NAME[example.dtype])
