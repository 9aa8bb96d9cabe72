"""Plans by bandwidth: made once in the background, looked up for every frame, kept on disk."""
import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, replace
from typing import Callable, List, Optional, Sequence, Tuple

from intra_dp_ros.graph.files import write_atomically
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.strategies import Planned, Wanted
from intra_dp_ros.loss.strategies import strategy as strategy_of
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan, local_plan, validate
from intra_dp_ros.lop.tiling import Tiling

VERSION = 10  # of what is on disk, and of the search that made it
#: Bandwidths that plans are made for [byte/s].
LADDER = (0.0, *(0.25e6 * 120 ** (k / 29) for k in range(30)))  # 0, then 0.25 to 30 MB/s, each 18 % above the last
#: The bandwidth must leave a rung's interval by this share before another rung is taken.
HYSTERESIS = 0.05
_ALIKE = 0.05  # frame times that differ by less make the same plans
_CODECS = (0.1, 0.5, 0.5)  # and so do codecs' ratios and times, which are measured anew at every start


@dataclass(frozen=True)
class Rung:
    """One bandwidth's plan."""

    bandwidth: float  # up [byte/s]
    plan: Plan


@dataclass(frozen=True)
class PlanTable:
    """The plans of one strategy, by ascending bandwidth; the first rung is bandwidth 0."""

    strategy: str
    rungs: Tuple[Rung, ...]

    @property
    def plans(self) -> List[Plan]:
        """Every plan once."""
        return list({r.plan.epoch: r.plan for r in self.rungs}.values())

    def lookup(self, bandwidth: float, current: Optional[int] = None) -> int:
        """The rung for a bandwidth.

        A rung serves bandwidths from its own up to the next one's, so that a plan is never asked for more than the link
        was planned to carry.  An unknown bandwidth (0) gets the lowest rung above 0: the plan that asks least of the
        link, while frames that are sent tell what it really carries; what does not work out is taken over.

        Args:
            bandwidth: estimated, up [byte/s].
            current: the rung in use, kept unless the bandwidth left its interval by `HYSTERESIS`.
        """
        last = len(self.rungs) - 1
        if bandwidth <= 0:
            return min(1, last)
        if current is not None and 0 < current <= last:  # another table may have been longer
            low = self.rungs[current].bandwidth * (1.0 - HYSTERESIS)
            high = self.rungs[current + 1].bandwidth * (1.0 + HYSTERESIS) if current < last else float("inf")
            if low <= bandwidth < high:
                return current
        found = 0
        for index, rung in enumerate(self.rungs):
            if rung.bandwidth <= bandwidth:
                found = index
        return found


def build(tiling: Tiling, timeline: Timeline, link: LinkModel, strategy: str, codec: str = "raw",
          objective: Objective = Objective(), power: PowerModel = PowerModel(), first_epoch: int = 1,
          progress: Callable[[int, int], None] = lambda done, total: None,
          should_stop: Callable[[], bool] = lambda: False, streamed: bool = True) -> PlanTable:
    """The table of a strategy.

    Args:
        link: a template; its bandwidths are replaced by the ladder's, down in proportion to up.
        codec: of the graph's inputs.
        objective, power: of LOSS; the baselines have their own.
        first_epoch: plans are numbered from here on; equal plans share a number, the local plan has number 0.
        progress: called with (steps done, steps in all).
        streamed: whether LOSS may send and compute in pieces.

    Raises:
        ValueError: no such strategy.
    """
    make, down = strategy_of(strategy), _down_over_up(link)
    links = [replace(link, up=b, down=b * down) for b in LADDER]
    planned = make(tiling, timeline, links[1:], codec, Wanted(objective, power, progress, should_stop, streamed))
    planned = [(links[0], local_plan(tiling)), *planned]  # the first of the ladder is no link at all
    return PlanTable(strategy, _numbered(planned, timeline, strategy, first_epoch))


