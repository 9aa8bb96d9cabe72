"""What one side has to do for a plan, prepared once and run for every frame.

Operators that need just the rows that another one has computed, and are the only ones to read them, are fused with it
into one step: rows between them are neither buffered nor copied, and where ATen can, the next operator overwrites them.
"""
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import torch

from intra_dp_ros.graph.constants import ByConstant
from intra_dp_ros.graph.registry import Call
from intra_dp_ros.lop.chains import chains
from intra_dp_ros.lop.interval import Interval, IntervalMap
from intra_dp_ros.lop.kernels.kernel import Outputs, TileKernel, Tiles
from intra_dp_ros.lop.kernels.table import tile_kernel
from intra_dp_ros.lop.line_buffer import Join
from intra_dp_ros.lop.plan import DOWN, UP, Plan
from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.rules.table import POINTWISE
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.lop.waves import wave_stops

#: Operators besides the elementwise ones whose result is always new memory, so that a chain may overwrite it.
_FRESH = frozenset(POINTWISE) - {"to"} | {
    "conv1d", "conv2d", "conv3d", "convolution", "linear", "batch_norm", "layer_norm", "avg_pool2d", "max_pool2d"}


class Kernels:
    """All calls of a graph, bound to their weights once and shared by every plan.

    Args:
        weights: constant -> value.
        at_once: False: a call is bound when the first plan needs it, so that weights may still be on their way.

    Attributes:
        run: node -> its call.
        join: how runs of rows between them are made one.
    """

    join: Join = staticmethod(torch.cat)

    def __init__(self, tiling: Tiling, weights: Mapping[str, torch.Tensor], device: object = "cpu",
                 at_once: bool = True) -> None:
        self.tiling = tiling
        self.device = torch.device(device)
        self.run: Sequence[Callable[[Tiles, int, int], Outputs]] = _Calls(tiling, _Placed(weights, self.device))
        if at_once:
            self.run = list(self.run)


class _Calls(Sequence[Callable[[Tiles, int, int], Outputs]]):
    """Node -> its call, bound when it is first asked for; twice at worst, when two threads ask."""

    def __init__(self, tiling: Tiling, weights: "_Placed") -> None:
        self._tiling = tiling
        self._weights = weights
        self._bound: Dict[int, Callable[[Tiles, int, int], Outputs]] = {}

    def __len__(self) -> int:
        return len(self._tiling.graph.nodes)

    def __getitem__(self, v: int) -> Callable[[Tiles, int, int], Outputs]:
        """Raises GraphError: an operator that is not installed, or a weight that is missing."""
        if v not in self._bound:
            if not 0 <= v < len(self):
                raise IndexError(v)
            call = Call(self._tiling.graph.nodes[v], self._weights, self._weights.device)
            self._bound[v] = (tile_kernel(self._tiling, v, call, self._weights)
                              if self._tiling.rules[v].kind == LOCAL else _Whole(call))
        return self._bound[v]


class _Placed(ByConstant):
    """Weights on a device, moved there when they are first asked for."""

    def __init__(self, weights: Mapping[str, torch.Tensor], device: torch.device) -> None:
        super().__init__(weights)
        self.device = device
        self._weights = weights
        self._placed: Dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._placed:
            self._placed[name] = self._weights[name].to(self.device)
        return self._placed[name]


