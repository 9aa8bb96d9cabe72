"""All robots and servers in a terminal: state, speed, latency, bandwidth, plan; renewed once a second."""
import argparse
import shutil
import sys
import textwrap
import threading
import time
from typing import List, Optional, Sequence, Tuple

import rospy

from intra_dp_ros.ros.board import LEVELS, RECENT_S, SILENT_S, Board, RobotView
from intra_dp_ros.ros.master import MasterError
from intra_dp_ros.ros.watcher import Watcher

_TITLES = ("ROBOT", "STATE", "STRATEGY", "Hz", "ms", "EXPECTED", "MB/s", "kB up", "J", "TAKEN", "LOAD")
_WORDS = 3  # columns of text; those after are numbers, aligned to the right
_PLAN = 60  # characters: with less room beside the numbers, plans have lines of their own


def view(board: Board, now: float, width: int) -> List[str]:
    """The view as lines, none longer than `width`; `now` is monotonic [s]."""
    robots, servers = board.robots(now), board.servers(now)
    rows = [_TITLES] + [_cells(robot) for robot in robots]
    sizes = [max(map(len, column)) for column in zip(*rows)]
    is_beside = width - sum(sizes) - 2 * len(sizes) >= _PLAN
    out = [_row(_TITLES, sizes) + ("  PLAN" if is_beside else "")] if robots else []
    for robot, cells in zip(robots, rows[1:]):
        line, plan = _row(cells, sizes), robot.last["plan"] if robot.frames else "no frame in the last {:.0f} s".format(
            RECENT_S)
        out.append(line + "  " + plan if is_beside else line)
        if not is_beside:
            out += textwrap.wrap(plan, max(20, width), initial_indent="  ", subsequent_indent="    ")
        if robot.level and robot.message:
            out.append("  {}: {}".format(LEVELS[robot.level], robot.message))
    if not robots:
        out.append("no robot yet: nothing on topics of type intra_dp_ros/InferenceStats, nor on /diagnostics")
    out.append("")
    for server in servers:
        gone = ["silent for {:.0f} s, before:".format(server.silent_s)] if server.silent_s > SILENT_S else []
        words = gone + [word for word in (LEVELS[server.level], server.message) if word]
        out.append("server {} on {}: {}".format(server.name, server.device, " ".join(words)))
    if not servers:
        out.append("no server yet")
    return [_printable(line)[:width].rstrip() for line in out]


def _cells(robot: RobotView) -> Tuple[str, ...]:
    state = robot.state
    if robot.is_silent:
        state = "silent" if robot.silent_s is None else "silent {:.0f} s".format(robot.silent_s)
    load = "" if robot.load is None else "{:.1f}".format(robot.load)
    up = robot.link["up"] if robot.link and robot.link["confidence"] > 0 else robot.bandwidth
    uplink = "{:.1f}".format(up / 1e6) if up else "?" if robot.link or robot.frames else ""
    if not robot.frames:
        return (robot.name, state, "", "", "", "", uplink, "", "", "", load)
    return (robot.name, state, robot.last["strategy"], "{:.1f}".format(robot.rate_hz),
            "{:.0f}".format(robot.latency_s * 1e3),
            "" if robot.predicted_s is None else "{:.0f}".format(robot.predicted_s * 1e3), uplink,
            "{:.0f}".format(robot.bytes_up / 1e3), "{:.2f}".format(robot.energy_j),
            "{}/{}".format(robot.taken, robot.frames), load)


def _printable(text: str) -> str:
    """Without what a terminal would obey: names and messages come from anybody on the network."""
    return "".join(c if c.isprintable() else " " for c in text)


def _row(cells: Sequence[str], sizes: Sequence[int]) -> str:
    return "  ".join(cell.ljust(size) if number < _WORDS else cell.rjust(size)
                     for number, (cell, size) in enumerate(zip(cells, sizes)))


def _screen(lines: List[str], height: int) -> str:
    """What shows `lines` on a terminal of this height, over what was there."""
    if len(lines) >= height:
        lines = lines[:max(0, height - 2)] + ["({} more lines)".format(len(lines) - height + 2)]
    return "\x1b[H" + "".join(line + "\x1b[K\n" for line in lines) + "\x1b[J"  # not cleared before: that flickers


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
        terminal = shutil.get_terminal_size() if sys.stdout.isatty() else None
        lines = view(board, time.monotonic(), terminal.columns if terminal else 400)
        sys.stdout.write(_screen(lines, terminal.lines) if terminal else "\n".join(lines) + "\n")
        sys.stdout.flush()
        shown += 1
        if shown == options.count:
            return 0
