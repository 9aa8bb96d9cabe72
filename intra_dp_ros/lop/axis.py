"""Which dimension of the inputs is cut into rows: the one that leaves the least work uncut."""
import logging
import math
from dataclasses import replace
from typing import List, Optional, Tuple

import numpy as np

from intra_dp_ros.graph.graph import Const, Graph, OpNode
from intra_dp_ros.graph.record import Recording
from intra_dp_ros.lop.rewrite import split_reductions
from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.tiling import Tiling, default_axis

_LOG = logging.getLogger(__name__)
_BYTE = 4.0  # what moving a byte costs, in multiplications: elementwise operators are bound by memory
_BETTER = 0.5  # another dimension than the default must cost less than this share of it


def prepare(recording: Recording) -> Recording:
    """The recording, ready to be cut: axis chosen and written into the graph, reductions over it split."""
    graph = recording.graph
    if graph.input_axes:
        return recording
    options = [split_reductions(graph, axes) for axes in candidates(graph)]
    costs = [uncut_work(Tiling(option)) for option in options]
    best = int(np.argmin([cost * (_BETTER if i == 0 else 1.0) for i, cost in enumerate(costs)]))
    _LOG.debug("axes %s cost %s", [o.input_axes for o in options], costs)
    return replace(recording, graph=options[best])


def candidates(graph: Graph) -> List[Tuple[Optional[int], ...]]:
    """Axes of the inputs worth trying, the default first: for the largest input every dimension that is neither its
    batch nor short; other inputs of its rank have theirs in the same place."""
    shapes = [graph.tensors[t].shape for t in graph.inputs]
    largest = max(shapes, key=math.prod)
    first = default_axis(largest)
    places = [d for d in range(len(largest)) if d != first and largest[d] > 8
              and d >= (2 if len(largest) > 3 and largest[0] == 1 and largest[1] <= largest[-1] else 1)]
    default = tuple(default_axis(shape) for shape in shapes)
    return [default, *(tuple(d if len(shape) == len(largest) else default_axis(shape) for shape in shapes)
                       for d in places)]


def uncut_work(tiling: Tiling) -> float:
    """Work that is not cut into rows, plus what two bands of rows compute twice [multiplications].

    An operator that is cut needs the rows of its inputs that its middle row needs from both sides of a boundary.
    """
    total = 0.0
    for node, rule in zip(tiling.graph.nodes, tiling.rules):
        cost = work(tiling.graph, node)
        if rule.kind != LOCAL or rule.rows < 2:
            total += cost
            continue
        middle = rule.rows // 2
        halo = max((rows.need(middle, middle + 1).size - 1 for _, rows in rule.maps if rows.n_in > 1), default=0)
        total += cost * min(1.0, halo / rule.rows)
    return total


def work(graph: Graph, node: OpNode) -> float:
    """Multiplications of a call, estimated from its shapes; elementwise ones by the bytes they move."""
    out = sum(graph.tensors[t].numel for t in node.outputs)
    moved = sum(graph.tensors[t].nbytes for t in (*node.inputs, *node.outputs))
    weight = node.args.get("weight")
    if isinstance(weight, Const) and len(graph.constants[weight.name].shape) > 1:
        shape = graph.constants[weight.name].shape
        return out * math.prod(shape[1:]) + moved
    if node.name in ("matmul", "bmm", "mm", "addmm", "baddbmm", "einsum", "scaled_dot_product_attention"):
        factor = graph.tensors[node.inputs[0]].shape
        return out * (factor[-1] if factor else 1) + moved
    return moved * _BYTE
