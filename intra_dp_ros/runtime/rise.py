"""A frame that began on the robot alone, given to the server as well when the link has risen in its middle.

The counterpart of computing beside a link that fell (`hedge.Beside`): the robot computes on, its inputs go up, and
whoever has the frame first answers.

Threading: the frame thread.
"""
import time
from typing import Callable, Optional, Sequence, Tuple

import torch

from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.split import Complete, RobotFrame

_LOOK_S = 0.02  # between looks at the bandwidth
#: The server must be expected to take at most this share of what the robot still needs: for less the bytes are wasted.
WORTH = 0.7


class Rise:
    """Of one frame.

    Args:
        alone_s: what the robot needs for the frame, from now on [s].
        choose: (seconds left on the robot) -> the part of a plan by which the server alone is clearly sooner, or None.
        begin: makes the frame of such a part and sends its inputs.

    Attributes:
        helped: the frame that the server computes; None: it does not.
    """

    def __init__(self, alone_s: float, choose: Callable[[float], Optional[Part]],
                 begin: Callable[[Part], RobotFrame]) -> None:
        now = time.monotonic()
        self._done, self._next = now + alone_s, now + _LOOK_S
        self._choose, self._begin = choose, begin
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
        """
        if self.helped is not None:
            self.helped.look()
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOOK_S
            part = self._choose(self._done - now)
            if part is not None:
                self.helped = self._begin(part)
