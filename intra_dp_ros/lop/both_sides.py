"""Both sides of a plan in one thread, without a network: what exactness is checked with.

Rows of either direction are delivered in an order drawn at random, because no plan may depend on timing.
"""
import random
from typing import Dict, List, Sequence, Tuple

import torch

from intra_dp_ros.lop.interval import pieces
from intra_dp_ros.lop.plan import DOWN, UP, Plan
from intra_dp_ros.lop.program import Kernels, Program
from intra_dp_ros.lop.stream import Stream

Message = Tuple[int, int, torch.Tensor]  # tensor, first row, rows


def run_both_sides(kernels: Kernels, plan: Plan, inputs: Sequence[torch.Tensor], order: random.Random
                   ) -> Tuple[torch.Tensor, ...]:
    """The flat outputs as the robot gets them.

    Args:
        plan: a plan that `validate` accepts.
        inputs: flat, in the order of ``Graph.inputs``.
        order: draws which message is delivered next.

    Raises:
        RuntimeError: rows are missing in the end: the plan is not valid or the executor is wrong.
    """
    tiling = kernels.tiling
    boxes: Dict[str, List[Message]] = {UP: [], DOWN: []}
    robot = Stream(Program.of_robot(kernels, plan), lambda *rows: boxes[UP].append(rows))
    server = Stream(Program.of_server(kernels, plan), lambda *rows: boxes[DOWN].append(rows))
    given = dict(zip(tiling.graph.inputs, inputs))
    for transfer in plan.transfers:
        if transfer.direction == UP and transfer.tensor in given:
            boxes[UP] += _cut_input(tiling, given, transfer.tensor, transfer.start, transfer.stop, transfer.chunks)
    feeds = [m for t in given for m in _cut_input(tiling, given, t, 0, tiling.rows[t], plan.robot_chunks)]
    while feeds or boxes[UP] or boxes[DOWN]:
        waiting = [name for name, box in (("feed", feeds), (UP, boxes[UP]), (DOWN, boxes[DOWN])) if box]
        pick = order.choice(waiting)
        if pick == "feed":
            robot.feed(*feeds.pop(0))
            robot.advance()
        else:
            side = server if pick == UP else robot
            side.feed(*boxes[pick].pop(order.randrange(len(boxes[pick]))))
            side.advance()
    for side in (robot, server):  # operators without inputs, on a side to which nothing came
        side.advance()
    if not (robot.is_complete and server.is_complete):
        raise RuntimeError("a side did not get all the rows it needs: the plan is not valid")
    return tuple(robot.result(t) for t in tiling.graph.outputs)


def _cut_input(tiling, given, tensor: int, start: int, stop: int, count: int) -> List[Message]:
    axis, value = tiling.axis[tensor], given[tensor]
    if axis is None:
        return [(tensor, 0, value)]
    return [(tensor, a, value.narrow(axis, a, b - a)) for a, b in pieces(start, stop, count)]
