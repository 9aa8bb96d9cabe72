"""The terminal view, from the messages it is made of."""
import pytest

pytest.importorskip("intra_dp_ros.msg")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402

from intra_dp_ros.msg import BandwidthEstimate, Heartbeat, InferenceStats  # noqa: E402
from intra_dp_ros.ros.board import Board  # noqa: E402
from intra_dp_ros.ros.top import _screen, view  # noqa: E402


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
    assert "server intra_dp_server on cuda:0: 2 robots" in lines
    assert not any("not ours" in line for line in lines)
    assert all(len(line) <= 30 for line in view(board, 110.0, 30))


def test_who_says_nothing_is_silent():
    board = Board()
    board.on_stats(frame(), 100.0)
    board.on_diagnostics(status("s: intra_dp server", "cpu", 0, "1 robot", device="cpu"), 100.0)
    lines = view(board, 120.0, 200)
    assert any(line.split()[:4] == ["rover", "silent", "20", "s"] for line in lines)
    assert any("no frame in the last 10 s" in line for line in lines)
    assert any("silent for 20 s" in line for line in lines)


def test_numbers_stand_under_one_another_and_plans_where_there_is_room():
    board, plan = Board(), "robot computes 2 % of the rows, input rows 0-429 of 480 up in 8, 1 tensor handed over"
    board.on_stats(frame(plan=plan), 109.0)
    board.on_stats(frame(robot_id="a_robot_of_a_long_name", strategy="neurosurgeon", bytes_up=1234567), 109.0)
    board.on_bandwidth(BandwidthEstimate(robot_id="rover", up=123.4e6, confidence=0.5), 109.0)
    wide = view(board, 110.0, 200)
    assert wide[0].endswith("  PLAN") and wide[2].endswith("  " + plan) and "123.4" in wide[2]
    narrow = view(board, 110.0, 80)
    assert "PLAN" not in narrow[0] and " ".join(" ".join(narrow[3:6]).split()).startswith("rover SPLIT auto 1.0")
    assert " ".join(" ".join(narrow[4:6]).split()) == plan and max(map(len, narrow)) <= 80
    for lines in (wide[:3], [narrow[0], narrow[1], narrow[3]]):
        ends = [{i + 1 for i, c in enumerate(line) if c != " " and line[i + 1:i + 2] in (" ", "")} for line in lines]
        assert {lines[0].index(title) + len(title) for title in ("ms", "EXPECTED", "kB up")} <= set.intersection(*ends)


def test_a_screen_is_never_scrolled():
    assert _screen(["a", "b"], 4) == "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"
    many = _screen([str(number) for number in range(9)], 5)
    assert many.count("\n") == 4 and "(6 more lines)" in many and "2\x1b[K" in many and "3\x1b[K" not in many
