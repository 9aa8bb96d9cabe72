"""The demo: one bag, one bandwidth trace, three strategies, a report.

Starts a ROS master of its own with demo.launch, replays the same bag once per strategy while the emulated air replays
the same trace, collects what the robot answered and writes pictures and a report.
"""
import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench.record import BandwidthPoint, DemoRecord, FrameSample, Span
from intra_dp_ros.bench.report import write_report
from intra_dp_ros.bench.summary import summarise, text_summary
from intra_dp_ros.ros.demo_apps import APPS, Heard
from intra_dp_ros.ros.demo_listener import Listener
from intra_dp_ros.ros.frame_spans import measured_spans
from intra_dp_ros.ros.own_master import LaunchError, OwnMaster
from intra_dp_ros.ros.program import run_to_the_end
from intra_dp_ros.ros.readiness import wait_until_ready
from intra_dp_ros.runtime.engine import device_name
from intra_dp_ros.wire.shaper import Trace

STRATEGIES = ("local", "offload", "intra_dp")
_READY_S = 600.0  # for models, profiles and plans on the first run
_LAST_ANSWER_S = 10.0  # after the last image of a run
_LONGEST_PERIOD_S, _SHORTEST_PERIOD_S = 10.0, 0.4
_WARM_UP, _WARM_UP_S = 4, 60.0  # images, and how long their bag may take
_SHOWN = 24  # annotated frames in the video, at most


class Demo:
    """One run.

    Args:
        options: of the command line, see `parse`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._app = APPS[options.app]
        self._nodes = OwnMaster("demo.launch", [
            "app:=" + options.app, "image:=" + self._app.input.name, *self._app.launch, "model:=" + options.model,
            "trace:=" + os.path.abspath(options.trace),
            "robot_slowdown:={:g}".format(options.robot_slowdown), "rviz:={}".format(str(options.rviz).lower()),
            "strategy:=local"], os.path.join(options.out, "nodes.log"))
        self._listener: Optional[Listener] = None

    def run(self) -> int:
        """Everything; the exit code."""
        trace = Trace.read(self.options.trace)
        os.makedirs(self.options.out, exist_ok=True)
        try:
            self._start()
            status = self._wait_until_ready()
            period = self._period(status["local_ms"] / 1e3)
            bag = self._bag(period)
            self._warm_up()
            frames_in: Dict[str, int] = {}
            samples: List[FrameSample] = []
            bandwidth: List[BandwidthPoint] = []
            shown: List[Tuple[str, np.ndarray]] = []
            for strategy in STRATEGIES:
                run = self._replay(strategy, bag)
                frames_in[strategy] = len(run.inputs)
                samples += run.samples
                bandwidth += run.bandwidth
                if strategy == "intra_dp":
                    shown = self._annotated(run)
                    spans = self._spans(run)
            record = DemoRecord(
                model=status["model"], weights=status["weights"], weights_note=status["weights_note"],
                machine="{} cores, {}".format(os.cpu_count(), device_name("cpu").partition("-")[2].replace(
                    "-torch", ", torch ")),
                robot_slowdown=self.options.robot_slowdown, trace=os.path.basename(self.options.trace),
                mean_bandwidth_MBps=trace.carried(trace.period) / trace.period / 1e6, seconds=self.options.seconds,
                input_shape=tuple(status["input_shape"]), parameters=status["parameters"], frames_in=frames_in,
                samples=tuple(samples), bandwidth=tuple(bandwidth), **spans)
        finally:
            self._nodes.stop()
        page = write_report(record, shown, self.options.out)
        summary = summarise(record)
        if self.options.json:
            with open(self.options.json, "w", encoding="utf-8") as file:
                json.dump(summary, file, indent=1)
        print()
        print(text_summary(summary))
        print("report: {}".format(page))
        return self._verdict(summary)

    @staticmethod
    def _verdict(summary: Dict) -> int:
        """1 when a promise was broken: a frame without an answer, or a result that is not exact."""
        broken = []
        if summary["frames_lost"]:
            broken.append("{} frames were not answered".format(summary["frames_lost"]))
        if summary["max_rel_error"] > 1e-4:
            broken.append("a result differs from the unsplit model by {:.1e}".format(summary["max_rel_error"]))
        for line in broken:
            print("demo: {}".format(line), file=sys.stderr)
        return 1 if broken else 0

    def _start(self) -> None:
        options = self.options
        print("nodes are starting; their log is {}".format(self._nodes.log), flush=True)
        self._nodes.start("demo")
        self._listener = Listener(self._app, "/shaper", "/stats")
        print("model {}, robot emulated as {:g} times slower than this machine, trace {}".format(
            options.model, options.robot_slowdown, os.path.basename(options.trace)), flush=True)

    def _wait_until_ready(self) -> Dict:
        """For every strategy that uses the server; its plans are made when it is set."""
        for strategy in STRATEGIES[1:]:
            self._listener.set_strategy(strategy, self._nodes.check)
            status = wait_until_ready(
                self._listener.status, lambda s: s["ready"].get(strategy) and s["state"] == "SPLIT",
                self._nodes.check, _READY_S, self._nodes.log)
        return status

    def _warm_up(self) -> None:
        """A few images whose answers do not count: the first frames of any program are slow."""
        bag = os.path.join(self.options.out, "warm_up.bag")
        self._app.write(bag, 1.0, float(_WARM_UP))
        self._listener.set_strategy("local", self._nodes.check)
        self._listener.begin("warm-up")
        with _player(bag) as player:
            try:
                player.wait(timeout=_WARM_UP_S)
            except subprocess.TimeoutExpired:
                raise LaunchError("the warm-up's bag was not played within {:.0f} s; see {}".format(
                    _WARM_UP_S, self._nodes.log)) from None
        self._until_answered(time.monotonic() + _LAST_ANSWER_S)
        os.unlink(bag)

    def _until_answered(self, end: float) -> None:
        while self._listener.unanswered() and time.monotonic() < end:
            self._nodes.check()
            time.sleep(0.05)

    def _period(self, local_s: float) -> float:
        """Time between images [s]: the slowest strategy must keep up, or they would not see the same frames."""
        period = min(_LONGEST_PERIOD_S, max(_SHORTEST_PERIOD_S, 0.25 + 1.5 * local_s))
        return math.ceil(period * 20) / 20.0

    def _bag(self, period: float) -> str:
        path = os.path.join(self.options.out, "input.bag")
        count = self._app.write(path, 1.0 / period, self.options.seconds)
        print("bag of {} messages on {}, one every {:.2f} s, from {}".format(
            count, self._app.input.name, period, self._app.label()), flush=True)
        return path

    def _replay(self, strategy: str, bag: str) -> Listener:
        """One strategy on the bag and the trace, both from their beginning."""
        listener = self._listener
        listener.set_strategy(strategy, self._nodes.check)
        time.sleep(1.5)  # a change of strategy opens or closes the connection
        listener.restart_trace()
        listener.begin(strategy)
        print("{}:".format(strategy), flush=True)
        with _player(bag) as player:
            last = time.monotonic()
            while player.poll() is None:
                time.sleep(0.05)
                self._nodes.check()
                if time.monotonic() - last >= 1.0:
                    last += 1.0
                    print("  " + listener.line(), flush=True)
        self._until_answered(time.monotonic() + _LAST_ANSWER_S)
        return listener.finish()

    def _annotated(self, run: Listener) -> List[Tuple[str, np.ndarray]]:
        """Pictures with what was found."""
        frames = []
        by_stamp = {sample.stamp: sample for sample in run.samples}
        for stamp, picture in list(run.pictures.items())[:: max(1, len(run.pictures) // _SHOWN)]:
            if stamp in run.answers and stamp in by_stamp:
                extras = {name: found[stamp] for name, found in run.extras.items() if stamp in found}
                drawn = self._app.draw(Heard(picture, run.answers[stamp], extras), by_stamp[stamp])
                if drawn is not None:
                    frames.append(drawn)
        return frames

    def _spans(self, run: Listener) -> Dict:
        """The timeline of one of the last split frames, the one that took about as long as most: the robot's own, the
        server's, and what was predicted."""
        robot, server = self._listener.status(), self._listener.server_status()
        done = [f for f in robot["recent"] if f["outcome"] == "split"]
        if not done:
            return dict(measured_spans=(), predicted_spans=(), gantt_frame=-1)
        typical = float(np.median([sample.inference_ms for sample in run.samples])) / 1e3
        frame = min(done, key=lambda f: abs(f["inference_s"] - typical))
        spans, expected = ([Span(s["lane"], s["start_s"] * 1e3, s["stop_s"] * 1e3, s["label"]) for s in found]
                           for found in (measured_spans(frame, robot, [server]), frame["predicted_spans"]))
        return dict(measured_spans=tuple(spans), predicted_spans=tuple(expected), gantt_frame=frame["frame"])


