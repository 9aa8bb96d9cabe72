"""A latency, and an energy, that no schedule can beat under the same profiles and link.

Relaxations, each of which only makes the figure smaller:

- Work is divided in any proportion.  ``y_v`` is the share of operator v's rows that the server computes, ``x_v`` the
  robot's; together at least 1.  A side takes at least its share of the operator's time; computing a row on both sides
  only adds.
- For ``y_v`` of an operator's rows a side needs at least ``alpha * y_v`` of each input's rows, alpha being the least
  proportion of needed to computed rows over all bands from that side's end of the tensor (1 for the rows of a 1x1
  convolution, slightly more with halos).  What it does not compute itself travels, encoded by the best codec.
- Both processors, the uplink, the downlink (or the air they share), the encoders and decoders work all the time, from
  the first moment to the last: no waiting for rows, no order among operators.
- Order counts only at a few tensors: once every row of an operator depends on every row of such a tensor, be it that an
  operator in between is global or that halos have grown to the whole height, no row of it is computed before all of
  that tensor is.  So the graph falls into stages, and the bound is the sum over stages of the largest time of any
  resource in each.  What belongs to no stage counts in the sum over all of them.
- A link that changes carries the bytes of the whole frame as it does on average, those of a stage as it does at best.
- Whatever the server does begins half a round trip and a message after the beginning and ends half a round trip before
  the end.  What goes up on the air ends a whole one before the end, what comes down begins half a one after the
  beginning and ends half a one before the end; where they share the air, it works from the first encoding on until half
  a round trip and the last decoding are left.  The robot works all the time.

What remains is a linear program in x, y, the rows that travel and the times of the stages; the energy is linear in the
same and in the time that the radio is busy without the processor, which is at least the air's time less the robot's.
"""
from dataclasses import replace
from functools import lru_cache
from typing import Callable, FrozenSet, List, Optional, Sequence, Tuple

import numpy as np
import scipy
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import HALF, LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.interval import IntervalMap
from intra_dp_ros.lop.plan import DOWN, UP, codec_of
from intra_dp_ros.lop.tiling import Tiling

_METHOD = "highs" if tuple(int(n) for n in scipy.__version__.split(".")[:2]) >= (1, 6) else "interior-point"
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)  # of the server's time, where a stage may end


class Bound:
    """Bounds of one graph on one pair of devices.

    Args:
        timeline: of both.
        link: its kind; at its bandwidths the best division into stages is chosen, which then holds for all.
        codec: as for the strategies; tensors may also travel raw.
    """

    def __init__(self, timeline: Timeline, link: LinkModel, codec: str = "raw") -> None:
        self._timeline, self._link, self._codec = timeline, link, codec
        self._alone_s = timeline.robot.frame_ms([rule.rows for rule in timeline.tiling.rules]) / 1e3
        tiling = timeline.tiling
        choices = [stages(tiling, tensors) for tensors in _choices(tiling, timeline)]
        self._stage = choices[0]
        if len(choices) > 1 and link.up > 0 and link.down > 0:
            self._stage = max(choices, key=lambda stage: _Program(timeline, link, codec, stage).solve())

    def at(self, up: float, down: float, peak: float = 1.0) -> float:
        """Seconds that a frame takes at least at these bandwidths [byte/s], whatever the plan.

        Args:
            peak: of a link that changes the highest bandwidth over the mean, which `up` and `down` are then.  A frame
                cannot be done in a time over which they are so, if the bound is longer.
        """
        return self._least(up, down, peak, None, self._alone_s)

    def energy_at(self, up: float, down: float, power: PowerModel, peak: float = 1.0) -> float:
        """Joules that a frame costs the robot at least, likewise."""
        return self._least(up, down, peak, power, float(power.energy(self._alone_s, 0.0, self._alone_s)))

    def _least(self, up: float, down: float, peak: float, power: Optional[PowerModel], alone: float) -> float:
        if up <= 0 or down <= 0:
            return alone
        link = replace(self._link, up=up, down=down)
        return min(alone, _Program(self._timeline, link, self._codec, self._stage, peak).solve(power))


def lower_bound(timeline: Timeline, link: LinkModel, codec: str = "raw") -> float:
    """`Bound` for one link."""
    return Bound(timeline, link, codec).at(link.up, link.down)


