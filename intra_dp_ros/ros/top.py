"""All robots and servers in a terminal: state, speed, latency, bandwidth, plan; a line each, renewed once a second.

Threading: rospy's threads hand messages to `Board`, whose lock covers everything it knows; one thread prints.
"""
import argparse
import collections
import shutil
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple

import rospy
from diagnostic_msgs.msg import DiagnosticArray

from intra_dp_ros.msg import Heartbeat, InferenceStats

_RECENT_S = 10.0  # frames that count
_SILENT_S = 5.0  # without a word: shown as gone
_LEVELS = ("", "warning", "error", "stale")
_COLUMNS = (("ROBOT", 12), ("STATE", 11), ("STRATEGY", 12), ("Hz", 5), ("ms", 6), ("EXPECTED", 8), ("MB/s", 6),
            ("kB up", 7), ("J", 6), ("TAKEN", 6), ("LOAD", 5), ("PLAN", 0))


@dataclass
class _Robot:
    frames: Deque[Tuple[float, InferenceStats]] = field(default_factory=lambda: collections.deque(maxlen=600))
    heard: float = 0.0
    level: int = 0
    message: str = ""
    state: str = ""
    load: Optional[float] = None  # of its server: other robots at the same time


@dataclass
class _Server:
    heard: float
    level: int
    message: str
    device: str


class Board:
    """What is known of everybody; times are monotonic [s]."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._robots: Dict[str, _Robot] = {}
        self._servers: Dict[str, _Server] = {}

    def on_stats(self, msg: InferenceStats, now: float) -> None:
        """A frame was answered."""
        with self._lock:
            robot = self._robots.setdefault(msg.robot_id, _Robot())
            robot.frames.append((now, msg))
            robot.heard, robot.state = now, msg.state

    def on_heartbeat(self, msg: Heartbeat, now: float) -> None:
        """A server's sign of life to one robot."""
        with self._lock:
            self._robots.setdefault(msg.robot_id, _Robot()).load = msg.load

    def on_diagnostics(self, msg: DiagnosticArray, now: float) -> None:
        """States of nodes, ours among them."""
        with self._lock:
            for status in msg.status:
                values = {pair.key: pair.value for pair in status.values}
                if status.name.endswith("intra_dp robot"):
                    robot = self._robots.setdefault(status.hardware_id, _Robot())
                    robot.heard, robot.level, robot.message = now, status.level, status.message
                    robot.state = values.get("state", "no model")
                elif status.name.endswith("intra_dp server"):
                    self._servers[status.name.split(":")[0]] = _Server(now, status.level, status.message,
                                                                       values.get("device", ""))

    def lines(self, now: float, width: int) -> List[str]:
        """The view, no line longer than `width`."""
        with self._lock:
            out = [_row([title for title, _ in _COLUMNS])]
            for name in sorted(self._robots):
                out += _robot_lines(name, self._robots[name], now)
            if not self._robots:
                out.append("no robot yet: nothing on topics of type intra_dp_ros/InferenceStats, nor on /diagnostics")
            out.append("")
            for name, server in sorted(self._servers.items()):
                gone = "silent for {:.0f} s, before: ".format(now - server.heard) if now - server.heard > _SILENT_S \
                    else ""
                out.append("server {} on {}: {}{} {}".format(name, server.device, gone, _LEVELS[min(3, server.level)],
                                                             server.message))
            if not self._servers:
                out.append("no server yet")
        return [line[:width].rstrip() for line in out]


def _robot_lines(name: str, robot: _Robot, now: float) -> List[str]:
    frames = [(when, msg) for when, msg in robot.frames if now - when <= _RECENT_S]
    state = robot.state if now - robot.heard <= _SILENT_S else "silent"
    cells = [name, state] + [""] * 8 + ["" if robot.load is None else "{:.1f}".format(robot.load), ""]
    if frames:
        last, count = frames[-1][1], len(frames)
        latencies = sorted(msg.latency for _, msg in frames)
        predicted = [msg.predicted for _, msg in frames if msg.predicted > 0]
        taken = sum(msg.outcome == InferenceStats.OUTCOME_TAKEOVER for _, msg in frames)
        cells[2:10] = [
            last.strategy, "{:.1f}".format(count / min(_RECENT_S, max(1.0, now - frames[0][0]))),
            "{:.0f}".format(latencies[count // 2] * 1e3),
            "{:.0f}".format(sum(predicted) / len(predicted) * 1e3) if predicted else "",
            "{:.1f}".format(last.bandwidth / 1e6) if last.bandwidth > 0 else "?",
            "{:.0f}".format(sum(msg.bytes_up for _, msg in frames) / count / 1e3),
            "{:.2f}".format(sum(msg.energy for _, msg in frames) / count), "{}/{}".format(taken, count)]
        cells[11] = last.plan
    out = [_row(cells)]
    if robot.level and robot.message:
        out.append("  {}: {}".format(_LEVELS[min(3, robot.level)], robot.message))
    return out


def _row(cells: Sequence[str]) -> str:
    return " ".join(cell[:size].ljust(size) if size else cell for cell, (_, size) in zip(cells, _COLUMNS))


class Watcher:
    """Subscribes to whatever there is of the types that `Board` reads; looks for more whenever asked."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._known: Dict[str, Any] = {}
        self._subscribe("/diagnostics", DiagnosticArray, board.on_diagnostics)

    def look(self) -> None:
        """Find new topics.

        Raises:
            OSError: the master does not answer.
        """
        for topic, kind in rospy.get_published_topics():
            if kind == "intra_dp_ros/InferenceStats":
                self._subscribe(topic, InferenceStats, self._board.on_stats)
            elif kind == "intra_dp_ros/Heartbeat" and topic.endswith("/heartbeat_down"):
                self._subscribe(topic, Heartbeat, self._board.on_heartbeat)

    def _subscribe(self, topic: str, cls: type, handle: Any) -> None:
        if topic not in self._known:
            self._known[topic] = rospy.Subscriber(topic, cls, lambda msg: handle(msg, time.monotonic()),
                                                  queue_size=100, tcp_nodelay=True)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Show all robots and servers of this ROS master."""
    parser = argparse.ArgumentParser(prog="top", description=main.__doc__)
    parser.add_argument("--period", type=float, default=1.0, help="between two views [s] (%(default)s)")
    parser.add_argument("--count", type=int, default=0, help="end after so many views; 0: until interrupted")
    options = parser.parse_args(rospy.myargv(sys.argv)[1:] if argv is None else argv)
    if not options.period >= 0.1:
        parser.error("--period must be at least 0.1, got {:g}".format(options.period))
    rospy.init_node("intra_dp_top", anonymous=True, disable_rosout=True)
    board = Board()
    watcher, shown = Watcher(board), 0
    stopped = threading.Event()
    rospy.on_shutdown(stopped.set)
    while True:
        try:
            watcher.look()
        except OSError as error:
            print("the ROS master does not answer: {}".format(error), file=sys.stderr)
        if stopped.wait(options.period):
            return 0
        is_terminal = sys.stdout.isatty()
        lines = board.lines(time.monotonic(), shutil.get_terminal_size().columns if is_terminal else 400)
        print(("\x1b[H\x1b[2J" if is_terminal else "") + "\n".join(lines), flush=True)
        shown += 1
        if shown == options.count:
            return 0
