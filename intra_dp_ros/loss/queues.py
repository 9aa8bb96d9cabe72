"""The link between two sides whose work is known: who waits for what, for many candidates and bandwidths at once.

What a candidate computes, and after which piece, does not depend on the bandwidth (`population`); only these queues do.
So a candidate's work is found once and tried on the whole ladder of bandwidths.
"""
from dataclasses import replace
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import HALF, LinkModel, Passage

_NOTHING = Passage(0.0, 0.0, 0.0, 1.0)


class Pieces(NamedTuple):
    """Pieces in sending order, per candidate, the first `count` columns of each row."""

    count: np.ndarray  # (P,)
    run: np.ndarray  # (P, K): which of the tensors that travel
    stop: np.ndarray  # (P, K): one past its last row
    size: np.ndarray  # (P, K): raw bytes
    event: np.ndarray  # (P, K): after which feed (robot) or arrival (server) it is computed; -1: there at once
    offset_s: np.ndarray  # (P, K): how long after the beginning of that step


class Candidates(NamedTuple):
    """What P candidates compute and send."""

    up: Pieces
    down: Pieces
    up_codecs: List[Tuple[str, int]]  # codec and tensor of each one that travels up
    down_codecs: List[Tuple[str, int]]
    up_ready_s: np.ndarray  # (P, K): when each piece for the server is there
    band_s: np.ndarray  # (P,): the robot's computing before anything comes back
    server_s: np.ndarray  # (P, K): the server's computing after each piece that comes up
    robot_s: np.ndarray  # (P, K): the robot's computing after each piece that comes down

    def encoded(self, codecs: Callable[[int, str], str]) -> "Candidates":
        """The same with other codecs: (tensor, direction) -> codec."""
        return self._replace(up_codecs=[(codecs(t, "up"), t) for _, t in self.up_codecs],
                             down_codecs=[(codecs(t, "down"), t) for _, t in self.down_codecs])


class Outcome(NamedTuple):
    """Per candidate and link, arrays of shape (P, B)."""

    latency_s: np.ndarray
    energy_j: np.ndarray  # radio time during the robot's last computing counts as radio time


def outcomes(candidates: Candidates, links: Sequence[LinkModel], power: PowerModel = PowerModel()) -> Outcome:
    """What every candidate takes on every link, as `Timeline.predict` says.

    Raises:
        ValueError: links that differ in more than their bandwidths.
    """
    return _Simulation(candidates, links).run(power)


