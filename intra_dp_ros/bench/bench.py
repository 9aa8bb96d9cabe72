"""Strategies measured on real nodes over a real shaped link, side by side on the same pieces of the same trace.

With root the nodes run in network namespaces and the kernel shapes the link (tbf, htb); without, or with --relay, the
package's own relay node shapes it.  What a slower robot and a slower world (--time-scale) were made of stands in every
result.
"""
import argparse
import json
import os
import re
import shutil
import signal
import sys
from dataclasses import replace
from statistics import median
from typing import Any, Dict, List, Optional, Sequence, Tuple

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench import children, estimator_trial, idle_trial, namespaces, step_trial, take_back, testbed
from intra_dp_ros.bench.bench_options import AUTO, models_of, names_of, parse
from intra_dp_ros.bench.campaign import Blocks, make_ready, play, time_scale_of
from intra_dp_ros.bench.campaign_report import command_of, table, write_report
from intra_dp_ros.bench.emulated import make_profiles
from intra_dp_ros.bench.cell_model import CellModel
from intra_dp_ros.bench.measured import summarise
from intra_dp_ros.bench.namespaces import TestbedError
from intra_dp_ros.bench.testbed import PACE, Setting, Testbed
from intra_dp_ros.bench.traces import NamedTrace, open_trace
from intra_dp_ros.graph.record import RecordingError
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.exactness import TOLERANCE
from intra_dp_ros.runtime.levels import ROUND_TRIPS, Level
from intra_dp_ros.runtime.machine import use_threads


_MARK = ".bench"  # a file in the folders that a bench has made: it deletes no others
FAILED, BROKEN = 1, 3  # exit codes: something could not be done; all was done, and frames were lost or results wrong


