"""Operator times measured elsewhere, one row an operator in execution order, put onto a recorded graph.

The file has the columns ``index, op, inputs, output_shapes, local_dim, robot_ms, server_ms``: times of whole operators
on two devices.  Rows and nodes are matched by kind of operator and shape of the first output, in order.  What the file
does not tell is how a time divides into the call and its rows; the cost of a call is an argument.
"""
import ast
import csv
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Deque, Dict, List, Sequence, Tuple

from intra_dp_ros.graph.graph import Graph
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.lop.tiling import Tiling

#: Cost of a call [ms], robot and server, when nothing better is known: about what the files give for operators on a few
#: thousand numbers (0.01 and 0.00 ms, to two decimals), rounded up.
LAUNCH_MS = (0.02, 0.01)

_COLUMNS = ("op", "output_shapes", "robot_ms", "server_ms")
#: Names of one operator in Python and in the recorded graph.
_KINDS = {
    "add_": "add", "mul_": "mul", "sub_": "sub", "div_": "div", "relu_": "relu", "silu_": "silu", "type": "to",
    "float": "to", "interpolate": "resize", "upsample_nearest2d": "resize", "upsample_bilinear2d": "resize",
    "__getitem__": "index", "slice": "index", "select": "index", "unsqueeze": "index", "masked_select": "index",
    "index_select": "index", "view": "reshape", "unflatten": "reshape", "flatten": "reshape",
    "mean": "adaptive_avg_pool2d", "clone": "contiguous", "intra_dp_ros::nms": "nms",
}
#: Rows that our graphs do without: folded into the convolution before them, or no computing at all.
_ABSORBED = frozenset(("batch_norm", "_start", "_end", "dim", "size", "__get__", "dropout"))


@dataclass(frozen=True)
class Row:
    """One measured operator."""

    op: str
    shape: Tuple[int, ...]  # of its first output; empty: no tensor
    robot_ms: float
    server_ms: float


@dataclass(frozen=True)
class Mapped:
    """What a file says about a graph."""

    robot: Profile
    server: Profile
    rows: int  # of the file, with a time
    mapped: int  # of these, found in the graph
    absorbed_ms: Tuple[float, float]  # robot, server: of rows that the graph does without [ms]
    left_ms: Tuple[float, float]  # of rows that were not found, spread over the nodes that were not [ms]
    left: Tuple[Tuple[str, int], ...]  # these rows: operator, how many
    guessed: Tuple[Tuple[str, int], ...]  # nodes without a row: operator, how many

    def in_words(self) -> str:
        """What could not be mapped, for people."""
        def counted(items: Sequence[Tuple[str, int]]) -> str:
            return ", ".join("{} x{}".format(name, n) for name, n in items) or "none"
        return ("{} of {} measured operators found in the graph; {:.1f} / {:.1f} ms (robot / server) of operators that "
                "the graph does without left out\nnot found: {} ({:.1f} / {:.1f} ms, spread over operators without a "
                "measurement)\noperators without a measurement: {}".format(
                    self.mapped, self.rows, *self.absorbed_ms, counted(self.left), *self.left_ms,
                    counted(self.guessed)))


