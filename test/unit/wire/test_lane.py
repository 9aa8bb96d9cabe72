"""One stream of messages: order, silence, closing.  Nothing here depends on how fast the machine is."""
import logging
import queue
import threading
import time

import pytest

from intra_dp_ros.wire.lane import Lane
from intra_dp_ros.wire.shaper import SLICE_BYTES, Trace, TraceShaper

LIMIT_S = 20.0  # of every wait in here


class Recorder(TraceShaper):
    """A shaper that writes down what it is asked."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked = []

    def departure(self, now, nbytes, direction):
        found = super().departure(now, nbytes, direction)
        self.asked.append((direction, nbytes, found))
        return found


@pytest.fixture
def lanes():
    """Makes lanes that deliver into a queue, and closes them."""
    made = []

    def make(shaper=None, direction="up", deliver=None):
        arrived = queue.Queue()
        made.append(Lane(deliver or arrived.put, "test_lane", shaper, direction))
        return made[-1], arrived

    yield make
    for lane in made:
        lane.close()


def take(arrived, count):
    return [arrived.get(timeout=LIMIT_S) for _ in range(count)]


def fast():
    return TraceShaper(Trace.constant(1e8), delay=0.001, origin=time.monotonic())


def stuck():
    return TraceShaper(Trace.constant(0.0), origin=time.monotonic())


@pytest.mark.parametrize("shaper", [None, fast])
def test_order_is_kept(lanes, shaper):
    lane, arrived = lanes(shaper and shaper())
    sizes = [10, 200000, 3000, 1, 70000] * 20
    for i, nbytes in enumerate(sizes):
        lane.put(i, nbytes)
    assert take(arrived, 100) == list(range(100)) and lane.dropped == 0


def test_a_cut_drops_and_restore_lets_through_again(lanes):
    lane, arrived = lanes(stuck())
    for i in range(3):
        lane.put(i, 10000)
    lane.cut()
    lane.put(3, 10000)
    assert lane.dropped == 4
    lane.restore()
    assert arrived.empty()

    lane, arrived = lanes()
    lane.cut()
    lane.put("lost", 1)
    lane.restore()
    lane.put("kept", 1)
    assert take(arrived, 1) == ["kept"] and arrived.empty() and lane.dropped == 1


@pytest.mark.parametrize("shaper", [None, fast])
def test_a_cut_that_holds_delivers_everything_later_in_order(lanes, shaper):
    lane, arrived = lanes(shaper and shaper())
    lane.cut(hold=True)
    for i in range(20):
        lane.put(i, 50000)
    with pytest.raises(queue.Empty):
        arrived.get(timeout=0.1)
    lane.restore()
    assert take(arrived, 20) == list(range(20)) and lane.dropped == 0


def test_hold_keeps_what_is_already_flying(lanes):
    """It left the air before the cut but has not arrived: TCP would send it again."""
    lane, arrived = lanes(TraceShaper(Trace.constant(1e9), delay=0.3, origin=time.monotonic()))
    lane.put("flying", 10)
    lane.cut(hold=True)
    lane.restore()
    assert take(arrived, 1) == ["flying"]


def test_closed_lanes_stop(lanes):
    lane, arrived = lanes(stuck())
    lane.put("queued", 10000)
    lane.close()
    lane.close()
    lane.put("late", 1)
    lane.restore()
    assert arrived.empty() and lane.dropped == 1
    assert not [t for t in threading.enumerate() if t is lane._thread]


def test_close_may_come_from_the_receiver(lanes):
    closed = threading.Event()

    def deliver(_):
        lane.close()
        closed.set()

    lane, _ = lanes(deliver=deliver)
    lane.put(1, 1)
    assert closed.wait(LIMIT_S)
    lane._thread.join(LIMIT_S)
    assert not lane._thread.is_alive()


def test_a_receiver_that_fails_does_not_silence_the_lane(lanes, caplog):
    arrived = queue.Queue()

    def deliver(message):
        if message == 1:
            raise KeyError("receiver")
        arrived.put(message)

    lane, _ = lanes(deliver=deliver)
    with caplog.at_level(logging.ERROR):
        for i in range(3):
            lane.put(i, 1)
        assert take(arrived, 2) == [0, 2]
    assert "receiver" in caplog.text


def test_messages_take_the_air_in_slices_in_half_duplex_only(lanes):
    for half, expected in ((True, [SLICE_BYTES] * 2 + [SLICE_BYTES + 7]), (False, [3 * SLICE_BYTES + 7])):
        shaper = Recorder(Trace.constant(1e8), half_duplex=half, origin=time.monotonic())
        lane, arrived = lanes(shaper)
        lane.put("bulk", 3 * SLICE_BYTES + 7)
        take(arrived, 1)
        assert [nbytes for _, nbytes, _ in shaper.asked] == expected


def test_two_directions_share_the_air(lanes):
    """Neither waits for the other's whole queue, and together they are no faster than the trace."""
    shaper = Recorder(Trace.constant(40 * SLICE_BYTES), origin=time.monotonic())
    (up, up_arrived), (down, down_arrived) = lanes(shaper, "up"), lanes(shaper, "down")
    began = time.monotonic()
    for lane in (up, down):
        lane.cut(hold=True)
        lane.put("bulk", 16 * SLICE_BYTES)
    up.restore()
    down.restore()
    take(up_arrived, 1)
    take(down_arrived, 1)
    order = [direction for direction, _, _ in shaper.asked]
    assert sorted(order) == ["down"] * 16 + ["up"] * 16
    assert order != sorted(order) and order != sorted(order, reverse=True)
    assert max(done for _, _, done in shaper.asked) >= began + 32 / 40
