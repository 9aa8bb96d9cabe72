"""Files named by the SHA-256 of their content, and uploads of such files that can be interrupted anywhere.

A blob that is being uploaded is `<sha256>.part`: its length is what has arrived, so that a sender goes on there after a
restart of either side.  Nothing is allocated by what a peer announces: a file grows only with bytes that came.

Threading: methods may be called from several threads.  `_change` covers who writes which blob; content is written,
hashed and renamed outside it, so that several blobs arrive at once.
"""
import hashlib
import os
import re
import threading
import time
from typing import List, Optional, Set, Tuple

from intra_dp_ros.graph.files import write_atomically
from intra_dp_ros.graph.graph import GraphError

_NAME = re.compile(r"[0-9a-f]{64}\Z")
_PART = ".part"
_READ_BYTES = 1 << 20  # per read while hashing
_ABANDONED_S = 60.0  # a partial blob that nobody added to for this long may be dropped for others


class StoreError(GraphError):
    """A name, a size or a content that the store does not accept, or that it does not have."""


def checked(name: str) -> str:
    """`name`, when it is a SHA-256.

    Raises:
        StoreError: anything else, so that no peer can name another file.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise StoreError("{!r:.80} is not a SHA-256 in 64 lower-case hexadecimal digits".format(name))
    return name


class Blobs:
    """A folder of blobs.

    Args:
        folder: made with mode 0700 when it does not exist.
        limit_bytes: the most that all blobs may take together, unfinished ones included.
        limit_blobs: the most files.
        limit_parts: the most unfinished blobs at once.
    """

    def __init__(self, folder: str, limit_bytes: int, limit_blobs: int = 100000, limit_parts: int = 256) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.limit_blobs = limit_blobs
        self.limit_parts = limit_parts
        self._change = threading.Condition()
        self._busy: Set[str] = set()  # blobs that a thread writes just now
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def path(self, sha256: str) -> str:
        """Where a finished blob is."""
        return os.path.join(self.folder, checked(sha256))

    def size(self, sha256: str) -> Optional[int]:
        """Bytes of a finished blob; None when it is not here."""
        return _size(self.path(sha256))

    def received(self, sha256: str) -> int:
        """How many bytes of a blob are here, from its first on; an upload goes on there."""
        path = self.path(sha256)
        whole = _size(path)
        return whole if whole is not None else _size(path + _PART) or 0

    def add(self, sha256: str, data: bytes) -> None:
        """Keep a blob of this machine; the caller has checked its hash.

        Raises:
            StoreError: no room.
        """
        path = self.path(sha256)
        with self._change:
            self._make_room(sha256, len(data))
        write_atomically(path, data)

    def write_chunk(self, sha256: str, offset: int, total: int, data: bytes, wait_s: float = 0.0) -> int:
        """Add bytes to a blob that is being uploaded; how many bytes of it are here now.

        A chunk that does not begin where the upload stands is not written: the sender goes on from the number returned,
        which is also how an interrupted upload is resumed (`data` may be empty to ask).

        Args:
            offset: of `data` in the blob [bytes].
            total: size of the whole blob [bytes].
            wait_s: for the chunks before this one, when several are on their way at once [s].

        Raises:
            StoreError: sizes that do not fit, no room, or a finished blob whose content is not its name (then deleted).
        """
        path = self.path(sha256)
        if offset < 0 or total < 0 or offset + len(data) > total:
            raise StoreError("a chunk of {} bytes at {} does not fit into a blob of {}".format(
                len(data), offset, total))
        with self._change:
            end = time.monotonic() + wait_s
            while sha256 in self._busy or 0 < end - time.monotonic() and self.received(sha256) < offset:
                self._change.wait(0.05 if sha256 in self._busy else end - time.monotonic())
            if self.size(sha256) is not None:
                return total
            received = self.received(sha256)
            if received > total:
                os.unlink(path + _PART)
                raise StoreError("blob {} was begun with another size: upload it again".format(sha256))
            if offset != received:
                return received
            self._make_room(sha256, total - received)
            self._busy.add(sha256)
        try:
            return self._append(path, sha256, total, data)
        finally:
            with self._change:
                self._busy.discard(sha256)
                self._change.notify_all()

    def _append(self, path: str, sha256: str, total: int, data: bytes) -> int:
        part = path + _PART
        with open(part, "ab") as file:
            file.write(data)
            file.flush()
            received = file.tell()
            if received == total:
                os.fsync(file.fileno())  # the name promises the content, also after a power cut
        if received == total:
            if _hash(part) != sha256:
                os.unlink(part)
                raise StoreError("the uploaded bytes are not blob {}: upload it again".format(sha256))
            os.replace(part, path)
        return received

    def _make_room(self, sha256: str, wanted: int) -> None:
        """Room for `wanted` bytes more of a blob, if need be in place of abandoned uploads, oldest first."""
        files = self._files()
        used, now = sum(size for _, size, _ in files), time.time()
        parts = sorted((modified, name, size) for name, size, modified in files if name.endswith(_PART))
        begun = any(name == sha256 + _PART for _, name, _ in parts)
        many, count = len(files) + (not begun), len(parts) + (not begun)
        for modified, name, size in parts:
            if used + wanted <= self.limit_bytes and count <= self.limit_parts and many <= self.limit_blobs:
                return
            if name != sha256 + _PART and name[:64] not in self._busy and not 0 <= now - modified < _ABANDONED_S:
                os.unlink(os.path.join(self.folder, name))
                used, count, many = used - size, count - 1, many - 1
        if used + wanted > self.limit_bytes:
            raise StoreError("{} has no room for {} bytes more ({} of {} are used): delete it or raise the limit"
                             .format(self.folder, wanted, used, self.limit_bytes))
        if count > self.limit_parts or many > self.limit_blobs:
            raise StoreError("{} has no room for one more blob ({} files, {} of them unfinished): delete it or finish "
                             "the other uploads first".format(self.folder, len(files), len(parts)))

    def _files(self) -> List[Tuple[str, int, float]]:
        """(name, bytes, modified) of every file."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                try:
                    status = entry.stat()
                except FileNotFoundError:  # finished and renamed meanwhile
                    continue
                found.append((entry.name, status.st_size, status.st_mtime))
        return found


def _size(path: str) -> Optional[int]:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return None


def _hash(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(_READ_BYTES), b""):
            digest.update(piece)
    return digest.hexdigest()
