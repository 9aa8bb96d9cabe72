"""A device model fitted to measured operator times.

Least squares of relative errors, with coefficients >= 0, in two steps: one throughput and one bandwidth for all
operators; then those of every family, which keep to the common ones as far as the family's operators do not tell.
"""
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
from scipy.optimize import nnls

from intra_dp_ros.loss.device_model import Device, Rate
from intra_dp_ros.loss.operator_work import ARITHMETIC, FAMILIES, VIEW, Work

#: Times are rounded to 0.01 ms: below this one [ms] errors count as errors of this time.
FLOOR_MS = 0.05
#: A rate that is far from the common one counts as much as one operator that is wrong by 10 %: the common one decides
#: only where the operators of a family do not.
_PRIOR = 0.1
_ROUNDS = 4


@dataclass(frozen=True)
class Observed:
    """One measured operator."""

    work: Work
    ms: float  # its kernel's time: while it was called the GPU had other things to do


def call_ms(times: Sequence[float]) -> float:
    """What a call takes the processor, from the times of operators that compute nothing [ms]; 0 without any.

    Such an operator takes what the GPU waits for the call: nothing at all where it is busy.  Therefore the mean is
    weighted by the times themselves.
    """
    total = sum(times)
    return sum(t * t for t in times) / total if total else 0.0


def fit(name: str, call: float, observed: Sequence[Observed]) -> Device:
    """The device whose operators come closest to these.

    Args:
        call: see `call_ms`.
        observed: of any families; those that compute nothing are left out.

    Raises:
        ValueError: too few to tell a throughput from a bandwidth.
    """
    used = [o for o in observed if o.work.family != VIEW]
    works, times = [o.work for o in used], np.array([o.ms for o in used])
    weights = 1.0 / np.maximum(times, FLOOR_MS)
    _, gflop, gb = _common(works, times, weights)
    columns = _columns()
    common = np.array([gflop if what == "flops" else gb for _, what in columns])
    matrix = np.array([[1.0, *(getattr(work, what) / 1e9 if family == work.family else 0.0 for family, what in columns)]
                       for work in works]) * weights[:, None]
    scale = common
    for _ in range(_ROUNDS):  # a difference counts by the larger of the two rates, which is known afterwards
        prior = np.diag(_PRIOR / scale)
        found, _ = nnls(np.vstack((matrix, np.hstack((np.zeros((len(columns), 1)), prior)))),
                        np.concatenate((times * weights, prior @ common)))
        scale = np.maximum(common, found[1:])
    rates = dict(zip(columns, found[1:]))
    return Device(name, call, float(found[0]), {
        family: Rate(float(rates.get((family, "flops"), 0.0)), float(rates[family, "nbytes"])) for family in FAMILIES})


def _columns() -> List[Tuple[str, str]]:
    return [(family, what) for family in FAMILIES for what in ("flops", "nbytes")
            if what == "nbytes" or family in ARITHMETIC]


def _common(works: Sequence[Work], times: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Launch [ms], throughput [ms / 10^9 operations] and bandwidth [ms / 10^9 byte] of all operators together."""
    if len(works) >= 3:
        matrix = np.array([(1.0, work.flops / 1e9, work.nbytes / 1e9) for work in works])
        found, _ = nnls(matrix * weights[:, None], times * weights)
        if found[1] and found[2]:
            return found
    raise ValueError("{} measured operators do not tell a throughput and a bandwidth: give times of a model with large "
                     "convolutions and with large operators between them".format(len(works)))
