"""Strategies by name: how to make a plan for a bandwidth."""
from typing import Callable, Dict

from intra_dp_ros.loss.baselines import dina, dsccs, local, neurosurgeon, offload, spso_ga
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.search import search
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.tiling import Tiling

#: Shared signature: (tiling, timeline, link, codec of the graph's inputs) -> Plan.
Strategy = Callable[[Tiling, Timeline, LinkModel, str], Plan]

STRATEGIES: Dict[str, Strategy] = {
    "local": local.plan,
    "offload": offload.plan,
    "neurosurgeon": neurosurgeon.plan,
    "dsccs": dsccs.plan,
    "spso_ga": spso_ga.plan,
    "dina": dina.plan,
    "intra_dp": search,
}


def strategy(name: str) -> Strategy:
    """A strategy by name.

    Raises:
        ValueError: naming those that exist.
    """
    if name not in STRATEGIES:
        raise ValueError("no strategy {!r}; there are: {}".format(name, ", ".join(STRATEGIES)))
    return STRATEGIES[name]
