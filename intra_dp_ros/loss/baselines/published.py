"""Intra-DP as published: two tiles of every operator, cut without the halo rows that same-padded convolutions need.

For the simulator only: what such plans compute is not the model's result, and `validate` refuses them on the real
graph.  They tell what the published speed was made of.
"""
from dataclasses import replace

import numpy as np

from intra_dp_ros.lop.interval import IntervalMap
from intra_dp_ros.lop.rules.rule import GLOBAL
from intra_dp_ros.lop.tiling import Tiling


class HaloFreeTiling(Tiling):
    """A tiling whose operators need nothing but the rows beside their own, in proportion."""

    def __init__(self, exact: Tiling) -> None:
        self.graph, self.axis, self.rows, self.row_bytes = exact.graph, exact.axis, exact.rows, exact.row_bytes
        self.rules = [rule if rule.kind == GLOBAL else replace(
            rule, maps=tuple((t, _beside(rows)) for t, rows in rule.maps)) for rule in exact.rules]


def _beside(rows: IntervalMap) -> IntervalMap:
    index, out = np.arange(rows.n_out, dtype=np.int64), max(1, rows.n_out)
    return IntervalMap(rows.n_in, index * rows.n_in // out, -(-(index + 1) * rows.n_in // out))
