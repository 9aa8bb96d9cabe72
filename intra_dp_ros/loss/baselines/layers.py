"""What whole operators and tensors cost when every operator runs on one side, one after the other.

The model of the published layer-wise systems (no overlap of computing and transmitting), on the contracted graph.
"""
from typing import Dict, List, Sequence, Tuple

import numpy as np

from intra_dp_ros.loss.contract import contracted
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan, complete, codec_of
from intra_dp_ros.lop.tiling import Tiling


class Layers:
    """Costs [s] of one graph on one pair of devices and one link that carries something.

    Attributes:
        tiling: the contracted graph; its operators are the layers.
        robot, server: (layers,) time of each layer on either side.
        up, down: tensor -> time to bring all of it to the other side.
        readers: tensor -> layers that read it.
        maker: tensor -> layer that makes it; inputs of the graph are absent.
    """

    def __init__(self, tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str) -> None:
        self.tiling = contracted(tiling)
        self._codec = codec_of(tiling, codec)
        rows = np.array([rule.rows for rule in self.tiling.rules])
        self.robot, self.server = (
            (np.array(p.a_ms) * (rows > 0) + np.array(p.b_ms) * rows) / 1e3
            for p in (self.tiling.profile(timeline.robot), self.tiling.profile(timeline.server)))
        graph = self.tiling.graph
        self.maker: Dict[int, int] = graph.producer
        tensors = [*graph.inputs, *(t for node in graph.nodes for t in node.outputs)]
        self.readers: Dict[int, Tuple[int, ...]] = {t: graph.consumers[t] for t in tensors}
        self.up: Dict[int, float] = {}
        self.down: Dict[int, float] = {}
        for t in tensors:
            for costs, rate, direction in ((self.up, link.up, "up"), (self.down, link.down, "down")):
                piece = link.passage(link.costs(self._codec(t, direction), t), graph.tensors[t].nbytes)
                first, last = piece.crossed_s(piece.first_s(0.0), piece.encode_s, lambda at, nbytes: at + nbytes / rate)
                costs[t] = float(piece.decoded_s(first, last, 0.0)) + link.rtt_s / 2

    def times(self, on_server: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Computing on the robot, on the server, and transmitting [s], each (P,).

        Args:
            on_server: (P, layers) bool.
        """
        robot = (~on_server * self.robot).sum(axis=1)
        server = (on_server * self.server).sum(axis=1)
        sent = np.zeros(len(on_server))
        outputs = frozenset(self.tiling.graph.outputs)
        for t, readers in self.readers.items():
            v = self.maker.get(t)
            made_there = on_server[:, v] if v is not None else np.zeros(len(on_server), bool)
            read_there = on_server[:, list(readers)].any(axis=1) if readers else np.zeros(len(on_server), bool)
            read_here = ~on_server[:, list(readers)].all(axis=1) if readers else np.zeros(len(on_server), bool)
            sent += self.up[t] * (~made_there & read_there) + self.down[t] * (made_there & (read_here | (t in outputs)))
        return robot, server, sent

    def plan(self, on_server: Sequence[bool], strategy: str) -> Plan:
        """The plan that runs each layer on its side."""
        stop: List[int] = [rule.rows if there else 0 for rule, there in zip(self.tiling.rules, on_server)]
        return self.tiling.expand(complete(self.tiling, strategy, stop, stop, self._codec))
