"""A latency that no schedule can beat under the same profiles and link.

Relaxations, each of which only makes the figure smaller:

- Work is divided in any proportion.  ``y_v`` is the share of operator v's rows that the server computes, ``x_v`` the
  robot's; together at least 1.  A side takes at least its share of the operator's time; computing a row on both sides
  only adds.
- For ``y_v`` of an operator's rows a side needs at least ``alpha * y_v`` of each input's rows, alpha being the least
  proportion of needed to computed rows over all bands from that side's end of the tensor (1 for the rows of a 1x1
  convolution, slightly more with halos).  What it does not compute itself travels, encoded by the best codec.
- Both processors, the uplink, the downlink (or the air they share), the encoders and decoders work all the time, from
  the first moment to the last: no waiting for rows, no order among operators.
- Order counts only at *barriers*: an operator that needs the whole of the only tensor that passes between the operators
  before and after it.  No row behind a barrier is computed before all rows in front of it are; so the graph falls into
  stages, and the bound is the sum over stages of the largest time of any resource in each.
- Whatever the server does begins half a round trip and a message after the beginning and ends half a round trip before
  the end, and so do both directions of the air together with what they wait for; the robot works all the time.

What remains is a linear program in x, y, the rows that travel and the times of the stages.
"""
from typing import List, Sequence, Tuple

import numpy as np
import scipy
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from intra_dp_ros.loss.baselines.neurosurgeon import crossing_tensors
from intra_dp_ros.loss.contract import contracted
from intra_dp_ros.loss.link_model import HALF, LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.interval import IntervalMap
from intra_dp_ros.lop.plan import DOWN, UP, codec_of
from intra_dp_ros.lop.tiling import Tiling

_METHOD = "highs" if tuple(int(n) for n in scipy.__version__.split(".")[:2]) >= (1, 6) else "interior-point"


def lower_bound(timeline: Timeline, link: LinkModel, codec: str = "raw") -> float:
    """Seconds that a frame takes at least, whatever the plan.

    Args:
        codec: as for the strategies; tensors may also travel raw.
    """
    rows = [rule.rows for rule in timeline.tiling.rules]
    alone = timeline.robot.frame_ms(rows) / 1e3
    if link.up <= 0 or link.down <= 0:
        return alone
    return min(alone, _Program(timeline, link, codec).solve())