def _numbered(planned: Planned, timeline: Timeline, strategy: str, first_epoch: int) -> Tuple[Rung, ...]:
    epochs, rungs = {}, []
    for link, plan in planned:
        same = replace(plan.unnumbered, strategy=strategy)
        epoch = 0 if plan.is_local else epochs.setdefault(same, first_epoch + len(epochs))
        predicted = timeline.predict(plan, link).latency_s * 1e3
        rungs.append(Rung(link.up, replace(same, epoch=epoch, predicted_ms=predicted)))
    return tuple(rungs)


def priced_anew(table: PlanTable, timeline: Timeline, link: LinkModel, objective: Objective = Objective(),
                power: PowerModel = PowerModel()) -> PlanTable:
    """The same plans under other costs, such as a busier server's: at every bandwidth the best of them.

    Args:
        link: a template, as of `build`.
    """
    plans = list({p.epoch: p for p in (table.rungs[0].plan, *table.plans)}.values())  # the local one is the first
    down, rungs = _down_over_up(link), [table.rungs[0]]
    for rung in table.rungs[1:]:
        at = replace(link, up=rung.bandwidth, down=rung.bandwidth * down)
        found = [timeline.predict(plan, at, power) for plan in plans]
        k = objective.best(found, power)
        rungs.append(Rung(rung.bandwidth, replace(plans[k], predicted_ms=found[k].latency_s * 1e3)))
    return PlanTable(table.strategy, tuple(rungs))


def key(tiling: Tiling, robot: Profile, server: Profile, link: LinkModel, strategy: str, codec: str = "raw",
        objective: Objective = Objective(), power: PowerModel = PowerModel()) -> str:
    """Name of a table on disk: plans hold for this graph, these devices, this kind of link, strategy and objective.

    Of the operator times only the whole frame's counts, in steps of 5 %: every measuring gives slightly other ones, and
    on the same device and torch version (both are in the device's name) they keep their proportions.  Of the template's
    bandwidths only the proportion counts: the ladder replaces them.
    """
    codecs = sorted((name, [_step(x, width) for x, width in zip(costs, _CODECS)])
                    for name, costs in link.codecs.items())
    kind = dict(asdict(link), up=1.0, down=_down_over_up(link), codecs=codecs)
    rows = [rule.rows for rule in tiling.rules]
    text = json.dumps([VERSION, tiling.graph.hash, _pace(robot, rows), _pace(server, rows), kind, strategy, codec,
                       LADDER, asdict(objective), asdict(power)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _down_over_up(link: LinkModel) -> float:
    return link.down / link.up if link.up > 0 else 1.0


def _pace(profile: Profile, rows: Sequence[int]) -> Tuple[str, int]:
    """Device, and the time of a frame [ms] on a scale on which `_ALIKE` more is one more."""
    return profile.device, _step(profile.frame_ms(rows), _ALIKE)


def _step(value: float, width: float) -> int:
    """The value on a scale on which a share of `width` more is one more."""
    return round(math.log(max(value, 1e-10)) / math.log(1.0 + width))


def save(folder: str, name: str, table: PlanTable) -> None:
    """Keep a table, all or nothing."""
    rungs = [[r.bandwidth, r.plan.to_json()] for r in table.rungs]
    write_atomically(os.path.join(folder, name + ".json"),
                     json.dumps({"strategy": table.strategy, "rungs": rungs}).encode("utf-8"))


def load(folder: str, name: str, tiling: Tiling, first_epoch: int = 1) -> Optional[PlanTable]:
    """A table kept by `save`, proved again and numbered from `first_epoch`; None when there is none that holds."""
    path = os.path.join(folder, name + ".json")
    try:
        with open(path, encoding="utf-8") as file:
            raw = json.load(file)
        plans = [(float(b), Plan.from_json(text)) for b, text in raw["rungs"]]
        for _, plan in plans:
            validate(tiling, plan)
        strategy = str(raw["strategy"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: made anew
        return None
    epochs = {e: first_epoch + i for i, e in enumerate(sorted({p.epoch for _, p in plans if not p.is_local}))}
    return PlanTable(strategy, tuple(
        Rung(b, replace(p, epoch=0 if p.is_local else epochs[p.epoch])) for b, p in plans))
