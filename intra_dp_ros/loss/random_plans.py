"""Random valid plans of every kind, to check exactness with: not what LOSS would choose, but what it might."""
import random
from dataclasses import replace
from typing import Callable, Dict

from intra_dp_ros.loss.staircase import RAW_CHUNKS, ROBOT_CHUNKS, WAVES, Genome, Staircase
from intra_dp_ros.lop.plan import Plan, PlanError, complete
from intra_dp_ros.lop.tiling import Tiling

_CHUNKS, _WAVES = 16, 5  # rows travel in up to so many pieces, the server computes them in up to so many waves


def random_plan(tiling: Tiling, kind: str, order: random.Random) -> Plan:
    """A valid plan of one of `KINDS`."""
    while True:
        try:
            return KINDS[kind](tiling, order)
        except PlanError:  # the server would only compute rows of padding, for which nothing goes up
            continue


def _chunks(order: random.Random) -> Dict[str, int]:
    return {"up_chunks": order.randint(1, _CHUNKS), "robot_chunks": order.randint(1, _CHUNKS),
            "waves": order.randint(1, _WAVES)}


def _cut(tiling: Tiling, order: random.Random) -> Plan:
    """A layer cut: the robot computes up to an operator, the server the rest."""
    rows = [rule.rows for rule in tiling.rules]
    depth = order.randint(0, len(rows))
    stops = [0] * depth + rows[depth:]
    return complete(tiling, "cut", stops, stops, **_chunks(order))


def _exit(tiling: Tiling, order: random.Random) -> Plan:
    """The reverse: the server begins and the robot finishes."""
    rows = [rule.rows for rule in tiling.rules]
    depth = order.randint(0, len(rows))
    stops = rows[:depth] + [0] * (len(rows) - depth)
    return complete(tiling, "exit", stops, stops, **_chunks(order))


def _bands(tiling: Tiling, order: random.Random) -> Plan:
    """Every operator cut at the same share of its rows: halo rows travel, in both directions."""
    share = order.random()
    stops = [round(share * rule.rows) for rule in tiling.rules]
    return complete(tiling, "bands", stops, stops, **_chunks(order))


def _staircase(tiling: Tiling, order: random.Random) -> Plan:
    """Two bands with cuts at different depths, streamed: the space LOSS searches."""
    space = Staircase(tiling)
    upper, lower, leave = sorted(order.randrange(len(space.cuts)) for _ in range(3))
    plan = space.plan(Genome(upper, order.random(), lower, order.random(), leave, order.randrange(len(RAW_CHUNKS)),
                             order.randrange(len(ROBOT_CHUNKS)), waves=order.randrange(len(WAVES))))
    return replace(plan, strategy="staircase")


def _rows(tiling: Tiling, order: random.Random) -> Plan:
    """Other boundaries for every operator; rows between them are computed twice."""
    stops = [order.choice((0, rule.rows, order.randint(0, rule.rows))) for rule in tiling.rules]
    starts = [order.choice((stop, order.randint(0, stop))) for stop in stops]
    return complete(tiling, "rows", stops, starts, **_chunks(order))


#: kind -> makes one; "rows" is the widest of all, the others are what schedulers make.
KINDS: Dict[str, Callable[[Tiling, random.Random], Plan]] = {
    "cut": _cut, "exit": _exit, "bands": _bands, "staircase": _staircase, "rows": _rows,
}
