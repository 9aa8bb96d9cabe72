"""The candidates that a search has tried so far, each on every bandwidth at once."""
from dataclasses import replace
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.population import Population
from intra_dp_ros.loss.queues import outcomes
from intra_dp_ros.loss.staircase import GRAINS, RAW_CHUNKS, ROBOT_CHUNKS, WAVES, Genome, Staircase
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import DOWN, UP, Plan, codec_of
from intra_dp_ros.lop.tiling import Tiling

GENES = 10
SHARES = 32  # row shares are multiples of 1/SHARES: finer ones differ by less than the profiles' noise
_LARGE = 100_000  # bytes of results: fewer are sent within a millisecond or two, whatever the waves
_BATCH = 192  # candidates walked through the graph together: larger ones leave the processor's caches
_PLACES, _HEIGHTS = 6, (0.1, 0.3, 0.5, 0.65, 0.8, 0.95)  # of the bands that the search begins with


class Pool:
    """Genomes with their costs.

    Args:
        timeline: of the graph and its two devices.
        links: alike but for their bandwidths, all of which carry something.
        codec: of the graph's inputs.
        streamed: whether rows travel and are computed in pieces; if not, in two tiles.

    Attributes:
        genomes: in the order in which they were tried.
        costs: (genomes, links), each with the codecs that suit it best.
    """

    def __init__(self, timeline: Timeline, links: Sequence[LinkModel], codec: str, objective: Objective,
                 power: PowerModel, streamed: bool = True) -> None:
        self.staircase = Staircase(timeline.tiling)
        self.genomes: List[Genome] = []
        self.costs, self._latency = np.zeros((0, len(links))), np.zeros((0, len(links)))
        self._people = Population(timeline)
        self._choices = codec_choices(timeline.tiling, codec)
        self._chosen = np.zeros((0, len(links)), np.int64)  # index into the choices
        self._links, self._objective, self._power = list(links), objective, power
        self._streamed = streamed
        outputs = [timeline.tiling.graph.tensors[t] for t in timeline.tiling.graph.outputs]
        self._waves = len(WAVES) if sum(spec.nbytes for spec in outputs) >= _LARGE else 1  # that are tried
        self._index: Dict[Genome, int] = {}

    def try_all(self, genomes: Sequence[Genome]) -> None:
        """Find the costs of those that were not tried before."""
        if not self._streamed:
            genomes = [replace(g, raw_chunks=0, robot_chunks=0, grain=0, waves=0) for g in genomes]
        new = [g for g in dict.fromkeys(genomes) if g not in self._index]
        # Alike ones waste no columns.
        new.sort(key=lambda g: (g.waves, RAW_CHUNKS[g.raw_chunks], ROBOT_CHUNKS[g.robot_chunks]))
        for begin in range(0, len(new), _BATCH):
            batch = new[begin:begin + _BATCH]
            stop, start = self.staircase.boundaries(batch)
            work, is_outside = self._people.work(
                stop, start, np.array([RAW_CHUNKS[g.raw_chunks] for g in batch]),
                np.array([ROBOT_CHUNKS[g.robot_chunks] for g in batch]), np.array([GRAINS[g.grain] for g in batch]),
                np.array([WAVES[g.waves] for g in batch]))
            found = [outcomes(work.encoded(codecs), self._links, self._power) for codecs in self._choices]
            each = np.array([self._objective.cost(o.latency_s, o.energy_j) for o in found])
            costs = each.min(axis=0)
            costs[is_outside] = np.inf  # rare, and none of them is worth a simulation of its own
            chosen = each.argmin(axis=0)
            latency = np.take_along_axis(np.array([o.latency_s for o in found]), chosen[None], axis=0)[0]
            latency[is_outside] = np.inf
            self._chosen = np.concatenate([self._chosen, chosen])
            self._latency = np.concatenate([self._latency, latency])
            self._index.update((g, len(self.genomes) + i) for i, g in enumerate(batch))
            self.genomes += batch
            self.costs = np.concatenate([self.costs, costs])

    def plan(self, index: int, link: int) -> Plan:
        """The plan of a genome with the codecs that suit a link best."""
        return self.staircase.plan(self.genomes[index], self._choices[self._chosen[index, link]])

    def best(self, link: int, count: int, distinct: bool = True) -> List[int]:
        """Indices of the best for a link; distinct: without those that have a better one's cuts or its cost."""
        if not distinct:
            return np.argsort(self.costs[:, link], kind="mergesort")[:count].tolist()
        seen, found = set(), []
        for k in np.argsort(self.costs[:, link], kind="mergesort")[:50 * count].tolist():
            g = self.genomes[k]
            what = {(g.upper_cut, g.lower_cut, g.exit), float(self.costs[k, link])}
            if not what & seen:
                found.append(k)
                if len(found) == count:
                    break
            seen |= what
        return found

    def fastest(self, link: int) -> int:
        """Index of the one with the least latency on a link, whatever else it costs."""
        return int(np.argmin(self._latency[:, link]))

    def genome(self, vector: np.ndarray) -> Genome:
        """The genome next to a vector of [0, 1) per gene: cuts in order, shares on their grid."""
        count = len(self.staircase.cuts)
        cuts = sorted(min(count - 1, int(x * count)) for x in vector[:3])
        upper, lower = (round(float(x) * SHARES) / SHARES for x in vector[3:5])
        return Genome(cuts[0], upper, cuts[1], lower, cuts[2], int(vector[5] * len(RAW_CHUNKS)),
                      int(vector[6] * len(ROBOT_CHUNKS)), int(vector[7] * len(GRAINS)), int(vector[8] * 2),
                      int(vector[9] * self._waves))

    def vector(self, genome: Genome) -> np.ndarray:
        """The middle of the vectors that `genome` makes this genome of."""
        g, count = genome, len(self.staircase.cuts)
        return np.array([(g.upper_cut + 0.5) / count, (g.lower_cut + 0.5) / count, (g.exit + 0.5) / count,
                         g.upper_rows, g.lower_rows, (g.raw_chunks + 0.5) / len(RAW_CHUNKS),
                         (g.robot_chunks + 0.5) / len(ROBOT_CHUNKS), (g.grain + 0.5) / len(GRAINS),
                         (g.halo + 0.5) / 2, (g.waves + 0.5) / self._waves])

    def neighbours(self, genome: Genome) -> List[Genome]:
        """Genomes with one gene changed, a little or to where another one is, or with both bands moved together."""
        g, last = genome, len(self.staircase.cuts) - 1
        changes: List[Dict[str, float]] = [
            {name: getattr(g, name) + step} for name in ("upper_cut", "lower_cut", "exit", "raw_chunks", "robot_chunks")
            for step in (-1, 1)]
        changes += [{name: getattr(g, name) + step / SHARES} for name in ("upper_rows", "lower_rows")
                    for step in (-8, -4, -1, 1, 4, 8)]
        changes += [{"upper_rows": g.upper_rows + step / SHARES, "lower_rows": g.lower_rows + step / SHARES}
                    for step in (-4, -1, 1, 4)]
        changes += [{"upper_cut": g.upper_cut + step, "lower_cut": g.lower_cut + step} for step in (-1, 1)]
        changes += [{"grain": k} for k in range(len(GRAINS))]
        changes += [{"waves": k} for k in range(self._waves)]
        changes += [{"halo": 1 - g.halo}, {"upper_rows": g.lower_rows},
                    {"lower_rows": g.upper_rows}, {"upper_rows": 0.0}, {"upper_cut": 0}, {"exit": last}]
        most = {"upper_cut": last, "lower_cut": last, "exit": last, "raw_chunks": len(RAW_CHUNKS) - 1,
                "robot_chunks": len(ROBOT_CHUNKS) - 1, "grain": len(GRAINS) - 1, "waves": len(WAVES) - 1}
        found = [replace(g, **change) for change in changes
                 if all(0 <= value <= most.get(name, 1) for name, value in change.items())]
        return [f for f in found if f.upper_cut <= f.lower_cut <= f.exit and f != g]

    def seeds(self) -> List[Genome]:
        """Offload and streamed offload, every layer cut, and bands of several heights between the narrow cuts."""
        last = len(self.staircase.cuts) - 1
        found = [Genome(0, 1.0, 0, 1.0, last, chunks, 0, grain, 0, waves)
                 for chunks in range(len(RAW_CHUNKS)) for grain in range(len(GRAINS)) for waves in range(self._waves)]
        for cut in range(1, last + 1):  # the server goes on from the cut, or the robot does
            found.append(Genome(0, 0.0, cut, 0.0, last, 0, 2))
            found.append(Genome(0, 1.0, 0, 1.0, cut, 3, 0))
        some = [0, *self._narrow_cuts(), last]
        for lower in some[1:]:
            found += [Genome(upper, share, lower, share, last, 2, 1, 0, halo)
                      for upper in some if upper < lower for share in _HEIGHTS for halo in (0, 1)]
        return found

    def _narrow_cuts(self) -> List[int]:
        """Of the cuts with the least to send the first of every size, in order."""
        sizes = self.staircase.cut_bytes
        first = {sizes[k]: k for k in range(len(sizes) - 2, 0, -1)}
        return sorted(first[size] for size in sorted(first)[:_PLACES])


def codec_choices(tiling: Tiling, codec: str) -> List[Callable[[int, str], str]]:
    """What may be encoded: nothing (of equals it is chosen), all that the codec is for, what goes up, what comes down;
    alike ones once."""
    full = codec_of(tiling, codec)
    directions = [(), (UP, DOWN), (UP,), (DOWN,)]
    ends = [(t, d) for t in (*tiling.graph.inputs, *tiling.graph.outputs) for d in (UP, DOWN)]
    found: Dict[Tuple[str, ...], Callable[[int, str], str]] = {}
    for some in directions:
        def choice(tensor: int, direction: str, some: Tuple[str, ...] = some) -> str:
            return full(tensor, direction) if direction in some else "raw"
        # Inputs never come down and results never go up, so those do not tell two choices apart.
        found.setdefault(tuple(choice(t, d) for t, d in ends if (t in tiling.graph.inputs) == (d == UP)), choice)
    return list(found.values())
