"""Every strategy over the same recorded bandwidth, on the times of other machines: what would they take there?"""
import argparse
import json
import os
import sys
from dataclasses import replace
from functools import lru_cache
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench import hardware
from intra_dp_ros.bench.devices import is_device_model, open_devices
from intra_dp_ros.bench.drive import LOCAL, OFFLOAD, SPLIT, Drive, DrivenFrame
from intra_dp_ros.bench.options import add_model_options, model_of, random_inputs
from intra_dp_ros.bench.simulate_plots import draw
from intra_dp_ros.graph.record import RecordingError, record
from intra_dp_ros.loss import device_csv, pareto, table
from intra_dp_ros.loss.baselines.published import HaloFreeTiling
from intra_dp_ros.loss.bound import Bound
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import FULL, HALF, LinkModel
from intra_dp_ros.loss.objective import KINDS, Objective
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.strategies import STRATEGIES
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.plan import LOSSLESS
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.measure import measure
from intra_dp_ros.wire.shaper import Trace

#: Intra-DP with tiles without halos: inexact, so it is here only.
PUBLISHED = "intra_dp_published"
NAMES = (*STRATEGIES, PUBLISHED)
CODECS = {"none": "raw", "lossless": LOSSLESS}
_RATES = np.geomspace(0.1e6, 200e6, 64)  # that bounds are found for [byte/s]
_PEAKS = (1.0, 1.1, 1.3, 1.6, 2.0, 3.0, 6.0, 20.0)  # and so are these, the highest over the mean
_BOUNDED = 400  # frames of a drive for which the bound is found
_HEADER = "{:<20}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}   {:>5} {:>5} {:>7}".format(
    "strategy", "mean ms", "median", "p95", "energy J", "MB up", "MB down", "local", "split", "offload")


