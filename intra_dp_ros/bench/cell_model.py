"""A cell of a campaign, simulated with what its nodes measured: what no schedule can beat, and what keeps ours from it.

The operator times, the codecs' costs and the pieces of the trace are those of the run; one assumption is changed at a
time.  So a ratio that is missed is taken apart: what knowing the bandwidth would give, what messages cost, the server's
computing, the halo rows that exact tiles need, and, for energy, that latency is what plans are made for.
"""
import glob
import os
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from intra_dp_ros.bench import frames as models
from intra_dp_ros.bench.campaign import Blocks
from intra_dp_ros.bench.labels import model_name, trace_name
from intra_dp_ros.bench.simulate import Simulation, summary
from intra_dp_ros.bench.take_back import Moment, moments, rates_below
from intra_dp_ros.bench.testbed import QUOTA, Setting
from intra_dp_ros.bench.traces import NamedTrace
from intra_dp_ros.loss.baselines.published import HaloFreeTiling
from intra_dp_ros.loss.objective import ENERGY, Objective
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.aim import link_model
from intra_dp_ros.runtime.codec_sampler import CodecCosts
from intra_dp_ros.wire.shaper import Trace

_AT_ONCE = 1e-6  # of a server's times: it takes none
_TOO_LONG = ("dina", "spso_ga")  # strategies that take minutes to simulate, and are never the best by much
#: Column of the report -> what is changed.
CHANGES: Dict[str, Dict[str, Any]] = {
    "as it is": {},
    "bandwidth known": {"knows": True},
    "round trips and messages free": {"rtt_s": 0.0, "per_message_s": 0.0},
    "server takes no time": {"server": _AT_ONCE},
    "tiles without halos (inexact)": {"has_halos": False},
    "objective energy": {"objective": Objective(ENERGY)},
}
#: Figure -> its bound, the best other strategy's in `CellModel.ablation`, the changes that say something about it.
FIGURES = {"mean_ms": ("bound_ms", "best_ms", [name for name in CHANGES if "objective" not in CHANGES[name]]),
           "energy_j": ("bound_j", "best_j", list(CHANGES))}


@dataclass(frozen=True)
class _Begin:
    """When a frame began, for the bound."""

    began_s: float  # on the trace