class _Program:
    """The linear program of the shared plans.

    Variables: per operator y and x, per tensor rows up and rows down (shares of the tensor), per stage its time [s],
    the time of the radio without the processor [s].
    """

    def __init__(self, timeline: Timeline, link: LinkModel, codec: str, stage: Sequence[int],
                 peak: float = 1.0) -> None:
        tiling = timeline.tiling
        self._tiling, self._link, self._peak = tiling, link, peak
        self._tensors = [*tiling.graph.inputs, *(t for node in tiling.graph.nodes for t in node.outputs)]
        self._place = {t: i for i, t in enumerate(self._tensors)}
        self._ops, self._count = len(tiling.rules), len(self._tensors)
        self._stage, self._stages = stage, max(stage, default=0) + 1
        self._lead_s = link.rtt_s + link.per_message_s
        self._entries: List[Tuple[int, int, float]] = []
        self._limits: List[float] = []
        rows = np.array([rule.rows for rule in tiling.rules])
        robot, server = ((np.array(p.a_ms) * (rows > 0) + np.array(p.b_ms) * rows) / 1e3
                         for p in (timeline.robot, timeline.server))
        self._robot = robot
        self._holds(rows)
        self._works(robot, server)
        self._travels(codec_of(timeline.tiling, codec))

    def solve(self, power: Optional[PowerModel] = None) -> float:
        """The least latency [s], or with a power model the least energy [J]."""
        radio = self._radio
        cost = np.zeros(radio + 1)
        cost[radio - self._stages:radio] = 1.0
        if power is not None:
            cost *= power.least
            cost[self._x(0):self._x(self._ops)] = (power.compute - power.least) * self._robot
            cost[radio] = power.transmit - power.least
        row, column, value = zip(*self._entries)
        matrix = coo_matrix((value, (row, column)), shape=(len(self._limits), radio + 1)).tocsr()
        bounds = [(0.0, 1.0)] * (radio - self._stages) + [(0.0, None)] * (self._stages + 1)
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

    @property
    def _radio(self) -> int:
        return self._time(self._stages)

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
        for stage in [*range(self._stages), None]:
            inside = [v for v in range(self._ops) if stage is None or self._stage[v] == stage]
            for index, times, lead in ((self._x, robot, 0.0), (self._y, server, self._lead_s)):
                self._at_most([*((index(v), times[v]) for v in inside), *self._ends(stage)],
                              -lead if stage is None else 0.0)

    def _ends(self, stage: Optional[int]) -> List[Tuple[int, float]]:
        """The time of a stage, or of all, on the other side of an inequality."""
        return [(self._time(s), -1.0) for s in (range(self._stages) if stage is None else [stage])]

    def _travels(self, codecs: Callable[[int, str], str]) -> None:
        """Air and codecs.  What is made and read within a stage travels within it; the sum over all counts everything.
        """
        graph, link = self._tiling.graph, self._link
        rates = {UP: link.up, DOWN: link.down}
        for stage in [*range(self._stages), None]:
            air, work = {UP: [], DOWN: []}, {UP: [], DOWN: []}
            for t in self._tensors:
                around = {self._stage[v] for v in graph.consumers[t]}
                around.add(self._stage[graph.producer[t]] if t in graph.producer else 0)
                if stage is not None and around != {stage}:
                    continue
                for direction, index in ((UP, self._up(t)), (DOWN, self._down(t))):
                    size = graph.tensors[t].nbytes
                    costs = [link.costs(name, t) for name in {"raw", codecs(t, direction)}]
                    air[direction].append((index, min(c[0] for c in costs) * size / rates[direction]))
                    work[direction].append((index, min(c[1] for c in costs) * size))
            lead_s = self._lead_s if stage is None else 0.0
            busy = [(air[UP], lead_s), (air[DOWN], lead_s)]
            if link.duplex == HALF:
                busy.append((air[UP] + air[DOWN], self._lead_s - link.rtt_s / 2 if stage is None else 0.0))
            for terms, idle_s in busy:
                least = [(index, value / self._peak) for index, value in terms]
                self._at_most([*least, *self._ends(stage)], -idle_s)
                if stage is None and self._peak > 1.0:
                    self._at_most([*terms, *self._ends(stage)], 0.0)
                if stage is None:
                    self._at_most([*least, (self._radio, -1.0),
                                   *((self._x(v), -self._robot[v]) for v in range(self._ops))], 0.0)
            for terms in (work[UP], work[DOWN]):
                self._at_most([*terms, *self._ends(stage)], -lead_s)


