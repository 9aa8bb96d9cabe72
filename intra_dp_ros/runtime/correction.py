"""What plans are expected to take: as predicted, corrected by what they took; those that disappoint are left out.

Not thread-safe: the frame thread alone uses it.
"""
import math
import time
from typing import Callable, Dict, NamedTuple, Optional, Tuple

from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan

_WEIGHT = 0.2  # of the newest frame in a plan's mean
_ENOUGH = 5  # frames of a plan that make its mean worth acting on
_MARGIN = 1.05  # a plan must be so many times slower than a local run to be left out: measurements are noisy
_REST_S = 2.0  # a plan left out is tried again after this long: what was wrong may have passed
_LONGEST_REST_S = 32.0  # as it may not have, it rests twice as long every time
_MOST = 4.0  # one frame's surprise counts no more than this factor


class _Mean(NamedTuple):
    ratio: float  # measured to predicted, exponentially weighted
    latency_s: float  # measured, likewise
    frames: int

    def with_frame(self, ratio: float, latency_s: float) -> "_Mean":
        """After one more frame."""
        return _Mean(self.ratio + _WEIGHT * (ratio - self.ratio),
                     self.latency_s + _WEIGHT * (latency_s - self.latency_s), self.frames + 1)


class Correction:
    """Measured latencies of plans.

    Args:
        clock: monotonic [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._means: Dict[int, _Mean] = {}  # by epoch
        self._resting: Dict[int, Tuple[float, str]] = {}  # epoch -> until when it is left out, and why
        self._rest_s: Dict[int, float] = {}  # epoch -> how long it rests the next time

    def add(self, epoch: int, predicted_s: float, measured_s: float, local_s: float) -> None:
        """A frame is done.

        Args:
            epoch: of its plan; 0: local.
            predicted_s: before correction; 0: there was no prediction.
            measured_s: what it took.
            local_s: what a local run is predicted to take.
        """
        if predicted_s <= 0:
            return
        ratio = min(_MOST, max(1.0 / _MOST, measured_s / predicted_s))
        alone = local_s * (self.factor(0) if epoch else 1.0)
        old, latency_s = self._means.get(epoch), min(measured_s, _MOST * max(predicted_s, alone))
        mean = self._means[epoch] = _Mean(ratio, latency_s, 1) if old is None else old.with_frame(ratio, latency_s)
        if not epoch or mean.frames < _ENOUGH:
            return
        if mean.latency_s <= _MARGIN * alone:  # of several: one may have met a bad moment of the link
            self._rest_s.pop(epoch, None)
            return
        rest_s = self._rest_s.get(epoch, _REST_S)
        self._rest_s[epoch] = min(_LONGEST_REST_S, 2 * rest_s)
        self._resting[epoch] = (self._clock() + rest_s, "plan {} took {:.0f} ms, a local run takes {:.0f}".format(
            epoch, mean.latency_s * 1e3, alone * 1e3))
        del self._means[epoch]

    def begin_anew(self) -> None:
        """Predictions of plans with the server have changed, and what they took says nothing of that; a local run's
        stay what they were."""
        self._means = {epoch: mean for epoch, mean in self._means.items() if epoch == 0}

    def forget(self) -> None:
        """The plans themselves have changed, too."""
        self.begin_anew()
        self._rest_s.clear()

    def factor(self, epoch: int) -> float:
        """By what a prediction for this plan is to be multiplied."""
        mean = self._means.get(epoch)
        return mean.ratio if mean is not None else 1.0

    def why_not(self, epoch: int) -> str:
        """Why a plan is left out now; empty: it is not."""
        until, why = self._resting.get(epoch, (0.0, ""))
        return why if self._clock() < until else ""


class Expectation:
    """Latencies of plans at a bandwidth, not only at their rung's.

    Args:
        local_s: what a local run is predicted to take [s].
    """

    def __init__(self, local_s: float) -> None:
        self.correction = Correction()
        self._local_s = local_s
        self._timeline: Optional[Timeline] = None  # what the next is of
        self._predictions: Dict[Tuple[int, int], float] = {}  # epoch, logarithm of the bandwidth -> latency [s]

    def predicted_s(self, plan: Plan, bandwidth: float, timeline: Optional[Timeline],
                    link_at: Callable[[float], LinkModel]) -> float:
        """What the scheduler says, at this bandwidth to 5 %; 0: nothing.

        Args:
            bandwidth: [byte/s]; 0: not known, then it is what the plan was made for.
            timeline: of the scheduler; None while there is none.
            link_at: the link at a bandwidth.
        """
        if plan.is_local:
            return self._local_s
        if timeline is None or bandwidth <= 0:
            return (plan.predicted_ms or 0.0) / 1e3
        if timeline is not self._timeline:  # a busier server, for example, under plans that stay what they are
            self._timeline = timeline
            self._predictions.clear()
            self.correction.begin_anew()  # else what a busy server added would count twice
        key = (plan.epoch, round(math.log(bandwidth) * 20))
        if key not in self._predictions:
            self._predictions[key] = timeline.predict(plan, link_at(math.exp(key[1] / 20))).latency_s
        return self._predictions[key]

    def forget(self) -> None:
        """What is predicted has changed: neither predictions nor how far they were off hold any more."""
        self._predictions.clear()
        self.correction.forget()

    def corrected_s(self, plan: Plan, predicted_s: float) -> float:
        """A prediction with what frames of this plan have shown."""
        return predicted_s * self.correction.factor(plan.epoch)

    def learn(self, plan: Plan, predicted_s: float, measured_s: float) -> None:
        """A frame ran as planned, or was taken over."""
        self.correction.add(plan.epoch, predicted_s, measured_s, self._local_s)
