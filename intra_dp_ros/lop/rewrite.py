"""Equal graphs that can be cut better: reductions over the split axis, norms whose statistics span it, rolls along it.

A reduction over the axis is the reduction of every row by itself, which is local, and then of the few numbers that are
left, which is global but tiny.  So only partial results travel, both sides can combine them, and nothing else in the
system has to know of it.  (Paper section 4.1; the moments of groups of rows are combined as in Chan, Golub and LeVeque,
"Updating formulae and a pairwise algorithm for computing sample variances", 1979.)
"""
from dataclasses import replace
from typing import Dict, Optional, Tuple

from intra_dp_ros.graph.graph import Graph
from intra_dp_ros.lop.rewrites import norms, reductions, rows
from intra_dp_ros.lop.rewrites.growing import Growing, Rewrite
from intra_dp_ros.lop.rules.rule import LOCAL, REDUCE, Context
from intra_dp_ros.lop.tiling import input_axes, rule_of


def split_reductions(graph: Graph, axes: Optional[Tuple[Optional[int], ...]] = None) -> Graph:
    """The same graph for rows along `axes` (dimension of each input; default: as `Tiling`), with such calls replaced.

    Results differ by rounding only.
    """
    new = Growing(graph, axes if axes is not None else input_axes(graph))
    for node in graph.nodes:
        context = Context(new, node, new.axis)
        rewrite = REWRITES.get(node.name)
        if rewrite is None or rule_of(context).kind in (LOCAL, REDUCE) or not rewrite(context, new):
            new.keep(node)
    return replace(graph, tensors=tuple(new.tensors), nodes=tuple(new.nodes), input_axes=new.input_axes)


def _row_wise(argument: str, rewrite: Rewrite) -> Rewrite:
    return lambda ctx, new: ctx.is_row_wise(ctx.arg(argument)) and rewrite(ctx, new)


REWRITES: Dict[str, Rewrite] = {
    **{name: _row_wise("self", reductions.reduction) for name in reductions.PARTIAL},
    **{name: _row_wise("self", reductions.folded) for name in reductions.FOLDED},
    **{"adaptive_{}_pool{}d".format(kind, n): _row_wise("self", reductions.adaptive)
       for kind in ("max", "avg") for n in (1, 2, 3)},
    "_adaptive_avg_pool2d": _row_wise("self", reductions.adaptive),
    "var": _row_wise("self", reductions.variance),
    "std": _row_wise("self", reductions.variance),
    "group_norm": _row_wise("input", norms.group_norm),
    "instance_norm": _row_wise("input", norms.group_norm),
    "layer_norm": _row_wise("input", norms.layer_norm),
    "rms_norm": _row_wise("input", norms.rms_norm),
    "roll": _row_wise("self", rows.roll),
    "pad": _row_wise("self", rows.circular),
    **{name: _row_wise("self", rows.split) for name in ("split", "split_with_sizes", "chunk")},
    "select": _row_wise("self", rows.select),
    "unbind": _row_wise("self", rows.unbind),
    "cat": rows.repeated_cat,
    "slice_scatter": _row_wise("src", rows.overwrite),
}
