"""Which plan a frame runs under, and what it is expected to take.

Threading: the frame thread chooses; the planner's thread calls `renew`, which replaces what is chosen from as a whole.
"""
import math
import time
from typing import Callable, Collection, Mapping, NamedTuple, Optional, Tuple

from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.rest import rest_s
from intra_dp_ros.loss.table import PlanTable
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.runtime.connection import Connection
from intra_dp_ros.runtime.correction import Expectation
from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.rethink import Other
from intra_dp_ros.runtime.sender import Traffic


_OLD_S = 0.1  # an estimate of this age does not tell what the link is like now ...
_FAST_S = 10.0  # ... and it may be worth a trial where it was fast enough for the server so long ago at most [s]
_BUSY = 1.2  # a server that is so many times slower than alone has no time for trials


class Situation(NamedTuple):
    """What a choice depends on."""

    strategy: str  # whose plans are in the table
    table: Optional[PlanTable]  # None: not ready
    timeline: Optional[Timeline]  # that predicts them
    connection: Optional[Connection]
    bandwidth: float  # estimated, up [byte/s]; 0: unknown
    age_s: float = 0.0  # of that estimate [s]
    load: float = 1.0  # times slower than alone that the server is


class Choice:
    """Of one robot.

    Args:
        local: the local plan.
        local_s: what a frame takes on the robot alone [s].
        link_at: the link at a bandwidth [byte/s].
    """

    def __init__(self, local: Part, local_s: float, link_at: Callable[[float], LinkModel]) -> None:
        self.local = local
        self._local_s = local_s
        self._link_at = link_at
        self._expectation = Expectation(local_s)
        self._rung: Optional[int] = None
        self._was_fast = -math.inf  # when a frame was last begun with the server [s]
        self.parts: Mapping[int, Part] = {}  #: epoch -> of the robot

    def renew(self, parts: Mapping[int, Part]) -> None:
        """What there is to choose from, from now on."""
        self.parts = parts

    def restart(self) -> None:
        """Another strategy: no rung is kept."""
        self._rung = None

    def forget(self) -> None:
        """What is predicted has changed."""
        self._expectation.forget()

    def plan_for(self, now: Situation) -> Tuple[Part, str]:
        """The plan for a frame, and why it is local when it need not be."""
        if now.strategy == "local" or now.connection is None:
            return self.local, ""
        if not now.connection.is_alive:
            return self.local, now.connection.problem or "the server is silent"
        if now.table is None:
            return self.local, "the plans are not ready"
        rung = now.table.lookup(now.bandwidth, self._rung)
        self._rung, plan = rung, now.table.rungs[rung].plan  # `restart` may come at any time
        if plan.is_local:
            return self.local, ""
        why_not = self._expectation.correction.why_not(plan.epoch)
        if why_not and now.strategy == "intra_dp":  # a baseline runs as its authors would have it
            return self.local, why_not
        part = self._confirmed(plan.epoch, now.connection)
        if part is None:
            return self.local, "the server does not have the plan yet"
        if now.bandwidth > 0 and now.strategy == "intra_dp":
            self._was_fast = time.monotonic()
        return part, ""

    def risen(self, now: Situation, within_s: float) -> Optional[Other]:
        """The plan of the moment, for a frame that the robot began alone, if it is expected to take at most so long."""
        part = self._of_the_moment(now)
        if part is None:
            return None
        expected_s = self.expected_s(part, self.predicted_s(part, now))
        return Other(part, expected_s, now.bandwidth) if 0 < expected_s <= within_s else None

    def other(self, now: Situation, under: Part, past: Collection[int], sent: Mapping[int, int], traffic: Traffic
              ) -> Optional[Other]:
        """The plan of the moment, if a frame can go on by it in its middle.

        Args:
            under: the frame's plan.
            past: epochs of all its plans; it goes back to none.
            sent: tensor -> one past the last row of it that was sent.
            traffic: of the frame.
        """
        part = self._of_the_moment(now)
        if part is None or now.timeline is None or part.plan.epoch in past or not (
                _is_in_rows(under.plan) and _is_in_rows(part.plan)):
            return None
        left_s = rest_s(now.timeline, part.plan, self._link_at(now.bandwidth), sent, traffic.in_flight)
        return Other(part, self.expected_s(part, left_s), now.bandwidth)

    def trial(self, now: Situation) -> Optional[Part]:
        """The plan to find out by what the link is like, for a frame that the robot begins alone; None: no trial.

        Of those by which the server computes everything, the one that asks least of the link.  None where the link is
        known, has been slow for long, or is too slow for any plan, so that signs of life would wait behind it; and for
        a busy server, whom it would cost more than the robot gains.
        """
        if now.age_s < _OLD_S or time.monotonic() - self._was_fast > _FAST_S or now.load > _BUSY:
            return None
        if not self._may_split(now) or 0 < now.bandwidth < now.table.rungs[now.table.lookup(0.0)].bandwidth:
            return None
        parts = (self._runnable(rung.plan, now) for rung in now.table.rungs if _is_in_rows(rung.plan))
        return next((part for part in parts if part is not None and not part.is_shared), None)

    def _of_the_moment(self, now: Situation) -> Optional[Part]:
        """The plan for the bandwidth of now, if it can be run with the server at once."""
        if not self._may_split(now) or now.bandwidth <= 0:
            return None
        return self._runnable(now.table.rungs[now.table.lookup(now.bandwidth)].plan, now)

    @staticmethod
    def _may_split(now: Situation) -> bool:
        """Whether a frame may change its plan; the strategy may have been changed, and baselines' frames do not."""
        return (now.strategy == "intra_dp" and now.table is not None and now.connection is not None
                and now.connection.is_alive)

    def _runnable(self, plan: Plan, now: Situation) -> Optional[Part]:
        """A plan with the server that can be run at once."""
        if plan.is_local or self._expectation.correction.why_not(plan.epoch):
            return None
        return self._confirmed(plan.epoch, now.connection)

    def predicted_s(self, part: Part, now: Situation) -> float:
        """What the scheduler says [s]; 0: nothing."""
        return self._expectation.predicted_s(part.plan, now.bandwidth, now.timeline, self._link_at)

    def expected_s(self, part: Part, predicted_s: float) -> float:
        """The same, corrected by what frames of this plan have taken [s]."""
        return self._expectation.corrected_s(part.plan, predicted_s)

    @property
    def alone_s(self) -> float:
        """What a frame is expected to take on the robot alone [s]."""
        return self.expected_s(self.local, self._local_s)

    def learn(self, part: Part, predicted_s: float, measured_s: float) -> None:
        """A frame ran as planned, or was taken over."""
        self._expectation.learn(part.plan, predicted_s, measured_s)

    def _confirmed(self, epoch: int, connection: Connection) -> Optional[Part]:
        return self.parts.get(epoch) if epoch in connection.confirmed else None


def _is_in_rows(plan: Plan) -> bool:
    """Whether what it sends are rows, of which the other side may have a part: an image that travels as its camera made
    it is one piece.  Rows are the same by whatever codec they travel."""
    return all(t.codec != "source" for t in plan.transfers)
