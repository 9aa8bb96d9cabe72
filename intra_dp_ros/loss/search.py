"""LOSS: the plan with the least predicted latency (paper section 4.2).

Minimise ``timeline.predict(plan, link).latency_s`` over the plans of `staircase` by differential evolution (Storn and
Price, 1997) on rounded genomes, a generation at a time (`population`).  The population begins with every baseline that
lies in the space, and the baselines themselves compete in the end: the result is never predicted worse than the best of
them.
"""
import time
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Sequence

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
        if found is not None and timeline.predict(found, link).latency_s < timeline.predict(best, link).latency_s:
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

    def seeds(self) -> List[np.ndarray]:
        """Offload and streamed offload, every layer cut, single bands of several heights that end early or late."""
        last = len(self.staircase.cuts) - 1
        found = [self._vector(0, 1.0, 0, 1.0, last, chunks, 0) for chunks in range(len(RAW_CHUNKS))]
        for cut in range(1, last + 1):  # the server goes on from the cut, or the robot does
            found.append(self._vector(0, 0.0, cut, 0.0, last, 0, 2))
            found.append(self._vector(0, 1.0, 0, 1.0, cut, 3, 0))
        for share in (0.9, 0.7, 0.4, 0.1):
            for depth in (0.15, 0.5, 1.0):
                cut = max(1, int(round(depth * last)))
                found.append(self._vector(0, 1.0, cut, share, last, 3, 1))
        return found

    def _vector(self, upper: int, upper_rows: float, lower: int, lower_rows: float, leave: int, raw: int,
                robot: int) -> np.ndarray:
        count = len(self.staircase.cuts)
        return np.array([(upper + 0.5) / count, (lower + 0.5) / count, (leave + 0.5) / count, upper_rows, lower_rows,
                         (raw + 0.5) / len(RAW_CHUNKS), (robot + 0.5) / len(ROBOT_CHUNKS)])


def _evolve(space: _Space, random: np.random.RandomState, population: int, generations: int,
            should_stop: Callable[[], bool]) -> Optional[Plan]:
    seeds = space.seeds()
    people = np.array(seeds + [random.uniform(0, 1, _GENES) for _ in range(max(0, population - len(seeds)))])
    costs = space.costs([space.genome(x) for x in people])
    if len(people) > population:  # every seed is tried, the best go on
        kept = np.argsort(costs, kind="mergesort")[:population]
        people, costs = people[kept], costs[kept]
    for _ in range(generations):
        if should_stop():
            break
        trials = np.array([_trial(people, costs, i, random) for i in range(len(people))])
        found = space.costs([space.genome(x) for x in trials])
        better = found <= costs
        people[better], costs[better] = trials[better], found[better]
    best = int(np.argmin(costs))
    return space.staircase.plan(space.genome(people[best])) if np.isfinite(costs[best]) else None


def _trial(people: np.ndarray, costs: np.ndarray, i: int, random: np.random.RandomState) -> np.ndarray:
    """DE/current-to-best/1/bin, reflected into [0, 1)."""
    a, b = people[random.randint(len(people))], people[random.randint(len(people))]
    best = people[int(np.argmin(costs))]
    mutant = people[i] + _DIFFERENCE * (best - people[i]) + _DIFFERENCE * (a - b) + random.normal(0, 0.03, _GENES)
    mutant = np.abs(mutant)
    mutant = np.where(mutant >= 1.0, np.clip(2.0 - mutant, 0.0, 1.0), mutant)
    keep = random.uniform(size=_GENES) > _CROSSOVER
    keep[random.randint(_GENES)] = False
    return np.clip(np.where(keep, people[i], mutant), 0.0, np.nextafter(1.0, 0.0))