class _Program:
    """The linear program of the shared plans.

    Variables: per operator y and x, per tensor rows up and rows down (shares of the tensor), per stage its time [s].
    """

    def __init__(self, timeline: Timeline, link: LinkModel, codec: str) -> None:
        tiling = contracted(timeline.tiling)
        self._tiling, self._link = tiling, link
        self._tensors = [*tiling.graph.inputs, *(t for node in tiling.graph.nodes for t in node.outputs)]
        self._place = {t: i for i, t in enumerate(self._tensors)}
        self._ops, self._count = len(tiling.rules), len(self._tensors)
        self._stage = _stages(tiling)
        self._lead_s = link.rtt_s + link.per_message_s
        self._entries: List[Tuple[int, int, float]] = []
        self._limits: List[float] = []
        rows = np.array([rule.rows for rule in tiling.rules])
        robot, server = ((np.array(p.a_ms) * (rows > 0) + np.array(p.b_ms) * rows) / 1e3
                         for p in (tiling.profile(timeline.robot), tiling.profile(timeline.server)))
        self._holds(rows)
        self._works(robot, server)
        self._travels(codec_of(timeline.tiling, codec))

    def solve(self) -> float:
        stages = max(self._stage) + 1 if self._stage else 1
        width = 2 * self._ops + 2 * self._count + stages
        cost = np.zeros(width)
        cost[-stages:] = 1.0
        row, column, value = zip(*self._entries)
        matrix = coo_matrix((value, (row, column)), shape=(len(self._limits), width)).tocsr()
        bounds = [(0.0, 1.0)] * (width - stages) + [(0.0, None)] * stages
        for t in self._tiling.graph.inputs:  # the robot has the inputs
            bounds[self._down(t)] = (0.0, 0.0)
        found = linprog(cost, matrix, self._limits, bounds=bounds, method=_METHOD)
        if found.status != 0:
            raise ArithmeticError("the bound's linear program was not solved: {}".format(found.message))
        return float(found.fun) * (1.0 - 1e-6)

    def _y(self, v: int) -> int:
        return v

    def _x(self, v: int) -> int:
        return self._ops + v

    def _up(self, t: int) -> int:
        return 2 * self._ops + self._place[t]

    def _down(self, t: int) -> int:
        return 2 * self._ops + self._count + self._place[t]

    def _time(self, stage: int) -> int:
        return 2 * self._ops + 2 * self._count + stage

    def _at_most(self, terms: Sequence[Tuple[int, float]], limit: float) -> None:
        self._entries += [(len(self._limits), column, value) for column, value in terms]
        self._limits.append(limit)

    def _holds(self, rows: np.ndarray) -> None:
        """Every row is computed somewhere, and every side holds what it needs."""
        graph = self._tiling.graph
        for v, (node, rule) in enumerate(zip(graph.nodes, self._tiling.rules)):
            if not rows[v]:
                continue
            self._at_most([(self._y(v), -1.0), (self._x(v), -1.0)], -1.0)
            for t, needs in rule.maps:
                top, bottom = _proportions(needs)
                maker = graph.producer.get(t)
                made = [(self._y(maker), -1.0)] if maker is not None else []
                self._at_most([(self._y(v), top), (self._up(t), -1.0), *made], 0.0)
                if maker is not None:
                    self._at_most([(self._x(v), bottom), (self._down(t), -1.0), (self._x(maker), -1.0)], 0.0)
        for t in graph.outputs:
            if t in graph.producer:
                self._at_most([(self._down(t), -1.0), (self._x(graph.producer[t]), -1.0)], -1.0)

    def _works(self, robot: np.ndarray, server: np.ndarray) -> None:
        for stage in range(max(self._stage, default=0) + 1):
            inside = [v for v in range(self._ops) if self._stage[v] == stage]
            for index, times in ((self._x, robot), (self._y, server)):
                self._at_most([*((index(v), times[v]) for v in inside), (self._time(stage), -1.0)], 0.0)
        every = [(self._time(stage), -1.0) for stage in range(max(self._stage, default=0) + 1)]
        self._at_most([*((self._y(v), server[v]) for v in range(self._ops)), *every], -self._lead_s)

    def _travels(self, codecs) -> None:
        """Air and codecs.  A tensor belongs to the stage in which it is made; one that passes a barrier may travel as
        long as that stage lasts or later, so it is counted nowhere but in the sum over all stages."""
        graph, link = self._tiling.graph, self._link
        every = sorted(set(self._stage)) or [0]
        rates = {UP: link.up, DOWN: link.down}
        stage_of = {t: self._stage[graph.producer[t]] if t in graph.producer else 0 for t in self._tensors}
        for stage in [*every, None]:
            air, work = {UP: [], DOWN: []}, {UP: [], DOWN: []}
            for t in self._tensors:
                readers = [self._stage[v] for v in graph.consumers[t]]
                passes = any(r != stage_of[t] for r in readers)
                if stage is not None and (passes or stage_of[t] != stage):
                    continue  # the sum over all stages counts every tensor
                for direction, index in ((UP, self._up(t)), (DOWN, self._down(t))):
                    size = graph.tensors[t].nbytes
                    options = {"raw", codecs(t, direction)}
                    costs = [link.costs(name, t) for name in options]
                    air[direction].append((index, min(c[0] for c in costs) * size / rates[direction]))
                    work[direction].append((index, min(c[1] for c in costs) * size))
            ends = [(self._time(s), -1.0) for s in (every if stage is None else [stage])]
            groups = [air[UP] + air[DOWN]] if link.duplex == HALF else [air[UP], air[DOWN]]
            for terms in (*groups, work[UP], work[DOWN]):
                if terms:
                    self._at_most([*terms, *ends], -self._lead_s if stage is None else 0.0)


def _proportions(needs: IntervalMap) -> Tuple[float, float]:
    """Least share of input rows per share of output rows, of bands from the top and of bands from the bottom."""
    n_out = len(needs.lo)
    if not n_out or not needs.n_in:
        return 0.0, 0.0
    computed = np.arange(1, n_out + 1) / n_out
    top = needs.hi / needs.n_in / computed
    bottom = ((needs.hi[-1] - needs.lo[::-1]) / needs.n_in) / computed
    return float(max(0.0, top.min())), float(max(0.0, bottom.min()))


def _stages(tiling: Tiling) -> List[int]:
    """Per operator, how many barriers lie before it or at it."""
    crossing, stage, found = crossing_tensors(tiling), 0, []
    graph, made = tiling.graph, set(tiling.graph.inputs)
    for v, rule in enumerate(tiling.rules):
        is_all = not made & set(graph.outputs)  # results that nobody waits for may be made at any time
        made |= set(graph.nodes[v].outputs)
        if v and len(crossing[v]) == 1 and rule.rows and is_all:
            maps = dict(rule.maps)
            t = crossing[v][0]
            if t in maps and (maps[t].lo == 0).all() and (maps[t].hi == maps[t].n_in).all():
                stage += 1
        found.append(stage)
    return found
