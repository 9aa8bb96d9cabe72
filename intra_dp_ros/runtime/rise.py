"""A frame that began on the robot alone, given to the server when the link has risen in its middle.

The counterpart of computing beside a link that fell (`hedge.Beside`): where the server computes all of it, the robot
computes on, its inputs go up, and whoever has the frame first answers.  Where both compute, the robot begins anew.

Threading: the frame thread.
"""
import time
from typing import Callable, Optional, Sequence, Tuple

import torch

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
        begin: makes the frame of a part by which the server computes everything, and sends its inputs.

    Attributes:
        helped: the frame that the server computes; None: it does not.
    """

    def __init__(self, alone_s: float, rate: float, choose: Callable[[float], Optional[Other]],
                 begin: Callable[[Part], RobotFrame]) -> None:
        now = time.monotonic()
        self._done, self._next = now + alone_s, now + _LOOK_S
        self._rate, self._choose, self._begin = rate, choose, begin
        self.helped: Optional[RobotFrame] = None

    def run(self, frame: RobotFrame, inputs: Sequence[torch.Tensor]) -> Tuple[RobotFrame, Tuple[torch.Tensor, ...]]:
        """The frame that answers, the robot's or the helped one, and its outputs.

        Args:
            frame: of the local plan.
        """
        try:
            return frame, frame.run_alone(inputs, self.look)
        except Complete:
            self.helped.add(frame, "begun alone")
            return self.helped, self.helped.outputs()

    def look(self) -> None:
        """Asked between the robot's operators.

        Raises:
            Complete: the server has the frame.
            Again: the robot has its part in it from now on.
        """
        if self.helped is not None:
            self.helped.look()
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOOK_S
            other = self._choose(self._done - now)
            if other is None:
                return
            if other.part.is_shared:
                raise Again(other, self._rate)
            self.helped = self._begin(other.part)
