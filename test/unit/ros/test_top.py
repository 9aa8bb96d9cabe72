"""The terminal view, from the messages it is made of."""
import pytest

pytest.importorskip("intra_dp_ros.msg")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402

from intra_dp_ros.msg import Heartbeat, InferenceStats  # noqa: E402
from intra_dp_ros.ros.board import Board  # noqa: E402
from intra_dp_ros.ros.top import view  # noqa: E402


def status(name, hardware_id, level=0, message="", **values):
    return DiagnosticArray(status=[DiagnosticStatus(
        name=name, hardware_id=hardware_id, level=level, message=message,
        values=[KeyValue(key, value) for key, value in values.items()])])


def frame(**values):
    return InferenceStats(**dict(dict(robot_id="rover", state="SPLIT", strategy="auto", plan="offload", latency=0.2,
                                      predicted=0.15, bandwidth=8e6, bytes_up=50000, energy=1.5), **values))


def test_an_empty_board_says_so():
    lines = view(Board(), 0.0, 200)
    assert any("no robot yet" in line for line in lines) and "no server yet" in lines


def test_robots_and_servers():
    board = Board()
    for number in range(20):
        board.on_stats(frame(outcome=2 if number == 3 else 1), 100.0 + number * 0.5)
    board.on_heartbeat(Heartbeat(robot_id="rover", load=0.5), 109.0)
    board.on_diagnostics(status("base/kapao_node: intra_dp robot", "scout", 2, "no checkout"), 109.0)
    board.on_diagnostics(status("intra_dp_server: intra_dp server", "cuda:0", 0, "2 robots", device="cuda:0"), 109.0)
    board.on_diagnostics(status("laser: driver", "x", 2, "not ours"), 109.0)
    lines = view(board, 110.0, 400)
    rover = next(line for line in lines if line.startswith("rover"))
    assert " ".join(rover.split()) == "rover SPLIT auto 2.0 200 150 8.0 50 1.50 1/20 0.5 offload"
    scout = lines.index(next(line for line in lines if line.startswith("scout")))
    assert lines[scout + 1] == "  error: no checkout" and "no model" in lines[scout]
    assert "server intra_dp_server on cuda:0:  2 robots" in lines
    assert not any("not ours" in line for line in lines)
    assert all(len(line) <= 30 for line in view(board, 110.0, 30))


def test_who_says_nothing_is_silent():
    board = Board()
    board.on_stats(frame(), 100.0)
    board.on_diagnostics(status("s: intra_dp server", "cpu", 0, "1 robots", device="cpu"), 100.0)
    lines = view(board, 120.0, 200)
    assert any(line.split() == ["rover", "silent"] for line in lines)
    assert any("silent for 20 s" in line for line in lines)
