"""The published measurements: which files there are, and what was measured on the real robot."""
import csv
import os
from dataclasses import dataclass
from typing import Dict, Tuple

ENVIRONMENTS = ("indoors", "outdoors")


@dataclass(frozen=True)
class Case:
    """One model whose operator times were published."""

    name: str  # in the published files
    model: str  # ours
    shape: Tuple[int, ...]
    dtype: str  # as published
    parameters: str  # for people


CASES = (
    Case("kapao", "kapao-style", (1, 3, 640, 960), "uint8", "77 M"),
    Case("agrnav", "sconet-style:measured", (1, 1, 256, 32, 256), "uint8", "0.35 M"),
    Case("VGG19_BN", "torchvision:vgg19_bn", (1, 3, 224, 224), "float32", "143 M"),
    Case("ConvNeXt_Large", "torchvision:convnext_large", (1, 3, 224, 224), "float32", "198 M"),
)


@dataclass(frozen=True)
class Measured:
    """One row of the published measurements."""

    mean_ms: float
    median_ms: float
    p95_ms: float
    energy_j: float
    mb_sent: float


class Data:
    """A folder with ``device_profiles``, ``bandwidth_traces`` and ``measured_results.csv``.

    Raises:
        FileNotFoundError: something of it is missing, named.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        needed = [self.profile(case) for case in CASES] + [self.trace(e) for e in ENVIRONMENTS]
        results = os.path.join(folder, "measured_results.csv")
        for path in (*needed, results):
            if not os.path.isfile(path):
                raise FileNotFoundError("{} is missing: the published measurements are not part of the package; name "
                                        "their folder with --data".format(path))
        with open(results, newline="", encoding="utf-8") as file:
            self.measured: Dict[Tuple[str, str, str], Measured] = {
                (row["model"], row["env"], row["method"]): Measured(
                    *(float(row[k]) for k in ("mean_ms", "median_ms", "p95_ms", "J_per_inf", "MB_sent")))
                for row in csv.DictReader(file)}

    def profile(self, case: Case) -> str:
        """Path of a model's operator times."""
        return os.path.join(self._folder, "device_profiles", case.name + ".csv")

    def trace(self, environment: str) -> str:
        """Path of a bandwidth trace."""
        return os.path.join(self._folder, "bandwidth_traces", environment + ".csv")
