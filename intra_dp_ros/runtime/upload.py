"""Weights on their way to the server: pieces in flight side by side, resumed where the server says it stands.

Threading: `want`, `order` and `holds` come from the connection's thread; the workers call the server's services, which
may block.  `_change` covers what is missing and how far each blob is; pieces are sent outside it.
"""
import collections
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Collection, Deque, Dict, List, Mapping, Optional, Sequence, Tuple

from intra_dp_ros.graph.constants import tensor_to_bytes
from intra_dp_ros.runtime.engine import Progress, no_progress
from intra_dp_ros.wire.link import Control, ControlError
from intra_dp_ros.wire.messages import BlobReply, BlobRequest

_LOG = logging.getLogger(__name__)

WORKERS = 3  # pieces in flight: while one is written and confirmed, the link carries the next
_FIRST_BYTES, _LEAST_BYTES, _MOST_BYTES = 256 << 10, 16 << 10, 8 << 20  # of a piece
_PIECE_S = 0.5  # that a piece takes: what an interruption loses
_YIELDING_S = 0.03  # that a piece takes while frames use the link: what a frame may have to wait
_FLOOR_S = 0.5  # between pieces while frames leave no gap: the upload never stands still
_FRAMES_S = 1.0  # after a frame of the link, more are expected
_RETRY_S = 0.3  # after a call that failed
_REFUSED_S = 5.0  # after a blob that the server refused twice
_WINDOW_S = 5.0  # that the rate is measured over


@dataclass
class _Blob:
    """One weight that the server lacks; covered by the uploader's lock."""

    name: str  # SHA-256
    total: int  # [byte]
    received: int  # that the server has confirmed [byte]
    next: int  # where the next piece begins [byte]
    begun: bool = False  # an empty weight is one piece of no bytes
    refused: int = 0  # times


@dataclass(frozen=True)
class _Piece:
    """What one call sends."""

    name: str
    offset: int
    size: int
    total: int


