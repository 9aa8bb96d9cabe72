"""Robot and server in one process over a shaped link: every frame answered, exactly, whatever happens to the link."""
import math
import threading
import time

import pytest
from one_process import Cable, answered, images, make_robot, ready, splits, until

from intra_dp_ros.runtime import connection, pulse, serving
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.server import Server
from intra_dp_ros.runtime.split import RobotFrame
from intra_dp_ros.wire.link import InProcessLink
from intra_dp_ros.wire.messages import PROBE, Heartbeat, OpenRequest, Tile


@pytest.fixture
def offloading(recording, tmp_path, cable):
    """A robot whose frames the server computes, and images for it."""
    cable.start_server()
    robot, source = make_robot(recording, tmp_path, cable, strategy="offload"), images()
    try:
        ready(robot, "offload")
        until(lambda: answered(robot, next(source)).outcome == "split", "splitting")
        yield robot, source
    finally:
        robot.close()


@pytest.mark.parametrize("strategy, codec", [("offload", "raw"), ("neurosurgeon", "raw"), ("intra_dp", "raw"),
                                             ("offload", "png"), ("intra_dp", "lossless"),
                                             ("offload", "bits+lz4")])
def test_frames_are_exact(recording, tmp_path, cable, strategy, codec):
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy=strategy, input_codec=codec)
    try:
        ready(robot, strategy)
        source, done = images(), []
        until(lambda: done.append(answered(robot, next(source))) or len(splits(done)) >= 5, "splitting five frames")
        assert [s.frame for s in done] == list(range(1, len(done) + 1))
        for stats in splits(done):
            assert stats.bytes_up > 0 and stats.bytes_down > 0 and stats.server_compute_s > 0
            assert stats.energy_j > 0 and stats.predicted_s > 0
        frames = cable.server._sessions["robot"]._recent
        until(lambda: all(frame.stream is None for frame in frames), "letting go of the frames' rows")
        assert len(frames) > 1 and all(frame.spans for frame in frames)
    finally:
        robot.close()


def test_no_server_at_all(recording, tmp_path, cable):
    robot = make_robot(recording, tmp_path, cable)
    try:
        for _, image in zip(range(3), images()):
            stats = answered(robot, image)
            assert (stats.outcome, stats.bytes_up) == ("local", 0)
        assert robot.state == "CONNECTING" and robot.status()["problem"]
    finally:
        robot.close()


@pytest.mark.parametrize("hold", [False, True], ids=["dropped", "held"])
def test_link_dies_mid_frame_and_comes_back(recording, tmp_path, cable, hold):
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="offload")
    try:
        ready(robot, "offload")
        source = images()
        assert answered(robot, next(source)).outcome == "split"
        timer = threading.Timer(0.01, cable.pull, (hold,))
        timer.start()
        stats = answered(robot, next(source))
        timer.join()
        assert stats.outcome == "takeover" and "silent" in stats.reason
        time.sleep(0.6)
        assert answered(robot, next(source)).outcome == "local"
        cable.plug()
        until(lambda: robot.state == "SPLIT", "the link's return")
        until(lambda: answered(robot, next(source)).outcome == "split", "splitting again")
    finally:
        robot.close()


def test_server_dies_and_another_one_starts(recording, tmp_path, cable):
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="offload")
    try:
        ready(robot, "offload")
        source = images()
        old, cable.server = cable.server, None
        old._sessions.clear()  # as if killed: it hears nothing and says nothing more
        assert answered(robot, next(source)).outcome in ("takeover", "local")
        cable.start_server()
        until(lambda: answered(robot, next(source)).outcome == "split", "splitting with the new server")
        old.close()
    finally:
        robot.close()


def test_two_robots(recording, tmp_path):
    cables = {name: Cable(str(tmp_path / "server")) for name in ("left", "right")}
    server = Server(str(tmp_path / "server"), lambda robot_id: cables[robot_id].server_end)
    robots = []
    try:
        for name, cable in cables.items():
            cable.server = server
            robots.append(make_robot(recording, tmp_path / name, cable, robot_id=name, strategy="offload"))
        for robot in robots:
            ready(robot, "offload")
        source = images()
        for _ in range(4):
            for robot in robots:
                answered(robot, next(source))
        assert all(s["frames"] > 0 for s in server.status()["robots"].values())
    finally:
        for robot in robots:
            robot.close()
        server.close()
        for cable in cables.values():
            cable.robot_end.close()


def test_more_plans_than_the_server_keeps(recording, tmp_path, cable, monkeypatch):
    """A strategy's plans are sent again when it is used again, and the server makes room for them."""
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="intra_dp")
    try:
        epochs = {}
        for strategy in ("intra_dp", "spso_ga", "offload"):
            robot.set_strategy(strategy)
            ready(robot, strategy)
            epochs[strategy] = {p.epoch for p in robot._planner.table(strategy).plans if not p.is_local}
        kept = max(map(len, epochs.values()))
        monkeypatch.setattr(serving, "_PLANS", kept)
        for strategy in ("intra_dp", "offload", "spso_ga", "intra_dp"):
            robot.set_strategy(strategy)
            ready(robot, strategy)
            assert epochs[strategy] <= set(cable.server.status()["robots"]["robot"]["plans"])
    finally:
        robot.close()


