"""LOSS: the plan with the least predicted latency (paper section 4.2).

Minimise ``timeline.predict(plan, link).latency_s`` over the plans of `staircase` by differential evolution (Storn and
Price, 1997) on rounded genomes, a generation at a time (`population`).  The population begins with every baseline that
lies in the space, and the baselines themselves compete in the end: the result is never predicted worse than the best of
them.
"""
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Sequence, Set

import numpy as np

from intra_dp_ros.loss.baselines import local, neurosurgeon, offload
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.population import Population
from intra_dp_ros.loss.staircase import RAW_CHUNKS, ROBOT_CHUNKS, Genome, Staircase
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.lop.tiling import Tiling

_GENES = 7
_DIFFERENCE, _CROSSOVER = 0.6, 0.8  # F and CR of differential evolution
_PLACES, _HEIGHTS = 6, (0.1, 0.3, 0.5, 0.65, 0.8, 0.95)  # of the bands that the search begins with
_POLISHED, _POLISHING = 4, 20  # so many of the best are polished, in so many steps at most
_SHARES = 32  # row shares are multiples of 1/_SHARES: finer ones differ by less than the profiles' noise


def search(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw", population: int = 32,
           generations: int = 30, seed: int = 0, more_seeds: Sequence[Plan] = (),
           should_stop: Callable[[], bool] = lambda: False, seconds: float = float("inf")) -> Plan:
    """The best plan found, with `predicted_ms` set; the same for the same seed, unless `seconds` ended the search.

    Args:
        codec: of the graph's inputs.
        population, generations: of the evolution.
        more_seeds: further plans that compete, e.g. those of other bandwidths.
        should_stop: asked between generations; the best so far is returned.
        seconds: no generation begins later.
    """
    until = time.monotonic() + seconds
    seeds = [*baseline_plans(tiling, timeline, link, codec), *more_seeds]
    best = min(seeds, key=lambda p: timeline.predict(p, link).latency_s)
    if link.up > 0 and link.down > 0:
        found = _evolve(_Space(tiling, timeline, link, codec), np.random.RandomState(seed), population, generations,
                        lambda: should_stop() or time.monotonic() > until)
        if timeline.predict(found, link).latency_s < timeline.predict(best, link).latency_s:
            best = found
    return replace(best, strategy="intra_dp", predicted_ms=timeline.predict(best, link).latency_s * 1e3)


