"""LOSS: the plan with the least predicted cost (paper section 4.2).

Minimise ``objective.cost(latency, energy)`` of `Timeline.predict` over the plans of `staircase` by differential
evolution (Storn and Price, 1997) on rounded genomes, followed by local refinement.  A whole ladder of bandwidths is
searched at once: a candidate is walked through the graph once and tried on all of them, so what is found for one
bandwidth serves the others.  The search begins with every baseline that lies in the space, and the baselines themselves
compete in the end: the result is never predicted worse than the best of them.
"""
import time
from dataclasses import replace
from typing import Callable, List, Sequence

import numpy as np

from intra_dp_ros.loss.baselines import dsccs, local, neurosurgeon, offload
from intra_dp_ros.loss.contract import contracted
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.pool import GENES, Pool
from intra_dp_ros.loss.staircase import RAW_CHUNKS, Genome
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.tiling import Tiling

_DIFFERENCE, _CROSSOVER = 0.6, 0.8  # F and CR of differential evolution
_PARENTS = 12  # distinct best candidates of a bandwidth, from which its next ones are made
_TRIALS, _STRANGERS = 160, 16  # new candidates of a generation, of all bandwidths together, and random ones among them
_POLISHED, _POLISHING = 40, 24  # so many of the best of all bandwidths are refined, in so many steps at most
_FINALISTS = 3  # candidates of a bandwidth that the simulation itself judges


def search(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw", **options) -> Plan:
    """The best plan found for one bandwidth; options as in `search_ladder`."""
    return search_ladder(tiling, timeline, [link], codec, **options)[0]


def search_ladder(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str = "raw",
                  objective: Objective = Objective(), power: PowerModel = PowerModel(), generations: int = 24,
                  seed: int = 0, more_seeds: Sequence[Plan] = (), should_stop: Callable[[], bool] = lambda: False,
                  progress: Callable[[int, int], None] = lambda done, total: None,
                  seconds: float = float("inf"), streamed: bool = True) -> List[Plan]:
    """The best plan found for each link, with `predicted_ms` set; the same for the same seed unless time ran out.

    Args:
        links: alike but for their bandwidths.
        codec: of the graph's inputs.
        generations: of the evolution.
        more_seeds: further plans that compete, e.g. those of other strategies.
        should_stop: asked between generations; the best so far are returned.
        progress: called with (steps done, steps in all).
        seconds: no generation begins later.
        streamed: see `Pool`.
    """
    until = time.monotonic() + seconds
    carrying = [k for k, link in enumerate(links) if link.up > 0 and link.down > 0]
    found: List[List[Plan]] = [[] for _ in links]
    if carrying:
        small = contracted(tiling)
        pool = Pool(Timeline(small, small.profile(timeline.robot), small.profile(timeline.server)),
                    [links[k] for k in carrying], codec, objective, power, streamed)
        _evolve(pool, np.random.RandomState(seed), generations,
                lambda: should_stop() or time.monotonic() > until, progress)
        for column, k in enumerate(carrying):
            found[k] = [small.expand(pool.staircase.plan(pool.genomes[i])) for i in pool.best(column, _FINALISTS)]
    best = []
    for link, baselines, plans in zip(links, baseline_plans(tiling, timeline, links, codec, streamed), found):
        best.append(_best([*baselines, *more_seeds, *plans], timeline, link, objective, power))
    progress(1, 1)
    return best


def baseline_plans(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str = "raw",
                   streamed: bool = True) -> List[List[Plan]]:
    """For each link: local, offload (whole and streamed), the best of all layer cuts, the minimum cut of the graph."""
    alone = local.plan(tiling, timeline, links[0])
    sent = [offload.plan(tiling, timeline, links[0], codec, chunks) for chunks in RAW_CHUNKS[:None if streamed else 1]]
    carrying = [link for link in links if link.up > 0 and link.down > 0]
    cuts = iter(neurosurgeon.plans(tiling, timeline, carrying, codec) if carrying else ())
    return [[alone, *sent, next(cuts), dsccs.plan(tiling, timeline, link, codec)] if link in carrying else [alone]
            for link in links]


def _best(plans: Sequence[Plan], timeline: Timeline, link: LinkModel, objective: Objective, power: PowerModel) -> Plan:
    """The plan that the simulation finds best; the first of equals."""
    predictions = [timeline.predict(plan, link, power) for plan in plans]
    costs = [float(objective.cost(p.latency_s, p.energy_j)) for p in predictions]
    k = int(np.argmin(costs))
    return replace(plans[k], strategy="intra_dp", predicted_ms=predictions[k].latency_s * 1e3)


def _evolve(pool: Pool, random: np.random.RandomState, generations: int, should_stop: Callable[[], bool],
            progress: Callable[[int, int], None]) -> None:
    steps = generations + _POLISHING + 1
    pool.try_all(pool.seeds())
    progress(1, steps)
    links = range(pool.costs.shape[1])
    trials = max(4, min(48, _TRIALS // len(links)))  # per link and generation
    polished = max(2, min(6, _POLISHED // len(links)))  # per link
    for generation in range(generations):
        if should_stop():
            return
        new: List[Genome] = [pool.genome(random.uniform(0, 1, GENES)) for _ in range(_STRANGERS)]
        for link in links:
            parents = np.array([pool.vector(pool.genomes[k]) for k in pool.best(link, _PARENTS)])
            new += [pool.genome(_trial(parents, i, random)) for i in range(trials)]
        pool.try_all(new)
        progress(generation + 2, steps)
    refined: List[set] = [set() for _ in links]
    for step in range(_POLISHING):
        if should_stop():
            return
        around: List[Genome] = []
        for link in links:
            for k in pool.best(link, polished):
                if k not in refined[link]:
                    refined[link].add(k)
                    around += pool.neighbours(pool.genomes[k])
        if not around:
            return
        pool.try_all(around)
        progress(generations + step + 2, steps)


def _trial(parents: np.ndarray, i: int, random: np.random.RandomState) -> np.ndarray:
    """DE/current-to-best/1/bin for every other one, DE/rand/1/bin for the rest, reflected into [0, 1).

    The former converge soon; the latter keep looking where the best is not.
    """
    a, b, c = (parents[k] for k in random.randint(len(parents), size=3))
    parent = parents[i % len(parents)]
    if i % 2:
        mutant = c + _DIFFERENCE * (a - b)
    else:
        mutant = parent + _DIFFERENCE * (parents[0] - parent) + _DIFFERENCE * (a - b)
    mutant = np.abs(mutant + random.normal(0, 0.03, GENES))
    mutant = np.where(mutant >= 1.0, 2.0 - mutant, mutant)
    keep = random.uniform(size=GENES) > _CROSSOVER
    keep[random.randint(GENES)] = False
    return np.clip(np.where(keep, parent, mutant), 0.0, np.nextafter(1.0, 0.0))