def parse(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line's options."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each strategy's run [s] (%(default)s)")
    parser.add_argument("--app", choices=sorted(APPS), default="robot",
                        help="robot: people in images; kapao: with depth and their place in space; agrnav: completion "
                        "of laser scans (%(default)s)")
    parser.add_argument("--model", default="", help="model name, see docs/models.md (the application's own)")
    parser.add_argument("--trace", default=os.path.join(package, "config", "traces", "indoors_like.csv"),
                        help="bandwidth over time: CSV with columns t_s, MBps (indoors_like.csv)")
    parser.add_argument("--robot-slowdown", type=float, default=3.0,
                        help="emulate a robot this many times slower than this machine (%(default)s)")
    parser.add_argument("--rviz", action="store_true", help="show the overlay in rviz")
    parser.add_argument("--json", default="", metavar="FILE", help="write the summary as one JSON object")
    parser.add_argument("--out", default="demo_out", help="folder of the report (%(default)s)")
    options = parser.parse_args(arguments)
    options.model = options.model or APPS[options.app].model
    if not 2.0 <= options.seconds <= 3600.0:
        parser.error("--seconds must be between 2 and 3600, got {:g}".format(options.seconds))
    if not options.robot_slowdown >= 1.0:
        parser.error("--robot-slowdown must be at least 1, got {:g}".format(options.robot_slowdown))
    if shutil.which("roslaunch") is None:
        parser.error("roslaunch is not on the PATH: start the demo with scripts/demo")
    return options


@contextmanager
def _player(bag: str) -> Iterator[subprocess.Popen]:
    """A bag that is played; asked to end when this is left, as killing it would leave the player that it starts."""
    player = subprocess.Popen(["rosbag", "play", "--quiet", "--wait-for-subscribers", bag],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        yield player
    finally:
        if player.poll() is None:
            player.terminate()
            try:
                player.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                player.kill()


def main() -> None:
    """Run the demo."""
    run_to_the_end("demo", lambda: Demo(parse()).run(), (LaunchError, OSError, ValueError))


if __name__ == "__main__":
    main()
