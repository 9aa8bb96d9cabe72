"""A soak: a real node under a sensor that does not wait, for long; what the package promises of it is checked.

Starts a ROS master of its own with demo.launch (server, emulated air, bandwidth monitor, the application's node), sends
real sensor data at the sensor's rate, listens as a user would, and ends with a verdict, a picture and a report.  Exit
code 1: a promise was broken.  Timings are shown and never judged.
"""
import argparse
import os
import shutil
import signal
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import psutil
import torch

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench.campaign_report import command_of
from intra_dp_ros.bench.measured import commit, machine
from intra_dp_ros.bench.record import RecordError
from intra_dp_ros.bench.soak_record import NOT_SAID, Compared, Sent, SoakRecord
from intra_dp_ros.bench.soak_report import live_line, text_report, write_report
from intra_dp_ros.bench.soak_verdict import judge
from intra_dp_ros.loss.strategies import STRATEGIES
from intra_dp_ros.ros.demo_apps import APPS, CONFIG
from intra_dp_ros.ros.master import Master, MasterError
from intra_dp_ros.ros.own_master import LaunchError, OwnMaster
from intra_dp_ros.ros.program import run_to_the_end
from intra_dp_ros.ros.readiness import wait_until_ready
from intra_dp_ros.ros.soak_inputs import SOAK_APPS
from intra_dp_ros.ros.soak_listener import SoakListener
from intra_dp_ros.ros.soak_sensor import MemoryWatch, Sensor
from intra_dp_ros.runtime.machine import use_threads
from intra_dp_ros.runtime.robot import AUTO
from intra_dp_ros.wire.shaper import Trace

_READY_S = 900.0  # for models, profiles, weights and plans on the first run
_LAST_ANSWER_S = 60.0  # after the last message
_DIAGNOSTICS_S = 10.0


