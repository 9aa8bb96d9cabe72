"""Acknowledgements travel together when tiles are small, at once when they are large, always in order, soon."""
import threading
import time

import pytest

pytest.importorskip("rospy")
pytest.importorskip("intra_dp_ros.msg", reason="the workspace is not built: scripts/run /usr/bin/python3 -m pytest")

from intra_dp_ros.ros.ack_batch import ENOUGH_BYTES, AckBatch  # noqa: E402
from intra_dp_ros.ros.conversions import MAX_ACKS  # noqa: E402
from intra_dp_ros.wire.messages import Ack  # noqa: E402


class Sent:
    """What was sent, by whom."""

    def __init__(self):
        self.messages, self.threads = [], []

    def __call__(self, acks):
        self.messages.append(list(acks))
        self.threads.append(threading.current_thread())

    @property
    def numbers(self):
        return [[a.sequence for a in acks] for acks in self.messages]

    def until(self, count):
        end = time.monotonic() + 5.0
        while sum(map(len, self.messages)) < count:
            assert time.monotonic() < end, self.messages
            time.sleep(0.001)


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
def batch(sent):
    made = AckBatch(sent)
    yield made
    made.close()


def ack(number, nbytes=100, **other):
    return Ack("robot", 1, 1, number, nbytes, float(number), **other)


def test_of_a_large_tile_at_once(batch, sent):
    batch.put(ack(0, ENOUGH_BYTES))
    assert sent.numbers == [[0]] and sent.threads == [threading.current_thread()]


def test_of_small_tiles_together_until_it_is_enough(batch, sent):
    with batch._change:  # nothing is sent because it was held for long
        for number in range(4):
            batch.put(ack(number, ENOUGH_BYTES // 4))
        batch.put(ack(4, ENOUGH_BYTES - 1))
    assert sent.numbers == [[0, 1, 2, 3]]
    sent.until(5)
    assert sent.numbers == [[0, 1, 2, 3], [4]] and sent.threads[1] is not threading.current_thread()
    assert sent.messages[0][2] == ack(2, ENOUGH_BYTES // 4)  # each keeps its own times


def test_a_refusal_at_once_after_those_before_it(batch, sent):
    with batch._change:
        batch.put(ack(0))
        batch.put(ack(1, accepted=False, reason="why"))
    assert sent.numbers == [[0, 1]]


def test_no_more_than_a_receiver_takes(batch, sent):
    with batch._change:
        for number in range(MAX_ACKS + 1):
            batch.put(ack(number, 1))
        assert list(map(len, sent.messages)) == [MAX_ACKS]
    sent.until(MAX_ACKS + 1)


def test_all_in_order_from_several_threads(batch, sent):
    def put(first):
        for number in range(first, first + 300):
            batch.put(ack(number, 5000))
            time.sleep(0.0002)
    threads = [threading.Thread(target=put, args=(k * 1000,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.until(900)
    numbers = [n for message in sent.numbers for n in message]
    for k in range(3):
        assert [n for n in numbers if n // 1000 == k] == list(range(k * 1000, k * 1000 + 300))
    assert len(sent.messages) < 900


def test_nothing_after_close(sent):
    batch = AckBatch(sent)
    with batch._change:
        batch.put(ack(0))
    batch.close()
    count = len(sent.messages)
    time.sleep(0.02)
    assert len(sent.messages) == count and not batch._thread.is_alive()
