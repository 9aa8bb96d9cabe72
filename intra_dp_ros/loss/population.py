"""The work of many candidate plans of one graph at once: `Timeline.predict` for the search, up to the link's queues.

How far every operator is after the n-th piece has come depends on the order of the pieces, not on when they come; and
the order is known beforehand as long as rows first go up and then come down.  So one walk through the graph gives all
candidates' work after all pieces (arrays of shape (candidates, pieces)), for any bandwidth; `queues` does the rest.

A candidate that sends rows up which themselves wait for rows from the server is outside this class.
"""
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.loss.queues import Candidates, Pieces
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import DOWN, UP
from intra_dp_ros.lop.waves import left_of

_UNLIMITED = 1 << 40  # rows: an input that is all there holds nothing back


class _Input(NamedTuple):
    tensor: int
    ready: np.ndarray  # output rows that can be computed, by rows available; unlimited when all are
    lo: np.ndarray
    hi: np.ndarray


class _Runs(NamedTuple):
    """Rows of one tensor that travel, per candidate; none where ``start >= stop``."""

    tensor: int
    start: np.ndarray  # (P,)
    stop: np.ndarray  # (P,)


class _Work(NamedTuple):
    """What one side computes after each of K feeds or arrivals, in W waves each."""

    nodes: List[int]
    at: np.ndarray  # (nodes, P, K * W): next row of the operator after the wave
    before: np.ndarray  # (nodes, P, K * W): and before it
    done_s: np.ndarray  # (nodes, P, K * W): compute time since the arrival until the operator is done
    cost_s: np.ndarray  # (P, K): compute time of all waves


