"""A plan: who computes which rows of every operator, and which rows travel.

The server computes rows ``[0, s_v)`` of operator v, the robot ``[r_v, H_v)``, with ``r_v <= s_v``; an overlap means
"compute twice instead of sending".  `validate` is the correctness theorem of the paper (section 4.1) as a program: a
plan that passes can be run in any timing and gives every output row, a plan that fails is never run.
"""
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.lop.interval import Interval
from intra_dp_ros.lop.tiling import Tiling

UP = "up"  # robot to server
DOWN = "down"  # server to robot
MOST_WAVES = 16  # more would halve less than a row of any tensor there is
VOLUMES = "bits+lz4"  # the codec of occupancies and classes, which are inputs as well as results


class PlanError(ValueError):
    """A plan that must not be run; the message names the operator and the rows."""


@dataclass(frozen=True)
class Transfer:
    """Rows of one tensor that travel."""

    tensor: int
    start: int  # first row
    stop: int  # one past the last row
    direction: str  # UP or DOWN
    codec: str
    chunks: int  # pieces it is cut into when all rows are there at once


@dataclass(frozen=True)
class Plan:
    """One way to run a graph on two sides."""

    graph: str  # Graph.hash
    strategy: str  # who made it
    server_stop: Tuple[int, ...]  # s_v per node
    robot_start: Tuple[int, ...]  # r_v per node
    transfers: Tuple[Transfer, ...]  # in sending order
    robot_chunks: int = 1  # row chunks in which the robot feeds its own band
    grain: int = 4  # rows that an operator computes at once, at least: fewer make a kernel slow
    waves: int = 1  # in which the server computes what it sends down, see `lop.waves`
    epoch: int = 0  # number of the plan within a session
    predicted_ms: Optional[float] = None  # latency the scheduler expects [ms]

    @property
    def is_local(self) -> bool:
        """Whether the server has no part in it."""
        return not self.transfers

    @property
    def unnumbered(self) -> "Plan":
        """What is done, without what a session and a prediction add: equal for plans that do the same."""
        return replace(self, epoch=0, predicted_ms=None)

    def travelling(self, direction: str) -> Dict[int, Interval]:
        """Tensor -> its rows that travel in a direction."""
        return {t.tensor: Interval(t.start, t.stop) for t in self.transfers if t.direction == direction}

    def in_words(self, tiling: Tiling) -> str:
        """One line for people: how much the robot computes, what travels."""
        if self.is_local:
            return "local"
        rows = sum(rule.rows for rule in tiling.rules)
        own = sum(rule.rows - start for rule, start in zip(tiling.rules, self.robot_start))
        words = ["input rows {}-{} of {} up in {}".format(t.start, t.stop, tiling.rows[t.tensor], t.chunks)
                 for t in self.transfers if t.direction == UP and t.tensor in tiling.graph.inputs]
        if own:
            share = 100.0 * own / rows
            words.insert(0, "robot computes {} % of the rows".format("under 1" if share < 1.0 else round(share)))
        cuts = sum(t.direction == UP and t.tensor not in tiling.graph.inputs for t in self.transfers)
        if cuts:
            words.append("{} tensors handed over".format(cuts) if cuts > 1 else "1 tensor handed over")
        return ", ".join(words if own else ["offload", *words])

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Plan":
        """Read `to_json`'s text.

        Raises:
            PlanError: not such a text.  The plan still has to pass `validate`.
        """
        try:
            raw: Dict[str, Any] = json.loads(text)
            return Plan(
                graph=str(raw["graph"]), strategy=str(raw["strategy"]),
                server_stop=tuple(_count(n) for n in raw["server_stop"]),
                robot_start=tuple(_count(n) for n in raw["robot_start"]),
                transfers=tuple(Transfer(_count(t["tensor"]), _count(t["start"]), _count(t["stop"]),
                                         str(t["direction"]), str(t["codec"]), _count(t["chunks"]))
                                for t in raw["transfers"]),
                robot_chunks=_count(raw["robot_chunks"]), grain=_count(raw["grain"]),
                waves=_count(raw["waves"]), epoch=_count(raw["epoch"]),
                predicted_ms=None if raw["predicted_ms"] is None else _time(raw["predicted_ms"]))
        except PlanError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise PlanError("not a plan: {!r}".format(error)) from None


def _time(value: Any) -> float:
    if not 0.0 <= float(value) < math.inf:
        raise PlanError("not a plan: expected a time, got {!r}".format(value))
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PlanError("not a plan: expected a count, got {!r}".format(value))
    return value


