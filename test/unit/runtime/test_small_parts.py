"""Pulse, pace, statistics and the measure of exactness."""
import math
import threading
import time

import pytest
import torch

from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.spans import outside
from intra_dp_ros.runtime.exactness import relative_error
from intra_dp_ros.runtime.limits import Limits, check_graph
from intra_dp_ros.runtime.pace import Pace
from intra_dp_ros.runtime.pulse import Pulse
from intra_dp_ros.wire.messages import Heartbeat


def test_pulse_measures_round_trip_and_clock_offset():
    now = [100.0]
    robot = Pulse(lambda: now[0])
    server = Pulse(lambda: now[0] + 5000.0)  # another machine: another clock
    assert robot.rtt == 0.0 and robot.heard == -math.inf
    out = robot.beat("r", 1)
    now[0] += 0.010  # on its way
    assert server.received(out) is None
    now[0] += 0.050  # the server is in no hurry
    back = server.beat("r", 1)
    now[0] += 0.010
    assert robot.received(back) == pytest.approx((0.020, 5000.0))
    assert robot.rtt == pytest.approx(0.020)
    assert robot.offset == pytest.approx(5000.0)
    assert robot.heard == now[0]


def test_a_robot_that_has_fallen_silent_measures_nothing():
    """The server goes on and on echoing its last heartbeat, whose way may have been a bad one."""
    pulse = Pulse(lambda: 10.0)
    assert pulse.received(Heartbeat("r", 1, sent=1.0, echo=9.7, echo_delay=0.2)).seconds == pytest.approx(0.1)
    assert pulse.received(Heartbeat("r", 1, sent=1.0, echo=5.0, echo_delay=4.8)) is None
    assert pulse.rtt == pytest.approx(0.1) and pulse.heard == 10.0


def test_pulse_forgets_old_round_trips():
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    for trip, at in ((0.001, 1.0), (0.030, 10.0)):
        now[0] = at
        pulse.received(Heartbeat("r", 1, sent=at, echo=at - trip))
    assert pulse.rtt == pytest.approx(0.030)


def test_pace_stretches_computing_only():
    pace = Pace(3.0)
    began, cpu = time.perf_counter(), time.thread_time()
    pace.start()
    for _ in range(10):
        while time.thread_time() - cpu < 0.05:
            sum(range(100))
        pace()
    pace.finish()
    spent = time.thread_time() - cpu
    assert time.perf_counter() - began >= 2.9 * spent
    pause = time.perf_counter()
    time.sleep(0.05)  # waiting is not computing
    pace.start()
    pace()
    pace.finish()
    assert time.perf_counter() - pause >= 0.05
    assert pace._debt <= 0.0


def test_pace_refuses_a_faster_processor():
    with pytest.raises(ValueError, match="0.5"):
        Pace(0.5)


@pytest.mark.parametrize("spans, cover, expected", [
    ([], [], 0.0),
    ([(0, 4)], [], 4.0),
    ([(0, 4), (2, 6)], [], 6.0),
    ([(0, 4)], [(1, 2), (3, 9)], 2.0),
    ([(1, 2)], [(0, 3)], 0.0),
])
def test_outside(spans, cover, expected):
    assert outside(spans, cover) == pytest.approx(expected)


def test_relative_error():
    base = torch.tensor([1.0, -4.0, float("inf")])
    assert relative_error((base,), (base.clone(),)) == 0.0
    assert relative_error((base + torch.tensor([0.0, 0.4, 0.0]),), (base,)) == pytest.approx(0.1)
    assert relative_error((torch.tensor([float("nan")]),), (torch.tensor([1.0]),)) == math.inf
    assert relative_error((torch.tensor([float("nan")]),), (torch.tensor([float("nan")]),)) == 0.0
    assert relative_error((torch.tensor([True]),), (torch.tensor([False]),)) > 1.0
    with pytest.raises(ValueError):
        relative_error((base,), ())


def test_limits_name_what_is_too_big():
    graph = record(torch.nn.Conv2d(3, 8, 3), (torch.zeros(1, 3, 16, 16),)).graph
    check_graph(graph, Limits())
    with pytest.raises(GraphError, match="tensor 1 .*6272 bytes"):
        check_graph(graph, Limits(tensor_bytes=6000))
    with pytest.raises(GraphError, match="operators"):
        check_graph(graph, Limits(nodes=0))


def test_threads_may_share_a_pulse():
    pulse = Pulse()
    threads = [threading.Thread(target=lambda: [pulse.received(pulse.beat("r", 1)) for _ in range(200)])
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pulse.rtt >= 0.0