class Bench:
    """One call.

    Args:
        options: see `parse`.
        in_kernel: whether the kernel shapes the link.

    Attributes:
        cells: what was measured so far, also when `run` ends with an error.
        idle: the same, of robots without frames.
    """

    def __init__(self, options: argparse.Namespace, in_kernel: bool) -> None:
        self._options = options
        self._in_kernel = in_kernel
        self.cells: List[Dict[str, Any]] = []
        self.idle: List[Dict[str, Any]] = []
        self._model_of: Optional[Tuple[Tuple[str, float], CellModel]] = None  # folder of its setting, round trip

    def run(self) -> None:
        """All cells, one model after the other; a cell is written as soon as it is done.

        Raises:
            TestbedError, ModelError, RecordingError, ValueError, OSError: with what to do.
        """
        relay = self._relay()
        wanted = [(model, robots, adaptive) for model in models_of(self._options.models)
                  for robots in self._options.robots for adaptive in ((True, False) if self._options.step else (True,))]
        for one in wanted:
            check_own(self._folder(*one))
        for one in wanted:
            self._model(*one, relay)

    def _folder(self, model: str, robots: int, adaptive: bool) -> str:
        name = model + ("_{}robots".format(robots) if robots > 1 else "") + ("" if adaptive else "_waiting")
        return os.path.join(self._options.out, re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("."))

    def _model(self, model: str, robots: int, adaptive: bool, relay: Sequence[str]) -> None:
        options = self._options
        strategies = names_of(options.strategies)
        folder = self._folder(model, robots, adaptive)
        make_fresh(folder)
        setting = Setting(
            model=model, folder=folder, robots=robots, robot_speed=options.robot_speed,
            slowed_by=options.slowed_by, duplex=options.duplex, codec=options.codec, objective=options.objective,
            adaptive=adaptive, seed=options.seed, random_inputs=options.random_inputs,
            server_rate=options.server_MBps * 1e6)
        emulated = ""
        if options.emulate:
            robot, server, emulated = make_profiles(options.emulate, model, options.seed, *(
                os.path.join(folder, "cache", place, "profiles") for place in ("r0", "server")))
            setting = replace(setting, emulate=(os.path.abspath(robot), os.path.abspath(server)), robot_speed=1.0)
            print("{}: computing is replaced by waits: {}".format(model, emulated))
        print("{}: nodes are starting; logs are in {}".format(model, folder), flush=True)
        with Testbed(setting, self._in_kernel, relay) as bed:
            status = make_ready(bed, strategies, _say)
            if options.idle:
                self.idle.append(idle_trial.measure(bed, options.seconds))
                return
            local_s = status["local_ms"] / 1e3
            scale = time_scale_of(model, local_s * 1e3) if options.time_scale == AUTO else float(options.time_scale)
            print("{}: {:.0f} ms on the robot alone{}".format(model, local_s * 1e3, _conditions(options, scale)))
            for name in options.trace.split(","):
                trace = open_trace(name, scale, options.seed)
                print("{} on {}, {:.2f} MB/s in the whole trace's mean".format(model, trace.label, trace.mean / 1e6),
                      flush=True)
                blocks = play(bed, trace, strategies, options.seconds, local_s, options.seed, _say, options.block)
                cell = self._cell(setting, blocks, trace, strategies, scale, emulated)
                if options.step:
                    own, changes = ([x for x in found if x["robot"] == 0 and x["strategy"] == "intra_dp"]
                                    for found in (blocks.frames, blocks.changes))
                    cell["steps"] = step_trial.figures(
                        own, sorted(change for run in changes for change in run["rates"]), local_s, adaptive)
                self.finish(cell, setting, blocks, trace)

    def _cell(self, setting: Setting, blocks: Blocks, trace: NamedTrace, strategies: Sequence[str],
              scale: float, emulated: str) -> Dict[str, Any]:
        cell = summarise(blocks, setting, trace, strategies, scale, self._in_kernel)
        cell.update(bound_ms=None, bound_j=None, ablation={}, emulated=emulated, command=command_of(sys.argv[1:]),
                    seconds=self._options.seconds, adaptive=setting.adaptive,
                    estimator=estimator_trial.figures(blocks.estimates, blocks.changes))
        return cell

    def finish(self, cell: Dict[str, Any], setting: Setting, blocks: Blocks, trace: NamedTrace) -> None:
        """Keep what was measured, and only then compute what follows from it: that may fail, and takes its time.

        Raises:
            ValueError, OSError: the figures are kept, what follows from them is missing.
        """
        raw = os.path.join(setting.folder, "{}.raw.json".format(re.sub(r"[^A-Za-z0-9_.-]", "_", trace.label)))
        self.cells.append(cell)
        _write_raw(raw, cell, blocks)
        if not self._options.no_bound:
            self._bound(cell, setting, blocks, trace)
        if self._options.step and setting.adaptive:
            cell["taken_back"] = take_back.figures(CellModel(setting, _rtt_s(blocks)).moments(
                [rate for _, rate in trace.trace.pieces]))
        if not self._options.no_bound or "taken_back" in cell:
            _write_raw(raw, cell, blocks)
        if self._options.estimator:
            estimator_trial.picture(blocks.estimates, "{}: {}".format(cell["model"], trace.label),
                                    raw.replace(".raw.json", ".estimate.png"))
        print("\n".join(table(cell)), flush=True)

    def _bound(self, cell: Dict[str, Any], setting: Setting, blocks: Blocks, trace: NamedTrace) -> None:
        wanted = setting.folder, _rtt_s(blocks)
        if self._model_of is None or self._model_of[0] != wanted:
            self._model_of = wanted, CellModel(setting, wanted[1])
        is_ours, model = "intra_dp" in cell["strategies"], self._model_of[1]
        cell.update(model.bounds(blocks, trace, "intra_dp" if is_ours else list(cell["strategies"])[-1]))
        cell["ablation"] = model.ablation(blocks, trace, list(cell["strategies"])) if is_ours else {}

    def _relay(self) -> List[str]:
        """The relay node's parameters: it has one trace, from the beginning."""
        if self._in_kernel:
            return []
        options = self._options
        if options.time_scale == AUTO or "," in options.trace:
            raise TestbedError("the relay node plays one trace that must be known at start: give --time-scale a "
                               "number and --trace one trace, or run as root")
        if max(options.robots) > 1:
            raise TestbedError("several robots need network namespaces, and those need root")
        trace = open_trace(options.trace, float(options.time_scale), options.seed).trace
        path = os.path.join(options.out, "relay_trace.csv")
        trace.write(path)
        return ["_trace:=" + os.path.abspath(path)]


def check_own(folder: str) -> None:
    """Raises TestbedError: there is something else in the place of a folder of the bench's own."""
    if not os.path.lexists(folder):
        return
    if os.path.isdir(folder) and not os.path.islink(folder):
        names = set(os.listdir(folder))
        if not names or _MARK in names or {"cache", "server.log"} <= names:  # the latter: made before there was a mark
            return
    raise TestbedError("{} is in the way, and the bench has not made it: move it, or give --out another folder".format(
        folder))


def make_fresh(folder: str) -> None:
    """An empty folder of the bench's own: times measured in another hour do not hold in this one.

    Raises:
        TestbedError: see `check_own`.
        OSError: it cannot be made.
    """
    check_own(folder)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, _MARK), "w", encoding="utf-8") as file:
        file.write("made by scripts/bench, which deletes it when it measures here again\n")


def _write_raw(path: str, cell: Dict[str, Any], blocks: Blocks) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"cell": cell, "frames": blocks.frames, "estimates": blocks.estimates, "changes": blocks.changes},
                  file)


def _rtt_s(blocks: Blocks) -> float:
    """The round-trip time that plans were made for, about [s]."""
    trips = [e["rtt"] for e in blocks.estimates if e["rtt"] > 0]
    return Level(ROUND_TRIPS, median(trips or [RobotConfig().rtt_s])).value


def _conditions(options: argparse.Namespace, scale: float) -> str:
    words = ""
    if options.robot_speed != 1.0 and not options.emulate:
        words += " (slowed to {:g} of this machine's speed by {})".format(
            options.robot_speed, "sleeping after operators" if options.slowed_by == PACE else "the kernel's quota")
    if scale != 1.0:
        words += "; the link is {:.3g} times slower than its trace".format(scale)
    return words


