"""The paper's tables and figures again: our plans and the baselines', simulated on the published measurements."""
import argparse
import json
import math
import os
import sys
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.apps.models import load_model
from intra_dp_ros.bench import hardware, paper_plots
from intra_dp_ros.bench.options import random_inputs
from intra_dp_ros.bench.published import CASES, ENVIRONMENTS, Case, Data
from intra_dp_ros.bench.simulate import PUBLISHED, Simulation, summary
from intra_dp_ros.graph.record import record
from intra_dp_ros.loss import device_csv
from intra_dp_ros.loss.link_model import FULL, HALF
from intra_dp_ros.loss.objective import ENERGY, Objective
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.plan import LOSSLESS
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.wire.shaper import Trace

BASELINES = ("local", "offload", "neurosurgeon", "dsccs", "spso_ga")
#: Intra-DP with the objective energy instead of latency.
THRIFTY = "intra_dp (energy)"
RTT_S, SLOWDOWN = 0.002, 2.0  # round trip; how much slower the robot encodes than the machine measured on
_TARGETS = {"kapao": (115, 155), "agrnav": (48, 58), "VGG19_BN": (17, 23), "ConvNeXt_Large": (19, 25)}


@dataclass(frozen=True)
class Setting:
    """One kind of link and input on which strategies are compared."""

    name: str
    codec: str
    duplex: str
    costs: str  # key of hardware.MESSAGE_COSTS
    uint8: bool  # images travel as they are; otherwise as published
    strategies: Tuple[str, ...]


SETTINGS = (
    Setting("as published", "raw", FULL, "published", False, (*BASELINES, "intra_dp", PUBLISHED)),
    Setting("lossless", LOSSLESS, FULL, "package", True, (*BASELINES, THRIFTY, "intra_dp")),
    Setting("none, full duplex", "raw", FULL, "package", False, (*BASELINES, "intra_dp", PUBLISHED)),
    Setting("none, half duplex", "raw", HALF, "package", False, (*BASELINES, "intra_dp")),
)

#: (setting, model, environment) -> {"bound_ms", "strategies": {name: summary}}
Results = Dict[Tuple[str, str, str], Dict]


def simulate_all(data: Data, seconds: float, report: Callable[[str], None]) -> Results:
    """Every setting, model and environment.

    Args:
        seconds: of each trace; 0: all of it.
    """
    found: Results = {}
    traces = {e: Trace.read(data.trace(e)) for e in ENVIRONMENTS}
    for case in CASES:
        tilings: Dict[str, Tiling] = {}
        rows = device_csv.read(data.profile(case))
        for setting in SETTINGS:
            dtype = "uint8" if setting.uint8 else case.dtype
            if dtype not in tilings:
                tilings[dtype] = tiling_of(case, dtype)
            tiling = tilings[dtype]
            mapped = device_csv.map_rows(tiling, rows, scale=hardware.PUBLISHED_SCALE)
            link = hardware.link_of(tiling, setting.codec, hardware.MESSAGE_COSTS[setting.costs], setting.duplex, RTT_S,
                                    SLOWDOWN)
            simulation = Simulation(tiling, mapped.robot, mapped.server, link, setting.codec)
            thrifty = Simulation(tiling, mapped.robot, mapped.server, link, setting.codec, Objective(ENERGY))
            for environment, trace in traces.items():
                frames = {name: (thrifty if name == THRIFTY else simulation).drive(
                    "intra_dp" if name == THRIFTY else name, trace, seconds or trace.period)
                    for name in setting.strategies}
                bound = float(simulation.bounds(frames["intra_dp"], trace)[:, 0].mean() * 1e3)
                found[setting.name, case.name, environment] = {
                    "bound_ms": bound, "strategies": {name: summary(f) for name, f in frames.items()}}
                report("{}, {}, {}: intra_dp {:.1f} ms, bound {:.1f} ms".format(
                    case.name, environment, setting.name, summary(frames["intra_dp"])["mean_ms"], bound))
    return found


def tiling_of(case: Case, dtype: str) -> Tiling:
    """A case's model, recorded."""
    model = load_model(case.model, "", seed=0, shape=case.shape, dtype=dtype)
    return Tiling(prepare(record(model.module, random_inputs(model, 0))).graph)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
                      *("| " + " | ".join(row) + " |" for row in rows)])


def fidelity(results: Results, data: Data) -> str:
    """Simulated against measured means, where both exist."""
    rows = []
    for case in CASES:
        for e in ENVIRONMENTS:
            cell = results["as published", case.name, e]["strategies"]
            for ours, theirs in (("local", "local"), ("offload", "offload"), ("dsccs", "dsccs"),
                                 ("spso_ga", "spso_ga"), (PUBLISHED, "intra_dp")):
                known = data.measured.get((case.name, e, theirs))
                if known is not None:
                    mean = cell[ours]["mean_ms"]
                    rows.append((case.name, e, ours, "{:.1f}".format(known.mean_ms), "{:.1f}".format(mean),
                                 "{:+.1%}".format(mean / known.mean_ms - 1)))
    return table(("model", "environment", "strategy", "measured ms", "simulated ms", "difference"), rows)