def read(path: str) -> Tuple[Row, ...]:
    """The rows of a file.

    Raises:
        ValueError: not such a file, naming the line.
        OSError: it cannot be read.
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [c for c in _COLUMNS if c not in (reader.fieldnames or ())]
        if missing:
            raise ValueError("{} has no column {}: expected op, output_shapes, robot_ms and server_ms".format(
                path, ", ".join(missing)))
        try:
            return tuple(_row(raw) for raw in reader)
        except (ValueError, SyntaxError, TypeError) as error:
            raise ValueError("{}, line {}: {}".format(path, reader.line_num, error)) from None


def _row(raw: Dict[str, str]) -> Row:
    text = raw["output_shapes"].strip()
    shape = tuple(int(n) for n in ast.literal_eval(text[:text.index("]") + 1])) if text else ()
    robot, server = float(raw["robot_ms"]), float(raw["server_ms"])
    if not (0 <= robot < float("inf") and 0 <= server < float("inf")):
        raise ValueError("times must be finite and >= 0, not {} and {}".format(robot, server))
    return Row(raw["op"], shape, robot, server)


def match(graph: Graph, rows: Sequence[Row]) -> Tuple[Dict[int, Row], List[Row]]:
    """Node -> its row, of the nodes that have one; and the rows that belong to no node."""
    waiting: Dict[Tuple[str, Tuple[int, ...]], Deque[Row]] = defaultdict(deque)
    for row in rows:
        waiting[_KINDS.get(row.op, row.op), row.shape].append(row)
    found = {}
    for v, node in enumerate(graph.nodes):
        queue = waiting[_KINDS.get(node.name, node.name), graph.tensors[node.outputs[0]].shape]
        if queue:
            found[v] = queue.popleft()
    return found, [row for queue in waiting.values() for row in queue]


def map_rows(tiling: Tiling, rows: Sequence[Row], launch_ms: Tuple[float, float] = LAUNCH_MS,
             scale: Tuple[float, float] = (1.0, 1.0)) -> Mapped:
    """Profiles of the two devices for a graph.

    Args:
        tiling: of the graph.
        launch_ms: cost of a call on the robot and on the server, at most an operator's whole time [ms].
        scale: factors on all times of the robot and of the server: timing every operator apart adds to each.

    Raises:
        ValueError: a file of another model: less than half of its time is found in the graph.
    """
    timed = [row for row in rows if row.robot_ms or row.server_ms]
    graph = tiling.graph
    found, left = match(graph, rows)
    absorbed = [row for row in left if row.op in _ABSORBED]
    left = [row for row in left if row.op not in _ABSORBED and (row.robot_ms or row.server_ms)]
    sums = [_sums(group) for group in (timed, absorbed, left)]
    if sums[2][0] > 0.5 * sums[0][0]:
        names = ", ".join(name for name, _ in _count([row.op for row in left])[:3])
        raise ValueError("the measured operators are another model's: {:.0f} of {:.0f} ms are not in the graph ({} ...)"
                         .format(sums[2][0], sums[0][0], names))
    guessed = [v for v in range(len(graph.nodes)) if v not in found]
    times = [_times(graph, found, guessed, side, sums[2][side]) for side in (0, 1)]
    profiles = [
        _profile(tiling, name, [ms * scale[side] for ms in times[side]], launch_ms[side])
        for side, name in enumerate(("robot (file)", "server (file)"))]
    used = {id(row) for row in found.values()}
    return Mapped(profiles[0], profiles[1], len(timed), sum(id(row) in used for row in timed), sums[1], sums[2],
                  _count([row.op for row in left]), _count([graph.nodes[v].name for v in guessed]))


def _sums(rows: Sequence[Row]) -> Tuple[float, float]:
    return sum(r.robot_ms for r in rows), sum(r.server_ms for r in rows)


def _times(graph: Graph, found: Dict[int, Row], guessed: Sequence[int], side: int, left_ms: float) -> List[float]:
    """Per node [ms]: the row's; without a row its bytes at the pace of cheap operators or its share of what is left,
    whichever is more."""
    def of(row: Row) -> float:
        return (row.robot_ms, row.server_ms)[side]

    def nbytes(v: int) -> int:
        return sum(graph.tensors[t].nbytes for t in graph.nodes[v].outputs)
    pace = sorted(of(row) / nbytes(v) for v, row in found.items()
                  if graph.nodes[v].name in ("relu", "silu", "gelu", "add", "mul") and nbytes(v) > 1 << 18)
    per_byte = pace[len(pace) // 2] if pace else 0.0
    share = left_ms / max(1, len(guessed))
    views = ("reshape", "view", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "unflatten")
    times = [of(found[v]) if v in found else 0.0 for v in range(len(graph.nodes))]
    for v in guessed:
        times[v] = max(share, 0.0 if graph.nodes[v].name in views else per_byte * nbytes(v))
    return times


def _profile(tiling: Tiling, device: str, times: Sequence[float], launch_ms: float) -> Profile:
    a = [min(ms, launch_ms) if rule.rows else ms for ms, rule in zip(times, tiling.rules)]
    b = [(ms - once) / rule.rows if rule.rows else 0.0 for ms, once, rule in zip(times, a, tiling.rules)]
    return Profile(tiling.graph.hash, device, tuple(a), tuple(b))


def _count(names: Sequence[str]) -> Tuple[Tuple[str, int], ...]:
    counts: Dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
