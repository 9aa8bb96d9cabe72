"""When the robot begins a frame beside the link, and when it waits for the link again."""
import pytest

from intra_dp_ros.runtime.hedge import Beside, Hedge
from intra_dp_ros.runtime.sender import Traffic

RATE, TILE = 8e6, 64000  # a tile takes 8 ms
WHOLE = 10 * TILE


class Link:
    """What a sender says of a frame of ten tiles, two in flight at most, of which `arrive` acknowledges one."""

    def __init__(self):
        self.now, self.sent, self.spans = 0.0, [], []
        self.send()

    def send(self):
        while len(self.sent) < 2 and len(self.sent) + len(self.spans) < 10:
            self.sent.append((self.now, TILE * (len(self.sent) + 1)))

    def arrive(self, after_s):
        self.now += after_s
        self.spans.append((self.sent.pop(0)[0], self.now, ""))
        self.send()

    def traffic(self):
        gone, flying = len(self.spans) * TILE, len(self.sent) * TILE
        oldest = self.sent[0] if self.sent else (self.now, 0)
        return Traffic(bytes=gone + flying, arrived=gone, in_flight=flying, queued=WHOLE - gone - flying,
                       oldest_s=self.now - oldest[0], oldest_bytes=oldest[1], spans=tuple(self.spans))

    def hedge(self, rate=RATE, alone_s=0.6, expected_s=0.12):
        return Hedge(Beside(lambda: None, alone_s, expected_s, rate), 0.0, self.traffic, lambda: 0.001,
                     lambda: self.now)


def late_after(link, hedge):
    """Time until the hedge says so, while nothing arrives [s]."""
    began = link.now
    while not hedge.is_late():
        link.now += 0.001
    return link.now - began


def test_a_link_as_expected_is_never_late():
    link = Link()
    hedge = link.hedge()
    for _ in range(10):
        link.arrive(0.008)
        assert not hedge.is_late()
    assert late_after(link, hedge) == pytest.approx(1.25 * 0.12 + 0.02 - 0.08, abs=0.002)  # then the results are


def test_a_link_that_falls_is_noticed_by_what_does_not_arrive():
    link = Link()
    hedge = link.hedge()
    for _ in range(3):
        link.arrive(0.008)
    assert 0.02 < late_after(link, hedge) < 0.06


def test_where_the_bandwidth_is_unknown_only_the_frame_can_be_late():
    link = Link()
    hedge = link.hedge(rate=0.0)
    assert late_after(link, hedge) == pytest.approx(0.17, abs=0.002)
    hedge.begin()
    link.arrive(0.008)
    link.arrive(0.02)
    assert not hedge.may_pause()


def test_the_robot_waits_for_a_link_that_is_back():
    link = Link()
    hedge = link.hedge()
    late_after(link, hedge)
    hedge.begin()
    assert not hedge.may_pause()
    link.arrive(0.01)
    assert not hedge.may_pause()  # one tile tells nothing of the next one
    for _ in range(3):
        link.arrive(0.008)
        hedge.may_pause()
    assert hedge.may_pause() and not hedge.is_late()
    for _ in range(6):
        link.arrive(0.008)
        assert not hedge.is_late()
    assert late_after(link, hedge) < 0.2  # the results do not come: the robot goes on


def test_a_link_that_has_fallen_for_good_is_not_waited_for():
    link = Link()
    hedge = link.hedge()
    late_after(link, hedge)
    hedge.begin()
    for _ in range(4):
        link.arrive(0.128)  # 0.5 MB/s
        assert not hedge.may_pause()


def test_a_slower_link_is_judged_by_its_new_rate():
    """A third of the bandwidth: worth waiting for beside a robot that needs 2 s, and no tile of it is overdue then."""
    link = Link()
    hedge = link.hedge(alone_s=2.0)
    late_after(link, hedge)
    hedge.begin()
    paused = 0
    for _ in range(10):
        link.arrive(0.024)
        paused += hedge.may_pause()
    assert paused > 0 and not hedge.is_late()


def test_a_crawl_before_the_return_does_not_count():
    link = Link()
    hedge = link.hedge(alone_s=2.0)
    late_after(link, hedge)
    hedge.begin()
    for _ in range(2):
        link.now += 0.15
        hedge.may_pause()  # looks while the tile is overdue
        link.arrive(0.05)
    found = []
    for _ in range(4):
        link.arrive(0.008)
        found.append(hedge.may_pause())
    assert not found[0] and found[-1]


def test_a_robot_that_is_nearly_done_goes_on():
    link = Link()
    hedge = link.hedge(alone_s=0.1)
    late_after(link, hedge)
    hedge.begin()
    link.arrive(0.02)
    link.arrive(0.008)
    link.arrive(0.008)
    assert not hedge.may_pause()
