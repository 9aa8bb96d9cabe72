"""Graphs and weights on disk, both named by the SHA-256 of their content.

Weights are plain little-endian bytes, graphs are JSON: nothing that is read here can run code.  A name is only ever
made of 64 hexadecimal digits, so that no graph or peer can name another file.  Files appear by atomic rename: a reader
sees a whole file or none.
"""
import hashlib
import os
from typing import Dict, List, Mapping, Optional

import torch

from intra_dp_ros.graph.blobs import Blobs, StoreError, checked
from intra_dp_ros.graph.constants import ByConstant, tensor_from_bytes, tensor_to_bytes
from intra_dp_ros.graph.files import write_atomically
from intra_dp_ros.graph.graph import Graph, GraphError

__all__ = ["Store", "StoreError", "StoredWeights"]


class Store:
    """A folder of graphs and weights.

    Methods may be called from several threads.

    Args:
        folder: made with mode 0700 when it does not exist.
        limit_bytes: the most that the blobs of this store may take together, unfinished ones included.
    """

    def __init__(self, folder: str, limit_bytes: int = 8 << 30) -> None:
        self.folder = os.path.expanduser(folder)
        for name in ("", "graphs"):
            os.makedirs(os.path.join(self.folder, name), mode=0o700, exist_ok=True)
        self.blobs = Blobs(os.path.join(self.folder, "blobs"), limit_bytes)

    def put_graph(self, graph: Graph, weights: Optional[Mapping[str, torch.Tensor]] = None) -> str:
        """Keep a graph, and the weights that are given; its hash.

        Raises:
            StoreError: a weight whose bytes are not those the graph names, or no room.
        """
        for name, tensor in (weights or {}).items():
            spec = graph.constants.get(name)
            if spec is None:
                raise StoreError("the graph has no constant {!r}".format(name))
            if self.blobs.size(spec.sha256) is not None:
                continue
            data = tensor_to_bytes(tensor)
            if hashlib.sha256(data).hexdigest() != spec.sha256:
                raise StoreError("the weight {!r} is not the one that was recorded: record again".format(name))
            self.blobs.add(spec.sha256, data)
        write_atomically(self._graph_path(graph.hash), graph.to_json().encode())
        return graph.hash

    def get_graph(self, graph_hash: str) -> Graph:
        """A graph by its hash.

        Raises:
            StoreError: not here, or its file was changed or is damaged.
        """
        try:
            with open(self._graph_path(graph_hash), encoding="utf-8") as file:
                graph = Graph.from_json(file.read())
        except FileNotFoundError:
            raise StoreError("graph {} is not in {}".format(graph_hash, self.folder)) from None
        except (GraphError, UnicodeError) as error:
            raise StoreError("the file of graph {} is damaged: {}".format(graph_hash, error)) from None
        if graph.hash != graph_hash:
            raise StoreError("the file of graph {} holds another graph: delete it and upload again".format(graph_hash))
        return graph

    def weights(self, graph: Graph) -> Dict[str, torch.Tensor]:
        """All constants of a graph, on the CPU.

        Raises:
            StoreError: some are missing, or of another size than the graph says.
        """
        missing = self.missing(graph)
        if missing:
            raise StoreError("{} of the graph's weights are missing, the first is {}: upload them".format(
                len(missing), missing[0]))
        return dict(StoredWeights(self, graph))

    def missing(self, graph: Graph) -> List[str]:
        """SHA-256 of the weights that are still to be uploaded, each once, in the order of their use."""
        names = dict.fromkeys(graph.constants[c].sha256 for node in graph.nodes for c in node.constants)
        names.update(dict.fromkeys(spec.sha256 for spec in graph.constants.values()))
        return [name for name in names if self.blobs.size(name) is None]

    def blob(self, sha256: str) -> bytes:
        """The bytes of a blob."""
        try:
            with open(self.blobs.path(sha256), "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise StoreError("blob {} is not in {}".format(sha256, self.folder)) from None

    def blob_size(self, sha256: str) -> int:
        """Bytes of a blob."""
        size = self.blobs.size(sha256)
        if size is None:
            raise StoreError("blob {} is not in {}".format(sha256, self.folder))
        return size

    def _graph_path(self, graph_hash: str) -> str:
        return os.path.join(self.folder, "graphs", checked(graph_hash) + ".json")


class StoredWeights(ByConstant):
    """A graph's constants by name, read from the store when they are asked for; some may still be on their way."""

    def __init__(self, store: Store, graph: Graph) -> None:
        super().__init__(graph.constants)
        self._store = store
        self._constants = graph.constants

    def __getitem__(self, name: str) -> torch.Tensor:
        """One constant, on the CPU.

        Raises:
            KeyError: the graph has no such constant.
            StoreError: not here yet, or of another size than the graph says.
        """
        spec = self._constants[name]
        size = self._store.blobs.size(spec.sha256)
        if size is None:
            raise StoreError("the weight {!r} is missing: upload it".format(name))
        if size != spec.nbytes:
            raise StoreError("the weight {!r} has {} bytes where the graph says {}".format(name, size, spec.nbytes))
        data = bytearray(spec.nbytes)  # writable, so that the tensor can use this memory itself
        with open(self._store.blobs.path(spec.sha256), "rb") as file:
            file.readinto(data)
        return tensor_from_bytes(data, spec.shape, spec.dtype)