class Simulation:
    """A model on a pair of devices and a kind of link.

    Args:
        tiling: of the recorded graph.
        robot, server: operator times.
        link: all but the bandwidths.
        codec: "raw" or `LOSSLESS`.
        objective, power: of LOSS.
    """

    def __init__(self, tiling: Tiling, robot: Profile, server: Profile, link: LinkModel, codec: str,
                 objective: Objective = Objective(), power: PowerModel = PowerModel()) -> None:
        self.timeline = Timeline(tiling, robot, server)
        self._halo_free = Timeline(HaloFreeTiling(tiling), robot, server)
        self._link, self._codec, self._objective, self._power = link, codec, objective, power
        self._tables: Dict[str, table.PlanTable] = {}

    def drive(self, strategy: str, trace: Trace, seconds: float, oracle: bool = False) -> List[DrivenFrame]:
        """The strategy's frames until the trace is at `seconds`."""
        return Drive(self._timeline_of(strategy), self.plans(strategy), self._link, trace, self._power, oracle).run(
            seconds)

    def plans(self, strategy: str) -> table.PlanTable:
        """The strategy's plans."""
        if strategy not in self._tables:
            timeline = self._timeline_of(strategy)
            self._tables[strategy] = table.build(
                timeline.tiling, timeline, self._link, "intra_dp" if strategy == PUBLISHED else strategy, self._codec,
                self._objective, self._power, streamed=strategy != PUBLISHED)
        return self._tables[strategy]

    def front(self, rate: float) -> List[pareto.Choice]:
        """Latency against energy at a bandwidth [byte/s]."""
        return pareto.front(self.timeline.tiling, self.timeline, replace(self._link, up=rate, down=rate), self._codec)

    def bounds(self, frames: Sequence[DrivenFrame], trace: Trace, energy: bool = False) -> np.ndarray:
        """For some of the frames, evenly chosen: what no schedule can beat [s, J], knowing the bandwidth beforehand.

        A frame takes no less than to the first moment T at which the mean bandwidth so far allows T, and costs no less
        than the least, over all moments it may end at, of what is possible with the bytes carried by then.

        Args:
            energy: whether its bound is found as well; else it is 0.

        Returns:
            [frames, 2].
        """
        bounds = Bound(self.timeline, replace(self._link, up=trace.mean, down=trace.mean), self._codec)

        @lru_cache(maxsize=None)
        def least_s(rate: float, peak: float) -> float:
            return bounds.at(rate, rate, peak)

        @lru_cache(maxsize=None)
        def least_j(rate: float, peak: float) -> float:
            return bounds.energy_at(rate, rate, self._power, peak)

        def of(frame: DrivenFrame) -> Tuple[float, float]:
            ends_s = self._earliest_end(frame.began_s, trace, least_s, bounds.at(0.0, 0.0))
            return ends_s, self._least_energy(frame.began_s, trace, least_j, ends_s) if energy else 0.0
        return np.array([of(frame) for frame in frames[::max(1, len(frames) // _BOUNDED)]])

    def _timeline_of(self, strategy: str) -> Timeline:
        return self._halo_free if strategy == PUBLISHED else self.timeline

    @staticmethod
    def _earliest_end(began_s: float, trace: Trace, least_s: Callable[[float, float], float], alone_s: float) -> float:
        low, high = 0.0, alone_s
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (low, middle) if _at(least_s, trace, began_s, middle, middle) <= middle else (middle, high)
        return high

    def _least_energy(self, began_s: float, trace: Trace, least_j: Callable[[float, float], float], ends_s: float
                      ) -> float:
        alone, waiting = least_j(0.0, 1.0), self._power.least
        if waiting <= 0:
            return min(alone, least_j(_RATES[-1], _PEAKS[-1]))
        energy = alone
        if ends_s < alone / waiting:
            ends = np.geomspace(ends_s, alone / waiting, 40)  # later ones cost more for waiting alone
            for first, last in zip(ends, ends[1:]):
                energy = min(energy, max(waiting * first, _at(least_j, trace, began_s, first, last)))
        return energy


def _at(least: Callable[[float, float], float], trace: Trace, began_s: float, first: float, last: float) -> float:
    """The bound of frames that end between these moments [s], at the next higher rate and peak: never more than at
    theirs."""
    carried = trace.carried(began_s + last) - trace.carried(began_s)
    peak = trace.highest(began_s, began_s + last) * last / max(carried, 1e-9)
    k, p = int(np.searchsorted(_RATES, carried / first)), int(np.searchsorted(_PEAKS, peak - 1e-9))
    return least(_RATES[k], _PEAKS[p]) if k < len(_RATES) and p < len(_PEAKS) else 0.0


def summary(frames: Sequence[DrivenFrame]) -> Dict[str, float]:
    """Figures of a drive; shares are of the frames planned so."""
    latency = np.array([f.latency_s for f in frames]) * 1e3
    ratios = [f.latency_s / f.predicted_s for f in frames if f.predicted_s > 0 and not f.taken_over]
    share = {kind: float(np.mean([f.where == kind for f in frames])) for kind in (LOCAL, SPLIT, OFFLOAD)}
    return {"frames": len(frames), "mean_ms": float(latency.mean()), "median_ms": float(np.median(latency)),
            "p95_ms": float(np.percentile(latency, 95)), "energy_j": float(np.mean([f.energy_j for f in frames])),
            "MB_up": float(np.mean([f.bytes_up for f in frames])) / 1e6,
            "MB_down": float(np.mean([f.bytes_down for f in frames])) / 1e6,
            "share_local": share[LOCAL], "share_split": share[SPLIT], "share_offload": share[OFFLOAD],
            "taken_over": int(sum(f.taken_over for f in frames)),
            "predicted_ms": float(np.mean([f.predicted_s for f in frames])) * 1e3,
            "over_predicted_p95": float(np.percentile(ratios, 95)) if ratios else None}


def row(name: str, found: Dict[str, float]) -> str:
    """One line of the table."""
    return "{:<20}{:>9.1f}{:>9.1f}{:>9.1f}{:>10.3f}{:>9.3f}{:>9.3f}   {:>4.0%} {:>5.0%} {:>7.0%}".format(
        name, *(found[k] for k in ("mean_ms", "median_ms", "p95_ms", "energy_j", "MB_up", "MB_down", "share_local",
                                   "share_split", "share_offload")))


def profiles_of(options: argparse.Namespace, tiling: Tiling, weights: Any, inputs: Any) -> Tuple[Profile, Profile]:
    """The devices' times: of a device model, from a file, or of this machine."""
    if options.profile and is_device_model(options.profile):
        robot, server, words = open_devices(options.profile)
        print(words)
        return robot.profile(tiling), server.profile(tiling)
    if options.profile:
        mapped = device_csv.map_rows(tiling, device_csv.read(options.profile), tuple(options.launch_ms),
                                     tuple(options.profile_scale))
        print(mapped.in_words())
        return mapped.robot, mapped.server
    here = measure(Kernels(tiling, weights), inputs)
    print("times of this machine; the server {:g} times faster than the robot".format(options.server_speedup))
    return here, here.scaled(1.0 / options.server_speedup)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Simulate strategies over a bandwidth trace and print a table of what they take."""
    parser = argparse.ArgumentParser(prog="simulate", description=main.__doc__)
    add_model_options(parser)
    parser.add_argument("--profile", metavar="CSV|YAML|fitted", help="operator times of robot and server, or a "
                        "device model that tells them; fitted: to the published times (default: measured here)")
    parser.add_argument("--profile-scale", type=float, nargs=2, default=hardware.PUBLISHED_SCALE,
                        metavar=("ROBOT", "SERVER"), help="factors on the CSV file's times (default: %(default)s: "
                        "timing operators one by one adds to them)")
    parser.add_argument("--launch-ms", type=float, nargs=2, default=device_csv.LAUNCH_MS, metavar=("ROBOT", "SERVER"),
                        help="cost of a call within an operator's time in the CSV file [ms] (default: "
                        "%(default)s)")
    parser.add_argument("--server-speedup", type=float, default=8.0, metavar="N",
                        help="without --profile: how much faster than this machine the server is (default: 8)")
    parser.add_argument("--trace", required=True, metavar="CSV", help="bandwidth over time: columns t_s, MBps")
    parser.add_argument("--seconds", type=float, default=0.0, help="of the trace (default: all of it)")
    parser.add_argument("--strategies", default="all", help="comma-separated, or all: {}".format(
        ", ".join(NAMES)))
    parser.add_argument("--codec", choices=sorted(CODECS), default="none", help="of what travels (default: none)")
    parser.add_argument("--duplex", choices=(HALF, FULL), default=FULL, help="of the link (default: full)")
    parser.add_argument("--rtt-ms", type=float, default=2.0, help="round-trip time (default: 2)")
    parser.add_argument("--message-costs", choices=sorted(hardware.MESSAGE_COSTS), default="package",
                        help="of this package or as fitted to the published system (default: package)")
    parser.add_argument("--codec-slowdown", type=float, default=2.0, metavar="N", help="how much slower the robot "
                        "encodes than the machine the codecs were measured on (default: 2)")
    parser.add_argument("--objective", choices=KINDS, default=KINDS[0], help="of intra_dp (default: latency)")
    parser.add_argument("--oracle", action="store_true", help="plan with the true bandwidth instead of an estimate")
    parser.add_argument("--pareto", type=float, metavar="MBPS",
                        help="print latency against energy at this bandwidth too")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--plot", metavar="FILE", help="PNG to write: latencies by strategy and over time")
    options = parser.parse_args(argv)
    try:
        names = _strategies(options.strategies)
        trace = Trace.read(options.trace)
        model = model_of(options)
        inputs = random_inputs(model, options.seed)
        recording = prepare(record(model.module, inputs))
        tiling = Tiling(recording.graph)
        robot, server = profiles_of(options, tiling, recording.weights, inputs)
        link = hardware.link_of(tiling, CODECS[options.codec], hardware.MESSAGE_COSTS[options.message_costs],
                                options.duplex, options.rtt_ms / 1e3, options.codec_slowdown)
    except (ModelError, RecordingError, ValueError, OSError) as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    simulation = Simulation(tiling, robot, server, link, CODECS[options.codec], Objective(options.objective))
    seconds = options.seconds or trace.period
    found: Dict[str, Dict[str, float]] = {}
    frames: Dict[str, List[DrivenFrame]] = {}
    print("{} on {}, codec {}, {} duplex, {} message costs, bandwidth {}".format(
        model.name, os.path.basename(options.trace), options.codec, options.duplex, options.message_costs,
        "known" if options.oracle else "estimated"))
    print(_HEADER)
    for name in names:
        frames[name] = simulation.drive(name, trace, seconds, options.oracle)
        found[name] = summary(frames[name])
        print(row(name, found[name]), flush=True)
    exact = [name for name in names if name != PUBLISHED]
    bounds = simulation.bounds(frames[(exact or names)[-1]], trace, True)
    print("{:<20}{:>9.1f}{:>28.3f}   no schedule can do with less, knowing the bandwidth beforehand".format(
        "lower bounds", bounds[:, 0].mean() * 1e3, bounds[:, 1].mean()))
    result = {"model": model.name, "weights": model.weights, "trace": os.path.basename(options.trace),
              "codec": options.codec, "duplex": options.duplex, "message_costs": options.message_costs,
              "objective": options.objective, "oracle": options.oracle, "seed": options.seed, "seconds": seconds,
              "bound_ms": float(bounds[:, 0].mean() * 1e3), "bound_j": float(bounds[:, 1].mean()), "strategies": found}
    if options.pareto:
        result["pareto"] = _pareto(simulation, options.pareto)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    if options.plot:
        draw(result, frames, trace, options.plot)
    return 0


def _pareto(simulation: "Simulation", rate: float) -> List[Dict[str, float]]:
    found = [{"latency_ms": c.latency_s * 1e3, "energy_j": c.energy_j} for c in simulation.front(rate * 1e6)]
    print("latency against energy at {:g} MB/s: {}".format(rate, ", ".join(
        "{latency_ms:.1f} ms {energy_j:.3f} J".format(**c) for c in found)))
    return found


def _strategies(text: str) -> List[str]:
    names = list(NAMES) if text == "all" else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError("no strategy {!r}; there are: all, {}".format(unknown[0], ", ".join(NAMES)))
    return names
