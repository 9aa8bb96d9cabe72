"""The tile sender over an in-process link: whole, in order, bounded in flight, a new frame drops the old one."""
import threading
import time
from zlib import crc32

import pytest
import torch
from one_process import until

from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.sender import (
    LEAST_ENCODED_BYTES, MOST_TILE_BYTES, TILE_BYTES, FrameKey, TileSender, tile_bytes, window_bytes)
from intra_dp_ros.wire.link import InProcessLink
from intra_dp_ros.wire.messages import AGAIN, Ack, serialised_bytes
from intra_dp_ros.wire.tile import TileSpec, decode_tile

ROWS, COLUMNS = 64, 1500  # 288 kB of uint8 RGB


@pytest.fixture(scope="module")
def tiling():
    image = torch.zeros((1, ROWS, COLUMNS, 3), dtype=torch.uint8)
    return Tiling(record(lambda x: x.float() * 2.0, (image,)).graph)


class Receiver:
    """The other end; acknowledges when told to."""

    def __init__(self):
        self.near, self.far = InProcessLink.pair()
        self.tiles = []
        self.acknowledges = True
        self.change = threading.Condition()
        self.far.subscribe(self._on_tile)

    def _on_tile(self, tile):
        with self.change:
            self.tiles.append(tile)
            self.change.notify_all()
        if self.acknowledges:
            self.far.send(ack_of(tile))

    def wait(self, count):
        with self.change:
            assert self.change.wait_for(lambda: len(self.tiles) >= count, 10.0), len(self.tiles)


def ack_of(tile):
    return Ack(tile.robot_id, tile.session, tile.frame, tile.sequence, serialised_bytes(tile), time.monotonic())


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.near.close()


def start(receiver, tiling, **options):
    sender = TileSender(receiver.near, tiling, "sender", **options)
    receiver.near.subscribe(sender.acked)
    sender.begin(FrameKey("r", 7, 1, 3, (5, 6), "camera"))
    return sender


def image():
    return torch.randint(0, 256, (1, ROWS, COLUMNS, 3), dtype=torch.uint8)


def test_a_chunk_arrives_whole_and_in_order(receiver, tiling):
    sender, x = start(receiver, tiling), image()
    try:
        sender.put(0, 10, x.narrow(1, 10, 54), "raw", busy=0.25)
        receiver.wait(4)
        tiles = receiver.tiles
        assert b"".join(t.data for t in tiles) == x[:, 10:].numpy().tobytes()
        assert [t.more for t in tiles] == [True] * (len(tiles) - 1) + [False]
        assert [t.sequence for t in tiles] == list(range(len(tiles)))
        assert (tiles[0].start, tiles[-1].stop) == (10, 64)
        assert all(a.stop == b.start for a, b in zip(tiles, tiles[1:]))
        assert all(len(t.data) <= TILE_BYTES and t.crc32 == crc32(t.data) for t in tiles)
        assert {(t.frame, t.epoch, t.session, t.stamp, t.frame_id, t.busy) for t in tiles} == {
            (1, 3, 7, (5, 6), "camera", 0.25)}
        end = time.monotonic() + 10.0
        while sender.traffic().in_flight and time.monotonic() < end:
            time.sleep(0.01)
        traffic = sender.traffic()
        assert (traffic.in_flight, traffic.queued) == (0, 0)
        assert traffic.bytes == 54 * COLUMNS * 3 and len(traffic.spans) == len(tiles)
    finally:
        sender.close()


def test_fast_links_take_larger_tiles(receiver, tiling):
    assert TILE_BYTES - 300 < tile_bytes(window_bytes(0.0, 0.01)) == tile_bytes(window_bytes(10e6, 0.001)) < TILE_BYTES
    assert tile_bytes(window_bytes(1e9, 0.0)) == MOST_TILE_BYTES
    assert window_bytes(10e6, 0.1) == 2 * 10e6 * 0.1  # twice what is under way on a slow path
    sender, x = start(receiver, tiling, window=lambda: window_bytes(40e6, 0.001)), image()
    try:
        sender.put(0, 0, x, "raw")
        receiver.wait(2)
        assert TILE_BYTES < len(receiver.tiles[0].data) <= 200000
        assert b"".join(t.data for t in receiver.tiles) == x.numpy().tobytes()
    finally:
        sender.close()


def test_few_bytes_in_flight(receiver, tiling):
    receiver.acknowledges = False
    sender = start(receiver, tiling, window=lambda: 130000)
    try:
        sender.put(0, 0, image(), "raw")
        receiver.wait(2)
        time.sleep(0.2)
        assert len(receiver.tiles) == 2
        assert sender.traffic().in_flight <= 130000 < sender.traffic().in_flight + sender.traffic().queued
        for tile in list(receiver.tiles):
            receiver.far.send(ack_of(tile))
        receiver.wait(4)
    finally:
        sender.close()