def test_refusals_name_the_thing(recording, tmp_path, cable):
    cable.start_server()
    open_ = cable.server.open
    assert "protocol version 99" in open_(OpenRequest("robot", recording.graph.hash, version=99)).reason
    assert "robot" in open_(OpenRequest("no spaces", recording.graph.hash)).reason
    assert open_(OpenRequest("robot", recording.graph.hash)).need_graph
    assert "record and send it again" in open_(
        OpenRequest("robot", "0" * 64, recording.graph.to_json(with_source=False))).reason
    with pytest.raises(ValueError, match="fastest.*intra_dp"):
        Robot(recording, str(tmp_path), RobotConfig(strategy="fastest"))


def test_a_busy_server_is_planned_for(recording, tmp_path, cable, monkeypatch):
    """What the server computes for others counts: plans for a server so many times slower, made while the old serve."""
    monkeypatch.setattr(serving.Share, "add", lambda self, others: busy[0])
    busy = [0.0]
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="intra_dp")
    try:
        ready(robot, "intra_dp")
        alone = sum(robot._planner.timeline.server.b_ms)
        busy[0] = 3.0
        source = images()
        until(lambda: answered(robot, next(source)) and robot.has_plans("intra_dp")
              and sum(robot._planner.timeline.server.b_ms) > 3.9 * alone, "plans for a busy server")
        assert sum(robot._planner.timeline.server.b_ms) == pytest.approx(4.0 * alone)
        answered(robot, next(source))
    finally:
        robot.close()


def test_rows_that_come_twice_are_refused_and_the_frame_is_taken_over_at_once(offloading, monkeypatch):
    (robot, source), send = offloading, RobotFrame._send_inputs

    def twice(frame, inputs, given):
        frame._sender.put(robot.engine.graph.inputs[0], 0, inputs[0][:, :120], "raw")
        send(frame, inputs, given)  # the last 120 rows are too many: the server never has them all

    def refused():
        stats = answered(robot, next(source))
        return stats.outcome == "takeover" and "rows of the frame have come" in stats.reason
    monkeypatch.setattr(RobotFrame, "_send_inputs", twice)
    until(refused, "a take-over because of a refusal")
    monkeypatch.undo()
    until(lambda: answered(robot, next(source)).outcome == "split", "splitting again")


def test_a_split_frame_that_fails_is_answered_all_the_same(offloading, monkeypatch):
    robot, source = offloading

    def fails(*_, **__):
        raise RuntimeError("out of memory")
    monkeypatch.setattr(RobotFrame, "_take", fails)
    stats = answered(robot, next(source))
    assert stats.outcome == "takeover" and "out of memory" in stats.reason
    monkeypatch.undo()
    until(lambda: answered(robot, next(source)).outcome == "split", "splitting again")


def test_a_frame_of_which_nothing_comes_any_more_keeps_no_server_busy(offloading, cable, monkeypatch):
    robot, source = offloading
    monkeypatch.setattr(serving, "_QUIET_S", 0.3)

    def half(frame, inputs, given):
        frame._sender.put(robot.engine.graph.inputs[0], 0, inputs[0][:, :60], "raw")
    monkeypatch.setattr(RobotFrame, "_send_inputs", half)
    assert answered(robot, next(source)).outcome == "takeover"
    until(lambda: not cable.server.is_busy, "rest")


def test_heartbeats_go_on_while_another_robot_is_let_in(recording, tmp_path, cable):
    """Making a link talks to the ROS master, which may take long."""
    begun = threading.Event()

    def make_link(robot_id):
        if robot_id == "robot":
            return cable.server_end
        begun.set()
        time.sleep(1.0)
        return InProcessLink.pair()[1]
    cable.server = Server(cable.folder, make_link)
    robot = make_robot(recording, tmp_path, cable, strategy="offload")
    beats = []
    cable.robot_end.subscribe(lambda message: beats.append(message) if isinstance(message, Heartbeat) else None)
    try:
        ready(robot, "offload")
        other = threading.Thread(target=cable.server.open, args=(OpenRequest("slow", robot.engine.graph.hash),))
        other.start()
        assert begun.wait(10.0)
        answered(robot, next(images()))  # beats are seldom while a robot rests
        del beats[:]
        other.join()
        assert len(beats) >= 10
    finally:
        robot.close()


def test_a_frame_after_a_rest_is_no_silence(offloading, cable, monkeypatch):
    """The server beats seldom while its robot rests; a frame that computes first must hear it often enough at once."""
    robot, source = offloading
    computes_first, silences = RobotFrame._send_inputs, []
    for module in (connection, serving):  # so seldom that no heartbeat in time is by chance
        monkeypatch.setattr(module, "IDLE_PERIOD_S", 3.0)
    monkeypatch.setattr(connection, "_LOST_S", 10.0)
    monkeypatch.setattr(connection, "_REOPEN_S", 10.0)

    def rested():
        del silences[:]
        time.sleep(pulse.AWAKE_S + 0.5)
        answered(robot, next(source))
        return not any(silences)

    def looks(frame, inputs, given):
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            silences.append(frame._gone(robot.connection.pulse, time.monotonic()))
            time.sleep(0.005)
        computes_first(frame, inputs, given)
    monkeypatch.setattr(RobotFrame, "_send_inputs", looks)
    assert any(rested() for _ in range(3))  # a busy machine may be silent too


def test_probing_can_be_switched_off_and_on(recording, tmp_path, cable):
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="offload")
    probes = []
    cable.server_end.subscribe(lambda m: probes.append(m) if isinstance(m, Tile) and m.tensor == PROBE else None)
    try:
        ready(robot, "offload")
        robot.probe_every(math.inf)
        time.sleep(0.3)
        before = len(probes)
        time.sleep(1.5)
        assert len(probes) == before
        robot.probe_every(0.05)
        until(lambda: len(probes) > before, "a probe")
    finally:
        robot.close()