class CellModel:
    """One model on the devices of a testbed.

    Args:
        setting: of the testbed, after its nodes have measured.
        rtt_s: round-trip time that they planned for [s].

    Raises:
        FileNotFoundError: they have not.
    """

    def __init__(self, setting: Setting, rtt_s: float) -> None:
        recording = prepare(models.record_whole(models.load(setting.model, setting.seed)))
        self._tiling, self._codec = Tiling(recording.graph), setting.codec
        robot, self._server = (_profile(setting, name, recording.graph.hash) for name in ("r0", "server"))
        if setting.slowed_by != QUOTA:  # with a quota the robot measured itself slow
            robot = robot.scaled(1.0 / setting.robot_speed)
        self._robot = robot
        codecs = CodecCosts(self._tiling, setting.codec, os.path.join(setting.folder, "cache", "r0", "codecs"))
        self._link = link_model(1e6, rtt_s, setting.duplex, codecs.present)
        self._objective = Objective(setting.objective)
        self._simulations: Dict[str, Simulation] = {}

    def bounds(self, blocks: Blocks, trace: NamedTrace, strategy: str) -> Dict[str, float]:
        """What no schedule can beat, mean over a strategy's frames: bound_ms, bound_j; empty: it has no frames."""
        began = [_Begin(f["trace_s"]) for f in blocks.frames if f["strategy"] == strategy and f["robot"] == 0]
        if not began:
            return {}
        latency_s, energy_j = self._simulation("as it is").bounds(began, trace.trace, True).mean(axis=0)
        return {"bound_ms": float(latency_s * 1e3), "bound_j": float(energy_j)}

    def ablation(self, blocks: Blocks, trace: NamedTrace, others: Sequence[str]) -> Dict[str, Dict[str, Any]]:
        """What is simulated on the same pieces of the trace for every one of `CHANGES`.

        Args:
            others: strategies to compare with; what is changed is changed for them, too.

        Returns:
            change -> mean latency `mean_ms` and energy `energy_j` of intra_dp's frames, `over_predicted_p95`: the
            95th percentile of latency over prediction; `best_ms`, `best_j`: the least of the others' means.
        """
        pieces = segments(blocks.frames)
        found: Dict[str, Dict[str, Any]] = {}
        for name in CHANGES if pieces else ():
            found[name] = own = self._means(name, "intra_dp", pieces, trace.trace)
            rest = [self._means(name, other, pieces, trace.trace) for other in others
                    if other not in ("intra_dp", *_TOO_LONG)]
            own.update(best_ms=min((f["mean_ms"] for f in rest), default=None),
                       best_j=min((f["energy_j"] for f in rest), default=None))
        return found

    def moments(self, rates: Sequence[float]) -> List[Moment]:
        """A link that falls in mid-frame from the highest of these rates [byte/s] (`take_back`)."""
        simulation = self._simulation("as it is")
        return moments(simulation.timeline, simulation.plans("intra_dp"), self._link, max(rates), rates_below(rates))

    def _means(self, name: str, strategy: str, pieces: Sequence[Tuple[float, float]], trace: Trace
               ) -> Dict[str, Any]:
        simulation, found = self._simulation(name), []
        for start, length in pieces:
            found += simulation.drive(strategy, trace.shifted(start), length, CHANGES[name].get("knows", False))
        means = summary(found)
        return {figure: means[figure] for figure in (*FIGURES, "over_predicted_p95")}

    def _simulation(self, name: str) -> Simulation:
        changed = CHANGES[name]
        kind = "as it is" if changed.get("knows") else name  # the same plans
        if kind not in self._simulations:
            tiling = self._tiling if changed.get("has_halos", True) else HaloFreeTiling(self._tiling)
            link = replace(self._link, **{k: v for k, v in changed.items() if k in ("rtt_s", "per_message_s")})
            self._simulations[kind] = Simulation(
                tiling, self._robot, self._server.scaled(changed.get("server", 1.0)), link, self._codec,
                changed.get("objective", self._objective))
        return self._simulations[kind]


def segments(frames: Sequence[Dict[str, Any]]) -> List[Tuple[float, float]]:
    """Begin and length [s] of the pieces of the trace on which the first robot's frames ran."""
    found = []
    for segment in sorted({f["segment"] for f in frames}):
        own = [f for f in frames if f["segment"] == segment and f["robot"] == 0]
        if own:
            start = min(f["trace_s"] for f in own)
            found.append((start, max(f["trace_s"] + f["latency_ms"] / 1e3 for f in own) - start))
    return found


def _profile(setting: Setting, place: str, graph: str) -> Profile:
    found = glob.glob(os.path.join(setting.folder, "cache", place, "profiles", graph + "-*.json"))
    if not found:
        raise FileNotFoundError("the {} node has left no operator times in {}".format(
            "server's" if place == "server" else "robot's", setting.folder))
    with open(found[0], encoding="utf-8") as file:
        return Profile.from_json(file.read())


def table(cells: Sequence[Dict[str, Any]], best: Sequence[float], figure: str) -> List[str]:
    """A Markdown table: the figure and its bound over the best other strategy's as measured, and every change's over
    the best other's under the same change.

    Args:
        best: the figure of the best other strategy of each cell, as measured.
        figure: of `FIGURES`.
    """
    bound, beside, names = FIGURES[figure]
    lines = ["| model | trace | codec | best other {} | measured | {} | bound |".format(
        "ms" if figure == "mean_ms" else "J", " | ".join(names)), "|" + "---|" * (6 + len(names))]
    rows = []
    for cell, other in zip(cells, best):
        changed = [cell["ablation"][n] for n in names]
        rows.append([cell["strategies"]["intra_dp"][figure] / other, *(f[figure] / f[beside] for f in changed),
                     cell[bound] / other])
        lines.append("| {} | {} | {} | {:.3g} | {} |".format(
            model_name(cell["model"]), trace_name(cell["trace"]), cell["codec"], other,
            " | ".join("{:.2f}".format(x) for x in rows[-1])))
    means = np.exp(np.log(np.array(rows)).mean(axis=0))
    return lines + ["| geometric mean | | | | {} |".format(" | ".join("**{:.2f}**".format(x) for x in means))]