class Uploader:
    """Sends the weights that the server lacks.

    Args:
        robot_id: for the server's log.
        weights: SHA-256 -> tensor.
        control: the server's services.
        wanted: while it is cleared nothing is sent.
        is_busy: whether a frame is using the link: frames go first.
        progress: called with (what, bytes confirmed, bytes in all).
    """

    def __init__(self, robot_id: str, weights: Mapping[str, Any], control: Control, wanted: threading.Event,
                 is_busy: Callable[[], bool] = lambda: False, progress: Progress = no_progress) -> None:
        self.problem = ""  # why the server takes no weights; empty when it does
        self._robot_id = robot_id
        self._weights = dict(weights)
        self._bytes = {name: tensor.numel() * tensor.element_size() for name, tensor in self._weights.items()}
        self._control = control
        self._wanted = wanted
        self._is_busy = is_busy
        self._progress = progress
        self._change = threading.Condition()
        self._blobs: Dict[str, _Blob] = {}  # that the server lacks
        self._order: List[str] = []
        self._piece = float(_FIRST_BYTES)
        self._busy_at = self._sent_at = -1e9  # monotonic [s]
        self._pause_until = 0.0
        self._confirmed: Deque[Tuple[float, int]] = collections.deque()  # when, bytes
        self._total = 0  # bytes of this upload
        self._began = 0.0
        self._closed = False
        self._threads: List[threading.Thread] = []

    def want(self, missing: Sequence[str], received: Sequence[int] = ()) -> None:
        """What the server lacks now, and how many bytes of each it has already."""
        offsets = dict(zip(missing, received))
        with self._change:
            unknown = [name for name in missing if name not in self._bytes]
            if unknown:
                self.problem = "the server lacks weight {}, which this robot does not have".format(unknown[0])
            if not self._blobs:
                self._total, self._began = 0, time.monotonic()
            blobs = {}
            for name in missing:
                if name in self._bytes:
                    size = self._bytes[name]
                    start = min(size, max(0, offsets.get(name, 0)))
                    blobs[name] = self._blobs.get(name) or _Blob(name, size, start, start)
            self._total = max(self._total, sum(b.total for b in blobs.values()))
            self._blobs, self._order = blobs, [n for n in self._order if n in blobs]
            self._order += [n for n in blobs if n not in set(self._order)]
            while blobs and len(self._threads) < WORKERS and not self._closed:
                self._threads.append(threading.Thread(target=self._work, name="upload", daemon=True))
                self._threads[-1].start()
            self._change.notify_all()

    def order(self, first: Collection[str], names: Sequence[str]) -> None:
        """Send the weights `first` before the others, all in the order of `names`."""
        with self._change:
            known = [n for n in dict.fromkeys(names) if n in self._blobs]
            rest = [n for n in self._blobs if n not in set(known)]
            self._order = [n for n in known if n in first] + [n for n in known if n not in first] + rest

    def holds(self, names: Collection[str]) -> bool:
        """Whether the server has all of these weights."""
        with self._change:
            return not any(name in self._blobs for name in names)

    @property
    def rate(self) -> float:
        """What the server confirmed in the last seconds [byte/s]; 0: nothing."""
        with self._change:
            return self._rate(time.monotonic())

    def status(self) -> Dict[str, float]:
        """Bytes confirmed and in all, rate [MB/s]; for people."""
        with self._change:
            left = sum(b.total - b.received for b in self._blobs.values())
            return {"done_bytes": self._total - left, "total_bytes": self._total, "missing": len(self._blobs),
                    "rate_MBps": self._rate(time.monotonic()) / 1e6}

    def close(self) -> None:
        """Stop after the pieces that are on their way."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _work(self) -> None:
        while True:
            piece = self._take()
            if piece is None:
                return
            began = time.monotonic()
            try:
                data = tensor_to_bytes(self._weights[piece.name])[piece.offset:piece.offset + piece.size]
                reply = self._control.put(BlobRequest(self._robot_id, piece.name, piece.offset, piece.total,
                                                      bytes(data)))
            except Exception as error:  # a worker must not die: without it the weights never arrive
                if not isinstance(error, ControlError):
                    _LOG.exception("a piece of a weight could not be sent; it is tried again")
                self._failed(piece, str(error))
                continue
            self._done(piece, reply, time.monotonic() - began)

    def _take(self) -> Optional[_Piece]:
        """The next piece to send, waiting for it; None: closed."""
        with self._change:
            while not self._closed:
                now = time.monotonic()
                if not self._wanted.is_set() or now < self._pause_until:
                    self._change.wait(0.1)
                    continue
                if self._is_busy():
                    self._busy_at = now
                    if now - self._sent_at < _FLOOR_S:
                        self._change.wait(0.01)
                        continue
                blob = next((b for b in map(self._blobs.get, self._order)
                             if b is not None and (b.next < b.total or not b.begun)), None)
                if blob is None:
                    self._change.wait(0.5)
                    continue
                size = min(int(self._piece), blob.total - blob.next)
                if now - self._busy_at < _FRAMES_S:
                    size = min(size, max(_LEAST_BYTES, int(self._piece * _YIELDING_S / _PIECE_S)))
                piece = _Piece(blob.name, blob.next, size, blob.total)
                blob.next, blob.begun, self._sent_at = blob.next + size, True, now
                return piece
        return None

    def _failed(self, piece: _Piece, why: str) -> None:
        with self._change:
            if why != self.problem:
                _LOG.warning("the upload of weights waits: %s", why)
            self.problem = why
            self._piece = max(_LEAST_BYTES, self._piece / 2)  # so that one gets through between outages
            self._pause_until = time.monotonic() + _RETRY_S
            blob = self._blobs.get(piece.name)
            if blob is not None:
                blob.next, blob.begun = min(blob.next, piece.offset), False

    def _done(self, piece: _Piece, reply: BlobReply, seconds: float) -> None:
        now = time.monotonic()
        with self._change:
            blob = self._blobs.get(piece.name)
            if not reply.accepted:
                self._refuse(blob, reply.reason, now)
                return
            self.problem = ""
            if piece.size >= self._piece / 2:  # of a small one the round trip would be measured
                fit = piece.size / max(1e-3, seconds) * _PIECE_S
                self._piece = min(_MOST_BYTES, 2 * self._piece, max(_LEAST_BYTES, fit))
            if blob is None:
                return
            received = min(blob.total, reply.received)
            self._confirmed.append((now, max(0, received - blob.received)))
            blob.received = received
            if received != piece.offset + piece.size:  # the server stands elsewhere: go on there
                blob.next = received
            if received >= blob.total:
                del self._blobs[piece.name]
            left = sum(b.total - b.received for b in self._blobs.values())
            total, rate = self._total, self._rate(now)
            finished = not self._blobs
            self._change.notify_all()
        self._progress("uploading weights at {:.1f} MB/s, {:.0f} s left [byte]".format(
            rate / 1e6, left / max(rate, 1.0)), total - left, total)
        if finished:
            _LOG.info("the server has all weights: %.1f MB in %.1f s", total / 1e6, now - self._began)

    def _refuse(self, blob: Optional[_Blob], reason: str, now: float) -> None:
        """The server does not take a piece: once the blob begins anew, then it waits."""
        _LOG.warning("the server does not take a weight: %s", reason)
        self.problem = "the server does not take a weight: {}".format(reason)
        if blob is not None:
            blob.refused += 1
            blob.next = blob.received = 0
            blob.begun = False
        if blob is None or blob.refused > 1:
            self._pause_until = now + _REFUSED_S

    def _rate(self, now: float) -> float:
        while self._confirmed and self._confirmed[0][0] < now - _WINDOW_S:
            self._confirmed.popleft()
        if not self._confirmed:
            return 0.0
        since = max(now - _WINDOW_S, self._began)
        return sum(count for _, count in self._confirmed) / max(0.05, now - since)
