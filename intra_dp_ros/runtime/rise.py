"""A frame that began on the robot alone, given to the server when the link has risen in its middle.

The counterpart of computing beside a link that fell (`hedge.Beside`): where the server computes all of it, the robot
computes on, its inputs go up, and whoever has the frame first answers.  Where both compute, the robot begins anew.

Who computes alone sends nothing, and probes are few, so a link that has risen would go unnoticed for some frames.  Once
the estimate is old, a frame is therefore given to the server, until its own rows tell that the link is still too slow
for it, and after a pause again.  A robot that computes takes no more energy for it.

Threading: the frame thread.
"""
import time
from typing import Callable, Optional, Sequence, Tuple

import torch

from intra_dp_ros.runtime.offer import Offer
from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.rethink import Again, Other
from intra_dp_ros.runtime.split import Complete, RobotFrame

_LOOK_S = 0.02  # between looks at the bandwidth
#: The other plan must be expected to take at most this share of what the robot still needs.
WORTH = 0.7


class Rise:
    """Of one frame.

    Args:
        alone_s: what the robot needs for the frame, from now on [s].
        rate: of the uplink when the frame began [byte/s].
        choose: (seconds left on the robot) -> a plan that is clearly sooner, or None.
        offer: of the frame to the server.
        trial: the plan to find out by what the link is like, if that is not known any more; or None.  It is asked for
            until there is one: the estimate may become old in the middle of the frame.
    """

    def __init__(self, alone_s: float, rate: float, choose: Callable[[float], Optional[Other]], offer: Offer,
                 trial: Callable[[], Optional[Part]] = lambda: None) -> None:
        now = time.monotonic()
        self._done, self._next = now + alone_s, now + _LOOK_S
        self._rate, self._choose, self._offer = rate, choose, offer
        self._is_given = False  # to the server, whatever the link does
        self._trial = trial
        self._try()

    def run(self, frame: RobotFrame, inputs: Sequence[torch.Tensor]) -> Tuple[RobotFrame, Tuple[torch.Tensor, ...]]:
        """The frame that answers, the robot's or the helped one, and its outputs.

        Args:
            frame: of the local plan.
        """
        try:
            return frame, frame.run_alone(inputs, self.look)
        except Complete:
            helped = self._offer.helped
            helped.add(frame, "begun alone")
            return helped, helped.outputs()

    def look(self) -> None:
        """Asked between the robot's operators.

        Raises:
            Complete: the server has the frame.
            Again: the robot has its part in it from now on.
        """
        offer = self._offer
        if offer.helped is not None:
            offer.helped.look()
        now = time.monotonic()
        if now < self._next:
            return
        self._next, left_s = now + _LOOK_S, self._done - now
        if offer.is_refused:
            offer.stop()
            return
        if self._is_given:
            return
        if offer.helped is not None and not offer.is_held:  # on its way, and as far as is known the server is sooner
            offer.watch(left_s)
            return
        other = self._choose(left_s)
        if other is None:
            if offer.helped is not None:
                offer.watch(left_s)
            else:
                self._try()
        elif other.part.is_shared:
            raise Again(other, self._rate)
        elif offer.helped is None:
            self._is_given = True
            offer.begin(other.part)
        else:  # by the plan that it began by: its rows are there
            offer.go_on()

    def _try(self) -> None:
        trial = self._trial()
        if trial is not None:
            self._offer.begin(trial)
