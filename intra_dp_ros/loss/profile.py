"""How long each operator takes on a device: ``t(rows) = a + b * rows``, ``a`` being the cost of a call."""
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Mapping, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.graph.files import write_atomically

VERSION = 1


@dataclass(frozen=True)
class Profile:
    """Fitted times of a graph's operators on one device."""

    graph: str  # Graph.hash
    device: str
    a_ms: Tuple[float, ...]  # per node: cost of a call [ms]
    b_ms: Tuple[float, ...]  # per node: cost of an output row [ms]
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError("profile: version {} is not {}; measure again".format(self.version, VERSION))
        if len(self.a_ms) != len(self.b_ms):
            raise ValueError("profile: {} and {} coefficients; measure again".format(len(self.a_ms), len(self.b_ms)))
        if not all(0 <= c < float("inf") for c in (*self.a_ms, *self.b_ms)):
            raise ValueError("profile: coefficients must be finite and >= 0; measure again")

    def scaled(self, factor: float) -> "Profile":
        """The profile of a device that is `factor` times slower."""
        return replace(self, a_ms=tuple(a * factor for a in self.a_ms), b_ms=tuple(b * factor for b in self.b_ms))

    def frame_ms(self, rows: Sequence[int]) -> float:
        """A whole frame, every operator called once with all its rows [ms]."""
        return sum(a + b * n for a, b, n in zip(self.a_ms, self.b_ms, rows))

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Profile":
        """Read `to_json`'s text.

        Raises:
            ValueError: not such a text.
        """
        try:
            raw = json.loads(text)
            return Profile(str(raw["graph"]), str(raw["device"]), tuple(float(x) for x in raw["a_ms"]),
                           tuple(float(x) for x in raw["b_ms"]), int(raw["version"]))
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a profile: {!r}; measure again".format(error)) from None


def fit(graph: str, device: str, times_by_rows: Sequence[Mapping[int, float]]) -> Profile:
    """Non-negative least squares of ``a + b * rows``.

    Args:
        times_by_rows: per node: rows of a call -> time [ms]; an empty mapping means the operator costs nothing.
    """
    pairs = [_line(np.array(list(t), float), np.array(list(t.values()), float)) for t in times_by_rows]
    return Profile(graph, device, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def _line(rows: np.ndarray, times: np.ndarray) -> Tuple[float, float]:
    if not len(rows):
        return 0.0, 0.0
    spread = rows - rows.mean()
    if not spread.any():  # one row count: all of it is the rows' cost, unless there are none
        return (0.0, float(times.mean() / rows[0])) if rows[0] > 0 else (float(times.mean()), 0.0)
    b = float(spread @ times / (spread @ spread))
    a = float(times.mean() - b * rows.mean())
    if b < 0:  # with two unknowns the constrained optimum lies on the edge that the free one crosses
        return max(0.0, float(times.mean())), 0.0
    if a < 0:
        return 0.0, max(0.0, float(rows @ times / (rows @ rows)))
    return a, b


def load(folder: str, graph: str, device: str) -> Optional[Profile]:
    """The saved profile of a graph on a device, None when there is none.

    Raises:
        ValueError: the file is not a profile of this graph and device.
    """
    path = cache_path(folder, graph, device)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        profile = Profile.from_json(file.read())
    if (profile.graph, profile.device) != (graph, device):
        raise ValueError("{} is a profile of another graph or device; delete it".format(path))
    return profile


def save(folder: str, profile: Profile) -> str:
    """Write a profile where `load` finds it, all or nothing.  Returns its path."""
    path = cache_path(folder, profile.graph, profile.device)
    write_atomically(path, profile.to_json().encode("utf-8"))
    return path


def cache_path(folder: str, graph: str, device: str) -> str:
    """File of the profile of a graph on a device."""
    return os.path.join(folder, "{}-{}.json".format(graph, re.sub(r"[^A-Za-z0-9_.-]", "_", device)))