class _Simulation:
    """The queues of one batch.  Arrays are (P, B) unless said otherwise."""

    def __init__(self, candidates: Candidates, links: Sequence[LinkModel]) -> None:
        kind = links[0]
        if any(replace(k, up=kind.up, down=kind.down) != kind for k in links):
            raise ValueError("links that are tried together must differ in their bandwidths only")
        self._c, self._link = candidates, kind
        self._shape = (len(candidates.band_s), len(links))
        self._rates = np.array([[k.up for k in links], [k.down for k in links]])
        self._up = _coded(candidates.up, candidates.up_codecs, kind)
        self._down = _coded(candidates.down, candidates.down_codecs, kind)
        self._up_begun = _begun(candidates.up_ready_s, self._up.encode_s)

    def run(self, power: PowerModel) -> Outcome:
        c, half = self._c, self._link.duplex == HALF
        row, column = np.arange(self._shape[0])[:, None], np.arange(self._shape[1])[None, :]
        ups, downs = c.up.count[:, None], c.down.count[:, None]
        at_up, at_down = np.zeros(self._shape, np.int64), np.zeros(self._shape, np.int64)
        air = np.zeros((2, *self._shape))  # when the air is free, by direction; half duplex: the first for both
        decoded = np.zeros((2, *self._shape))
        encoded, server, radio = (np.zeros(self._shape) for _ in range(3))
        band = np.broadcast_to(c.band_s[:, None], self._shape)
        robot = band.copy()
        began = np.zeros((*self._shape, c.up.run.shape[1] + 1))  # when the server began with each piece
        last_up, last_down = c.up.run.shape[1] - 1, c.down.run.shape[1] - 1
        for _ in range(int((c.up.count + c.down.count).max(initial=0))):
            up, down = np.minimum(at_up, last_up), np.minimum(at_down, last_down)
            event = c.down.event[row, down] if last_down >= 0 else np.zeros(self._shape, np.int64)
            may_up, may_down = at_up < ups, (at_down < downs) & (event < at_up)
            passage_up = Passage(*(x[row, up] for x in self._up)) if last_up >= 0 else _NOTHING
            passage_down = Passage(*(x[row, down] for x in self._down)) if last_down >= 0 else _NOTHING
            begun_up = np.where(may_up, self._up_begun[row, up], np.inf) if last_up >= 0 else np.inf
            begun_down = np.inf
            if last_down >= 0:
                begun_down = np.where(may_down, np.maximum(
                    began[row, column, event] + c.down.offset_s[row, down], encoded), np.inf)
            when_up, when_down = passage_up.first_s(begun_up), passage_down.first_s(begun_down)
            # The air goes to whoever is ready first, to the robot when both are.
            is_down = may_down & (~may_up | (when_down < when_up))
            is_up = may_up & ~is_down
            sent = is_up | is_down
            passage = Passage(*(np.where(is_down, d, u) for u, d in zip(passage_up, passage_down)))
            whole = np.where(is_down, begun_down, begun_up) + passage.encode_s  # when all of it is encoded
            lane = np.where(is_down & (not half), 1, 0)
            start = np.maximum(np.where(is_down, when_down, when_up), air[lane, row, column])
            rate = np.where(is_down, self._rates[1], self._rates[0])
            with np.errstate(divide="ignore", invalid="ignore"):
                first, end = passage.crossed_s(
                    start, whole, lambda at, nbytes: at + np.where(rate > 0, nbytes / rate, np.inf))
            trip = self._link.rtt_s / 2
            which = np.where(is_down, 1, 0)
            arrived = passage.decoded_s(first + trip, end + trip, decoded[which, row, column])
            air[lane, row, column] = np.where(sent, end, air[lane, row, column])
            decoded[which, row, column] = np.where(sent, arrived, decoded[which, row, column])
            encoded = np.where(is_down, whole, encoded)
            with np.errstate(invalid="ignore"):
                radio += np.where(sent, np.maximum(0.0, end - np.maximum(start, band)), 0.0)
            if last_up >= 0:
                work = np.maximum(server, arrived)
                began[row, column, np.where(is_up, up, last_up + 1)] = work
                server = np.where(is_up, work + c.server_s[row, up], server)
            if last_down >= 0:
                robot = np.where(is_down, np.maximum(robot, arrived) + c.robot_s[row, down], robot)
            at_up, at_down = at_up + is_up, at_down + is_down
        busy = (c.band_s + c.robot_s.sum(axis=1))[:, None]
        with np.errstate(invalid="ignore"):
            radio = np.minimum(np.nan_to_num(radio, nan=0.0), np.maximum(0.0, robot - busy))
            energy = np.where(np.isfinite(robot), power.energy(busy, radio, robot), np.inf)
        return Outcome(robot, energy)


def _coded(pieces: Pieces, codecs: Sequence[Tuple[str, int]], link: LinkModel) -> Passage:
    """Every piece's passage, arrays (P, K)."""
    costs = np.array([link.costs(*which) for which in codecs] + [(0.0, 0.0, 0.0)])  # the last: no piece there
    return link.passage(tuple(costs[pieces.run, i] for i in range(3)), pieces.size)


def _begun(ready: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """When an encoder that takes pieces in order begins with each (P, K)."""
    out, clock = np.empty_like(ready), np.zeros(len(ready))
    for k in range(ready.shape[1]):
        out[:, k] = np.maximum(ready[:, k], clock)
        clock = out[:, k] + cost[:, k]
    return out