def test_what_is_queued_counts_as_it_will_be_encoded(receiver, tiling):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    receiver.acknowledges = False
    sender = start(receiver, tiling, window=lambda: 1)
    try:
        assert sender.traffic().queued == 0
        sender.put(0, 0, torch.zeros((1, ROWS, COLUMNS, 3), dtype=torch.uint8), "png")
        receiver.wait(1)
        assert 0 < sender.traffic().queued < 60000  # of 230 kB that are not sent yet
    finally:
        sender.close()


def test_a_new_frame_drops_the_old_one(receiver, tiling):
    receiver.acknowledges = False
    sender = start(receiver, tiling)
    try:
        sender.put(0, 0, image(), "raw")
        receiver.wait(1)
        receiver.acknowledges = True
        sender.begin(FrameKey("r", 7, 2, 3))
        sender.put(0, 0, image().narrow(1, 0, 8), "raw")
        with receiver.change:
            assert receiver.change.wait_for(lambda: receiver.tiles[-1].frame == 2, 10.0)
        time.sleep(0.1)
        assert receiver.tiles[-1].frame == 2
        sequences = [t.sequence for t in receiver.tiles]
        assert sequences == sorted(set(sequences))
    finally:
        sender.close()


def test_a_frame_that_goes_on_by_another_plan(receiver, tiling):
    """What is queued is taken back; what is in flight stays there, and is acknowledged."""
    receiver.acknowledges = False
    sender, x = start(receiver, tiling, window=lambda: 130000), image()
    try:
        sender.put(0, 0, x, "raw")
        receiver.wait(2)
        sent = sender.change(4)
        assert sent == sender.sent == {0: receiver.tiles[1].stop} and sender.traffic().queued == 0
        assert sender.traffic().in_flight > 0
        sender.put(0, sent[0], x[:, sent[0]:60], "raw")
        receiver.wait(3)  # the word that it goes on needs no room
        for tile in list(receiver.tiles):
            receiver.far.send(ack_of(tile))
        receiver.wait(4)
        word, after = receiver.tiles[2], receiver.tiles[3:]
        assert (word.tensor, word.epoch, word.frame, word.shape, word.data, word.more) == (AGAIN, 4, 1, (), b"", False)
        assert {t.epoch for t in receiver.tiles[:2]} == {3} and {t.epoch for t in after} == {4}
        assert after[0].start == sent[0]
        sender.begin(FrameKey("r", 7, 2, 3))
        assert sender.sent == {}
    finally:
        sender.close()


def test_slow_links_have_less_in_flight():
    assert window_bytes(0.5e6, 0.001) == 20000 and window_bytes(1e4, 0.001) == 16384
    assert window_bytes(4e6, 0.001) == 2 * TILE_BYTES
    assert 9700 < tile_bytes(20000) < 10000  # raw; and with what is encoded to a fifth, as many bytes on the air
    assert 48500 < tile_bytes(20000, 0.2) < 50000 and tile_bytes(20000, 0.125) == TILE_BYTES


def test_while_a_tile_is_on_the_air_the_next_one_is_as_well(receiver, tiling):
    receiver.acknowledges = False
    sender = start(receiver, tiling, window=lambda: 4 * 3 * COLUMNS)  # four rows, and no byte for headers
    try:
        sender.put(0, 0, image(), "raw")
        receiver.wait(2)
    finally:
        sender.close()


def test_what_encodes_to_little_takes_larger_tiles(receiver, tiling):
    assert tile_bytes(20000, 0.02) == 50 * LEAST_ENCODED_BYTES
    assert tile_bytes(20000, 0.0) == MOST_TILE_BYTES
    sender = start(receiver, tiling, window=lambda: 20000)
    empty, full = torch.zeros((1, ROWS, COLUMNS, 3), dtype=torch.uint8), image() & 1
    half = torch.cat([empty[:, :ROWS // 2], full[:, ROWS // 2:]], 1)

    def tiles_of(frame, x):
        receiver.tiles.clear()
        sender.begin(FrameKey("r", 7, frame, 3))
        sender.put(0, 0, x, "bits+lz4")
        until(lambda: receiver.tiles and not receiver.tiles[-1].more, "the last tile")
        found = list(receiver.tiles)
        spec = TileSpec(0, 1, tuple(x.shape), "uint8", 0, ROWS, "bits+lz4")
        assert torch.equal(torch.cat([decode_tile(t, {0: spec}) for t in found], 1), x)
        return found
    try:
        assert len(tiles_of(1, empty)) == 2  # the first is cut for what it could be
        assert len(tiles_of(2, empty)) == 1
        # Rows that were expected to be empty and are not: cut anew.
        assert max(len(t.data) for t in tiles_of(3, half)) <= 2 * LEAST_ENCODED_BYTES
        assert max(len(t.data) for t in tiles_of(4, full)) <= 2 * LEAST_ENCODED_BYTES
    finally:
        sender.close()


def test_close_does_not_hang_on_a_silent_link(receiver, tiling):
    receiver.acknowledges = False
    sender = start(receiver, tiling)
    sender.put(0, 0, image(), "raw")
    receiver.wait(1)
    began = time.monotonic()
    sender.close()
    assert time.monotonic() - began < 1.5
