"""Sessions of a server: who may have one, when they end, graphs that could not be made ready or are damaged."""
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.runtime import server as serving
from intra_dp_ros.runtime import serving as session
from intra_dp_ros.runtime.engine import Engine
from intra_dp_ros.runtime.limits import Limits
from intra_dp_ros.runtime.server import Server
from intra_dp_ros.runtime.turns import Turns
from intra_dp_ros.wire.link import InProcessLink
from intra_dp_ros.wire.messages import Heartbeat, OpenRequest

WAIT_S = 30.0


@pytest.fixture(scope="module")
def recordings():
    torch.set_num_threads(1)
    return [prepare(record(torch.nn.Conv2d(3, n, 3).eval(), (torch.zeros(1, 3, 16, 16),))) for n in (2, 4)]


@pytest.fixture(scope="module")
def graphs(recordings):
    return [recording.graph for recording in recordings]


@pytest.fixture
def made(tmp_path):
    ends = []

    def make_link(robot_id):
        near, far = InProcessLink.pair()
        ends.append(near)
        return far
    server = Server(str(tmp_path), make_link, limits=Limits(graphs=1, robots=1))
    yield server
    server.close()
    for end in ends:
        end.close()


def ask(server, robot, graph):
    return server.open(OpenRequest(robot, graph.hash, graph.to_json()))


def until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_robot_that_is_heard_keeps_its_place(made, graphs, monkeypatch):
    until(lambda: ask(made, "first", graphs[0]).session)
    refused = ask(made, "second", graphs[0])
    assert not refused.accepted and "serves 1 robots already" in refused.reason
    monkeypatch.setattr(serving, "_AWAY_S", 0.0)
    assert ask(made, "second", graphs[0]).session and list(made.status()["robots"]) == ["second"]


@pytest.mark.parametrize("frame, period_s", [(0, 0.1), (7, 0.04)], ids=["none", "some"])
def test_a_server_beats_as_often_as_its_robot_needs(recordings, monkeypatch, frame, period_s):
    now = [100.0]
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: now[0]))
    robot, end = InProcessLink.pair()
    served = session.RobotSession("r", 5, Engine(recordings[0].graph, recordings[0].weights), end, Turns())
    try:
        for step in range(101):
            if step % 10 == 0:
                served.on_message(Heartbeat("r", 5, frame=frame, sent=now[0]))
            served.beat(0.0)
            now[0] += 0.01
        assert end.stats().sent == pytest.approx(1.0 / period_s, abs=2)
    finally:
        served.close()


def test_a_robot_that_is_gone_leaves_its_graph(made, graphs, monkeypatch):
    until(lambda: ask(made, "first", graphs[0]).session)
    refused = ask(made, "second", graphs[1])
    assert not refused.accepted and "runs 1 graphs already" in refused.reason
    monkeypatch.setattr(serving, "_GONE_S", 0.2)
    monkeypatch.setattr(serving, "_LOOK_S", 0.05)
    until(lambda: not made.status()["robots"])
    until(lambda: ask(made, "second", graphs[1]).session)


def test_what_could_not_be_made_ready_is_tried_again(made, graphs, monkeypatch):
    measure, asked = Engine.measure, []

    def fails_first(*arguments):
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("out of memory")
        return measure(*arguments)
    monkeypatch.setattr(Engine, "measure", fails_first)
    until(lambda: "out of memory" in ask(made, "robot", graphs[0]).reason)
    assert not ask(made, "robot", graphs[0]).accepted and len(asked) == 1
    monkeypatch.setattr(serving, "_FAILED_S", 0.0)
    until(lambda: ask(made, "robot", graphs[0]).session)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe"])
def test_a_damaged_graph_is_asked_for_again(made, graphs, content):
    ask(made, "robot", graphs[0])
    path = Path(made._store._graph_path(graphs[0].hash))
    until(lambda: ask(made, "robot", graphs[0]).session)
    path.write_bytes(content)
    with made._lock:
        made._graphs.clear()
    assert made.open(OpenRequest("robot", graphs[0].hash)).need_graph
    until(lambda: ask(made, "robot", graphs[0]).session)


def test_a_full_disk_ends_nothing(made, graphs, monkeypatch, caplog):
    def full(*_):
        raise OSError("no space left")
    monkeypatch.setattr("intra_dp_ros.loss.profile.save", full)
    until(lambda: ask(made, "robot", graphs[0]).session)
    assert "no space left" in caplog.text
