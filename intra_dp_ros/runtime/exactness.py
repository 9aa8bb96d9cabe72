"""How far a split result is from the unsplit model's: the promise of the package, measured."""
from typing import Sequence

import torch

#: What a split result may differ by: the kernels round differently for other tile shapes.
TOLERANCE = 1e-4


def relative_error(outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> float:
    """``max |a - b| / max |b|``, the worst of all outputs; infinite where one is not finite and the other is.

    Raises:
        ValueError: other outputs than the reference has.
    """
    if [tuple(a.shape) for a in outputs] != [tuple(b.shape) for b in reference]:
        raise ValueError("the outputs have shapes {}, the reference {}".format(
            [tuple(a.shape) for a in outputs], [tuple(b.shape) for b in reference]))
    return max((_error(a.double(), b.double()) for a, b in zip(outputs, reference)), default=0.0)


def _error(a: torch.Tensor, b: torch.Tensor) -> float:
    same = (a == b) | (torch.isnan(a) & torch.isnan(b))  # also where both are the same infinity
    if bool(same.all()):
        return 0.0
    difference, scale = (a - b)[~same].abs().max(), b[torch.isfinite(b)].abs()
    error = float(difference / scale.max().clamp_min(1e-30)) if scale.numel() else float("inf")
    return error if error == error else float("inf")
