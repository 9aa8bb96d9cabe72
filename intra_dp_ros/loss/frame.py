"""One plan's frames on a link that changes: the work is found once, each frame is only its queues.

The same arithmetic as `Timeline.predict` and `queues`, of one plan and in plain numbers: fast enough to play tens of
thousands of frames over a recorded bandwidth trace.
"""
from functools import partial
from typing import List, NamedTuple, Tuple

import numpy as np

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import HALF, Carrier, LinkModel, Passage
from intra_dp_ros.loss.population import Population
from intra_dp_ros.loss.queues import Pieces
from intra_dp_ros.loss.timeline import Crossing, Timeline
from intra_dp_ros.lop.plan import DOWN, UP, Plan, complete


class Played(NamedTuple):
    """What became of one frame."""

    latency_s: float
    energy_j: float  # of the robot
    robot_busy_s: float
    crossings: Tuple[Crossing, ...]  # in sending order


class _Piece(NamedTuple):
    passage: Passage
    raw: float  # decoded bytes
    work_s: float  # of the receiver, once it is there
    event: int  # which piece that came up it is computed after; -1: none
    ready_s: float  # up: when its rows are there; down: after the beginning of that work


class Frames:
    """Plays one plan, again and again.

    Args:
        timeline: of the graph and its devices.
        plan: a valid plan.
        link: all but the bandwidths counts, for the carrier decides about them.
        power: of the robot.
    """

    def __init__(self, timeline: Timeline, plan: Plan, link: LinkModel, power: PowerModel = PowerModel()) -> None:
        self._timeline, self._plan, self._link, self._power = timeline, plan, link, power
        codecs = {(t.tensor, t.direction): t.codec for t in plan.transfers}
        up_chunks = max([t.chunks for t in plan.transfers if t.direction == UP], default=1)

        def codec(tensor: int, direction: str) -> str:
            return codecs.get((tensor, direction), "raw")
        work, outside = Population(timeline).work(
            *(np.array([x]) for x in (plan.server_stop, plan.robot_start)),
            *(np.array([n]) for n in (up_chunks, plan.robot_chunks, plan.grain, plan.waves)), codec)
        same = complete(timeline.tiling, plan.strategy, plan.server_stop, plan.robot_start, codec, up_chunks)
        self._is_outside = bool(outside[0]) or set(same.transfers) != set(plan.transfers)
        self._band_s = float(work.band_s[0])
        self._ups = self._pieces(work.up, work.up_codecs, work.up_ready_s[0], work.server_s[0])
        self._downs = self._pieces(work.down, work.down_codecs, work.down.offset_s[0], work.robot_s[0])

    def play(self, carrier: Carrier) -> Played:
        """One frame that begins at the carrier's time 0."""
        if self._is_outside:  # rows that go up wait for rows that come down: the order is not known beforehand
            found = self._timeline.predict(self._plan, self._link, self._power, carrier)
            return Played(found.latency_s, found.energy_j, found.robot_busy_s, found.crossings)
        half, trip = self._link.duplex == HALF, self._link.rtt_s / 2
        air = {UP: 0.0, DOWN: 0.0}
        encoded, decoded, free = dict(air), dict(air), {UP: 0.0, DOWN: self._band_s}  # free: the receiver
        began: List[float] = []  # when the server began with each piece
        crossings: List[Crossing] = []
        radio, i, j, busy = 0.0, 0, 0, self._band_s
        while i < len(self._ups) or j < len(self._downs):
            up = self._ups[i] if i < len(self._ups) else None
            down = self._downs[j] if j < len(self._downs) and self._downs[j].event < i else None
            begun_up = max(up.ready_s, encoded[UP]) if up else float("inf")
            begun_down = max(began[down.event] + down.ready_s, encoded[DOWN]) if down else float("inf")
            when_up = up.passage.first_s(begun_up) if up else float("inf")
            when_down = down.passage.first_s(begun_down) if down else float("inf")
            # The air goes to whoever is ready first, to the robot when both are.
            direction, piece, begun, when = ((DOWN, down, begun_down, when_down) if up is None or when_down < when_up
                                             else (UP, up, begun_up, when_up))
            passage, lane = piece.passage, UP if half else direction
            encoded[direction] = begun + passage.encode_s
            start = max(when, air[lane])
            first, last = passage.crossed_s(start, encoded[direction], partial(carrier, direction))
            end = air[lane] = float(last)
            crossings.append(Crossing(direction, start, end, passage.nbytes, piece.raw))
            radio += max(0.0, end - max(start, self._band_s))
            arrived = float(passage.decoded_s(first + trip, end + trip, decoded[direction]))
            decoded[direction] = arrived
            work = max(free[direction], arrived)
            free[direction] = work + piece.work_s
            if direction == UP:
                began.append(work)
                i += 1
            else:
                busy += piece.work_s
                j += 1
        latency = free[DOWN]
        energy = float(self._power.energy(busy, min(radio, max(0.0, latency - busy)), latency))
        return Played(latency, energy, busy, tuple(crossings))

    def _pieces(self, pieces: Pieces, codecs: List[Tuple[str, int]], ready: np.ndarray, work: np.ndarray
                ) -> List[_Piece]:
        found = []
        for k in range(int(pieces.count[0])):
            size = float(pieces.size[0, k])
            found.append(_Piece(self._link.passage(self._link.costs(*codecs[pieces.run[0, k]]), size), size,
                                float(work[k]), int(pieces.event[0, k]), float(ready[k])))
        return found
