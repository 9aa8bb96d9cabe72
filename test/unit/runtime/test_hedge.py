"""When the robot begins a frame beside the link, waits for the link again, or goes on by another plan."""
from types import SimpleNamespace

import pytest

from intra_dp_ros.runtime.hedge import Beside, Hedge
from intra_dp_ros.runtime.rethink import Again, Other, Rethink
from intra_dp_ros.runtime.sender import Traffic

RATE, TILE = 8e6, 64000  # a tile takes 8 ms
WHOLE = 10 * TILE


class Link:
    """What a sender says of a frame of ten tiles, two in flight at most, of which `arrive` acknowledges one."""

    def __init__(self):
        self.now, self.sent, self.spans = 0.0, [], []

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

    def hedge(self, rate=RATE, alone_s=0.6, expected_s=0.12, is_shared=False):
        made = Hedge(Beside(lambda: None, alone_s, expected_s, rate), 0.0, self.traffic, lambda: 0.001,
                     lambda: self.now, is_shared)
        self.send()
        return made


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
    assert late_after(link, hedge) == pytest.approx(1.15 * 0.12 + 0.015 - 0.08, abs=0.002)  # then the results are


def test_a_link_that_falls_is_noticed_by_what_does_not_arrive():
    link = Link()
    hedge = link.hedge()
    for _ in range(3):
        link.arrive(0.008)
    assert 0.02 < late_after(link, hedge) < 0.06


def test_where_the_bandwidth_is_unknown_only_the_frame_can_be_late():
    link = Link()
    hedge = link.hedge(rate=0.0)
    assert late_after(link, hedge) == pytest.approx(0.153, abs=0.002)
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


class Uplink:
    """An estimate, and what it would be worth to go on by another plan."""

    def __init__(self, link, other_s, alone_s=0.6, is_shared=False):
        self.rate, self.newest, self.age, self.other_s, self.asked = RATE, 0.0, 0.0, other_s, []
        self.rethink = Rethink(link.hedge(RATE, alone_s, 0.12, is_shared), RATE, self, self.find, 0.0)

    def sample(self):
        return SimpleNamespace(up=self.rate, age=self.age)

    def newest_up(self, since):
        return self.newest

    def find(self, rate):
        self.asked.append(rate)
        return None if self.other_s is None else Other("part", self.other_s, rate)

    def looks(self, rate):
        self.rate = rate
        self.rethink.look()


def test_a_link_that_stays_or_is_unknown_asks_for_nothing():
    uplink = Uplink(Link(), 0.0)
    for rate in (RATE, 1.2 * RATE, 0.8 * RATE, 0.0):
        uplink.looks(rate)
    assert uplink.asked == []


def test_what_was_measured_before_the_frame_tells_nothing_of_it():
    uplink = Uplink(Link(), None)
    uplink.age = 1e12
    uplink.looks(RATE / 4)
    assert uplink.asked == []


def test_a_link_that_fell_is_judged_once_for_every_rate():
    uplink = Uplink(Link(), None)
    for rate in (4e6, 4e6, 3.5e6, 2e6, 2e6):
        uplink.looks(rate)
    assert uplink.asked == [4e6, 2e6]


def test_a_rise_is_known_before_the_estimate_knows_it():
    uplink = Uplink(Link(), None)
    for uplink.newest in (1.5 * RATE, 0.2 * RATE, 4 * RATE, 4 * RATE):
        uplink.looks(RATE)
    assert uplink.asked == [4 * RATE]
    uplink.looks(4 * RATE)
    assert uplink.asked == [4 * RATE]


def test_the_other_plan_must_be_clearly_sooner():
    """At a quarter of the rate ten tiles take 0.32 s, and the server 0.04 s beyond; the robot alone 0.6 s."""
    Uplink(Link(), 0.30).looks(RATE / 4)
    with pytest.raises(Again, match="fell from 8.0 to 2.0 MB/s") as again:
        Uplink(Link(), 0.28).looks(RATE / 4)
    assert again.value.other == ("part", 0.28, RATE / 4)
    Uplink(Link(), 0.28, alone_s=0.3).looks(RATE / 4)  # the robot alone is as good


def test_a_link_that_rose_makes_the_robots_own_rows_no_faster():
    """Of 0.12 s planned 0.112 s are left: of a link four times as fast 0.058 s, unless the robot has its part in it."""
    for is_shared, other_s, is_sooner in ((False, 0.05, False), (False, 0.04, True), (True, 0.05, True)):
        link = Link()
        uplink = Uplink(link, other_s, is_shared=is_shared)
        link.arrive(0.008)
        if is_sooner:
            with pytest.raises(Again, match="rose"):
                uplink.looks(4 * RATE)
        else:
            uplink.looks(4 * RATE)


def test_the_end_of_a_frame_comes_nearer():
    """The server needs 0.04 s when all rows are there; robot and server together as long as planned."""
    for is_shared, expected_s in ((False, 0.04), (True, 0.04)):
        link = Link()
        hedge = link.hedge(is_shared=is_shared)
        for _ in range(10):
            link.arrive(0.008)
        assert hedge.left_s(RATE) == pytest.approx(expected_s)
        link.now += 0.03
        assert hedge.left_s(RATE) == pytest.approx(expected_s - 0.03)
        link.now += 0.03
        assert hedge.left_s(RATE) == 0.0