def reachable(first: int, last: int, ready: int, grain: int) -> int:
    """Where an operator that computes rows ``[first, last)`` advances to when rows below `ready` can be computed.

    It goes in steps of `grain` rows, and what is left over joins the last step.  Waiting for more rows cannot stall a
    plan: they depend on operators in front of this one only.
    """
    if ready >= last or grain <= 1:
        return min(ready, last)
    return first + grain * min((ready - first) // grain, (last - first) // grain - 1)


def needed_rows(tiling: Tiling, server_stop: Sequence[int], robot_start: Sequence[int]
                ) -> Tuple[Dict[int, int], Dict[int, Interval]]:
    """What either side must hold to compute its rows.

    Returns:
        server: tensor -> n, it needs rows ``[0, n)``; robot: tensor -> rows it needs (the outputs whole).
    """
    server: Dict[int, int] = {t: 0 for t in tiling.rows}
    robot: Dict[int, Interval] = {t: Interval(n, 0) for t, n in tiling.rows.items()}
    for t in tiling.graph.outputs:
        robot[t] = Interval(0, tiling.rows[t])
    for rule, stop, start in zip(tiling.rules, server_stop, robot_start):
        for t, rows in rule.maps:
            if stop > 0:
                server[t] = max(server[t], rows.need(0, stop).stop)
            if start < rule.rows:
                need = rows.need(start, rule.rows)
                if need.size:
                    robot[t] = Interval(min(robot[t].start, need.start), max(robot[t].stop, need.stop))
    return server, robot


#: Not a codec but the choice of the one that suits each tensor and loses nothing.
LOSSLESS = "lossless"


def codec_of(tiling: Tiling, codec: str) -> Callable[[int, str], str]:
    """For `complete`: this codec for the graph's inputs, raw for everything else; `VOLUMES` also for results in bytes.

    `LOSSLESS` means png for images and `VOLUMES` for other inputs and results of small whole numbers (occupancy,
    classes, masks); floating-point numbers hardly shrink and travel raw.
    """
    ends = {t: codec for t in tiling.graph.inputs}
    if codec == VOLUMES:
        ends.update((t, codec) for t in tiling.graph.outputs if tiling.graph.tensors[t].dtype in ("uint8", "bool"))
    if codec == LOSSLESS:
        ends = {t: _lossless(tiling, t) for t in (*tiling.graph.inputs, *tiling.graph.outputs)}
    return lambda tensor, direction: ends.get(tensor, "raw")


def _lossless(tiling: Tiling, tensor: int) -> str:
    spec = tiling.graph.tensors[tensor]
    if spec.dtype not in ("uint8", "bool"):
        return "raw"
    is_image = spec.dtype == "uint8" and len(spec.shape) in (3, 4) and (
        spec.shape[-3] in (1, 3) or spec.shape[-1] in (1, 3)) and tensor in tiling.graph.inputs
    return "png" if is_image else VOLUMES


def complete(tiling: Tiling, strategy: str, server_stop: Sequence[int], robot_start: Sequence[int],
             codecs: Any = lambda tensor, direction: "raw", up_chunks: int = 1, robot_chunks: int = 1,
             grain: int = Plan.grain, waves: int = 1) -> Plan:
    """The plan with these boundaries and exactly the transfers that they ask for.

    Args:
        codecs: function (tensor, direction) -> codec name.
        up_chunks: pieces of a transfer whose rows are all there at the start (graph inputs).
        robot_chunks, grain, waves: see `Plan`.

    Raises:
        PlanError: the boundaries leave rows that no side computes.
    """
    server_need, robot_need = needed_rows(tiling, server_stop, robot_start)
    producer = tiling.graph.producer
    transfers: List[Transfer] = []
    for t in (*tiling.graph.inputs, *(t for n in tiling.graph.nodes for t in n.outputs)):
        is_input = t not in producer
        computed_up_to = 0 if is_input else server_stop[producer[t]]
        computed_from = 0 if is_input else robot_start[producer[t]]
        if server_need[t] > computed_up_to:
            transfers.append(Transfer(t, computed_up_to, server_need[t], UP, codecs(t, UP),
                                      max(1, min(up_chunks, server_need[t])) if is_input else 1))
        missing = Interval(robot_need[t].start, min(robot_need[t].stop, computed_from))
        if missing.size:
            transfers.append(Transfer(t, missing.start, missing.stop, DOWN, codecs(t, DOWN), 1))
    plan = Plan(tiling.graph.hash, strategy, tuple(int(s) for s in server_stop), tuple(int(r) for r in robot_start),
                tuple(transfers), robot_chunks, grain, waves)
    validate(tiling, plan)
    return plan


def local_plan(tiling: Tiling) -> Plan:
    """Everything on the robot."""
    nothing = [0] * len(tiling.rules)
    return complete(tiling, "local", nothing, nothing)


def validate(tiling: Tiling, plan: Plan) -> None:
    """Prove that a plan gives the whole model's result, or say why not.

    Walking in topological order, every row a side computes has all the rows it needs among those that the side computes
    or receives, every row sent is computed by its sender, and every output row ends at the robot.

    Raises:
        PlanError: the first operator or transfer that breaks this.
    """
    graph = tiling.graph
    if plan.graph != graph.hash:
        raise PlanError("the plan is for graph {}, this is {}".format(plan.graph[:12], graph.hash[:12]))
    if not len(plan.server_stop) == len(plan.robot_start) == len(graph.nodes):
        raise PlanError("the plan has {} and {} boundaries for {} operators".format(
            len(plan.server_stop), len(plan.robot_start), len(graph.nodes)))
    if plan.robot_chunks < 1 or plan.grain < 1 or not 1 <= plan.waves <= MOST_WAVES:
        raise PlanError("robot_chunks and grain must be at least 1, waves 1 to {}".format(MOST_WAVES))
    held = {side: {t: np.zeros(n, bool) for t, n in tiling.rows.items()} for side in (UP, DOWN)}  # by receiver
    server, robot = held[UP], held[DOWN]
    made_by = {UP: {t: np.zeros(n, bool) for t, n in tiling.rows.items()},
               DOWN: {t: np.zeros(n, bool) for t, n in tiling.rows.items()}}  # by sender of that direction
    for t in graph.inputs:
        made_by[UP][t][:] = True
    for node, rule, stop, start in zip(graph.nodes, tiling.rules, plan.server_stop, plan.robot_start):
        if stop > rule.rows or start > rule.rows:
            raise PlanError("operator {} has {} rows, not {}".format(node.op, rule.rows, max(start, stop)))
        for t in node.outputs:
            made_by[DOWN][t][:stop] = True
            made_by[UP][t][start:] = True
    for t in tiling.rows:
        server[t] |= made_by[DOWN][t]
        robot[t] |= made_by[UP][t]
    directions = {t.direction for t in plan.transfers}
    if DOWN in directions and UP not in directions:
        raise PlanError("the server is to send rows but gets none: it would not know when to begin")
    sent = set()
    for transfer in plan.transfers:
        _check_transfer(tiling, transfer, made_by)
        if (transfer.tensor, transfer.direction) in sent:
            raise PlanError("tensor {} is sent {} twice".format(transfer.tensor, transfer.direction))
        sent.add((transfer.tensor, transfer.direction))
        held[transfer.direction][transfer.tensor][transfer.start:transfer.stop] = True
    for v, (node, rule) in enumerate(zip(graph.nodes, tiling.rules)):
        for side, rows, first, last in (("server", server, 0, plan.server_stop[v]),
                                        ("robot", robot, plan.robot_start[v], rule.rows)):
            for t, needs in rule.maps:
                need = needs.need(first, last)
                if need.size and not rows[t][need.start:need.stop].all():
                    raise PlanError("the {} computes rows [{}, {}) of operator {} ({}) without all of rows [{}, {}) of "
                                    "tensor {}".format(side, first, last, v, node.op, need.start, need.stop, t))
    for t in graph.outputs:
        if not robot[t].all():
            raise PlanError("rows of output tensor {} never reach the robot".format(t))


def _check_transfer(tiling: Tiling, transfer: Transfer, made_by: Dict[str, Dict[int, np.ndarray]]) -> None:
    if transfer.direction not in made_by:
        raise PlanError("transfer direction {!r} is neither up nor down".format(transfer.direction))
    if transfer.tensor not in tiling.rows:
        raise PlanError("a transfer names tensor {}, which does not exist".format(transfer.tensor))
    rows = tiling.rows[transfer.tensor]
    if not 0 <= transfer.start < transfer.stop <= rows or not 1 <= transfer.chunks <= transfer.stop - transfer.start:
        raise PlanError("a transfer of rows [{}, {}) in {} chunks does not fit tensor {} of {} rows".format(
            transfer.start, transfer.stop, transfer.chunks, transfer.tensor, rows))
    if not made_by[transfer.direction][transfer.tensor][transfer.start:transfer.stop].all():
        raise PlanError("rows [{}, {}) of tensor {} are sent {} by a side that does not compute them".format(
            transfer.start, transfer.stop, transfer.tensor, transfer.direction))
