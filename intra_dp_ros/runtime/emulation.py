"""Another device, emulated: operators take its times and give tensors of zeros of the right shapes.

Rows travel, plans run and clocks tick as they would with that device; only the values are computed elsewhere, outside
the clock.  A thread that computes follows a clock of its own, which every operator moves on, and sleeps up to it: so
what the executor takes between operators is part of their times, as long as it is less.
"""
import threading
import time
from typing import Any, Callable, List, Sequence

import torch

from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss.profile import Profile

#: What a graph's operators take on the emulated device.
Emulate = Callable[[Tiling], Profile]

_SHORTEST_SLEEP_S = 0.0005  # shorter ones overshoot; they are collected first
_IDLE_S = 0.002  # a clock so far behind belongs to a thread that waited for rows, not to a slow executor


class DeviceClock:
    """When the emulated device would be done, for every thread that computes."""

    def __init__(self) -> None:
        self._local = threading.local()

    def spend(self, seconds: float) -> None:
        """The calling thread has computed for so long."""
        now = time.monotonic()
        done = getattr(self._local, "done", 0.0)
        if now - done > _IDLE_S:
            done = now
        self._local.done = done = done + seconds
        if done - now >= _SHORTEST_SLEEP_S:
            time.sleep(done - now)


class EmulatedKernels(Kernels):
    """Calls of a graph that only take their time.

    Args:
        profile: of the emulated device.
    """

    def __init__(self, tiling: Tiling, profile: Profile) -> None:
        self.tiling = tiling
        self.device = torch.device("cpu")
        clock = DeviceClock()
        self.run = [(_Tile if rule.kind == LOCAL else _Whole)(tiling, v, clock, a / 1e3, b / 1e3)
                    for v, (rule, a, b) in enumerate(zip(tiling.rules, profile.a_ms, profile.b_ms))]

    @staticmethod
    def join(rows: Sequence[torch.Tensor], axis: int) -> torch.Tensor:
        """Copying is part of the operators' times; no memory is written here either."""
        shape = list(rows[0].shape)
        shape[axis] = sum(part.shape[axis] for part in rows)
        return rows[0].new_zeros(1).expand(shape)


class _Tile(TileKernel):
    """A local operator."""

    def __init__(self, tiling: Tiling, v: int, clock: DeviceClock, a_s: float, b_s: float) -> None:
        super().__init__(tiling, v, None, {}, None)
        self._clock, self._a, self._b = clock, a_s, b_s

    def __call__(self, tiles: Tiles, start: int, stop: int) -> Outputs:
        self._clock.spend(self._a + self._b * (stop - start))
        return tuple(_zeros(self.tiling, t, self.tiling.row_shape(t, start, stop)) for t in self.node.outputs)

    def overwriting(self, tensor: int) -> Any:
        """There is nothing to overwrite."""
        return None


class _Whole:
    """A global operator."""

    def __init__(self, tiling: Tiling, v: int, clock: DeviceClock, a_s: float, b_s: float) -> None:
        self._tiling, self._node, self._clock = tiling, tiling.graph.nodes[v], clock
        self._seconds = a_s + b_s * tiling.rules[v].rows

    def __call__(self, tiles: Tiles, start: int, stop: int) -> Outputs:
        self._clock.spend(self._seconds)
        return tuple(_zeros(self._tiling, t, self._tiling.graph.tensors[t].shape) for t in self._node.outputs)


def _zeros(tiling: Tiling, tensor: int, shape: Any) -> torch.Tensor:
    """Of one element of memory: nothing is written that nobody reads."""
    sizes: List[int] = list(shape)
    return torch.zeros(1, dtype=TORCH_DTYPE[tiling.graph.tensors[tensor].dtype]).expand(sizes)
