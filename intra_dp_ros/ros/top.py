"""All robots and servers in a terminal: state, speed, latency, bandwidth, plan; a line each, renewed once a second."""
import argparse
import shutil
import sys
import threading
import time
from typing import List, Optional, Sequence

import rospy

from intra_dp_ros.ros.board import LEVELS, SILENT_S, Board, RobotView
from intra_dp_ros.ros.master import MasterError
from intra_dp_ros.ros.watcher import Watcher

_COLUMNS = (("ROBOT", 12), ("STATE", 11), ("STRATEGY", 12), ("Hz", 5), ("ms", 6), ("EXPECTED", 8), ("MB/s", 6),
            ("kB up", 7), ("J", 6), ("TAKEN", 6), ("LOAD", 5), ("PLAN", 0))


def view(board: Board, now: float, width: int) -> List[str]:
    """The view as lines, none longer than `width`; `now` is monotonic [s]."""
    out = [_row([title for title, _ in _COLUMNS])]
    robots, servers = board.robots(now), board.servers(now)
    for robot in robots:
        out += _robot_lines(robot)
    if not robots:
        out.append("no robot yet: nothing on topics of type intra_dp_ros/InferenceStats, nor on /diagnostics")
    out.append("")
    for server in servers:
        gone = "silent for {:.0f} s, before: ".format(server.silent_s) if server.silent_s > SILENT_S else ""
        out.append("server {} on {}: {}{} {}".format(server.name, server.device, gone, LEVELS[server.level],
                                                     server.message))
    if not servers:
        out.append("no server yet")
    return [line[:width].rstrip() for line in out]


def _robot_lines(robot: RobotView) -> List[str]:
    cells = [robot.name, "silent" if robot.is_silent else robot.state] + [""] * 8
    cells += ["" if robot.load is None else "{:.1f}".format(robot.load), ""]
    if robot.frames:
        cells[2:10] = [
            robot.last["strategy"], "{:.1f}".format(robot.rate_hz), "{:.0f}".format(robot.latency_s * 1e3),
            "" if robot.predicted_s is None else "{:.0f}".format(robot.predicted_s * 1e3),
            "{:.1f}".format(robot.bandwidth / 1e6) if robot.bandwidth > 0 else "?",
            "{:.0f}".format(robot.bytes_up / 1e3), "{:.2f}".format(robot.energy_j),
            "{}/{}".format(robot.taken, robot.frames)]
        cells[11] = robot.last["plan"]
    out = [_row(cells)]
    if robot.level and robot.message:
        out.append("  {}: {}".format(LEVELS[robot.level], robot.message))
    return out


def _row(cells: Sequence[str]) -> str:
    return " ".join(cell[:size].ljust(size) if size else cell for cell, (_, size) in zip(cells, _COLUMNS))


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
        except (MasterError, OSError) as error:
            print("the ROS master does not answer: {}".format(error), file=sys.stderr)
        if stopped.wait(options.period):
            return 0
        is_terminal = sys.stdout.isatty()
        lines = view(board, time.monotonic(), shutil.get_terminal_size().columns if is_terminal else 400)
        print(("\x1b[H\x1b[2J" if is_terminal else "") + "\n".join(lines), flush=True)
        shown += 1
        if shown == options.count:
            return 0