def against_published(results: Results, data: Data) -> str:
    """Ours, exact and lossless, beside the published system's measured rows."""
    rows = []
    for case in CASES:
        for k, e in enumerate(ENVIRONMENTS):
            cell = results["lossless", case.name, e]
            ours, others = cell["strategies"]["intra_dp"], {n: cell["strategies"][n] for n in BASELINES}
            known = data.measured[case.name, e, "intra_dp"]
            least = min(others, key=lambda n: others[n]["energy_j"])
            rows.append((
                case.name, e, "{:.0f}".format(known.mean_ms), "{:.1f}".format(ours["mean_ms"]),
                "{}".format(_TARGETS[case.name][k]), "{:.1f}".format(cell["bound_ms"]),
                "{:.2f}".format(ours["mean_ms"] / cell["bound_ms"]),
                "{:.1f} / {:.1f}".format(ours["p95_ms"], others["local"]["p95_ms"]),
                "{:.3f} / {:.3f} ({})".format(ours["energy_j"], others[least]["energy_j"], least),
                "{:.1f} ms, {:.3f} J".format(cell["strategies"][THRIFTY]["mean_ms"],
                                             cell["strategies"][THRIFTY]["energy_j"])))
    return table(("model", "environment", "published Intra-DP (inexact) ms", "ours ms", "aim ms", "bound ms",
                  "ours / bound", "p95 ours / local ms", "energy ours / least baseline J",
                  "ours with the objective energy"), rows)


def same_bytes(results: Results, name: str) -> Tuple[str, float, float, float]:
    """Ours against the best baseline of each cell; also the geometric mean and the largest of the ratios, and the
    geometric mean of the ratios without halos."""
    rows, ratios, free_ratios = [], [], []
    for case in CASES:
        for e in ENVIRONMENTS:
            cell = results[name, case.name, e]["strategies"]
            best = min(BASELINES, key=lambda n: cell[n]["mean_ms"])
            ratios.append(cell["intra_dp"]["mean_ms"] / cell[best]["mean_ms"])
            free = cell.get(PUBLISHED)
            free_ratios += [free["mean_ms"] / cell[best]["mean_ms"]] if free else []
            rows.append((case.name, e, "{:.1f} ({})".format(cell[best]["mean_ms"], best),
                         "{:.1f}".format(cell["intra_dp"]["mean_ms"]), "{:.3f}".format(ratios[-1]),
                         "{:.1f}".format(results[name, case.name, e]["bound_ms"]),
                         "{:.1f}".format(free["mean_ms"]) if free else ""))
    return (table(("model", "environment", "best baseline ms", "ours ms", "ratio", "bound ms",
                   "tiles without halos (inexact) ms"), rows),
            math.exp(float(np.mean(np.log(ratios)))), max(ratios),
            math.exp(float(np.mean(np.log(free_ratios)))) if free_ratios else math.nan)


def everything(results: Results, name: str) -> str:
    """Every strategy of a setting."""
    rows = []
    for case in CASES:
        for e in ENVIRONMENTS:
            for strategy, s in results[name, case.name, e]["strategies"].items():
                rows.append((case.name, e, strategy, "{:.1f}".format(s["mean_ms"]), "{:.1f}".format(s["median_ms"]),
                             "{:.1f}".format(s["p95_ms"]), "{:.3f}".format(s["energy_j"]),
                             "{:.3f} / {:.3f}".format(s["MB_up"], s["MB_down"]),
                             "{:.0%} / {:.0%} / {:.0%}".format(
                                 s["share_local"], s["share_split"], s["share_offload"])))
    return table(("model", "environment", "strategy", "mean ms", "median", "p95", "energy J", "MB up / down",
                  "local / split / offload"), rows)