def _proportions(needs: IntervalMap) -> Tuple[float, float]:
    """Least share of input rows per share of output rows, of bands from the top and of bands from the bottom."""
    n_out = len(needs.lo)
    if not n_out or not needs.n_in:
        return 0.0, 0.0
    computed = np.arange(1, n_out + 1) / n_out
    top = needs.hi / needs.n_in / computed
    bottom = ((needs.hi[-1] - needs.lo[::-1]) / needs.n_in) / computed
    return float(max(0.0, top.min())), float(max(0.0, bottom.min()))


def stages(tiling: Tiling, tensors: Sequence[int]) -> List[int]:
    """Per operator its stage, -1 for one that may be computed during several.

    Args:
        tensors: in execution order; each row of what belongs to a later stage depends on all rows of them.
    """
    behind = [_depends_on_all(tiling, t) for t in tensors]
    before = [_is_needed_whole(tiling, t) for t in tensors]
    found = []
    for v in range(len(tiling.rules)):
        stage = sum(v in after for after in behind)
        nested = all(v in after for after in behind[:stage])
        found.append(stage if nested and (stage == len(tensors) or v in before[stage]) else -1)
    return found


def _choices(tiling: Tiling, timeline: Timeline) -> List[List[int]]:
    """Tensors that may divide a graph into stages: those that global operators wait for, and one more before them."""
    barriers: List[int] = []
    for v, rule in enumerate(tiling.rules):
        for t, rows in rule.maps:
            if rule.rows and rows.n_in > 1 and t in tiling.graph.producer and (rows.lo == 0).all() \
                    and (rows.hi == rows.n_in).all() and _is_nested(tiling, barriers, t):
                barriers.append(t)
                break
    first = tiling.graph.producer[barriers[0]] if barriers else len(tiling.rules)
    rows = np.array([rule.rows for rule in tiling.rules])
    profile = timeline.server
    done = np.cumsum((np.array(profile.a_ms) + np.array(profile.b_ms) * rows)[:first])
    at = sorted({int(np.searchsorted(done, share * done[-1])) for share in _SHARES}) if first else []
    more = [tiling.graph.nodes[v].outputs[0] for v in at if rows[v] > 1]
    return [barriers, *([t, *barriers] for t in more if not barriers or _is_nested(tiling, [t], barriers[0]))]


def _is_nested(tiling: Tiling, before: Sequence[int], tensor: int) -> bool:
    """Whether all of a tensor comes behind the last of those before it."""
    return not before or tiling.graph.producer[tensor] in _depends_on_all(tiling, before[-1])


@lru_cache(maxsize=256)
def _depends_on_all(tiling: Tiling, tensor: int) -> FrozenSet[int]:
    """Operators each of whose rows needs, through whatever lies between, every row of a tensor."""
    total = tiling.rows[tensor]
    needs = {tensor: (np.arange(total), np.arange(total) + 1)}
    found = set()
    for v, (node, rule) in enumerate(zip(tiling.graph.nodes, tiling.rules)):
        low, high = np.full(rule.rows, total), np.zeros(rule.rows, np.int64)
        for t, rows in rule.maps:
            if t in needs and rule.rows:
                some = rows.hi > rows.lo
                first, last = needs[t]
                low[some] = np.minimum(low[some], first[rows.lo[some]])
                high[some] = np.maximum(high[some], last[rows.hi[some] - 1])
        if (high > low).any() and tensor not in node.outputs:
            needs.update((t, (low, high)) for t in node.outputs)
            if (low == 0).all() and (high == total).all():
                found.add(v)
    return frozenset(found)


@lru_cache(maxsize=256)
def _is_needed_whole(tiling: Tiling, tensor: int) -> FrozenSet[int]:
    """Operators all of whose rows a tensor is made of, its own included."""
    needs = {tensor: (0, tiling.rows[tensor])}
    found = set()
    for v in range(len(tiling.rules) - 1, -1, -1):
        rule = tiling.rules[v]
        wanted = [needs[t] for t in tiling.graph.nodes[v].outputs if t in needs]
        if not wanted or not rule.rows:
            continue
        low, high = min(w[0] for w in wanted), max(w[1] for w in wanted)
        if (low, high) == (0, rule.rows):
            found.add(v)
        for t, rows in rule.maps:
            need = rows.need(low, high)
            if need.size:
                first, last = needs.get(t, (need.start, need.stop))
                needs[t] = (min(first, need.start), max(last, need.stop))
    return frozenset(found)
