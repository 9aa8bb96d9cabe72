"""Probes keep to their budget, wait for answers and leave a busy link alone."""
from dataclasses import replace

import pytest

from intra_dp_ros.runtime.probing import ProbeSchedule
from intra_dp_ros.wire.messages import BandwidthSample


def sample(up):
    return BandwidthSample("robot", up, up, 0.0, 0.0, 1.0 if up else 0.0, "probe" if up else "none")


def run(schedule, up, seconds, answer=True, begin=0.0):
    """Trains in so many seconds of an idle link, asked ten times a second: (time, tiles)."""
    trains = []
    for step in range(int(seconds * 10)):
        now = begin + step / 10
        tiles = schedule.due(now, sample(up))
        if tiles:
            trains.append((now, tiles))
            if answer:
                schedule.on_ack(tiles[-1][0])
    return trains


@pytest.mark.parametrize("up", [1e6, 3e6, 10e6, 30e6, 200e6])
def test_budget(up):
    schedule, trains = ProbeSchedule(0.02), []
    for begin in range(0, 60, 4):  # of a robot that does not rest
        schedule.on_traffic(begin - 0.3)
        trains += run(schedule, up, 4, begin=begin)
    sent = sum(nbytes for _, tiles in trains for _, nbytes in tiles)
    assert 0.2 * 0.02 < sent / (60 * up) <= 0.021 or up == 200e6
    assert all(sum(nbytes for _, nbytes in tiles) <= 256 * 1024 for _, tiles in trains)


def test_a_robot_that_rests_leaves_the_air_to_others():
    schedule = ProbeSchedule(0.02)
    begins = [t for t, _ in run(schedule, 1e7, 20)]
    assert sum(t < 5.0 for t in begins) > 10
    assert sum(t >= 6.0 for t in begins) == 14
    schedule.on_traffic(20.0)
    assert len(run(schedule, 1e7, 4, begin=20.3)) > 8


@pytest.mark.parametrize("up", [0.0, 1e4, 5e5])
def test_one_short_train_a_second_on_an_unknown_or_slow_link(up):
    trains = run(ProbeSchedule(0.02), up, 20)
    assert [t for t, _ in trains] == pytest.approx(list(range(20)))
    assert {sum(nbytes for _, nbytes in tiles) for _, tiles in trains} == {16 * 1024}


def test_sequences_go_on():
    sequences = [s for _, tiles in run(ProbeSchedule(0.02), 1e7, 5) for s, _ in tiles]
    assert sequences == list(range(len(sequences))) and len(sequences) > 20


def test_an_unanswered_train_is_waited_for():
    assert [t for t, _ in run(ProbeSchedule(0.02), 0.0, 6.5, answer=False)] == [0.0, 2.0, 4.0, 6.0]


def test_a_busy_link_is_left_alone():
    schedule = ProbeSchedule(0.02)
    schedule.on_traffic(5.0)
    assert not schedule.due(5.1, sample(1e7))
    assert schedule.due(5.3, sample(1e7))


def test_no_budget_no_probes():
    assert run(ProbeSchedule(0.0), 1e7, 5) == []


def test_traffic_that_tells_nothing_does_not_stop_probes():
    schedule, old = ProbeSchedule(0.02), replace(sample(1e7), age=1.0)
    schedule.on_traffic(5.0)
    assert schedule.due(5.1, old)
