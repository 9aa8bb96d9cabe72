"""What a server accepts from robots, so that no graph takes the machine down."""
from dataclasses import dataclass

from intra_dp_ros.graph.graph import Graph, GraphError


@dataclass(frozen=True)
class Limits:
    """Caps of one server."""

    store_bytes: int = 8 << 30  # weights on disk
    blob_bytes: int = 4 << 30  # one weight
    weights: int = 20000  # of one graph
    graph_bytes: int = 64 << 20  # JSON of one graph
    nodes: int = 20000  # operators of one graph
    tensor_bytes: int = 1 << 30  # one tensor
    graphs: int = 8  # graphs ready at once
    robots: int = 16  # sessions at once


def check_graph(graph: Graph, limits: Limits) -> None:
    """Refuse a graph that is too big.

    Raises:
        GraphError: naming what is too big.
    """
    if len(graph.nodes) > limits.nodes:
        raise GraphError("the graph has {} operators, this server accepts {}".format(len(graph.nodes), limits.nodes))
    if len(graph.constants) > limits.weights:
        raise GraphError("the graph has {} weights, this server accepts {}".format(
            len(graph.constants), limits.weights))
    for name, spec in graph.constants.items():
        if spec.nbytes > limits.blob_bytes:
            raise GraphError("weight {!r:.60} has {} bytes, this server accepts {}".format(
                name, spec.nbytes, limits.blob_bytes))
    if sum(spec.nbytes for spec in graph.constants.values()) > limits.store_bytes:
        raise GraphError("the weights of the graph take more than the {} bytes this server keeps: raise its limit "
                         "(store_gb)".format(limits.store_bytes))
    for t, spec in enumerate(graph.tensors):
        if spec.nbytes > limits.tensor_bytes:
            raise GraphError("tensor {} of the graph has {} bytes, this server accepts {}".format(
                t, spec.nbytes, limits.tensor_bytes))