def _say(text: str) -> None:
    print("  " + text, flush=True)


def verdict(cells: Sequence[Dict[str, Any]]) -> List[str]:
    """Promises that were broken; nothing about times."""
    broken = []
    for cell in cells:
        for name, found in cell["strategies"].items():
            label = "{} on {}, {}".format(cell["model"], cell["trace"], name)
            if not found["frames"]:
                broken.append(label + ": no frame was answered")
            if found["frames_lost"]:
                broken.append("{}: {} frames were not answered".format(label, found["frames_lost"]))
            if found["frames"] and not found["frames_checked"]:
                broken.append(label + ": no result was compared with the unsplit model's")
            if found["max_rel_error"] > TOLERANCE:
                broken.append("{}: a result differs from the unsplit model by {:.1e}".format(
                    label, found["max_rel_error"]))
    return broken


def _keep(run: Bench, options: argparse.Namespace) -> List[str]:
    """Write what was measured, all of it or as far as the run came; what went wrong with that."""
    cells = run.cells
    found = [*cells, *([idle_trial.result(run.idle, command_of(sys.argv[1:]))] if run.idle else [])]
    if not found:
        return []
    failed = []
    if options.json:
        try:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(found[0] if len(found) == 1 else found, file, indent=1)
        except OSError as error:
            failed.append(str(error))
    if cells and not options.quick:
        try:
            print("report: {}".format(write_report(
                cells, options.report or os.path.join(options.out, "measured.md"), sys.argv[1:])))
        except (OSError, ValueError) as error:
            failed.append("no report: {}".format(error))
    return failed


def _make_folders(options: argparse.Namespace) -> None:
    """Where figures will go is made before they are measured.

    Raises:
        OSError: it cannot be; a file is where a folder is to be, or the other way round.
    """
    for folder in (options.out, *(os.path.dirname(file) for file in (options.json, options.report))):
        os.makedirs(folder or ".", exist_ok=True)
    for file in (options.json, options.report):
        if os.path.isdir(file):
            raise IsADirectoryError("{} is a folder; figures and reports are files".format(file))


def _report_of(files: Sequence[str], path: str) -> int:
    """Write the report of earlier runs; the exit code."""
    all_found: List[Dict[str, Any]] = []
    try:
        for name in files:
            with open(name, encoding="utf-8") as file:
                found = json.load(file)
            all_found += found if isinstance(found, list) else [found]
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        cells, trials = ([found for found in all_found if ("strategies" in found) is is_cell]
                         for is_cell in (True, False))
        print("report: {}".format(write_report(cells, path, [], trials)))
    except (OSError, ValueError, KeyError) as error:
        print("bench: no report of {}: {!r}".format(", ".join(files), error), file=sys.stderr)
        return FAILED
    return 0


def exit_code(failed: Sequence[str], broken: Sequence[str]) -> int:
    """Of a run: what could not be done counts before promises that were broken."""
    return FAILED if failed else BROKEN if broken else 0


def _heed_signals() -> None:
    """What ends this process ends it tidily."""
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if sign != signal.SIGHUP or signal.getsignal(sign) != signal.SIG_IGN:  # nohup: it outlives its terminal
            signal.signal(sign, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the bench; the exit code: 0, `FAILED` or `BROKEN`."""
    options = parse(arguments, __doc__)
    _heed_signals()
    use_threads(1)
    if options.earlier:
        return _report_of(options.earlier.split(","), options.report or os.path.join(options.out, "measured.md"))
    problem = "asked for with --relay" if options.relay else namespaces.missing()
    if problem:
        print("bench: {}; the link is shaped in user space instead: on this host's loopback, by the relay node".format(
            problem), flush=True)
    else:
        left = testbed.clean_up()
        if left:
            print("bench: removed what a killed run had left: {}".format(", ".join(left)))
    failed: List[str] = []
    run = Bench(options, not problem)
    try:
        _make_folders(options)
        run.run()
    except (TestbedError, ModelError, RecordingError, ValueError, OSError) as error:
        failed.append(str(error))
    except (KeyboardInterrupt, SystemExit):
        failed.append("interrupted")
    finally:  # also when something happens that nobody foresaw: hours of measuring are not lost
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)  # whoever is impatient would leave namespaces behind
        prefix = namespaces.prefix_of(os.getpid())
        try:
            failed += _keep(run, options)
        finally:
            namespaces.remove(prefix)
            children.clean_groups(prefix)  # after those whom it limited are gone
    if run.idle:
        print("\n".join(idle_trial.in_words(run.idle)))
    failed += ["left behind: " + name for name in testbed.left_over()]
    broken = verdict(run.cells)
    for line in [*broken, *failed]:
        print("bench: {}".format(line), file=sys.stderr)
    return exit_code(failed, broken)


if __name__ == "__main__":
    sys.exit(main())
