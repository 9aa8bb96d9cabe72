"""DNN surgery: the cut of the layer graph with the least latency, as a minimum cut.

Hu et al., "Dynamic Adaptive DNN Surgery for Inference Acceleration on the Edge", INFOCOM 2019; Liang et al., "DNN
Surgery: Accelerating DNN Inference on the Edge through Layer Partitioning", IEEE Trans. Cloud Computing, 2023 (DSCCS).
The robot computes the layers on the source's side, the server those on the sink's side; nothing flows back but results.
"""
import networkx as nx
import numpy as np

from intra_dp_ros.loss.baselines import local
from intra_dp_ros.loss.baselines.layers import Layers
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.tiling import Tiling

_ROBOT, _SERVER = "robot", "server"


def plan(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw") -> Plan:
    """The cut with the least computing and transmitting time, one after the other as published."""
    if link.up <= 0 or link.down <= 0:
        return local.plan(tiling, timeline, link, codec)
    layers = Layers(tiling, timeline, link, codec)
    return layers.plan(surgery(layers), "dsccs")


def surgery(layers: Layers) -> np.ndarray:
    """Which layers the server computes (layers,).

    A cut edge is a cost: source -> layer that the server computes it (and sends its results), layer -> sink that the
    robot does.  A tensor has a vertex of its own, so that it is paid once however many layers of the server read it.
    Edges without capacity have infinite cost: from a layer back to those it reads, as nothing flows back.
    Times are whole picoseconds: flows of floating-point numbers leave residues that are taken for open paths.
    """
    net = nx.DiGraph()
    outputs = frozenset(layers.tiling.graph.outputs)
    results = np.zeros(len(layers.robot))
    for t, v in layers.maker.items():
        results[v] += layers.down[t] if t in outputs else 0.0
    for v in range(len(layers.robot)):
        net.add_edge(_ROBOT, v, capacity=_picoseconds(layers.server[v] + results[v]))
        net.add_edge(v, _SERVER, capacity=_picoseconds(layers.robot[v]))
    for t, readers in layers.readers.items():
        if not readers:
            continue
        maker = layers.maker.get(t, _ROBOT)
        net.add_edge(maker, ("tensor", t), capacity=_picoseconds(layers.up[t]))
        for v in readers:
            net.add_edge(("tensor", t), v)
            if maker != _ROBOT:
                net.add_edge(v, maker)
    _, (on_robot, _) = nx.minimum_cut(net, _ROBOT, _SERVER)
    return np.array([v not in on_robot for v in range(len(layers.robot))])


def _picoseconds(seconds: float) -> int:
    return int(round(seconds * 1e12))