class Soak:
    """One run.

    Args:
        options: of the command line, see `parse`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._app, self._own = APPS[options.app], SOAK_APPS[options.app]
        self._names = {"robot": self._app.node, "server": "/intra_dp_server"}
        self._nodes = OwnMaster("demo.launch", [
            "app:=" + options.app, "image:=" + self._app.input.name, *self._own.launch, "model:=" + options.model,
            "trace:=" + os.path.abspath(options.trace), "strategy:=" + options.strategy,
            "robot_slowdown:={:g}".format(options.robot_slowdown), "check_every:={}".format(options.check_every)],
            os.path.join(options.out, "nodes_{}.log".format(options.app)))

    def run(self) -> SoakRecord:
        """Everything; what was heard.

        Raises:
            LaunchError: the nodes have stopped, or were not ready in time.
            ModelError, ValueError, OSError: with what to do.
        """
        options = self.options
        period_s = Trace.read(options.trace).period  # says what is wrong with it; the node that plays it would end
        if options.warm_up < 0.0:
            options.warm_up = period_s
        os.makedirs(options.out, exist_ok=True)
        print("making the sensor's messages", flush=True)
        inputs = self._own.make(options.rate, options.size)
        print("{}\nnodes are starting; their log is {}".format(inputs.words, self._nodes.log), flush=True)
        sensor = None
        try:
            self._nodes.start("soak")
            self._listener = SoakListener(self._app.node, self._own.result, "/shaper")
            self._wait_until_ready()
            sensor = Sensor(inputs, options.rate)
            sensor.connect()
            self._warm_up(sensor)
            facts = self._measure(sensor)
        finally:
            if sensor is not None:
                sensor.close()
            self._nodes.stop()
        return SoakRecord(
            command=command_of(sys.argv[1:], "scripts/soak"), app=options.app, inputs=inputs.words,
            things=self._own.things, rate_hz=options.rate, seconds=options.seconds, warm_up_s=options.warm_up,
            robot_slowdown=options.robot_slowdown, strategy=options.strategy, trace=os.path.basename(options.trace),
            machine=machine(), versions=_versions(), commit=commit(), load=os.getloadavg()[0],
            frame_id=self._own.frame_id, result_frame_id=self._own.result_frame_id,
            compared=tuple(self._compare(sensor)), **facts)

    def _wait_until_ready(self) -> None:
        pids: Dict[str, int] = {}

        def check() -> None:
            self._nodes.check()
            pids.update(pids or self._pids())
            if not all(map(psutil.pid_exists, pids.values())):
                raise LaunchError("a node has ended; see {}".format(self._nodes.log))
            if self._listener.complaint():
                raise LaunchError("the node says: {}".format(self._listener.complaint()))

        strategy = self.options.strategy
        status = wait_until_ready(
            self._listener.status, lambda s: s["ready"].get(strategy) and (
                strategy == "local" or s["state"] == "SPLIT" and s["uplink_MBps"] > 0),
            check, _READY_S, self._nodes.log)
        print("ready: {} ({} weights), {:.0f} ms on the robot alone".format(
            status["model"], status["weights"], status["local_ms"]), flush=True)

    def _warm_up(self, sensor: Sensor) -> None:
        """Messages that do not count: every plan is used once, and memory becomes what it will be."""
        seconds = self.options.warm_up
        print("warming up for {:.0f} s".format(seconds), flush=True)
        stamp, _ = sensor.send()
        self._until_answered(stamp)
        if not self._listener.is_answered(stamp):
            raise LaunchError("the first message was not answered within {:.0f} s; see {}".format(
                _LAST_ANSWER_S, self._nodes.log))
        self._listener.restart_trace()
        sent: List[Sent] = []
        thread = sensor.run(seconds, time.monotonic(), sent)
        while thread.is_alive():
            thread.join(1.0)
            self._nodes.check()
        self._until_answered(sent[-1].stamp if sent else stamp)

    def _until_answered(self, stamp: int, pid: Optional[int] = None) -> None:
        """Wait for a result and its statistics, as long as they may come.

        Args:
            pid: of the node; without it nothing is waited for.
        """
        end = time.monotonic() + _LAST_ANSWER_S
        while not self._listener.is_answered(stamp) and time.monotonic() < end and (
                pid is None or psutil.pid_exists(pid)):
            self._nodes.check()
            time.sleep(0.05)

    def _measure(self, sensor: Sensor) -> Dict[str, Any]:
        """The run itself; fields of the record."""
        listener, options = self._listener, self.options
        before, skipped, pids = self._status(), self._skipped(), self._pids()
        if not pids:
            raise LaunchError("robot or server do not answer; see {}".format(self._nodes.log))
        listener.restart_trace()
        began = time.monotonic()
        listener.begin(began)
        memory = MemoryWatch(pids, began)
        sent: List[Sent] = []
        try:
            self._watch(sensor.run(options.seconds, began, sent), began, sent, memory, skipped)
            print("the sensor has stopped; waiting for the last answer", flush=True)
            self._until_answered(sent[-1].stamp, pids["robot"])
            gone, after, counted = self._gone(pids), before, NOT_SAID
            if psutil.pid_exists(pids["robot"]):
                after, counted = self._status(), self._skipped() - skipped
        finally:
            samples = memory.close()
        results, frames, link = listener.heard()
        refused = {line: count - before["bad"].get(line, 0) for line, count in after["bad"].items()}
        return dict(
            model=after["model"], weights=after["weights"], weights_note=after["weights_note"],
            parameters=after["parameters"], sent=tuple(sent), results=tuple(results), frames=tuple(frames),
            link=tuple(link), memory=tuple(samples), first_number=before["frames"] + 1, counted=counted,
            refused={line: count for line, count in refused.items() if count}, gone=gone)

    def _watch(self, thread: threading.Thread, began: float, sent: Sequence[Sent], memory: MemoryWatch,
               skipped: int) -> None:
        """A line a second while the sensor sends; on a terminal they overwrite one another."""
        is_terminal = sys.stdout.isatty()
        while thread.is_alive():
            thread.join(1.0)
            self._nodes.check()
            answered, frame, true = self._listener.last()
            line = live_line(time.monotonic() - began, len(sent), answered, self._listener.skipped() - skipped, frame,
                             true, memory.samples[-1] if memory.samples else None)
            print("\r{:130s}".format(line) if is_terminal else line, end="" if is_terminal else "\n", flush=True)
        if is_terminal:
            print()

    def _status(self) -> Dict[str, Any]:
        status = self._listener.status()
        if status is None:
            raise LaunchError("the node {} does not answer; see {}".format(self._app.node, self._nodes.log))
        return status

    def _skipped(self) -> int:
        """The node's own count of replaced inputs, said from now on."""
        now, end = time.monotonic(), time.monotonic() + _DIAGNOSTICS_S
        while self._listener.skipped(now) < 0:
            self._nodes.check()
            if time.monotonic() > end:
                raise LaunchError("no /diagnostics of {} for {:.0f} s; see {}".format(
                    self._app.node, _DIAGNOSTICS_S, self._nodes.log))
            time.sleep(0.05)
        return self._listener.skipped(now)

    def _pids(self) -> Dict[str, int]:
        """Processes of robot and server; empty while one of them does not answer."""
        master = Master(timeout_s=5.0)
        try:
            return {name: master.node_pid(node) for name, node in self._names.items()}
        except MasterError:
            return {}

    def _gone(self, before: Dict[str, int]) -> Tuple[str, ...]:
        """Nodes that are not the processes any more that they were."""
        master, found = Master(timeout_s=5.0), []
        for name, node in self._names.items():
            try:
                if master.node_pid(node) != before[name]:
                    found.append("the {}'s node was started again".format(name))
            except MasterError:
                found.append("the {}'s node {} does not answer; see {}".format(name, node, self._nodes.log))
        return tuple(found)

    def _compare(self, sensor: Sensor) -> List[Compared]:
        """The checked frames' results against the unsplit model's, decoded alike; after the nodes have stopped."""
        results = self._listener.checked()
        print("comparing {} results with the unsplit model".format(len(results)), flush=True)
        compare = self._own.reference(self.options.model)
        found = [(stamp, compare(sensor.moment(stamp), result)) for stamp, result in results.items()
                 if sensor.sent(stamp)]  # an answer to what nobody asked is a broken promise of its own
        return [Compared(stamp, v.things, v.difference, v.ties) for stamp, v in found]