class _Whole:
    """A global operator: one call on whole inputs."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __call__(self, tiles: Tiles, start: int, stop: int) -> Outputs:
        return self.call(tiles)


@dataclass(frozen=True)
class Step:
    """One operator, or a chain of them, and the rows of it that are computed here."""

    run: Tuple[Callable[[Tiles, int, int], Outputs], ...]  # one per node; row i of each needs row i of the one before
    inputs: Tuple[Tuple[int, IntervalMap, int], ...]  # tensor that is buffered, its needed rows, place of the reader
    passed: Tuple[int, ...]  # tensors handed from each node to the next, never buffered
    outputs: Tuple[int, ...]  # of the last node
    first: int  # rows [first, last) are computed here
    last: int


class Program:
    """One side's part of a plan; not changed after construction.

    Args:
        kernels: the graph's calls.
        first, last: node -> rows ``[first, last)`` it computes on this side.
        emit: tensor -> rows of it that are handed out as soon as they are computed.
        keep: tensors kept whole, to be read with `Stream.result`.
        arrives: tensor -> first row that will be fed.
        grain: rows that an operator computes at once, at least; see `reachable`.
        waves: of each the row up to which every node is computed; none: all at once.
    """

    def __init__(self, kernels: Kernels, first: Sequence[int], last: Sequence[int], emit: Mapping[int, Interval],
                 keep: Sequence[int], arrives: Mapping[int, int], grain: int,
                 waves: Sequence[Sequence[int]] = ()) -> None:
        self.tiling = kernels.tiling
        self.device = kernels.device
        self.join = kernels.join
        self.grain = grain
        self.emit = dict(emit)
        self.keep = frozenset(keep)
        self.base: Dict[int, int] = dict(arrives)  # tensor -> first row that this side will ever hold
        self.readers: Dict[int, List[Tuple[int, List[int]]]] = {}  # tensor -> (step, first row that each row needs)
        active = [v for v in range(len(kernels.run)) if first[v] < last[v]]
        chained = _chained(kernels, active, first, last, frozenset((*self.emit, *self.keep, *self.base)))
        self.steps = [_step(kernels, chain, first[chain[0]], last[chain[0]]) for chain in chained]
        self.waves = [[stops[chain[-1]] for chain in chained] for stops in waves or (last,)]  # of each: step -> row
        for t in self.keep:
            self.base.setdefault(t, 0)  # a tensor of no rows is neither computed nor received
        for index, step in enumerate(self.steps):
            for t in step.outputs:
                self.base[t] = min(step.first, self.base.get(t, step.first))
            for t, rows, _ in step.inputs:
                self.readers.setdefault(t, []).append((index, rows.lists[0]))
        self.feeds = [sorted({index for t in step.outputs for index, _ in self.readers.get(t, ())})
                      for step in self.steps]  # step -> steps that read what it computes, all behind it

    @staticmethod
    def of_robot(kernels: Kernels, plan: Plan) -> "Program":
        """The robot's side: its rows of every operator, all outputs kept, rows to send handed out."""
        tiling = kernels.tiling
        sent, received = plan.travelling(UP), plan.travelling(DOWN)
        arrives = {t: rows.start for t, rows in received.items()}
        arrives.update({t: 0 for t in tiling.graph.inputs})
        return Program(kernels, plan.robot_start, [r.rows for r in tiling.rules],
                       {t: rows for t, rows in sent.items() if t not in tiling.graph.inputs},
                       tiling.graph.outputs, arrives, plan.grain)

    @staticmethod
    def of_server(kernels: Kernels, plan: Plan) -> "Program":
        """The server's side: rows from 0 on of every operator, results handed out."""
        sent, received = plan.travelling(DOWN), plan.travelling(UP)
        return Program(kernels, [0] * len(plan.server_stop), plan.server_stop, sent, (),
                       {t: rows.start for t, rows in received.items()}, plan.grain,
                       wave_stops(kernels.tiling, plan.server_stop, sent, plan.waves))


def _chained(kernels: Kernels, active: Sequence[int], first: Sequence[int], last: Sequence[int],
             seen: frozenset) -> List[List[int]]:
    """The active nodes, step by step; `seen`: tensors that somebody outside a chain looks at."""
    def joins(u: int, v: int, t: int) -> bool:
        return (t not in seen and (first[u], last[u]) == (first[v], last[v])
                and all(isinstance(kernels.run[w], TileKernel) for w in (u, v)))
    return chains(kernels.tiling, active, joins)


def _step(kernels: Kernels, chain: Sequence[int], first: int, last: int) -> Step:
    graph, rules = kernels.tiling.graph, kernels.tiling.rules
    nodes = [graph.nodes[v] for v in chain]
    passed = tuple(node.outputs[0] for node in nodes[:-1])
    run = [kernels.run[chain[0]]]
    for before, v, t in zip(nodes, chain[1:], passed):
        overwriting = kernels.run[v].overwriting(t) if before.name in _FRESH else None
        run.append(overwriting or kernels.run[v])
    inputs = tuple((t, rows, place) for place, v in enumerate(chain) for t, rows in rules[v].maps
                   if place == 0 or t != passed[place - 1])
    return Step(tuple(run), inputs, passed, nodes[-1].outputs, first, last)