def ablations(results: Results, data: Data, seconds: float) -> str:
    """What keeps ours from its aim, where it misses it: the mean latency with one assumption changed at a time."""
    rows, tilings = [], {}
    for case, e, aim in ((case, e, aim) for case in CASES for e, aim in zip(ENVIRONMENTS, _TARGETS[case.name])):
        cell = results["lossless", case.name, e]
        ours = cell["strategies"]["intra_dp"]["mean_ms"]
        if ours <= aim:
            continue
        if case.name not in tilings:
            tilings[case.name] = tiling_of(case, "uint8")
        tiling = tilings[case.name]
        mapped = device_csv.map_rows(tiling, device_csv.read(data.profile(case)), scale=hardware.PUBLISHED_SCALE)
        trace = Trace.read(data.trace(e))

        def mean(rtt_s: float = RTT_S, slowdown: float = SLOWDOWN, oracle: bool = False, **changed: float) -> float:
            link = replace(hardware.link_of(tiling, LOSSLESS, hardware.MESSAGE_COSTS["package"], FULL, rtt_s, slowdown),
                           **changed)
            simulation = Simulation(tiling, mapped.robot, mapped.server, link, LOSSLESS)
            return summary(simulation.drive("intra_dp", trace, seconds or trace.period, oracle))["mean_ms"]
        best = {"rtt_s": 0.0003, "slowdown": 1.0, "per_message_s": 0.0}
        found = [ours, *(mean(**{name: value}) for name, value in best.items()), mean(oracle=True),
                 mean(oracle=True, **best), cell["bound_ms"]]
        rows.append((case.name, e, str(aim), *("{:.1f}".format(x) for x in found)))
    return table(("model", "environment", "aim ms", "ours ms", "round trip 0.3 ms", "encoder as fast as measured here",
                  "messages cost nothing", "bandwidth known", "all four", "bound ms"), rows)


def tensor_parallelism(data: Data, seconds: float) -> str:
    """Tables 1 and 2: splitting and gathering every layer, against staying on the robot."""
    rows = []
    for case in CASES[2:]:
        tiling = tiling_of(case, case.dtype)
        mapped = device_csv.map_rows(tiling, device_csv.read(data.profile(case)), scale=hardware.PUBLISHED_SCALE)
        link = hardware.link_of(tiling, "raw", hardware.MESSAGE_COSTS["published"], FULL, RTT_S, 1.0)
        simulation = Simulation(tiling, mapped.robot, mapped.server, link, "raw")
        for e in ENVIRONMENTS:
            trace = Trace.read(data.trace(e))
            # Its many small waits hide the bandwidth from an estimator, so it is told.
            dina, local = (summary(simulation.drive(n, trace, seconds or trace.period, oracle=True))
                           for n in ("dina", "local"))
            rows.append((case.name, e, "{:.3f}".format(local["mean_ms"] / 1e3), "{:.3f}".format(dina["mean_ms"] / 1e3),
                         "{:.1f}".format(dina["mean_ms"] / local["mean_ms"]), "{:.2f}".format(local["energy_j"]),
                         "{:.2f}".format(dina["energy_j"])))
    return table(("model", "environment", "local s", "tensor parallel s", "times slower", "local J",
                  "tensor parallel J"), rows)


def write(results: Results, data: Data, parallel: str, missed: str, folder: str, seconds: float) -> None:
    """``simulated.md`` and its pictures."""
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    full, half = (same_bytes(results, "none, {} duplex".format(d)) for d in ("full", "half"))
    paper_plots.strategies(results, os.path.join(folder, "images", "strategies.png"))
    paper_plots.categories(results, os.path.join(folder, "images", "categories.png"))
    paper_plots.cut_layers(data, os.path.join(folder, "images", "cut_layers.png"))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "paper_tables.md"), encoding="utf-8") as file:
        text = file.read()
    with open(os.path.join(folder, "simulated.md"), "w", encoding="utf-8") as file:
        file.write(text.format(
            span="all of each trace" if not seconds else "the first {:.0f} s of each trace".format(seconds),
            fidelity=fidelity(results, data), published=against_published(results, data), full=full[0],
            full_mean=full[1], full_worst=full[2], full_free=full[3],
            half=half[0], half_mean=half[1], half_worst=half[2],
            parallel=parallel, missed=missed, lossless=everything(results, "lossless"),
            as_published=everything(results, "as published"), rtt=RTT_S * 1e3, slowdown=SLOWDOWN,
            costs=hardware.MESSAGE_COSTS))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Simulate the published models over the published traces and write docs/results/simulated.md."""
    parser = argparse.ArgumentParser(prog="paper_tables", description=main.__doc__)
    parser.add_argument("--data", default=os.path.join("..", "shared", "data"), metavar="DIR",
                        help="published measurements (default: %(default)s)")
    parser.add_argument("--out", default=os.path.join("docs", "results"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=0.0, help="of each trace (default: all of it)")
    options = parser.parse_args(argv)
    try:
        data = Data(options.data)
    except FileNotFoundError as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    results = simulate_all(data, options.seconds, lambda line: print(line, flush=True))
    parallel = tensor_parallelism(data, options.seconds)
    missed = ablations(results, data, options.seconds)
    write(results, data, parallel, missed, options.out, options.seconds)
    with open(os.path.join(options.out, "simulated.json"), "w", encoding="utf-8") as file:
        json.dump({" | ".join(key): value for key, value in results.items()}, file, indent=1)
    print("written: {}".format(os.path.join(options.out, "simulated.md")))
    return 0


def cells(results: Results, name: str) -> List[Tuple[str, str]]:
    """Models and environments of a setting, in order."""
    return [(case.name, e) for case in CASES for e in ENVIRONMENTS if (name, case.name, e) in results]
