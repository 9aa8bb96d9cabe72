"""The link inside one process, as the runtime uses it."""
import queue
import random
import threading
import time

import pytest

from intra_dp_ros.wire.link import InProcessLink
from intra_dp_ros.wire.messages import Ack, Heartbeat, PlanMessage, Tile, serialised_bytes
from intra_dp_ros.wire.shaper import Trace, TraceShaper

LIMIT_S = 20.0  # of every wait in here


def tile(sequence, nbytes=10, tensor=0):
    return Tile("kiwi", 9, 1, 1, sequence, tensor, -1, 0, 1, (nbytes,), "uint8", "raw", 0, bytes(nbytes))


@pytest.fixture
def pairs():
    """Makes links with a queue of what arrives at either end, and closes them."""
    made = []

    def make(shaper=None):
        ends = InProcessLink.pair(shaper)
        made.append(ends[0])
        queues = (queue.Queue(), queue.Queue())
        for end, arrived in zip(ends, queues):
            end.subscribe(arrived.put)
        return (*ends, *queues)

    yield make
    for end in made:
        end.close()


def take(arrived, count):
    return [arrived.get(timeout=LIMIT_S) for _ in range(count)]


def shaped(rate, delay=0.0):
    return TraceShaper(Trace.constant(rate), delay=delay, origin=time.monotonic())


@pytest.mark.parametrize("rate", [None, 1e8])
def test_both_directions_keep_their_order_and_totals(pairs, rate):
    robot, server, at_robot, at_server = pairs(rate and shaped(rate))
    up = [tile(i, 1 + 997 * (i % 90)) for i in range(60)] + [PlanMessage("kiwi", 9, 1, "", "{}")]
    down = [tile(i, 50000, tensor=3) for i in range(20)]
    for message in up:
        robot.send(message)
    for message in down:
        server.send(message)
    assert take(at_server, len(up)) == up and take(at_robot, len(down)) == down
    sent = sum(map(serialised_bytes, up))
    assert (robot.stats().sent, robot.stats().sent_bytes) == (len(up), sent)
    assert (server.stats().received, server.stats().received_bytes) == (len(up), sent)
    assert robot.stats().received == server.stats().sent == len(down)
    assert robot.stats().dropped == server.stats().dropped == 0


def test_acknowledgements_and_heartbeats_overtake_bulk(pairs):
    robot, server, at_robot, at_server = pairs(shaped(1e4))  # the bulk would take ten minutes
    for i in range(30):
        robot.send(tile(i, 200000))
    small = [Heartbeat("kiwi", 9), Ack("kiwi", 9, 1, 0, 0, 0.0)]
    for message in small:
        robot.send(message)
    server.send(small[0])
    assert take(at_server, 2) == small and take(at_robot, 1) == small[:1]
    assert at_server.empty()


def test_cut_silences_both_directions(pairs):
    robot, server, at_robot, at_server = pairs()
    robot.cut()
    for end in (robot, server):
        end.send(tile(0))
        end.send(Heartbeat("kiwi", 9))
    assert robot.stats().dropped == server.stats().dropped == 2
    server.restore()
    robot.send(tile(1))
    server.send(tile(2))
    assert take(at_server, 1) == [tile(1)] and take(at_robot, 1) == [tile(2)]
    assert at_server.empty() and at_robot.empty()


def test_hold_keeps_until_restore(pairs):
    robot, server, at_robot, at_server = pairs(shaped(1e8, 0.001))
    server.cut(hold=True)
    for i in range(10):
        robot.send(tile(i, 100000))
    server.send(tile(0))
    with pytest.raises(queue.Empty):
        at_server.get(timeout=0.1)
    robot.restore()
    assert [t.sequence for t in take(at_server, 10)] == list(range(10)) and len(take(at_robot, 1)) == 1
    assert robot.stats().dropped == 0


def test_closed_links_are_silent(pairs):
    robot, server, at_robot, at_server = pairs()
    server.close()
    robot.send(tile(0))
    server.send(tile(0))
    assert robot.stats().dropped == server.stats().dropped == 1
    assert at_robot.empty() and at_server.empty()


def test_every_subscriber_hears_everything_from_then_on(pairs):
    robot, server, _, at_server = pairs()
    robot.send(tile(0))
    take(at_server, 1)
    late = queue.Queue()
    server.subscribe(late.put)
    robot.send(tile(1))
    assert take(late, 1) == take(at_server, 1) == [tile(1)]


def test_only_messages_travel(pairs):
    robot, _, _, _ = pairs()
    with pytest.raises(TypeError, match="dict"):
        robot.send({})
    assert robot.stats().sent == 0


@pytest.mark.parametrize("rate", [None, 2e8])
@pytest.mark.parametrize("seed", range(3))
def test_many_senders_and_random_cuts(pairs, rate, seed):
    """Whatever is cut when: nothing comes twice or out of order, and every message is delivered or counted."""
    robot, server, at_robot, at_server = pairs(rate and shaped(rate, 0.0005))

    def sender(end, number):
        draw = random.Random(100 * seed + number)
        for i in range(150):
            end.send(tile(i, draw.choice((1, 3000, 80000)), tensor=number))
            if draw.random() < 0.05:
                time.sleep(0.002)

    threads = [threading.Thread(target=sender, args=((robot, server)[n % 2], n)) for n in range(4)]
    for thread in threads:
        thread.start()
    draw = random.Random(seed)
    for _ in range(15):
        time.sleep(draw.uniform(0, 0.004))
        draw.choice((robot, server)).cut(hold=draw.random() < 0.5)
        time.sleep(draw.uniform(0, 0.004))
        draw.choice((robot, server)).restore()
    for thread in threads:
        thread.join(LIMIT_S)
    for end, other, arrived in ((robot, server, at_server), (server, robot, at_robot)):
        end.send(tile(0, tensor=99))  # the last one: all before it are here or lost
        found = {}
        while 99 not in found:
            message = take(arrived, 1)[0]
            found.setdefault(message.tensor, []).append(message.sequence)
        assert all(numbers == sorted(set(numbers)) for numbers in found.values())
        delivered = sum(map(len, found.values()))
        assert arrived.empty() and delivered == other.stats().received
        assert delivered + end.stats().dropped == end.stats().sent == 301
