"""One side's part of a plan, ready to run: its program, what may arrive, and how what it sends is encoded."""
from dataclasses import dataclass
from typing import Dict, Mapping

from intra_dp_ros.lop.interval import Interval
from intra_dp_ros.lop.plan import DOWN, UP, Plan, PlanError, needed_rows, validate
from intra_dp_ros.lop.program import Kernels, Program
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.wire.codec import available
from intra_dp_ros.wire.tile import TileSpec


@dataclass(frozen=True, eq=False)
class Part:
    """A proven plan on one side."""

    plan: Plan
    program: Program
    arrives: Mapping[int, TileSpec]  # tensor -> what the other side may send of it
    codecs: Mapping[int, str]  # tensor this side sends -> codec
    band: Mapping[int, Interval]  # graph input -> rows of it that this side's own computing needs, to the last row
    is_shared: bool = True  # whether the robot computes any row

    @staticmethod
    def of_robot(kernels: Kernels, plan: Plan) -> "Part":
        """The robot's part.

        Raises:
            PlanError: the plan does not hold, or names a codec that this machine does not have.
        """
        _prove(kernels.tiling, plan)
        return Part(plan, Program.of_robot(kernels, plan), _specs(kernels.tiling, plan, DOWN), _codecs(plan, UP),
                    _band(kernels.tiling, plan),
                    any(start < rule.rows for start, rule in zip(plan.robot_start, kernels.tiling.rules)))

    @staticmethod
    def of_server(kernels: Kernels, plan: Plan) -> "Part":
        """The server's part.  Raises as `of_robot`."""
        _prove(kernels.tiling, plan)
        return Part(plan, Program.of_server(kernels, plan), _specs(kernels.tiling, plan, UP), _codecs(plan, DOWN),
                    {})


def _prove(tiling: Tiling, plan: Plan) -> None:
    validate(tiling, plan)
    lacking = sorted({t.codec for t in plan.transfers} - set(available()))
    if lacking:
        raise PlanError("the plan uses codec {}; this machine has {}".format(lacking[0], ", ".join(available())))


def _band(tiling: Tiling, plan: Plan) -> Dict[int, Interval]:
    _, robot = needed_rows(tiling, plan.server_stop, plan.robot_start)
    return {t: Interval(min(robot[t].start, tiling.rows[t]), tiling.rows[t]) for t in tiling.graph.inputs}


def _specs(tiling: Tiling, plan: Plan, direction: str) -> Dict[int, TileSpec]:
    tensors = tiling.graph.tensors
    return {t.tensor: TileSpec(t.tensor, tiling.axis[t.tensor], tensors[t.tensor].shape, tensors[t.tensor].dtype,
                               t.start, t.stop, t.codec)
            for t in plan.transfers if t.direction == direction}


def _codecs(plan: Plan, direction: str) -> Dict[int, str]:
    return {t.tensor: t.codec for t in plan.transfers if t.direction == direction}
