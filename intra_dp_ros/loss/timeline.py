"""What a plan is expected to take: every resource a queue, every piece of rows an event (paper section 4.2).

The simulation follows the runtime step by step: the robot hands its raw rows to the uplink at once and computes its own
band in chunks; each side lets every operator advance as far as the rows that are there allow, whenever a piece arrives;
rows that travel leave the moment their operator has computed them.
"""
import heapq
from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import HALF, Carrier, LinkModel, Passage
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.spans import DOWNLINK, ROBOT, SERVER, UPLINK, Span, outside
from intra_dp_ros.lop.interval import Interval, pieces
from intra_dp_ros.lop.plan import DOWN, UP, Plan, needed_rows, reachable
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.lop.waves import wave_stops


class Crossing(NamedTuple):
    """A piece of rows on the air."""

    direction: str  # UP or DOWN
    start_s: float
    stop_s: float
    nbytes: float  # encoded
    raw: float  # decoded bytes


@dataclass(frozen=True)
class Prediction:
    """What a plan is expected to take."""

    latency_s: float
    energy_j: float  # of the robot
    robot_busy_s: float
    server_busy_s: float
    bytes_up: float  # encoded
    bytes_down: float
    spans: Tuple[Span, ...]
    crossings: Tuple[Crossing, ...]


@dataclass(frozen=True)
class _Step:
    """An operator as the simulation sees it."""

    inputs: Tuple[Tuple[int, List[int], int], ...]  # tensor, ready rows by available rows, rows of the tensor
    outputs: Tuple[int, ...]
    rows: int


class Timeline:
    """Predicts plans of one graph on one pair of devices.

    Args:
        tiling: of the graph.
        robot, server: operator times.

    Raises:
        ValueError: a profile of another graph.
    """

    def __init__(self, tiling: Tiling, robot: Profile, server: Profile) -> None:
        for profile in (robot, server):
            if len(profile.a_ms) != len(tiling.rules):
                raise ValueError("a profile of {} operators for a graph of {}: measure again".format(
                    len(profile.a_ms), len(tiling.rules)))
        self.tiling = tiling
        self.robot = robot
        self.server = server
        self.steps = [
            _Step(tuple((t, rows.lists[2], rows.n_in) for t, rows in rule.maps), node.outputs, rule.rows)
            for node, rule in zip(tiling.graph.nodes, tiling.rules)]

    def predict(self, plan: Plan, link: LinkModel, power: PowerModel = PowerModel(),
                carrier: Optional[Carrier] = None) -> Prediction:
        """Latency, energy and timeline of a valid plan; infinite where the link carries nothing.

        Args:
            carrier: when bytes have crossed, in place of the link's bandwidths, e.g. one that changes.
        """
        return _Run(self, plan, link, carrier or link.finish).result(power)


class _Side:
    """One device in the simulation: how far every operator is, what every tensor holds."""

    def __init__(self, timeline: Timeline, profile: Profile, first: Tuple[int, ...], last: List[int],
                 received: Dict[int, Tuple[int, int]], sent: Dict[int, Interval], grain: int,
                 waves: Sequence[Sequence[int]] = ()) -> None:
        self.at = list(first)
        self.time = 0.0
        self.busy = 0.0
        self._first = first
        self._last = last
        self._waves = waves or (last,)
        self._grain = grain
        self._a = [a / 1e3 for a in profile.a_ms]
        self._b = [b / 1e3 for b in profile.b_ms]
        self._steps = timeline.steps
        self._sent = sent
        self._active = [v for v in range(len(last)) if first[v] < last[v]]
        self._computed: Dict[int, List[int]] = {}  # tensor -> [first, next] row computed here
        self._received = {t: [start, start] for t, (start, _) in received.items()}
        for v in self._active:
            for t in self._steps[v].outputs:
                self._computed[t] = [first[v], first[v]]

    def receive(self, tensor: int, stop: int) -> None:
        """Rows up to `stop` have come, in order."""
        self._received[tensor][1] = max(self._received[tensor][1], stop)

    def frontier(self, tensor: int) -> int:
        """First row that is not here, counted from the first that ever will be."""
        runs = [run for run in (self._computed.get(tensor), self._received.get(tensor)) if run is not None]
        if not runs:
            return -1
        if len(runs) == 1:
            return runs[0][1]
        low, high = sorted(runs)
        return max(low[1], high[1]) if low[1] >= high[0] else low[1]

    def advance(self) -> List[Tuple[float, int, int, int]]:
        """Compute what can be computed; rows to be sent as (when, tensor, first row, last row)."""
        out: List[Tuple[float, int, int, int]] = []
        for stops in self._waves:
            self._wave(stops, out)
        return out

    def _wave(self, stops: Sequence[int], out: List[Tuple[float, int, int, int]]) -> None:
        waiting = []
        for v in self._active:
            step, start, stop = self._steps[v], self.at[v], stops[v]
            for t, ready, rows in step.inputs:
                front = self.frontier(t)
                if 0 <= front < rows:
                    stop = min(stop, ready[front])
            stop = reachable(self._first[v], stops[v], stop, self._grain)
            if stop > start:
                cost = self._a[v] + self._b[v] * (stop - start)
                self.time += cost
                self.busy += cost
                self.at[v] = stop
                for t in step.outputs:
                    self._computed[t][1] = stop
                    wanted = self._sent.get(t)
                    if wanted is not None and max(start, wanted.start) < min(stop, wanted.stop):
                        out.append((self.time, t, max(start, wanted.start), min(stop, wanted.stop)))
            if self.at[v] < self._last[v]:
                waiting.append(v)
        self._active = waiting


