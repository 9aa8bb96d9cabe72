"""A graph ready to run on one device: what robot and server both build once and share between frames."""
import logging
import math
import os
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from intra_dp_ros.graph.constants import dtype_name
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.graph import Graph, GraphError
from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss import profile as profiles
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.runtime.comparison import Comparison
from intra_dp_ros.runtime.emulation import EmulatedKernels, Emulate
from intra_dp_ros.runtime.measure import measure

_LOG = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]  # what, done, of


def no_progress(what: str, done: int, total: int) -> None:
    """For callers who do not want to know."""


class Engine:
    """Tiling, kernels and the measured profile of a graph.

    Args:
        graph: recorded, or received and checked.
        weights: constant -> value.
        device: of torch: "cpu", "cuda:0".
        at_once: False: weights are read when a plan needs them, and operators are timed with other values.
        emulate: computing is replaced by waits of these times; `whole` is the model all the same.

    Raises:
        GraphError: an operator that is not installed, a missing weight, or a device that is not there.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, torch.Tensor], device: str = "cpu",
                 at_once: bool = True, emulate: Optional[Emulate] = None) -> None:
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise GraphError("device {!r} is not available: torch {} sees no CUDA; use device cpu".format(
                device, torch.__version__))
        self.graph = graph
        self.device = device
        self.tiling = Tiling(graph)
        self.profile: Optional[Profile] = None if emulate is None else emulate(self.tiling)
        self.is_emulated = emulate is not None
        self.kernels = (Kernels(self.tiling, weights, device, at_once) if self.profile is None
                        else EmulatedKernels(self.tiling, self.profile))
        self._at_once = at_once
        self._weights = weights
        self._whole: Optional[WholeModel] = None
        self._comparison: Optional[Comparison] = None
        self._lock = threading.Lock()

    def check(self, inputs: Sequence[torch.Tensor]) -> None:
        """Raises GraphError: they are not what the graph was recorded for."""
        specs = [(s.shape, s.dtype) for s in map(self.graph.tensors.__getitem__, self.graph.inputs)]
        given = [(tuple(x.shape), dtype_name(x)) for x in inputs]
        if given != specs:
            raise GraphError("the graph was recorded for inputs {} and got {}".format(specs, given))

    def whole(self, inputs: Tuple[torch.Tensor, ...]) -> Tuple[torch.Tensor, ...]:
        """The unsplit model's outputs: what every split result is compared with."""
        with self._lock:
            if self._whole is None:
                self._whole = WholeModel(self.graph, self._weights, self.device)
        return self._whole(*inputs)

    def error(self, inputs: Tuple[torch.Tensor, ...], outputs: Sequence[torch.Tensor]) -> float:
        """How far outputs are from the unsplit model's, see `Comparison.error`."""
        with self._lock:
            if self._comparison is None:
                self._comparison = Comparison(self.graph, self._weights, self.device)
        return self._comparison.error(inputs, outputs)

    def measure(self, folder: str, progress: Progress = no_progress) -> Profile:
        """The profile of this graph on this machine: from `folder`, or measured now and kept there."""
        if self.is_emulated:
            return self.profile
        name = device_name(self.device)
        try:
            self.profile = profiles.load(folder, self.graph.hash, name)
        except ValueError:
            os.unlink(profiles.cache_path(folder, self.graph.hash, name))  # of an older version, or damaged
        if self.profile is None:
            kernels = self.kernels
            if not self._at_once:
                kernels = Kernels(self.tiling, stand_ins(self.graph), self.device)

            def measured(most: int) -> Profile:
                return measure(kernels, self.sample_inputs(most), name,
                               progress=lambda done, total: progress("measuring operators", done, total))
            try:
                self.profile = measured(256)
            except (IndexError, RuntimeError):  # an input that is an index: 0 and 1 mostly are some
                self.profile = measured(2)
            try:
                profiles.save(folder, self.profile)
            except OSError as error:  # a full disk, for example: it is measured anew at the next start
                _LOG.warning("operator times cannot be kept: %s", error)
        return self.profile

    def sample_inputs(self, most: int) -> List[torch.Tensor]:
        """Random inputs of the right kind, the same every time.

        Args:
            most: different values of bytes.
        """
        random = torch.Generator().manual_seed(0)
        return [_sample(self.graph.tensors[t].shape, TORCH_DTYPE[self.graph.tensors[t].dtype], random, most)
                for t in self.graph.inputs]


def _sample(shape: Tuple[int, ...], dtype: torch.dtype, random: torch.Generator, most: int) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.rand(shape, generator=random).to(dtype)
    return torch.randint(0, most if dtype == torch.uint8 else 2, shape, generator=random).to(dtype)


def stand_ins(graph: Graph) -> Dict[str, torch.Tensor]:
    """Values to time operators with while the weights are on their way; the times do not depend on them.

    Each is one number throughout, such that sums over the inputs of a neuron stay of the size of the inputs: neither
    infinite nor denormal, which would take longer.  Integers are 0, an index into anything.
    """
    found = {}
    for name, spec in graph.constants.items():
        value = 1.0 / max(1, math.prod(spec.shape[1:])) if TORCH_DTYPE[spec.dtype].is_floating_point else 0
        found[name] = torch.full(spec.shape, value, dtype=TORCH_DTYPE[spec.dtype])
    return found


def device_name(device: str) -> str:
    """Name of a device in profiles: kind, model, threads, torch version; times of one do not hold for another."""
    kind: Any = torch.device(device)
    if kind.type == "cuda":
        what = "{}-{}".format(str(kind).replace(":", ""), torch.cuda.get_device_name(kind))
    else:
        what = "cpu{}-{}".format(torch.get_num_threads(), _cpu_model())
    return "{}-torch{}".format(what, torch.__version__.split("+")[0])


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.lower().startswith(("model name", "hardware")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return os.uname().machine
