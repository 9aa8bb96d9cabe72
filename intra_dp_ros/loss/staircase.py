"""The plans that LOSS searches: two bands of rows, cut at two depths, and an exit.

The server computes the upper rows from raw rows that leave at once; the robot computes the lower rows down to a cut and
sends what it has there; from the exit on the robot computes everything.  Boundaries of the operators in between follow
from what the rows at the cuts need: halo rows are computed on both sides, or by the robot alone, which sends them.
"""
from dataclasses import dataclass
from typing import Callable, Dict, Sequence, Tuple

import numpy as np

from intra_dp_ros.loss.baselines.neurosurgeon import crossing_tensors
from intra_dp_ros.lop.plan import Plan, PlanError, complete
from intra_dp_ros.lop.tiling import Tiling

RAW_CHUNKS = (1, 2, 4, 8, 16)
ROBOT_CHUNKS = (1, 2, 4, 8)
#: Rows an operator computes at once, at least: coarse is cheap, fine is early; the last waits for all rows, so that
#: only encoding, sending and decoding overlap.
GRAINS = (4, 1, 16, 4096)
WAVES = (1, 4)  # of the server, see `lop.waves`


@dataclass(frozen=True)
class Genome:
    """One point of the search space."""

    upper_cut: int  # index into `Staircase.cuts`: where the robot hands over rows from `upper_rows` on
    upper_rows: float  # share of the rows there that the server computes itself, 0..1
    lower_cut: int  # index into `Staircase.cuts`, not before `upper_cut`: how deep the robot's lower rows go
    lower_rows: float  # share of the rows there that the server computes, 0..1
    exit: int  # index into `Staircase.cuts`, not before `lower_cut`: from there the robot computes all
    raw_chunks: int  # index into RAW_CHUNKS
    robot_chunks: int  # index into ROBOT_CHUNKS
    grain: int = 0  # index into GRAINS
    halo: int = 0  # 0: halo rows are computed on both sides; 1: the robot computes them and sends them up
    waves: int = 0  # index into WAVES


class Staircase:
    """The search space of one graph.

    Attributes:
        cuts: operator counts with exactly one crossing tensor, from 0 (the input) to the number of operators (the end).
        cut_bytes: size of the tensor that crosses at each; 0 at either end.
    """

    def __init__(self, tiling: Tiling) -> None:
        self.tiling = tiling
        count = len(tiling.rules)
        crossing = crossing_tensors(tiling)
        inner = [c for c in range(1, count) if len(crossing[c]) == 1]
        self._tensor: Dict[int, int] = {c: crossing[c][0] for c in inner}
        self.cuts: Tuple[int, ...] = tuple([0, *inner, count])
        self.cut_bytes = tuple(tiling.graph.tensors[self._tensor[c]].nbytes if c in self._tensor else 0
                               for c in self.cuts)

    def plan(self, genome: Genome, codecs: Callable[[int, str], str] = lambda tensor, direction: "raw") -> Plan:
        """The plan of a genome.

        Args:
            codecs: (tensor, direction) -> codec.

        Raises:
            PlanError: it has none.
        """
        (stop,), (start,) = self.boundaries([genome])
        return complete(self.tiling, "intra_dp", stop.tolist(), start.tolist(),
                        codecs, RAW_CHUNKS[genome.raw_chunks], ROBOT_CHUNKS[genome.robot_chunks],
                        GRAINS[genome.grain], WAVES[genome.waves])

    def boundaries(self, genomes: Sequence[Genome]) -> Tuple[np.ndarray, np.ndarray]:
        """`server_stop` and `robot_start` of every operator, of shape (genomes, operators).

        Raises:
            PlanError: cuts that are not in order.
        """
        for g in genomes:
            if not g.upper_cut <= g.lower_cut <= g.exit:
                raise PlanError("cuts {}, {} and exit {} are not in this order".format(
                    g.upper_cut, g.lower_cut, g.exit))
        cuts, rules = np.array(self.cuts), self.tiling.rules
        upper, lower, leave = (cuts[[getattr(g, name) for g in genomes]] for name in ("upper_cut", "lower_cut", "exit"))
        upper_rows, lower_rows = np.array([[g.upper_rows, g.lower_rows] for g in genomes]).T
        stop, start = (np.zeros((len(rules), len(genomes)), np.int64) for _ in range(2))
        server: Dict[int, np.ndarray] = {}  # tensor -> rows [0, n) the server computes itself
        robot: Dict[int, np.ndarray] = {}  # tensor -> rows [n, end) the robot computes
        sends = np.array([g.halo for g in genomes]) > 0
        at_cut = set(lower.tolist()) | set(upper.tolist())
        for v in range(len(rules) - 1, -1, -1):
            if v + 1 in at_cut:
                self._split(v + 1, lower == v + 1, lower_rows, server, robot, False)
                self._split(v + 1, (upper == v + 1) & (upper < lower), upper_rows, server, robot, True)
            n = rules[v].rows
            s, r = self._wanted(v, server, robot, len(genomes))
            s = np.maximum(s, r)  # rows that nobody needs are the server's
            inside = v < lower
            s = np.where(inside & sends, r, s)
            stop[v] = np.where(inside, s, np.where(v < leave, n, 0))
            start[v] = np.where(inside, r, stop[v])
            for t, rows in rules[v].maps if n else ():
                low, total = rows.lo[np.minimum(r, n - 1)], self.tiling.rows[t]
                server[t] = np.maximum(server.get(t, 0), np.where(inside & (s > 0), rows.hi[s - 1], 0))
                needed = inside & (r < n) & (rows.hi[-1] > low)
                robot[t] = np.minimum(robot.get(t, total), np.where(needed, low, total))
        return stop.T, start.T

    def _split(self, cut: int, chosen: np.ndarray, share: np.ndarray, server: Dict[int, np.ndarray],
               robot: Dict[int, np.ndarray], deeper: bool) -> None:
        """Divide the rows at a cut; the robot keeps what its deeper rows need."""
        for t in [self._tensor[cut]] if cut in self._tensor else self.tiling.graph.outputs:
            rows = self.tiling.rows[t]
            boundary = np.rint(share * rows).astype(np.int64)
            kept = np.minimum(boundary, robot.get(t, rows)) if deeper else boundary
            server[t] = np.where(chosen, boundary, server.get(t, 0))
            robot[t] = np.where(chosen, kept, robot.get(t, rows))

    def _wanted(self, v: int, server: Dict[int, np.ndarray], robot: Dict[int, np.ndarray], count: int
                ) -> Tuple[np.ndarray, np.ndarray]:
        s, r = np.zeros(count, np.int64), np.full(count, self.tiling.rules[v].rows)
        for t in self.tiling.graph.nodes[v].outputs:
            s = np.maximum(s, server.get(t, 0))
            r = np.minimum(r, robot.get(t, r))
        return s, r
