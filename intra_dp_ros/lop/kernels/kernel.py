"""One local operator that can compute any range of its rows."""
from functools import cached_property
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch

from intra_dp_ros.graph.graph import Const, Ref
from intra_dp_ros.graph.registry import Call
from intra_dp_ros.lop.rules.rule import Context
from intra_dp_ros.lop.tiling import Tiling

Tiles = Mapping[int, torch.Tensor]
Outputs = Tuple[torch.Tensor, ...]


class TileKernel:
    """One local node, ready to compute any range of its rows.

    Args:
        run: called as ``run(kernel, tiles, start, stop)`` when only some of the rows are computed.
    """

    def __init__(self, tiling: Tiling, node_index: int, call: Call, weights: Mapping[str, torch.Tensor],
                 run: Callable[["TileKernel", Tiles, int, int], Outputs]) -> None:
        self.tiling = tiling
        self._index = node_index
        self.node = tiling.graph.nodes[node_index]
        self.rule = tiling.rules[node_index]
        self.call = call
        self.weights = weights
        self.context = Context(tiling.graph, self.node, tiling.axis)
        self.axis = self.rule.axes[0]
        self._reads_all = all(m.need(0, self.rule.rows) == (0, m.n_in) for _, m in self.rule.maps)
        self._run = run
        self._known: Dict[Any, Any] = {}  # of `once`

    def __call__(self, tiles: Tiles, start: int, stop: int) -> Outputs:
        """Rows ``[start, stop)`` of every output.

        Args:
            tiles: tensor -> the rows ``rule.maps`` says are needed for ``[start, stop)``, no more and no less.
        """
        if stop - start == self.rule.rows and self._reads_all:
            return self.call(tiles)  # nothing is cut: exactly the recorded call
        return self._run(self, tiles, start, stop)

    def overwriting(self, tensor: int) -> Optional["TileKernel"]:
        """The same for rows of `tensor` that may be overwritten with the result; None where ATen has no such call."""
        specs = self.tiling.graph.tensors
        call = self.call.overwriting(tensor) if specs[tensor] == specs[self.node.outputs[0]] else None
        if call is None or self.static:
            return None
        return TileKernel(self.tiling, self._index, call, self.weights, self._run)

    def once(self, function: Callable[..., Any], *args: Any) -> Any:
        """``function(context, *args)``: what of a call's geometry is alike for all tiles, found for the first one."""
        key = function, args
        if key not in self._known:
            self._known[key] = function(self.context, *args)
        return self._known[key]

    @cached_property
    def static(self) -> Dict[str, int]:
        """Argument -> dimension to slice, for operands that hold all rows on every side (constants, whole tensors)."""
        found = {}
        for name, arg in self.node.args.items():
            if isinstance(arg, (Ref, Const)) and not self.context.is_row_wise(arg):
                shape = self.context.shape(arg)
                place = self.axis - (len(self.context.out_shape()) - len(shape))
                if place >= 0 and shape[place] > 1:
                    found[name] = place
        return found
