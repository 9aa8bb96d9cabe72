"""The plans that LOSS searches: two bands of rows, cut at two depths, and an exit.

The server computes the upper rows from raw rows that leave at once; the robot computes the lower rows down to a cut and
sends what it has there; from the exit on the robot computes everything.  Boundaries of the operators in between follow
from what the rows at the cuts need: halo rows are computed on both sides rather than sent.
"""
from dataclasses import dataclass
from typing import Dict, List, Tuple

from intra_dp_ros.loss.baselines.neurosurgeon import crossing_tensors
from intra_dp_ros.lop.plan import Plan, PlanError, complete
from intra_dp_ros.lop.tiling import Tiling

RAW_CHUNKS = (1, 2, 4, 8, 16)
ROBOT_CHUNKS = (1, 2, 4)


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


class Staircase:
    """The search space of one graph.

    Attributes:
        cuts: operator counts with exactly one crossing tensor, from 0 (the input) to the number of operators (the end).
    """

    def __init__(self, tiling: Tiling, codec: str = "raw") -> None:
        self.tiling = tiling
        self._codec = codec
        self._inputs = set(tiling.graph.inputs)
        count = len(tiling.rules)
        crossing = crossing_tensors(tiling)
        inner = [c for c in range(1, count) if len(crossing[c]) == 1]
        self._tensor: Dict[int, int] = {c: crossing[c][0] for c in inner}
        self.cuts: Tuple[int, ...] = tuple([0, *inner, count])

    def plan(self, genome: Genome, strategy: str = "intra_dp") -> Plan:
        """The plan of a genome.

        Raises:
            PlanError: it has none.
        """
        stop, start = self.boundaries(genome)
        return complete(self.tiling, strategy, stop, start,
                        lambda t, _: self._codec if t in self._inputs else "raw",
                        RAW_CHUNKS[genome.raw_chunks], ROBOT_CHUNKS[genome.robot_chunks])

    def boundaries(self, genome: Genome) -> Tuple[List[int], List[int]]:
        """`server_stop` and `robot_start` of every operator."""
        rules = self.tiling.rules
        rows = [rule.rows for rule in rules]
        upper, lower, leave = (self.cuts[i] for i in (genome.upper_cut, genome.lower_cut, genome.exit))
        if not upper <= lower <= leave:
            raise PlanError("cuts {}, {} and exit {} are not in this order".format(upper, lower, leave))
        stop = [r if v < leave else 0 for v, r in enumerate(rows)]
        start = [r if v < leave else 0 for v, r in enumerate(rows)]
        if lower == 0:
            return stop, start
        server: Dict[int, int] = {}  # tensor -> rows [0, n) the server computes itself
        robot: Dict[int, int] = {}  # tensor -> rows [n, end) the robot computes
        self._split(lower, genome.lower_rows, server, robot)
        self._back(upper, lower, server, robot, stop, start)
        if 0 < upper < lower:
            t = self._tensor[upper]
            deep = robot.get(t, self.tiling.rows[t])
            self._split(upper, genome.upper_rows, server, robot)
            robot[t] = min(robot[t], deep)
        self._back(0, upper, server, robot, stop, start)
        return stop, start

    def _split(self, cut: int, share: float, server: Dict[int, int], robot: Dict[int, int]) -> None:
        tensors = [self._tensor[cut]] if cut in self._tensor else self.tiling.graph.outputs
        for t in tensors:
            boundary = int(round(share * self.tiling.rows[t]))
            server[t] = robot[t] = boundary

    def _back(self, first: int, last: int, server: Dict[int, int], robot: Dict[int, int], stop: List[int],
              start: List[int]) -> None:
        """Boundaries of operators ``[first, last)`` from what is needed of the tensors they make."""
        rules, nodes = self.tiling.rules, self.tiling.graph.nodes
        for v in range(last - 1, first - 1, -1):
            n = rules[v].rows
            s = max((server.get(t, 0) for t in nodes[v].outputs), default=0)
            r = min((robot.get(t, n) for t in nodes[v].outputs), default=n)
            stop[v], start[v] = max(s, r), r
            for t, rows in rules[v].maps:
                if s > 0:
                    server[t] = max(server.get(t, 0), rows.need(0, s).stop)
                if r < n:
                    need = rows.need(r, n)
                    if need.size:
                        robot[t] = min(robot.get(t, self.tiling.rows[t]), need.start)
