"""One strategy driven over a recorded bandwidth: each frame is planned with what the traffic so far has shown.

What the robot does is done here: the bandwidth is estimated from the arrival of tiles, the plan is looked up with
hysteresis, an idle link is probed, and a frame that the link lets down is taken over.  Only the clock is simulated.
"""
import math
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.frame import Frames, Played
from intra_dp_ros.loss.link_model import Carrier, LinkModel
from intra_dp_ros.loss.table import PlanTable
from intra_dp_ros.loss.timeline import Crossing, Timeline
from intra_dp_ros.lop.plan import UP, Plan
from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.runner import DEADLINE_LOCALS
from intra_dp_ros.runtime.sender import tile_bytes, window_bytes
from intra_dp_ros.runtime.split import TOO_SLOW
from intra_dp_ros.runtime.uplink import STALE_S
from intra_dp_ros.wire.messages import Ack
from intra_dp_ros.wire.shaper import Trace

LOCAL, SPLIT, OFFLOAD = "local", "split", "offload"
_PROBE_TILES, _PROBE_BYTES = 4, 16 * 1024  # of a probe train
_OVERHEAD_BYTES = 120  # of a tile message beyond its data


@dataclass(frozen=True)
class DrivenFrame:
    """One frame of a drive."""

    began_s: float  # on the trace
    latency_s: float
    predicted_s: float
    energy_j: float
    bytes_up: float
    bytes_down: float
    where: str  # LOCAL, SPLIT or OFFLOAD
    taken_over: bool  # the robot finished it alone
    estimate: float  # bandwidth it was planned with [byte/s]


class Drive:
    """A strategy's plans on a trace.

    Args:
        timeline: of the graph and its devices.
        table: the strategy's plans.
        link: as the plans were made for; its bandwidths do not count.
        trace: what the link really carries, in each direction.
        power: of the robot.
        oracle: plan with the trace's bandwidth at the beginning of a frame instead of an estimate.
    """

    def __init__(self, timeline: Timeline, table: PlanTable, link: LinkModel, trace: Trace,
                 power: PowerModel = PowerModel(), oracle: bool = False) -> None:
        self._table, self._link, self._trace, self._power, self._oracle = table, link, trace, power, oracle
        self._rows = [rule.rows for rule in timeline.tiling.rules]
        self._frames = {plan.epoch: Frames(timeline, plan, link, power) for plan in table.plans}
        self._alone_s = timeline.robot.frame_ms(self._rows) / 1e3
        self._now = 0.0
        self._estimator = BandwidthEstimator("simulated", lambda: self._now)
        self._rung: Optional[int] = None
        self._predictions: Dict[Tuple[int, int], float] = {}

    def run(self, seconds: float, progress: Callable[[float, float], None] = lambda done, total: None
            ) -> List[DrivenFrame]:
        """Frames one after the other until the trace is at `seconds`."""
        found: List[DrivenFrame] = []
        while self._now < seconds:
            found.append(self._frame(len(found) + 1))
            if len(found) % 500 == 0:
                progress(self._now, seconds)
        progress(seconds, seconds)
        return found

    def _frame(self, number: int) -> DrivenFrame:
        began = self._now
        bandwidth = self._bandwidth()
        self._rung = self._table.lookup(bandwidth, self._rung)
        plan = self._table.rungs[self._rung].plan
        frames = self._frames[plan.epoch]
        expected = self._expected(plan, frames, bandwidth)
        played = frames.play(self._carrier(began))
        given_up = None if plan.is_local else self._hear(number, began, played, expected)
        latency, energy = played.latency_s, played.energy_j
        crossed = [c for c in played.crossings if given_up is None or c.stop_s <= given_up]
        if given_up is not None:
            latency = given_up + self._alone_s
            energy = float(self._power.energy(self._alone_s + min(given_up, played.robot_busy_s),
                                              max(0.0, given_up - played.robot_busy_s), latency))
        self._now = began + latency
        up = sum(c.nbytes for c in crossed if c.direction == UP)
        return DrivenFrame(began, latency, expected, energy, up, sum(c.nbytes for c in crossed) - up,
                           where_of(plan, self._rows), given_up is not None, bandwidth)

    def _bandwidth(self) -> float:
        if self._oracle:
            return self._trace.rate(self._now)
        sample = self._estimator.sample()
        if sample.age > STALE_S:  # a train goes out between frames; its answer counts from this frame on
            at = self._now
            for k in range(_PROBE_TILES):
                at = self._trace.finish(at, _PROBE_BYTES)
                self._estimator.on_ack(UP, Ack("simulated", 1, 0, k, _PROBE_BYTES, at))
            sample = self._estimator.sample()
        return sample.up if sample.confidence > 0 else 0.0

    def _carrier(self, began: float) -> Carrier:
        finish = self._trace.finish
        return lambda direction, start, nbytes: finish(began + start, nbytes) - began if start < math.inf else start

    def _expected(self, plan: Plan, frames: Frames, bandwidth: float) -> float:
        if plan.is_local:
            return self._alone_s
        if bandwidth <= 0:
            return (plan.predicted_ms or 0.0) / 1e3
        key = (plan.epoch, round(math.log(bandwidth) * 20))
        if key not in self._predictions:
            rate = math.exp(key[1] / 20)
            self._predictions[key] = frames.play(lambda _, start, nbytes: start + nbytes / rate).latency_s
        return self._predictions[key]

    def _hear(self, number: int, began: float, played: Played, expected: float) -> Optional[float]:
        """Acknowledge what arrives; when the robot would take over [s since the beginning], None if it need not."""
        deadline = expected + DEADLINE_LOCALS * self._alone_s
        patience = max(expected, self._alone_s)
        up = [c for c in played.crossings if c.direction == UP]
        left = sum(c.nbytes for c in up)
        for c in sorted(up, key=lambda c: c.stop_s):
            for stop, nbytes in self._tiles(began, c):
                if stop - began > deadline:
                    return deadline
                left, self._now = left - nbytes, stop
                self._estimator.on_ack(UP, Ack("simulated", 1, number, 0, int(nbytes) + _OVERHEAD_BYTES, stop,
                                               sent=began + c.start_s))
                rate = self._estimator.sample().up
                if rate > 0.0 and left / rate > TOO_SLOW * patience:
                    return stop - began
        return None if played.latency_s <= deadline else deadline

    def _tiles(self, began: float, crossing: Crossing) -> Sequence[Tuple[float, float]]:
        """When each tile of a piece is across, on the trace's clock, and its bytes."""
        window = window_bytes(self._estimator.sample().up, self._link.rtt_s)
        count = max(1, math.ceil(crossing.raw / tile_bytes(window, crossing.nbytes / crossing.raw)))
        each = crossing.nbytes / count
        late = began + crossing.stop_s - self._trace.finish(began + crossing.start_s, crossing.nbytes)
        return [(self._trace.finish(began + crossing.start_s, each * (k + 1)) + late, each) for k in range(count)]


def where_of(plan: Plan, rows: Sequence[int]) -> str:
    """Which of the paper's kinds a plan is: all on the robot, all on the server, or shared."""
    if plan.is_local:
        return LOCAL
    if all(stop == n for stop, n in zip(plan.server_stop, rows)) and plan.server_stop == plan.robot_start:
        return OFFLOAD
    return SPLIT
