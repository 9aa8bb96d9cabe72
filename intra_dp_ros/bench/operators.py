"""The operators of a recorded model as one table: how each is cut, how far it sees, and if not cut, why not."""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.lop.rules.rule import GLOBAL
from intra_dp_ros.lop.rules.table import RULES
from intra_dp_ros.lop.tiling import Tiling

_COLUMNS = "{:>5}  {:<28} {:<6} {:>4}  {:<22} {:>9}  {:>11}  {}"


@dataclass(frozen=True)
class Operator:
    """One line of the table."""

    index: int  # in execution order
    op: str  # ATen name with overload
    kind: str  # local, reduce or global
    axis: Optional[int]  # dimension of the first output that is cut; None: it has no rows
    shape: Tuple[int, ...]  # of the first output
    dtype: str
    receptive_field: int  # rows of the inputs that one output row depends on, at most
    nbytes: int  # of all outputs
    source: str  # line of the model's code
    why: str  # why it is not local; empty when it is


def operators(tiling: Tiling) -> List[Operator]:
    """The whole table."""
    graph, fields = tiling.graph, receptive_fields(tiling)
    found = []
    for index, (node, rule) in enumerate(zip(graph.nodes, tiling.rules)):
        first = graph.tensors[node.outputs[0]]
        found.append(Operator(
            index, node.op, rule.kind, rule.axes[0], first.shape, first.dtype, fields[index],
            sum(graph.tensors[t].nbytes for t in node.outputs), node.source,
            why_not_local(tiling, index) if rule.kind == GLOBAL else ""))
    return found


def why_not_local(tiling: Tiling, index: int) -> str:
    """Why an operator needs its whole input."""
    node = tiling.graph.nodes[index]
    if not node.inputs:
        return "it reads no tensor of the graph"
    if all(tiling.axis[t] is None for t in node.inputs):
        return "its input has no rows any more"
    if node.name not in RULES:
        return "no rule for this operator"
    return "this call works across the rows"


def receptive_fields(tiling: Tiling) -> List[int]:
    """Per operator: rows of the graph's inputs that one of its output rows depends on, at most.

    Intervals are followed from the inputs on: what lies between the first and the last row counts as seen.
    """
    seen: Dict[int, Tuple[np.ndarray, np.ndarray]] = {}  # tensor -> first and one past the last input row, per row
    for t in tiling.graph.inputs:
        rows = np.arange(tiling.rows[t])
        seen[t] = (rows, rows + 1) if tiling.axis[t] is not None else (np.zeros(1, np.int64), np.ones(1, np.int64))
    found = []
    for node, rule in zip(tiling.graph.nodes, tiling.rules):
        lo = np.full(rule.rows, np.iinfo(np.int64).max)
        hi = np.zeros(rule.rows, np.int64)
        for t, rows in rule.maps:
            some = rows.lo < rows.hi
            if not some.any():
                continue
            first, last = seen[t]
            # a row in the middle may see further back than the first one: both tables never decrease
            lo[some] = np.minimum(lo[some], first[rows.lo[some]])
            hi[some] = np.maximum(hi[some], last[rows.hi[some] - 1])
        lo = np.where(lo > hi, hi, lo)  # rows of nothing but padding
        hi = np.maximum.accumulate(hi) if len(hi) else hi
        lo = np.minimum.accumulate(lo[::-1])[::-1] if len(lo) else lo
        for t in node.outputs:
            seen[t] = (lo, hi)
        found.append(int((hi - lo).max()) if rule.rows else 0)
    return found


def as_lines(table: Sequence[Operator]) -> List[str]:
    """The table as text, the reasons for what is global behind the source lines."""
    lines = [_COLUMNS.format("index", "operator", "class", "axis", "output", "rec.field", "bytes", "source")]
    for o in table:
        where = "{}{}".format(o.source, "  ({})".format(o.why) if o.why else "")
        lines.append(_COLUMNS.format(o.index, o.op, o.kind, "-" if o.axis is None else o.axis,
                                     "{} {}".format(o.dtype, "x".join(map(str, o.shape))), o.receptive_field, o.nbytes,
                                     where).rstrip())
    return lines


def reasons(table: Sequence[Operator], count: int) -> List[str]:
    """What is global and why: one line for operators of one kind and reason, the most frequent first."""
    groups: Dict[Tuple[str, str], List[Operator]] = {}
    for o in table:
        if o.why:
            groups.setdefault((o.op, o.why), []).append(o)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    lines = ["  {:6d}  {:<28} {}, first at {}".format(len(some), op, why, some[0].source or "?")
             for (op, why), some in ordered[:count]]
    if len(ordered) > count:
        lines.append("  {:6d}  of {} other kinds".format(sum(len(some) for _, some in ordered[count:]),
                                                         len(ordered) - count))
    return lines or ["       0"]
