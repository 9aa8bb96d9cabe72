"""Sends rows of tensors as tiles: one queue, encoding off the compute thread, few bytes in flight.

Few in flight, so that a plan can still be changed, a lost link costs little, and acknowledgements tell the bandwidth.

Threading: all but `close` may be called from any thread and never blocks; one thread encodes and sends.  One condition
covers the queue, the tiles in flight and the totals of the frame.
"""
import collections
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Tuple
from zlib import crc32

import torch

from intra_dp_ros.loss.link_model import LEAST_RATIO
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.wire.codec import CodecError
from intra_dp_ros.wire.link import Link
from intra_dp_ros.wire.messages import AGAIN, Ack, Tile, serialised_bytes
from intra_dp_ros.wire.source import Source, SourceError, cut, encode_source
from intra_dp_ros.wire.tile import encode_rows

_LOG = logging.getLogger(__name__)
#: A tile is cut to about this many decoded bytes: several per frame, so that acknowledgements come often.  More on fast
#: links, and of what encodes to next to nothing, such as sparse volumes: there it is the number of messages that costs.
TILE_BYTES, MOST_TILE_BYTES = 64 * 1024, 512 * 1024
LEAST_ENCODED_BYTES = int(LEAST_RATIO * MOST_TILE_BYTES)  #: of a tile, as far as its piece has so many
#: Least number of bytes that may be in flight, whatever the bandwidth-delay product; on fast links what they carry in
#: `_IN_FLIGHT_S`.
LEAST_WINDOW_BYTES = 2 * TILE_BYTES
_IN_FLIGHT_S = 0.01
#: But on slow links what they carry in this time [s], though not less than so many bytes: where the air is shared,
#: acknowledgements and signs of life wait behind what is in flight.
_SLOW_S, _SLOW_WINDOW_BYTES = 0.04, 16 * 1024
_HEADER_BYTES = 256  # more than a tile's header takes


def window_bytes(rate: float, rtt_s: float) -> int:
    """The most bytes that may be in flight at a bandwidth [byte/s], 0 if that is unknown, and round-trip time."""
    least = LEAST_WINDOW_BYTES
    if rate > 0.0:
        least = min(least, max(_SLOW_WINDOW_BYTES, int(rate * _SLOW_S)))
    return max(least, int(rate * max(2 * rtt_s, _IN_FLIGHT_S)))


def tile_bytes(window: int, ratio: float = 1.0) -> int:
    """Decoded bytes of a tile where so many may be in flight, at least two of them.

    Args:
        ratio: encoded over decoded bytes.
    """
    ratio, half = max(LEAST_RATIO, ratio), window / 2 - _HEADER_BYTES
    return int(min(MOST_TILE_BYTES, max(half, min(half, LEAST_ENCODED_BYTES) / ratio, min(TILE_BYTES, half / ratio))))


@dataclass(frozen=True)
class FrameKey:
    """What every tile of a frame carries."""

    robot_id: str
    session: int
    frame: int
    epoch: int
    stamp: Tuple[int, int] = (0, 0)
    frame_id: str = ""

    def is_of(self, tile: Tile) -> bool:
        """Whether a tile belongs to the frame under its plan."""
        return (self.frame, self.epoch) == (tile.frame, tile.epoch)

    def is_past(self, tile: Tile) -> bool:
        """Whether a tile belongs to a frame before the next one, or to this one under its plan."""
        return self.frame > tile.frame or self.is_of(tile)


@dataclass(frozen=True)
class Traffic:
    """What a frame has sent so far."""

    bytes: int = 0  # encoded data of the tiles sent
    encode_s: float = 0.0
    wait_s: float = 0.0  # with tiles sent but not acknowledged
    arrived: int = 0  # acknowledged [byte]
    in_flight: int = 0  # [byte]
    queued: int = 0  # bytes not sent yet, if they encode as those that were sent; 0 before the first [byte]
    oldest_s: float = 0.0  # age of the oldest tile in flight
    oldest_bytes: int = 0  # in flight when that one was sent, its own included [byte]
    spans: Tuple[Tuple[float, float, str], ...] = ()  # sent, acknowledged (monotonic [s]), tensor and rows


class _Flying(NamedTuple):
    """A tile in flight."""

    sent: float  # monotonic [s]
    nbytes: int
    until: int  # in flight when it was sent, its own bytes included
    label: str


@dataclass(frozen=True)
class _Piece:
    generation: int
    tensor: int
    start: int
    rows: torch.Tensor
    codec: str
    busy: float
    source: Optional[Source]


