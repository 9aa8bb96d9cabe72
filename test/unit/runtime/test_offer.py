"""When a frame that the robot computes alone is held back from the server, and when it goes on."""
from types import SimpleNamespace

import pytest

from intra_dp_ros.runtime import offer as offers
from intra_dp_ros.runtime import rise as rises
from intra_dp_ros.runtime.offer import Offer
from intra_dp_ros.runtime.rethink import Other
from intra_dp_ros.runtime.sender import Traffic


class Bench:
    """What an offer sees and does."""

    def __init__(self, monkeypatch):
        self.now, self.session, self.rate, self.traffic = 100.0, 7, 0.0, Traffic()
        self.done = []
        monkeypatch.setattr(offers, "time", SimpleNamespace(monotonic=lambda: self.now))
        sender = SimpleNamespace(session=7, traffic=lambda: self.traffic, hold=lambda: self.done.append("hold"))
        self.sender = sender
        self.offer = Offer((), None, sender, lambda: self.session,
                           SimpleNamespace(newest_up=lambda since: self.rate if since <= self.now else 0.0), self.make)

    def make(self, part):
        self.done.append("begin " + part)
        self.sender.session = self.session
        return SimpleNamespace(part=part, refused="", offer=lambda *_: self.done.append("send"))

    def happened(self):
        done, self.done[:] = list(self.done), []
        return done


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def test_the_rest_is_held_back_when_the_link_does_not_carry_it_in_time(bench):
    offer = bench.offer
    assert offer.helped is None and not offer.is_held and not offer.is_lost
    offer.begin("plan")
    assert bench.happened() == ["begin plan", "send"]
    bench.traffic = Traffic(in_flight=40000, queued=60000)
    offer.watch(0.3)  # nothing has told anything yet
    bench.rate = 4e5
    offer.watch(0.3)  # 0.25 s for the rest
    assert not offer.is_held and not bench.happened()
    offer.watch(0.2)
    assert offer.is_held and bench.happened() == ["hold"]
    offer.watch(0.19)
    bench.now += 0.25
    offer.watch(0.1)  # once more
    assert not offer.is_held and bench.happened() == ["send"]


def test_what_the_server_refuses_is_sent_no_more(bench):
    bench.offer.begin("plan")
    assert not bench.offer.is_refused
    bench.offer.helped.refused = "a plan that it does not have"
    assert bench.offer.is_refused
    bench.happened()
    bench.offer.stop()
    assert bench.happened() == ["hold"]


@pytest.mark.parametrize("by_trial", [True, False])
def test_a_frame_that_the_server_refuses_is_looked_at_no_more(bench, monkeypatch, by_trial):
    monkeypatch.setattr(rises, "time", SimpleNamespace(monotonic=lambda: bench.now))
    plan = SimpleNamespace(is_shared=False)
    bench.offer._make = lambda part: SimpleNamespace(
        part=part, refused="", offer=lambda *_: bench.done.append("send"), look=lambda: None)
    rise = rises.Rise(1.0, 1e5, lambda left_s: None if by_trial else Other(plan, 0.1, 1e7), bench.offer,
                      lambda: plan if by_trial else None)
    for _ in range(3):
        bench.now += 0.03
        rise.look()
    assert bench.happened()[-1] == "send"
    bench.offer.helped.refused = "a plan that it does not have"
    for _ in range(3):
        bench.now += 0.03
        rise.look()
    assert set(bench.happened()) == {"hold"}


@pytest.mark.parametrize("traffic, left_s", [(Traffic(in_flight=40000), 0.01), (Traffic(queued=40000), -0.1)])
def test_what_is_on_its_way_and_what_the_robot_is_late_with_goes_on(bench, traffic, left_s):
    bench.offer.begin("plan")
    bench.rate, bench.traffic = 1e5, traffic
    bench.offer.watch(left_s)
    assert not bench.offer.is_held


def test_another_server_gets_all_of_it(bench):
    bench.offer.begin("plan")
    bench.rate, bench.traffic = 1e5, Traffic(queued=60000)
    bench.offer.watch(0.1)
    bench.session = 8
    assert bench.offer.is_lost
    bench.happened()
    bench.offer.go_on()
    assert bench.happened() == ["begin plan", "send"] and not bench.offer.is_lost and not bench.offer.is_held