def baseline_plans(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw") -> List[Plan]:
    """Local, offload (whole and streamed), and the best of all layer cuts."""
    plans = [local.plan(tiling, timeline, link)]
    if link.up > 0 and link.down > 0:
        plans += [offload.plan(tiling, timeline, link, codec, chunks) for chunks in RAW_CHUNKS]
        plans.append(neurosurgeon.plan(tiling, timeline, link, codec))
    return plans


class _Space:
    """Vectors of [0, 1) per gene, and what they cost."""

    def __init__(self, tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str) -> None:
        self.staircase = Staircase(tiling, codec)
        self._people = Population(timeline, codec)
        self._link = link
        self._costs: Dict[Genome, float] = {}

    def genome(self, vector: np.ndarray) -> Genome:
        """The genome next to a vector: cuts in order, shares on their grid."""
        count = len(self.staircase.cuts)
        cuts = sorted(min(count - 1, int(x * count)) for x in vector[:3])
        upper, lower = (round(float(x) * _SHARES) / _SHARES for x in vector[3:5])
        return Genome(cuts[0], upper, cuts[1], lower, cuts[2], int(vector[5] * len(RAW_CHUNKS)),
                      int(vector[6] * len(ROBOT_CHUNKS)))

    def costs(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Predicted latencies [s]; what was asked before is not computed again."""
        new = [g for g in dict.fromkeys(genomes) if g not in self._costs]
        if new:
            stop, start = self.staircase.boundaries(new)
            raw, robot = (np.array(c) for c in zip(*(
                (RAW_CHUNKS[g.raw_chunks], ROBOT_CHUNKS[g.robot_chunks]) for g in new)))
            self._costs.update(zip(new, self._people.latencies(stop, start, raw, robot, self._link).tolist()))
        return np.array([self._costs[g] for g in genomes])

    def neighbours(self, genome: Genome) -> List[Genome]:
        """Genomes with one gene changed a little."""
        last = len(self.staircase.cuts) - 1
        steps = {"upper_cut": (-1, 1), "lower_cut": (-1, 1), "exit": (-1, 1), "raw_chunks": (-1, 1),
                 "robot_chunks": (-1, 1), "upper_rows": (-4 / _SHARES, -1 / _SHARES, 1 / _SHARES, 4 / _SHARES),
                 "lower_rows": (-4 / _SHARES, -1 / _SHARES, 1 / _SHARES, 4 / _SHARES)}
        most = {"raw_chunks": len(RAW_CHUNKS) - 1, "robot_chunks": len(ROBOT_CHUNKS) - 1, "upper_rows": 1.0,
                "lower_rows": 1.0}
        found = [replace(genome, **{name: getattr(genome, name) + step}) for name, some in steps.items()
                 for step in some if 0 <= getattr(genome, name) + step <= most.get(name, last)]
        return [g for g in found if g.upper_cut <= g.lower_cut <= g.exit] or [genome]

    def seeds(self) -> List[np.ndarray]:
        """Offload and streamed offload, every layer cut, and bands of several heights between the narrow cuts."""
        last = len(self.staircase.cuts) - 1
        found = [self._vector(0, 1.0, 0, 1.0, last, chunks, 0) for chunks in range(len(RAW_CHUNKS))]
        for cut in range(1, last + 1):  # the server goes on from the cut, or the robot does
            found.append(self._vector(0, 0.0, cut, 0.0, last, 0, 2))
            found.append(self._vector(0, 1.0, 0, 1.0, cut, 3, 0))
        some = [0, *self._narrow_cuts(), last]
        for lower in some[1:]:
            found += [self._vector(upper, share, lower, share, last, 2, 1)
                      for upper in some if upper < lower for share in _HEIGHTS]
        return found

    def _narrow_cuts(self) -> List[int]:
        """Of the cuts with the least to send the first of every size, in order."""
        sizes = self.staircase.cut_bytes
        first = {sizes[k]: k for k in range(len(sizes) - 2, 0, -1)}
        return sorted(first[size] for size in sorted(first)[:_PLACES])

    def _vector(self, upper: int, upper_rows: float, lower: int, lower_rows: float, leave: int, raw: int,
                robot: int) -> np.ndarray:
        count = len(self.staircase.cuts)
        return np.array([(upper + 0.5) / count, (lower + 0.5) / count, (leave + 0.5) / count, upper_rows, lower_rows,
                         (raw + 0.5) / len(RAW_CHUNKS), (robot + 0.5) / len(ROBOT_CHUNKS)])


def _evolve(space: _Space, random: np.random.RandomState, population: int, generations: int,
            should_stop: Callable[[], bool]) -> Plan:
    seeds = space.seeds()
    best_seeds = [seeds[k] for k in _distinct(space, seeds)[:max(1, population // 2)]]
    strangers = [random.uniform(0, 1, _GENES) for _ in range(population - len(best_seeds))]
    people = np.array(best_seeds + strangers)
    costs = space.costs([space.genome(x) for x in people])
    for _ in range(generations):
        if should_stop():
            break
        trials = np.array([_trial(people, costs, i, random) for i in range(len(people))])
        found = space.costs([space.genome(x) for x in trials])
        better = found <= costs
        people[better], costs[better] = trials[better], found[better]
    polished = [_polish(space, space.genome(people[k]), should_stop) for k in _distinct(space, people)[:_POLISHED]]
    return space.staircase.plan(polished[int(np.argmin(space.costs(polished)))])


def _distinct(space: _Space, vectors: Sequence[np.ndarray]) -> List[int]:
    """Indices, the best first, without those that resemble a better one: they have its cuts or its latency."""
    genomes = [space.genome(x) for x in vectors]
    costs = space.costs(genomes)
    seen: Set[Any] = set()
    found = []
    for k in np.argsort(costs, kind="mergesort").tolist():
        what = {(genomes[k].upper_cut, genomes[k].lower_cut, genomes[k].exit), float(costs[k])}
        if not what & seen:
            found.append(k)
        seen |= what
    return found


def _polish(space: _Space, genome: Genome, should_stop: Callable[[], bool]) -> Genome:
    """Take the best neighbour, one gene changed, until there is no better one."""
    cost = float(space.costs([genome])[0])
    for _ in range(_POLISHING):
        if should_stop():
            break
        around = space.neighbours(genome)
        costs = space.costs(around)
        best = int(np.argmin(costs))
        if not costs[best] < cost:
            break
        genome, cost = around[best], float(costs[best])
    return genome


def _trial(people: np.ndarray, costs: np.ndarray, i: int, random: np.random.RandomState) -> np.ndarray:
    """DE/current-to-best/1/bin for every other one, DE/rand/1/bin for the rest, reflected into [0, 1).

    The former converge soon; the latter keep looking where the best is not.
    """
    a, b, c = (people[k] for k in random.randint(len(people), size=3))
    if i % 2:
        mutant = c + _DIFFERENCE * (a - b)
    else:
        mutant = people[i] + _DIFFERENCE * (people[int(np.argmin(costs))] - people[i]) + _DIFFERENCE * (a - b)
    mutant = np.abs(mutant + random.normal(0, 0.03, _GENES))
    mutant = np.where(mutant >= 1.0, 2.0 - mutant, mutant)
    keep = random.uniform(size=_GENES) > _CROSSOVER
    keep[random.randint(_GENES)] = False
    return np.clip(np.where(keep, people[i], mutant), 0.0, np.nextafter(1.0, 0.0))
