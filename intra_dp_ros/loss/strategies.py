"""Strategies by name: how to make the plans for a ladder of bandwidths."""
from typing import Callable, Dict, List, NamedTuple, Sequence

from intra_dp_ros.loss.baselines import dina, dsccs, local, neurosurgeon, offload, spso_ga
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.search import search_ladder
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.tiling import Tiling


class Wanted(NamedTuple):
    """What a caller wants of LOSS, and of every strategy while it works."""

    objective: Objective = Objective()  # of LOSS; the baselines have their own
    power: PowerModel = PowerModel()
    progress: Callable[[int, int], None] = lambda done, total: None  # (steps done, steps in all)
    should_stop: Callable[[], bool] = lambda: False  # the best plans so far are given then
    streamed: bool = True  # whether LOSS may send and compute in pieces


#: (tiling, timeline, links that differ in their bandwidths only, codec of the inputs, Wanted) -> a plan for each link.
Strategy = Callable[[Tiling, Timeline, Sequence[LinkModel], str, Wanted], List[Plan]]


def _each(plan: Callable[[Tiling, Timeline, LinkModel, str], Plan]) -> Strategy:
    """A strategy that looks at one bandwidth at a time."""
    def ladder(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str, wanted: Wanted
               ) -> List[Plan]:
        plans = []
        for done, link in enumerate(links, 1):
            plans.append(plan(tiling, timeline, link, codec))
            wanted.progress(done, len(links))
        return plans
    return ladder


def _neurosurgeon(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str, _: Wanted) -> List[Plan]:
    return neurosurgeon.plans(tiling, timeline, links, codec)


def _intra_dp(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str, wanted: Wanted) -> List[Plan]:
    return search_ladder(tiling, timeline, links, codec, wanted.objective, wanted.power,
                         should_stop=wanted.should_stop, progress=wanted.progress,
                         streamed=wanted.streamed)


STRATEGIES: Dict[str, Strategy] = {
    "local": _each(local.plan),
    "offload": _each(offload.plan),
    "neurosurgeon": _neurosurgeon,
    "dsccs": _each(dsccs.plan),
    "spso_ga": _each(spso_ga.plan),
    "dina": _each(dina.plan),
    "intra_dp": _intra_dp,
}


def strategy(name: str) -> Strategy:
    """A strategy by name.

    Raises:
        ValueError: naming those that exist.
    """
    if name not in STRATEGIES:
        raise ValueError("no strategy {!r}; there are: {}".format(name, ", ".join(STRATEGIES)))
    return STRATEGIES[name]
