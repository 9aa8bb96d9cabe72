"""The bandwidth estimate where sending times are known: the application's pauses do not count, single tiles do."""
import random

import pytest

from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.wire.messages import Ack
from intra_dp_ros.wire.shaper import Trace, TraceShaper

OFFSET = 5000.0  # of the receiver's clock
DELAY = 0.0004  # one way [s]
JITTER = 0.0003


class Link:
    """Tiles through a shaped link, with an estimator that hears of them."""

    def __init__(self, trace, knows_offset=True):
        self.now, self.noise = 0.0, random.Random(1)
        self.shaper = TraceShaper(trace)
        self.estimator = BandwidthEstimator("robot", lambda: self.now)
        self.arrived, self.sequence = 0.0, 0
        self.offset = OFFSET if knows_offset else None

    def send(self, at, nbytes, frame=1, direction="up"):
        """The estimate after the tile that was sent at `at` has arrived."""
        received = self.shaper.departure(at, nbytes, "up") + DELAY + self.noise.expovariate(1 / JITTER)
        self.arrived = received = max(received, self.arrived)
        self.now = max(self.now, received)
        self.estimator.on_rtt(2 * DELAY, self.offset if direction == "up" or self.offset is None else -self.offset)
        self.sequence += 1
        self.estimator.on_ack(direction, Ack("robot", 1, frame, self.sequence, nbytes, received + OFFSET, sent=at))
        return self.estimator.sample()


@pytest.mark.parametrize("rate", [0.5e6, 2e6, 6e6, 12e6, 25e6])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_one_tile_a_frame_tells_the_bandwidth(rate, direction):
    link = Link(Trace.constant(rate))
    for frame in range(1, 30):
        sample = link.send(frame * 0.2, 60000, frame, direction)
    assert (sample.up if direction == "up" else sample.down) == pytest.approx(rate, rel=0.25)


def test_rows_that_are_computed_slowly_do_not_make_the_link_look_slow():
    link = Link(Trace.constant(10e6))
    for frame in range(1, 20):
        for k in range(10):  # a tile every 30 ms: 2 MB/s is all the application asks for
            sample = link.send(frame + k * 0.03, 60000, frame)
    assert sample.up == pytest.approx(10e6, rel=0.15)


@pytest.mark.parametrize("before, after", [(12e6, 2e6), (2e6, 12e6), (20e6, 8e6), (1e6, 12e6)])
def test_a_step_is_followed_within_300_ms(before, after):
    link = Link(Trace([0.0, 3.0], [before, after], 6.0))
    sent, frame = [], 1
    while link.arrived < 4.0:
        start = max(link.arrived, sent[-1] if sent else 0.0)
        if len(sent) % 15 == 14:  # the next frame, a little later
            start, frame = start + 0.03, frame + 1
        sent.append(start)
        sample = link.send(start, 64000, frame)
        if 1.0 < link.arrived < 3.0:
            assert sample.up == pytest.approx(before, rel=0.2)
        if link.arrived > 3.3:
            assert sample.up == pytest.approx(after, rel=0.2), link.arrived


def test_the_newest_tiles_know_of_a_rise_at_once():
    link = Link(Trace([0.0, 1.0], [1e6, 12e6], 10.0))
    while link.arrived < 1.0:
        before = link.estimator.newest_up(0.0)
        link.send(link.arrived, 20000)  # the last of them meets the rise
    assert before == pytest.approx(1e6, rel=0.2)
    rose = link.now
    for _ in range(9):
        estimate = link.send(link.arrived, 20000)
    assert link.now < rose + 0.03 and estimate.up < 6e6
    assert link.estimator.newest_up(rose) == pytest.approx(12e6, rel=0.3)
    assert link.estimator.newest_up(link.now) == 0.0  # one train at most has come since


@pytest.mark.parametrize("stall", [0.15, 0.3, 0.6])
def test_a_stall_is_forgotten_with_the_next_small_train(stall):
    """Nothing was carried for a while, as when a machine or a radio pauses; then a probe train of 16 kB crosses."""
    link = Link(Trace([0.0, 2.0, 2.0 + stall], [12e6, 0.0, 12e6], 60.0))
    frame = 0
    while link.arrived < 2.0 + stall:
        frame += 1
        before = link.send(frame * 0.006, 50000, frame)
    while not before.up < 6e6:  # the train that the stall fell into is not complete yet
        before = link.send(link.arrived, 50000, frame)
        assert link.arrived < 2.05 + stall  # for all that is known by now it may have been a fall
    start = link.arrived + 0.25
    for _ in range(4):
        after = link.send(start, 4096, 0)
    assert after.up > 6e6


def test_without_the_offset_arrivals_alone_count():
    link = Link(Trace.constant(5e6), knows_offset=False)
    for k in range(40):
        sample = link.send(0.0, 64000)
    assert sample.up == pytest.approx(5e6, rel=0.1)


def test_stamps_that_cannot_be_do_not_count():
    link = Link(Trace.constant(5e6))
    for k in range(40):
        sample = link.send(1.0, 64000)
    for sent in (1e9, -1e9, 1e300):
        link.estimator.on_ack("up", Ack("robot", 1, 1, 99, 64000, link.now + OFFSET, sent=sent))
        assert link.estimator.sample().up == pytest.approx(sample.up, rel=0.3)


class Saving:
    """Frames with a tile of each size [byte] every 0.1 s, over a shaper that saves up 4 kB in pauses."""

    def __init__(self):
        self.now, self.frame = 0.0, 0
        self.estimator = BandwidthEstimator("robot", lambda: self.now)
        self.estimator.on_rtt(2 * DELAY, 0.0)

    def play(self, sizes, rate, frames):
        """The estimate then."""
        for _ in range(frames):
            self.frame, crossed = self.frame + 1, -4000
            sent = max(0.1 * self.frame, self.now)
            for sequence, nbytes in enumerate(sizes):
                crossed += nbytes
                handed = sent + sequence * 0.0003  # one after the other is encoded
                self.now = max(handed, sent + max(0, crossed) / rate) + DELAY
                self.estimator.on_ack("up", Ack("robot", 1, self.frame, sequence, nbytes, self.now, sent=handed))
        return self.estimator.sample()


def test_little_that_comes_after_a_pause_may_be_faster_than_the_link():
    assert Saving().play([4400] * 4, 10e6, 30).up == pytest.approx(10e6, rel=0.2)
    assert Saving().play([60000], 10e6, 30).up == pytest.approx(10e6, rel=0.1)


def test_where_nothing_better_is_known_it_counts():
    """Else a robot whose frames are small pictures would know of no link, and compute alone."""
    saving = Saving()
    assert saving.play([12000], 10e6, 3).up > 10e6
    for _ in range(30):
        assert saving.play([12000], 10e6, 1).age < 2.0


def test_a_fall_is_seen_by_the_first_small_tile():
    saving = Saving()
    assert saving.play([30000], 10e6, 20).up == pytest.approx(10e6, rel=0.2)
    assert saving.play([14000], 2e5, 2).up < 1e6