def _versions() -> str:
    return "PyTorch {}, numpy {}, OpenCV {}".format(torch.__version__, np.__version__, cv2.__version__)


def _size(text: str) -> Tuple[int, int]:
    try:
        height, width = (int(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError("{!r} is not HEIGHTxWIDTH".format(text)) from None
    if min(height, width) < 16:
        raise argparse.ArgumentTypeError("{} is too small".format(text))
    return height, width


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", choices=sorted(SOAK_APPS), default="kapao",
                        help="kapao: people in images with depth; agrnav: completion of laser scans (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="that the sensor sends for (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=-1.0, metavar="SECONDS",
                        help="that it sends for before, which does not count (one turn of the trace)")
    parser.add_argument("--rate", type=float, default=0.0, metavar="HZ", help="of the sensor (kapao 10, agrnav 2)")
    parser.add_argument("--size", type=_size, default=(640, 960), metavar="HxW", help="of the images (640x960)")
    parser.add_argument("--model", default="", help="model name, see docs/models.md (the application's own)")
    parser.add_argument("--strategy", default=AUTO, choices=(AUTO, *STRATEGIES), metavar="NAME",
                        help="one of {} (%(default)s)".format(", ".join((AUTO, *STRATEGIES))))
    parser.add_argument("--trace", default=os.path.join(CONFIG, "traces", "indoors_like.csv"),
                        help="bandwidth over time: CSV with columns t_s, MBps (indoors_like.csv)")
    parser.add_argument("--robot-slowdown", type=float, default=3.0,
                        help="emulate a robot this many times slower than this machine (%(default)s)")
    parser.add_argument("--check-every", type=int, default=5, metavar="FRAMES",
                        help="compare every so many frames with the unsplit model (%(default)s)")
    parser.add_argument("--json", default="", metavar="FILE", help="write what was heard, for --from")
    parser.add_argument("--from", default="", dest="earlier", metavar="FILE,...",
                        help="run nothing: judge what earlier runs wrote with --json, write their report")
    parser.add_argument("--report", default="", metavar="FILE", help="Markdown file to write (soak.md in --out)")
    parser.add_argument("--out", default="soak_out", help="folder of logs, report and pictures (%(default)s)")
    options = parser.parse_args(arguments)
    options.model = options.model or APPS[options.app].model
    options.rate = options.rate or SOAK_APPS[options.app].rate_hz
    options.report = options.report or os.path.join(options.out, "soak.md")
    for name, least, most in (("seconds", 6.0, 86400.0), ("rate", 0.1, 200.0), ("robot_slowdown", 1.0, 1000.0),
                              ("check_every", 1, 10 ** 6), ("warm_up", -1.0, 86400.0)):
        if not least <= getattr(options, name) <= most:
            parser.error("--{} must be between {:g} and {:g}, got {:g}".format(
                name.replace("_", "-"), least, most, getattr(options, name)))
    if not options.earlier and shutil.which("roslaunch") is None:
        parser.error("roslaunch is not on the PATH: start this with scripts/soak")
    return options


def run(options: argparse.Namespace) -> int:
    """One run, or the report of earlier ones; the exit code.

    Raises:
        LaunchError, ModelError, MasterError, RecordError, OSError, ValueError: with what to do.
    """
    if options.earlier:
        records = [SoakRecord.from_json(name) for name in options.earlier.split(",")]
    else:
        records = [Soak(options).run()]
        if options.json:
            records[0].to_json(options.json)
    os.makedirs(options.out, exist_ok=True)
    for record in records:
        print("\n{}\n".format(text_report(record)))
    print("report: {}".format(write_report(records, options.report)))
    broken = [(record, promise) for record in records for promise in judge(record) if promise.broken]
    for record, promise in broken:
        print("soak: {} of {}: {}".format(promise.name, record.model, promise.broken), file=sys.stderr)
    return 1 if broken else 0


def main() -> None:
    """Run the soak."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    options = parse()
    use_threads(1)
    run_to_the_end("soak", lambda: run(options),
                   (LaunchError, ModelError, MasterError, RecordError, OSError, ValueError))


if __name__ == "__main__":
    main()
