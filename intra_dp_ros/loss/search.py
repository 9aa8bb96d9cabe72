"""LOSS: the plan with the least predicted cost (paper section 4.2).

Minimise ``objective.cost(latency, energy)`` of `Timeline.predict` over the plans of `staircase` by differential
evolution (Storn and Price, 1997) on rounded genomes, followed by local refinement.  A whole ladder of bandwidths is
searched at once: a candidate is walked through the graph once and tried on all of them, so what is found for one
bandwidth serves the others.  The search begins with every baseline that lies in the space, and the baselines themselves
compete in the end: the result is never predicted worse than the best of them.
"""
import heapq
import time
from dataclasses import replace
from typing import Any, Callable, List, Sequence, Tuple

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
_SMALL, _PAIRED = 16, 32  # operators of a small graph, and candidates around which pairs of changes are tried there
_FINALISTS = 3  # candidates of a bandwidth that the simulation itself judges
_MOST_BETWEEN, _WORTH = 24, 0.02  # places between bandwidths that are looked at, and what a plan there must save
_FINEST = 1.04  # bandwidths nearer to each other are not halved
_NEAR, _REPLAN_STEPS = 6, 3  # a replan: candidates of each bandwidth next to it, steps of refinement


def search(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw", **options: Any) -> Plan:
    """The best plan found for one bandwidth; options as of `Search` and `Search.plans`."""
    kept = {name: options.pop(name) for name in ("objective", "power", "streamed") if name in options}
    return Search(tiling, timeline, [link], codec, **kept).plans(**options)[0]


class Search:
    """Plans for a ladder of bandwidths, and soon found ones for others.

    Args:
        links: alike but for their bandwidths.
        codec: for what it is for (see `codec_of`), where it pays.
        streamed: see `Pool`.
    """

    def __init__(self, tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str = "raw",
                 objective: Objective = Objective(), power: PowerModel = PowerModel(), streamed: bool = True) -> None:
        self._tiling, self._timeline, self._links, self._codec = tiling, timeline, list(links), codec
        self._wanted, self._objective = objective, objective.priced(power)
        self._power, self._streamed = power, streamed
        self._small = small = contracted(tiling)
        self._times = Timeline(small, small.profile(timeline.robot), small.profile(timeline.server))
        self._carrying = [k for k, link in enumerate(links) if link.up > 0 and link.down > 0]
        self._pool = self._pool_of([links[k] for k in self._carrying]) if self._carrying else None
        self._found: List[Plan] = []
        self._baselines: List[List[Plan]] = []  # of each link

    def plans(self, generations: int = 24, seed: int = 0, more_seeds: Sequence[Plan] = (),
              should_stop: Callable[[], bool] = lambda: False,
              progress: Callable[[int, int], None] = lambda done, total: None,
              seconds: float = float("inf")) -> List[Plan]:
        """The best plan found for each link, with `predicted_ms` set; the same for the same seed unless time ran out.

        Args:
            generations: of the evolution.
            more_seeds: further plans that compete, e.g. those of other strategies.
            should_stop: asked between generations; the best so far are returned.
            progress: called with (steps done, steps in all).
            seconds: no generation begins later.
        """
        until = time.monotonic() + seconds
        found: List[List[Plan]] = [[] for _ in self._links]
        if self._pool is not None:
            _evolve(self._pool, np.random.RandomState(seed), generations,
                    lambda: should_stop() or time.monotonic() > until, progress)
            for column, k in enumerate(self._carrying):
                last = dict.fromkeys([*self._pool.best(column, _FINALISTS), self._pool.fastest(column)])
                found[k] = [self._small.expand(self._pool.plan(i, column)) for i in last]
        self._baselines = baseline_plans(self._tiling, self._timeline, self._links, self._codec, self._streamed)
        self._found = [self._best([*plain, *more_seeds, *plans], link, len(plain))
                       for link, plain, plans in zip(self._links, self._baselines, found)]
        progress(1, 1)
        return list(self._found)

    def replan(self, link: LinkModel, also: Sequence[Plan] = ()) -> Plan:
        """A plan for one more bandwidth, from what was found for those around it; much sooner than a search.

        Best candidates of all bandwidths are tried on this one, the best of them refined; the plans of the two
        bandwidths next to it compete, baselines among them.

        Args:
            also: further plans that compete.
        """
        if self._pool is None or not self._found or link.up <= 0 or link.down <= 0:
            return search(self._tiling, self._timeline, link, self._codec, objective=self._wanted,
                          power=self._power, streamed=self._streamed)
        rates = [self._links[k].up for k in self._carrying]
        place = int(np.searchsorted(rates, link.up))
        near = sorted({min(max(place + step, 0), len(rates) - 1) for step in (-1, 0)})
        pool = self._pool_of([link])
        pool.try_all([self._pool.genomes[i] for column in range(len(rates))
                      for i in self._pool.best(column, _NEAR if column in near else 1)])
        _refine(pool, pool.neighbours, 2, _Countdown(_REPLAN_STEPS))
        plans = [self._small.expand(pool.plan(i, 0)) for i in pool.best(0, 1)]
        plain = [p for k in near for p in self._baselines[self._carrying[k]]]
        return self._best([*plain, *(self._found[self._carrying[k]] for k in near), *also, *plans],
                          link, len(plain))

    def between(self, should_stop: Callable[[], bool] = lambda: False) -> List[Tuple[LinkModel, Plan]]:
        """Plans for bandwidths between two whose plans differ, where the lower one's plan would cost noticeably more.

        The worst such place is halved, then the worst that is left, until nothing noticeable is.
        """
        at = [(self._links[k], self._found[k]) for k in self._carrying]
        worst = [(-self._loss(low[1], *high), i, low, high) for i, (low, high) in enumerate(zip(at, at[1:]))]
        heapq.heapify(worst)
        found: List[Tuple[LinkModel, Plan]] = []
        for count in range(_MOST_BETWEEN):
            if should_stop() or not worst or -worst[0][0] < _WORTH:
                break
            _, _, low, high = heapq.heappop(worst)
            rate = (low[0].up * high[0].up) ** 0.5
            link = replace(low[0], up=rate, down=rate * low[0].down / low[0].up)
            middle = link, self.replan(link, also=(low[1], high[1]))
            if not _alike(middle[1], low[1]):
                found.append(middle)
            for i, (a, b) in enumerate(((low, middle), (middle, high))):
                if b[0].up > _FINEST * a[0].up:
                    heapq.heappush(worst, (-self._loss(a[1], *b), len(at) + 2 * count + i, a, b))
        return found

    def _loss(self, plan: Plan, link: LinkModel, better: Plan) -> float:
        """The share by which a plan costs more than another one."""
        if _alike(plan, better):
            return 0.0
        costs = [float(self._objective.cost(p.latency_s, p.energy_j))
                 for p in (self._timeline.predict(each, link, self._power) for each in (plan, better))]
        return costs[0] / costs[1] - 1.0

    def _pool_of(self, links: Sequence[LinkModel]) -> Pool:
        return Pool(self._times, links, self._codec, self._objective, self._power, self._streamed)

    def _best(self, plans: Sequence[Plan], link: LinkModel, baselines: int) -> Plan:
        """The plan that the simulation finds best, the first of equals; the first so many are baselines."""
        predictions = [self._timeline.predict(plan, link, self._power) for plan in plans]
        k = self._wanted.best(predictions, self._power, baselines)
        return replace(plans[k], strategy="intra_dp", predicted_ms=predictions[k].latency_s * 1e3)


def _alike(a: Plan, b: Plan) -> bool:
    return replace(a.unnumbered, strategy="") == replace(b.unnumbered, strategy="")


class _Countdown:
    """True from the n-th call on."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def baseline_plans(tiling: Tiling, timeline: Timeline, links: Sequence[LinkModel], codec: str = "raw",
                   streamed: bool = True) -> List[List[Plan]]:
    """For each link: local, offload (whole and streamed), the best of all layer cuts, the minimum cut of the graph."""
    alone = local.plan(tiling, timeline, links[0])
    sent = [offload.plan(tiling, timeline, links[0], codec, chunks) for chunks in RAW_CHUNKS[:None if streamed else 1]]
    carrying = [link for link in links if link.up > 0 and link.down > 0]
    cuts = iter(neurosurgeon.plans(tiling, timeline, carrying, codec) if carrying else ())
    return [[alone, *sent, next(cuts), dsccs.plan(tiling, timeline, link, codec)] if link in carrying else [alone]
            for link in links]


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
    _refine(pool, pool.neighbours, polished, should_stop,
            lambda step: progress(generations + step + 2, steps))
    if len(pool.staircase.tiling.rules) <= _SMALL:  # two changes at once: too many on graphs where a candidate is dear
        _refine(pool, lambda g: [n for m in pool.neighbours(g) for n in pool.neighbours(m)],
                max(1, _PAIRED // len(links)), should_stop, distinct=False)


def _refine(pool: Pool, around: Callable[[Genome], List[Genome]], count: int, should_stop: Callable[[], bool],
            progress: Callable[[int], None] = lambda step: None, distinct: bool = True) -> None:
    """Try what is around the `count` best of every bandwidth until they stay the best.

    Args:
        distinct: see `Pool.best`.
    """
    done: List[set] = [set() for _ in range(pool.costs.shape[1])]
    for step in range(_POLISHING):
        if should_stop():
            return
        new: List[Genome] = []
        for link, seen in enumerate(done):
            for k in pool.best(link, count, distinct):
                if k not in seen:
                    seen.add(k)
                    new += around(pool.genomes[k])
        if not new:
            return
        pool.try_all(new)
        progress(step)


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
