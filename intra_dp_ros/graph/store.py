"""Graphs and weights on disk, both named by the SHA-256 of their content.

Weights are plain little-endian bytes, graphs are JSON: nothing that is read here can run code.  A name is only ever
made of 64 hexadecimal digits, so that no graph or peer can name another file.  Files appear by atomic rename: a reader
sees a whole file or none.
"""
import hashlib
import os
import re
import tempfile
import threading
from typing import Dict, List, Mapping, Optional

import torch

from intra_dp_ros.graph.constants import tensor_from_bytes, tensor_to_bytes
from intra_dp_ros.graph.graph import Graph, GraphError

_NAME = re.compile(r"[0-9a-f]{64}\Z")
_READ_BYTES = 1 << 20  # per read while hashing


class StoreError(GraphError):
    """A name, a size or a content that the store does not accept, or that it does not have."""


class Store:
    """A folder of graphs and weights.

    Methods may be called from several threads; one lock covers writing, reading takes none.

    Args:
        folder: made with mode 0700 when it does not exist.
        limit_bytes: the most that the blobs of this store may take together, unfinished ones included.
    """

    def __init__(self, folder: str, limit_bytes: int = 8 << 30) -> None:
        self.folder = os.path.expanduser(folder)
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        for name in ("", "graphs", "blobs"):
            os.makedirs(os.path.join(self.folder, name), mode=0o700, exist_ok=True)

    def put_graph(self, graph: Graph, weights: Optional[Mapping[str, torch.Tensor]] = None) -> str:
        """Keep a graph, and the weights that are given; its hash.

        Raises:
            StoreError: a weight whose bytes are not those the graph names, or no room.
        """
        for name, tensor in (weights or {}).items():
            spec = graph.constants.get(name)
            if spec is None:
                raise StoreError("the graph has no constant {!r}".format(name))
            if self._size(spec.sha256) is not None:
                continue
            data = tensor_to_bytes(tensor)
            if hashlib.sha256(data).hexdigest() != spec.sha256:
                raise StoreError("the weight {!r} is not the one that was recorded: record again".format(name))
            with self._lock:
                self._make_room(data.nbytes)
                self._write(self._blob_path(spec.sha256), data)
        with self._lock:
            self._write(self._graph_path(graph.hash), graph.to_json().encode())
        return graph.hash

    def get_graph(self, graph_hash: str) -> Graph:
        """A graph by its hash.

        Raises:
            StoreError: not here, or its file was changed.
        """
        try:
            with open(self._graph_path(graph_hash), encoding="utf-8") as file:
                graph = Graph.from_json(file.read())
        except FileNotFoundError:
            raise StoreError("graph {} is not in {}".format(graph_hash, self.folder)) from None
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
        found = {}
        for name, spec in graph.constants.items():
            size = self._size(spec.sha256)
            if size != spec.nbytes:
                raise StoreError("the weight {!r} has {} bytes where the graph says {}".format(name, size, spec.nbytes))
            data = bytearray(spec.nbytes)  # writable, so that the tensor can use this memory itself
            with open(self._blob_path(spec.sha256), "rb") as file:
                file.readinto(data)
            found[name] = tensor_from_bytes(data, spec.shape, spec.dtype)
        return found

    def missing(self, graph: Graph) -> List[str]:
        """SHA-256 of the weights that are still to be uploaded, each once, in the order of their use."""
        names = dict.fromkeys(graph.constants[c].sha256 for node in graph.nodes for c in node.constants)
        names.update(dict.fromkeys(spec.sha256 for spec in graph.constants.values()))
        return [name for name in names if self._size(name) is None]

    def blob(self, sha256: str) -> bytes:
        """The bytes of a blob."""
        try:
            with open(self._blob_path(sha256), "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise StoreError("blob {} is not in {}".format(sha256, self.folder)) from None

    def blob_size(self, sha256: str) -> int:
        """Bytes of a blob."""
        size = self._size(sha256)
        if size is None:
            raise StoreError("blob {} is not in {}".format(sha256, self.folder))
        return size

    def write_chunk(self, sha256: str, offset: int, total: int, data: bytes) -> int:
        """Add bytes to a blob that is being uploaded; how many bytes of it are here now.

        A chunk that does not begin where the upload stands is not written: the sender goes on from the number returned,
        which is also how an interrupted upload is resumed (``data`` may be empty to ask).

        Args:
            offset: of `data` in the blob [bytes].
            total: size of the whole blob [bytes].

        Raises:
            StoreError: sizes that do not fit, no room, or a finished blob whose content is not its name (then deleted).
        """
        path = self._blob_path(sha256)
        part = path + ".part"
        if offset < 0 or total < 0 or offset + len(data) > total:
            raise StoreError("a chunk of {} bytes at {} does not fit into a blob of {}".format(
                len(data), offset, total))
        with self._lock:
            if self._size(sha256) is not None:
                return total
            received = os.path.getsize(part) if os.path.exists(part) else 0
            if received > total:
                os.unlink(part)
                raise StoreError("blob {} was begun with another size: upload it again".format(sha256))
            if offset != received:
                return received
            self._make_room(total - received)
            with open(part, "ab") as file:
                file.write(data)
            received += len(data)
            if received == total:
                self._finish(sha256, part, path)
            return received

    def _finish(self, sha256: str, part: str, path: str) -> None:
        digest = hashlib.sha256()
        with open(part, "rb") as file:
            for piece in iter(lambda: file.read(_READ_BYTES), b""):
                digest.update(piece)
        if digest.hexdigest() != sha256:
            os.unlink(part)
            raise StoreError("the uploaded bytes are not blob {}: upload it again".format(sha256))
        os.replace(part, path)

    def _make_room(self, wanted: int) -> None:
        with os.scandir(os.path.join(self.folder, "blobs")) as entries:
            used = sum(entry.stat().st_size for entry in entries)
        if used + wanted > self.limit_bytes:
            raise StoreError("{} has no room for {} bytes more ({} of {} are used): delete it or raise the limit"
                             .format(self.folder, wanted, used, self.limit_bytes))

    @staticmethod
    def _write(path: str, data: bytes) -> None:
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def _size(self, sha256: str) -> Optional[int]:
        try:
            return os.path.getsize(self._blob_path(sha256))
        except FileNotFoundError:
            return None

    def _blob_path(self, sha256: str) -> str:
        return os.path.join(self.folder, "blobs", _checked(sha256))

    def _graph_path(self, graph_hash: str) -> str:
        return os.path.join(self.folder, "graphs", _checked(graph_hash) + ".json")


def _checked(name: str) -> str:
    if not isinstance(name, str) or not _NAME.match(name):
        raise StoreError("{!r} is not a SHA-256 in 64 lower-case hexadecimal digits".format(name))
    return name