class _Run:
    """One plan on one link."""

    def __init__(self, timeline: Timeline, plan: Plan, link: LinkModel, carrier: Carrier) -> None:
        self._tiling = tiling = timeline.tiling
        self._plan = plan
        self._link = link
        self._carrier = carrier
        up, down = plan.travelling(UP), plan.travelling(DOWN)
        self._codec = {(t.tensor, t.direction): link.costs(t.codec, t.tensor) for t in plan.transfers}
        inputs = {t: (0, tiling.rows[t]) for t in tiling.graph.inputs}
        rows = [rule.rows for rule in tiling.rules]
        self._robot = _Side(timeline, timeline.robot, plan.robot_start, rows, {**down, **inputs},
                            {t: r for t, r in up.items() if t not in inputs}, plan.grain)
        self._server = _Side(timeline, timeline.server, (0,) * len(rows), list(plan.server_stop), up, down,
                             plan.grain, wave_stops(tiling, plan.server_stop, down, plan.waves))
        self._events: List[Tuple[float, int, str, Any]] = []
        self._count = 0
        self._encoded = {UP: 0.0, DOWN: 0.0}  # when the encoder of each direction is free
        self._decoded = {UP: 0.0, DOWN: 0.0}  # and the decoder
        self._air = {UP: 0.0, DOWN: 0.0}
        self._crossings: List[Crossing] = []
        self._spans: List[Span] = []
        self._end = 0.0
        self._run()

    def result(self, power: PowerModel) -> Prediction:
        latency = self._end
        radio = outside([(s.start_s, s.stop_s) for s in self._spans if s.lane in (UPLINK, DOWNLINK)],
                        [(s.start_s, s.stop_s) for s in self._spans if s.lane == ROBOT])
        busy = self._robot.busy
        return Prediction(latency, float(power.energy(busy, min(radio, max(0.0, latency - busy)), latency)), busy,
                          self._server.busy, *(sum(c.nbytes for c in self._crossings if c.direction == d)
                                               for d in (UP, DOWN)), tuple(self._spans), tuple(self._crossings))

    def _run(self) -> None:
        self._begin()
        while self._events:
            now, _, kind, piece = heapq.heappop(self._events)
            if kind == "send":
                self._send(now, *piece)
            else:
                self._arrive(now, *piece)

    def _begin(self) -> None:
        """Raw rows to the uplink, then the robot's own band in chunks."""
        tiling, plan = self._tiling, self._plan
        for t in plan.transfers:
            if t.direction == UP and t.tensor in tiling.graph.inputs:
                for start, stop in pieces(t.start, t.stop, t.chunks):
                    self._encode(0.0, UP, t.tensor, start, stop)
        _, need = needed_rows(tiling, plan.server_stop, plan.robot_start)
        for chunk in range(plan.robot_chunks):
            for t in tiling.graph.inputs:
                rows = tiling.rows[t]
                low = min(need[t].start, rows) if tiling.axis[t] is not None else rows
                self._robot.receive(t, low + (rows - low) * (chunk + 1) // plan.robot_chunks)
            self._advance(self._robot, ROBOT, UP)

    def _advance(self, side: _Side, lane: str, direction: str) -> None:
        began = side.time
        for when, tensor, start, stop in side.advance():
            self._encode(when, direction, tensor, start, stop)
        if side.time > began:
            self._spans.append(Span(lane, began, side.time, "compute"))
        if lane == ROBOT:
            self._end = max(self._end, side.time)

    def _encode(self, when: float, direction: str, tensor: int, start: int, stop: int) -> None:
        raw = self._tiling.row_bytes[tensor] * (stop - start)
        piece = self._link.passage(self._codec[tensor, direction], raw)
        # Pieces that cost nothing queue as well: none overtakes the one before it.
        begun = max(when, self._encoded[direction])
        encoded = self._encoded[direction] = begun + piece.encode_s
        self._push(float(piece.first_s(begun)), "send", (direction, tensor, start, stop, raw, piece, encoded))

    def _send(self, now: float, direction: str, tensor: int, start: int, stop: int, raw: int, piece: Passage,
              encoded: float) -> None:
        air, trip = UP if self._link.duplex == HALF else direction, self._link.rtt_s / 2
        began = max(now, self._air[air])
        first, last = piece.crossed_s(began, encoded, partial(self._carrier, direction))
        ended = self._air[air] = float(last)
        self._crossings.append(Crossing(direction, began, ended, piece.nbytes, raw))
        self._spans.append(Span(UPLINK if direction == UP else DOWNLINK, began, ended,
                                "tensor {} rows [{}, {})".format(tensor, start, stop)))
        arrived = float(piece.decoded_s(first + trip, ended + trip, self._decoded[direction]))
        self._decoded[direction] = arrived
        self._push(arrived, "arrive", (direction, tensor, stop))

    def _arrive(self, now: float, direction: str, tensor: int, stop: int) -> None:
        side, lane, back = ((self._server, SERVER, DOWN) if direction == UP else (self._robot, ROBOT, UP))
        side.time = max(side.time, now)
        side.receive(tensor, stop)
        self._advance(side, lane, back)

    def _push(self, when: float, kind: str, piece: Any) -> None:
        self._count += 1  # events of one moment stay in the order in which they were made
        heapq.heappush(self._events, (when, self._count, kind, piece))