class Population:
    """Evaluates populations of plans.

    Args:
        timeline: of the graph and its two devices.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._tiling = tiling = timeline.tiling
        self._rows = np.array([rule.rows for rule in tiling.rules])
        self._inputs = [tuple(_Input(t, _ready(m), m.lo, m.hi) for t, m in rule.maps) for rule in tiling.rules]
        self._outputs = [node.outputs for node in tiling.graph.nodes]
        self._costs = {side: (np.array(p.a_ms) / 1e3, np.array(p.b_ms) / 1e3)
                       for side, p in (("robot", timeline.robot), ("server", timeline.server))}

    def work(self, server_stop: np.ndarray, robot_start: np.ndarray, raw_chunks: np.ndarray,
             robot_chunks: np.ndarray, grain: np.ndarray, waves: np.ndarray,
             codecs: Callable[[int, str], str] = lambda tensor, direction: "raw") -> Tuple[Candidates, np.ndarray]:
        """What the two sides compute and send for ``complete(server_stop, robot_start, ...)``, per candidate.

        Args:
            server_stop, robot_start: (P, operators), ``robot_start <= server_stop``.
            raw_chunks, robot_chunks, grain, waves: (P,), at least 1.
            codecs: (tensor, direction) -> codec.

        Returns:
            What `outcomes` takes, and a mask (P,) of the candidates that are outside this class.
        """
        stop, start = np.ascontiguousarray(server_stop.T), np.ascontiguousarray(robot_start.T)
        ups, downs, low = self._transfers(stop, start)
        whole = np.repeat(self._rows[:, None], len(robot_chunks), 1)[:, :, None]
        band = self._advance("robot", start, start, whole,
                             self._feeds(low, robot_chunks), {r.tensor: r for r in downs}, int(robot_chunks.max()),
                             grain)
        up = self._sent(ups, band, self._raw_pieces(ups, raw_chunks))
        limits = np.where((up.count > 0)[:, None], self._wave_stops(stop, downs, waves), 0)
        server = self._advance("server", np.zeros_like(stop), np.zeros_like(stop), limits,
                               _arrived(ups, up), {r.tensor: r for r in ups}, up.run.shape[1], grain)
        down = self._sent(downs, server, None)
        at = start.copy()
        at[band.nodes] = band.at[:, :, -1]
        rest = self._advance("robot", at, start, np.where((down.count > 0)[:, None], whole, at[:, :, None]),
                             _arrived(downs, down), {r.tensor: r for r in downs}, down.run.shape[1], grain)
        ends = np.cumsum(band.cost_s, axis=1)
        ready = np.take_along_axis(np.concatenate([np.zeros((len(ends), 1)), ends - band.cost_s], axis=1),
                                   up.event + 1, axis=1) + up.offset_s
        coded = ([(codecs(r.tensor, d), r.tensor) for r in runs] for runs, d in ((ups, UP), (downs, DOWN)))
        never = np.zeros(len(up.count), bool)  # rows are to come down, but nothing goes up to make the server begin
        for r in downs:
            never |= (r.start < r.stop) & (up.count == 0)
        return (Candidates(up, down, *coded, ready, ends[:, -1], server.cost_s, rest.cost_s),
                never | self._two_way(ups, at, start))

    def _transfers(self, stop: np.ndarray, start: np.ndarray
                   ) -> Tuple[List[_Runs], List[_Runs], Dict[int, np.ndarray]]:
        """Rows that go up, rows that come down, and per graph input the first row that the robot needs."""
        tiling, nothing = self._tiling, np.zeros(stop.shape[1], np.int64)
        server: Dict[int, np.ndarray] = {}
        first: Dict[int, np.ndarray] = {}
        last: Dict[int, np.ndarray] = {}
        for t in tiling.graph.outputs:
            first[t], last[t] = nothing, nothing + tiling.rows[t]
        for v, inputs in enumerate(self._inputs):
            by_server, by_robot = stop[v] > 0, start[v] < self._rows[v]
            any_server, any_robot = by_server.any(), by_robot.any()
            for t, _, lo, hi in inputs:
                if any_server:
                    server[t] = np.maximum(server.get(t, 0), np.where(by_server, hi[stop[v] - 1], 0))
                if any_robot:
                    low = lo[np.minimum(start[v], len(lo) - 1)]
                    needed, n = by_robot & (hi[-1] > low), tiling.rows[t]
                    first[t] = np.minimum(first.get(t, n), np.where(needed, low, n))
                    last[t] = np.maximum(last.get(t, 0), np.where(needed, hi[-1], 0))
        ups, downs = [], []
        producer = tiling.graph.producer
        for t in (*tiling.graph.inputs, *(t for outputs in self._outputs for t in outputs)):
            v = producer.get(t)
            if t in server:
                up = _Runs(t, nothing if v is None else stop[v], server[t])
                if (up.start < up.stop).any():
                    ups.append(up)
            if v is not None and t in first:
                down = _Runs(t, first[t], np.minimum(last[t], start[v]))
                if (down.start < down.stop).any():
                    downs.append(down)
        return ups, downs, {t: first.get(t, nothing + tiling.rows[t]) for t in tiling.graph.inputs}

    def _feeds(self, low: Dict[int, np.ndarray], chunks: np.ndarray) -> Dict[int, np.ndarray]:
        """Per graph input the rows that the robot has fed itself after each chunk."""
        step = np.minimum(np.arange(1, int(chunks.max()) + 1), chunks[:, None])
        found = {}
        for t, first in low.items():
            rows = self._tiling.rows[t]
            fed = first[:, None] + (rows - first)[:, None] * step // chunks[:, None]
            found[t] = np.full_like(fed, rows) if self._tiling.axis[t] is None else fed
        return found

    def _wave_stops(self, stop: np.ndarray, downs: Sequence[_Runs], waves: np.ndarray) -> np.ndarray:
        """`lop.waves.wave_stops` of arrays: (operators, P, W), those with fewer waves are done early."""
        found = np.repeat(stop[:, :, None], int(waves.max()), 2)
        for halvings in range(1, found.shape[2]):
            need = {r.tensor: np.where(r.start < r.stop, left_of(r.start, r.stop, halvings), 0) for r in downs}
            is_last = waves <= halvings
            for v in range(len(stop) - 1, -1, -1):
                wanted = np.zeros(len(waves), np.int64)
                for t in self._outputs[v]:
                    np.maximum(wanted, need.get(t, 0), out=wanted)
                np.minimum(wanted, stop[v], out=wanted)
                found[v, :, halvings - 1] = np.where(is_last, stop[v], wanted)
                if wanted.any():
                    for t, _, _, hi in self._inputs[v]:
                        need[t] = np.maximum(need.get(t, 0), np.where(wanted > 0, hi[wanted - 1], 0))
        return found

    def _advance(self, side: str, at: np.ndarray, first: np.ndarray, limits: np.ndarray,
                 fed: Dict[int, np.ndarray], runs: Dict[int, _Runs], steps: int, grain: np.ndarray) -> _Work:
        """Let every operator advance as far as its inputs allow, after each of `steps` feeds or arrivals.

        Args:
            at, first: (operators, P): the first row that is this side's, the next one.
            limits: (operators, P, W): the row before which each wave ends, the last one's rows.
            fed: tensor -> (P, steps): rows that have come.
            runs: tensor -> what of it comes from the other side.
            grain: (P,), see `reachable`.
        """
        last, waves = limits[:, :, -1], limits.shape[2]
        shape = (at.shape[1], steps * waves)
        nodes = np.flatnonzero((at < last).any(axis=1)).tolist()
        found = np.empty((len(nodes), *shape), np.int64)
        computed: Dict[int, Tuple[int, np.ndarray, np.ndarray]] = {}  # tensor -> operator, first row, next row
        fronts: Dict[int, Optional[np.ndarray]] = {}
        mine = (first < self._rows[:, None]) if side == "robot" else (last > 0)
        for v in np.flatnonzero(mine.any(axis=1)).tolist():
            for t in self._outputs[v]:  # as it stands, for operators that are done
                computed[t] = (v, first[v], np.repeat(at[v][:, None], shape[1], 1))
        if waves > 1:
            fed = {t: np.repeat(rows, waves, 1) for t, rows in fed.items()}
        for index, v in enumerate(nodes):
            limit = np.tile(limits[v], (1, steps))
            stop = limit.copy()
            for t, ready, _, _ in self._inputs[v]:
                if t not in fronts:
                    fronts[t] = _frontier(side, fed.get(t), runs.get(t), computed.get(t), mine)
                front = fronts[t]
                if front is not None:
                    np.minimum(stop, ready[front], out=stop)
            stop = _in_grains(first[v][:, None], limit, stop, grain[:, None])
            np.maximum(stop, at[v][:, None], out=found[index])
            if waves > 1:  # what an earlier arrival's last wave computed stays computed
                np.maximum.accumulate(found[index], axis=1, out=found[index])
            for t in self._outputs[v]:
                computed[t] = (v, first[v], found[index])
        before = np.concatenate([at[nodes][:, :, None], found[:, :, :-1]], axis=2) if steps else found
        rows = found - before
        a, b = (x[nodes][:, None, None] for x in self._costs[side])
        done = np.cumsum(a * (rows > 0) + b * rows, axis=0)
        cost = (done[-1] if nodes else np.zeros(shape)).reshape(shape[0], steps, waves)
        if waves > 1:
            done = done + (np.cumsum(cost, axis=2) - cost).reshape(shape)
        return _Work(nodes, found, before, done, cost.sum(axis=2))

    def _raw_pieces(self, ups: Sequence[_Runs], chunks: np.ndarray) -> List[Tuple[np.ndarray, ...]]:
        """Columns of the pieces of graph inputs; chunks beyond a candidate's own are empty."""
        columns = []
        for index, run in enumerate(ups):
            if run.tensor not in self._tiling.graph.inputs:
                continue
            rows, size = run.stop - run.start, self._tiling.row_bytes[run.tensor]
            pieces = np.maximum(1, np.minimum(chunks, rows))
            for i in range(int(pieces.max())):
                low = np.minimum(i, pieces) * rows // pieces
                high = np.minimum(i + 1, pieces) * rows // pieces
                columns.append((np.full_like(rows, index), run.start + high, (high - low) * size,
                                np.full_like(rows, -1), np.zeros(len(rows)), high > low))
        return columns

    def _sent(self, runs: Sequence[_Runs], work: _Work, columns: Optional[List[Tuple[np.ndarray, ...]]]) -> Pieces:
        """The pieces that a side sends, after those in `columns`."""
        people, steps = work.cost_s.shape[0], work.at.shape[2]
        producer, place = self._tiling.graph.producer, {v: i for i, v in enumerate(work.nodes)}
        made = [(i, r, place[producer[r.tensor]]) for i, r in enumerate(runs)
                if producer.get(r.tensor) in place]
        blocks = [np.stack(c, axis=1) for c in zip(*columns)] if columns else [np.zeros((people, 0))] * 6
        if made and steps:
            at = [p for _, _, p in made]
            start, stop = (np.stack([getattr(r, name) for _, r, _ in made])[:, :, None] for name in ("start", "stop"))
            low, high = np.maximum(work.before[at], start), np.minimum(work.at[at], stop)
            size = (high - low) * np.array([self._tiling.row_bytes[r.tensor] for _, r, _ in made])[:, None, None]
            index = np.broadcast_to(np.array([i for i, _, _ in made])[:, None, None], low.shape)
            event = np.broadcast_to(np.arange(steps) * work.cost_s.shape[1] // steps, low.shape)
            more = (index, high, size, event, work.done_s[at], low < high)
            blocks = [np.concatenate([b, m.transpose(1, 2, 0).reshape(people, -1)], axis=1)
                      for b, m in zip(blocks, more)]
        there = blocks[5].astype(bool)
        count = there.sum(axis=1)
        order = np.argsort(~there, axis=1, kind="mergesort")[:, :int(count.max()) if count.size else 0]
        run, stop, size, event, offset = (np.take_along_axis(b, order, axis=1) for b in blocks[:5])
        run = np.where(np.arange(run.shape[1]) < count[:, None], run, -1)
        return Pieces(count, run.astype(np.int64), stop.astype(np.int64), size.astype(float), event.astype(np.int64),
                      offset)

    def _two_way(self, ups: Sequence[_Runs], at: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Candidates whose robot has not computed all that goes up before the server answers."""
        found = np.zeros(at.shape[1], bool)
        for r in ups:
            v = self._tiling.graph.producer.get(r.tensor)
            if v is not None:
                found |= (r.start < r.stop) & (np.maximum(at[v], start[v]) < r.stop)
        return found


def _in_grains(first: np.ndarray, last: np.ndarray, ready: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """`reachable`, of arrays."""
    coarse = first + grain * np.minimum((ready - first) // grain, (last - first) // grain - 1)
    return np.where(ready >= last, last, coarse)


def _ready(rows) -> np.ndarray:
    table = rows.ready_table.astype(np.int64)
    table[-1] = _UNLIMITED  # also what index -1 finds: a tensor of which this side needs no row
    return table


def _arrived(runs: Sequence[_Runs], pieces: Pieces) -> Dict[int, np.ndarray]:
    """Tensor -> (P, K): first row that has not come after each piece."""
    return {r.tensor: np.maximum.accumulate(np.where(pieces.run == i, pieces.stop, r.start[:, None]), axis=1)
            for i, r in enumerate(runs)}


def _frontier(side: str, fed: Optional[np.ndarray], run: Optional[_Runs],
              computed: Optional[Tuple[int, np.ndarray, np.ndarray]], mine: np.ndarray) -> Optional[np.ndarray]:
    """First row of a tensor that is not here, -1 for candidates that never have one; None: no candidate has.

    The server's received rows follow those it computes, the robot's come before them.
    """
    if fed is None and run is not None:
        fed = np.repeat(run.start[:, None], computed[2].shape[1] if computed else 1, 1)
    came = None
    if fed is not None:
        came = fed if run is None else np.where((run.start < run.stop)[:, None], fed, -1)
    if computed is None:
        return came
    v, first, at = computed
    own = np.where(mine[v][:, None], at, -1)
    if came is None:
        return own
    if side == "server":
        joined = np.where(own >= run.start[:, None], np.maximum(own, came), own)
    else:
        joined = np.where(came >= first[:, None], np.maximum(own, came), came)
    return np.where(came < 0, own, np.where(own < 0, came, joined))