class TileSender:
    """One direction of one session.

    Args:
        link: where the tiles go.
        tiling: of the graph.
        name: of the thread.
        window: the most bytes in flight, asked anew for every tile.
    """

    def __init__(self, link: Link, tiling: Tiling, name: str,
                 window: Callable[[], int] = lambda: LEAST_WINDOW_BYTES) -> None:
        self._link = link
        self._tiling = tiling
        self._window = window
        self._change = threading.Condition()
        self._queue: Deque[_Piece] = collections.deque()
        self._key = FrameKey("", 0, 0, 0)
        self._generation = 0  # of the frame: what belongs to an older one is dropped
        self._sequence = 0
        self._flying: Dict[int, _Flying] = {}  # by sequence
        self._waiting_since = 0.0
        self._bytes, self._encode_s, self._wait_s, self._arrived, self._queued = 0, 0.0, 0.0, 0, 0
        self._raw = 0  # decoded bytes of the tiles sent
        self._ratios: Dict[Tuple[int, str], float] = {}  # tensor, codec -> encoded over decoded bytes of its last tile
        self._sent: Dict[int, int] = {}  # tensor -> one past the last row of it that was sent
        self._spans: List[Tuple[float, float, str]] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def begin(self, key: FrameKey) -> None:
        """A new frame: whatever is left of the one before is dropped."""
        with self._change:
            if key.session != self._key.session:
                self._sequence = 0
            self._key = key
            self._drop()
            self._bytes, self._raw, self._encode_s, self._wait_s, self._arrived = 0, 0, 0.0, 0.0, 0
            self._spans, self._sent = [], {}

    def change(self, epoch: int) -> Dict[int, int]:
        """The frame goes on by another plan: what is queued is taken back, what is in flight stays there.

        Returns:
            tensor -> one past the last row of it that was sent; of the graph's inputs in order from the first.
        """
        with self._change:
            self._key = replace(self._key, epoch=epoch)
            self._take_back()
            self._queue.append(_Piece(self._generation, AGAIN, 0, torch.empty(0), "raw", 0.0, None))
            self._change.notify_all()
            return dict(self._sent)

    @property
    def session(self) -> int:
        """Of the frame."""
        return self._key.session

    @property
    def sent(self) -> Dict[int, int]:
        """What `change` would return now."""
        with self._change:
            return dict(self._sent)

    def hold(self) -> None:
        """Take back what is queued; what is in flight stays there, and the rest may be put again."""
        with self._change:
            self._take_back()

    def abandon(self) -> None:
        """Drop what is queued; the totals of the frame stay."""
        with self._change:
            self._drop()

    def put(self, tensor: int, start: int, rows: torch.Tensor, codec: str, busy: float = 0.0,
            source: Optional[Source] = None) -> None:
        """Send rows from `start` on of a tensor of the frame, as one chunk.

        Args:
            busy: compute time this side has spent on the frame so far [s].
            source: what the tensor was made of, for the codec `source`: it is cut, not the rows.
        """
        with self._change:
            self._queue.append(_Piece(self._generation, tensor, start, rows, codec, busy, source))
            self._queued += rows.numel() * rows.element_size()
            self._change.notify_all()

    def acked(self, ack: Ack) -> None:
        """The other side has a tile."""
        now = time.monotonic()
        with self._change:
            if ack.session != self._key.session or ack.sequence not in self._flying:
                return
            found = self._flying.pop(ack.sequence)
            self._arrived += found.nbytes
            self._spans.append((found.sent, now, found.label))
            if not self._flying:
                self._wait_s += now - self._waiting_since
            self._change.notify_all()

    def traffic(self) -> Traffic:
        """Totals of the frame."""
        with self._change:
            now = time.monotonic()
            oldest = next(iter(self._flying.values()), None)
            waiting = 0.0 if oldest is None else now - self._waiting_since
            queued = int(self._queued * self._bytes / self._raw) if self._raw else 0
            return Traffic(
                self._bytes, self._encode_s, self._wait_s + waiting, self._arrived, self._in_flight, queued,
                0.0 if oldest is None else now - oldest.sent, 0 if oldest is None else oldest.until, tuple(self._spans))

    def close(self) -> None:
        """Stop the thread; what is queued is dropped."""
        with self._change:
            self._closed = True
            self._drop()
        self._thread.join(timeout=2.0)

    @property
    def _in_flight(self) -> int:
        return sum(tile.nbytes for tile in self._flying.values())

    def _drop(self) -> None:
        self._take_back()
        if self._flying:
            self._wait_s += time.monotonic() - self._waiting_since
        self._flying.clear()

    def _take_back(self) -> None:
        self._generation += 1
        self._queue.clear()
        self._queued = 0
        self._change.notify_all()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._queue:
                    if self._closed:
                        return
                    self._change.wait()
                piece, key = self._queue.popleft(), self._key
            try:
                for tile, raw_bytes in self._tiles(piece, key):
                    if not self._send(piece.generation, tile, raw_bytes):
                        break
            except (CodecError, SourceError) as error:  # the frame's deadline turns this into a local frame
                _LOG.error("rows of tensor %d cannot be sent: %s", piece.tensor, error)
            except Exception:  # without this thread nothing would ever be sent again
                _LOG.exception("rows of tensor %d cannot be sent", piece.tensor)

    def _tiles(self, piece: _Piece, key: FrameKey) -> Iterator[Tuple[Dict[str, Any], int]]:
        """Fields of the tiles of a chunk, each encoded when it is asked for, and their decoded bytes."""
        if piece.tensor == AGAIN:
            yield dict(_fields(key, piece), axis=-1, start=0, stop=0, shape=(), dtype="uint8", crc32=crc32(b""),
                       data=b""), 0
            return
        axis = self._tiling.axis[piece.tensor]
        count = 1 if axis is None else piece.rows.shape[axis]
        is_whole = axis is None or piece.source is not None
        dtype = self._tiling.graph.tensors[piece.tensor].dtype
        first = 0
        while first < count:
            last = count if is_whole else min(count, first + self._rows(piece))
            rows = piece.rows if axis is None else piece.rows.narrow(axis, first, last - first)
            began = time.perf_counter()
            parts = ([encode_rows(rows, piece.codec)] if piece.source is None
                     else cut(encode_source(piece.source, piece.start, rows.numpy())))
            crcs = [crc32(part) for part in parts]
            spent = time.perf_counter() - began
            raw_bytes = rows.numel() * rows.element_size()
            with self._change:
                self._encode_s += spent if piece.generation == self._generation else 0.0
            self._ratios[piece.tensor, piece.codec] = sum(map(len, parts)) / max(1, raw_bytes)
            if not is_whole and 2 * self._rows(piece) <= last - first:
                continue  # much denser than the rows before: as one tile they would fill a slow link
            for number, (part, crc) in enumerate(zip(parts, crcs), 1):
                is_last = number == len(parts)
                yield dict(
                    _fields(key, piece), axis=-1 if axis is None else axis, start=piece.start + first,
                    stop=piece.start + last, shape=tuple(rows.shape), dtype=dtype, crc32=crc, data=part,
                    more=last < count or not is_last), raw_bytes if is_last else 0
            first = last

    def _rows(self, piece: _Piece) -> int:
        """Of the piece's next tile, if they encode as the tensor's last ones did."""
        size = tile_bytes(self._window(), self._ratios.get((piece.tensor, piece.codec), 1.0))
        return max(1, size // max(1, self._tiling.row_bytes[piece.tensor]))

    def _send(self, generation: int, fields: Dict[str, Any], raw_bytes: int) -> bool:
        """Send when the window allows it; False when the frame is over."""
        size = len(fields["data"])
        with self._change:
            while generation == self._generation and not self._closed and self._flying and (
                    self._in_flight + size > self._window()):
                self._change.wait()
            if generation != self._generation or self._closed:
                return False
            now = time.monotonic()
            tile = Tile(sequence=self._sequence, sent=now, **fields)
            self._sequence += 1
            if not self._flying:
                self._waiting_since = now
            label = ("another plan" if tile.tensor == AGAIN else
                     "tensor {} rows [{}, {})".format(tile.tensor, tile.start, tile.stop))
            nbytes = serialised_bytes(tile)
            self._flying[tile.sequence] = _Flying(now, nbytes, self._in_flight + nbytes, label)
            self._bytes += size
            self._raw += raw_bytes
            self._queued -= raw_bytes
            if raw_bytes:
                self._sent[tile.tensor] = tile.stop
        self._link.send(tile)
        return True


def _fields(key: FrameKey, piece: _Piece) -> Dict[str, Any]:
    """What all tiles of a piece share."""
    return dict(robot_id=key.robot_id, session=key.session, frame=key.frame, epoch=key.epoch, stamp=key.stamp,
                frame_id=key.frame_id, tensor=piece.tensor, codec=piece.codec, busy=piece.busy)
