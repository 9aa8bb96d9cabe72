"""The server's part in a frame that the robot computes alone: its rows go up beside, and what comes back may be sooner.

Threading: the frame thread.
"""
import time
from typing import Callable, Optional, Sequence

import torch

from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.sender import TileSender
from intra_dp_ros.runtime.split import RobotFrame
from intra_dp_ros.wire.source import Source

_PAUSE_S = 0.05  # before a link that was too slow is tried again


class Offer:
    """Of one frame.

    Args:
        inputs, source: of the frame.
        sender: of the uplink.
        session: with the server, now.
        bandwidth: of the link.
        make: (part) -> the frame that takes what the server computes under it; the sender has begun to send by it.

    Attributes:
        helped: that frame; None: nothing was given to the server.
    """

    def __init__(self, inputs: Sequence[torch.Tensor], source: Optional[Source], sender: TileSender,
                 session: Callable[[], int], bandwidth: BandwidthEstimator, make: Callable[[Part], RobotFrame]) -> None:
        self.helped: Optional[RobotFrame] = None
        self._inputs, self._source, self._sender, self._bandwidth = inputs, source, sender, bandwidth
        self._session, self._make = session, make
        self._since = 0.0  # when sending began, or went on (monotonic) [s]
        self._held: Optional[float] = None  # when it paused; None: it does not (monotonic) [s]

    @property
    def is_held(self) -> bool:
        """Whether the rest waits for a faster link."""
        return self._held is not None

    @property
    def is_lost(self) -> bool:
        """Whether the server that has the frame's rows is not there any more."""
        return self.helped is not None and self._sender.session != self._session()

    @property
    def is_refused(self) -> bool:
        """Whether the server does not take the frame: the robot ends it by itself."""
        return self.helped is not None and bool(self.helped.refused)

    def stop(self) -> None:
        """Send no more of it."""
        self._sender.hold()

    def begin(self, part: Part) -> None:
        """Give the frame to the server, under a plan in which it computes everything; once in a session."""
        self.helped = self._make(part)
        self._send()

    def go_on(self) -> None:
        """Send what was held back; all of it where another server has to begin anew."""
        if self.is_lost:
            self.begin(self.helped.part)
        else:
            self._send()

    def watch(self, left_s: float) -> None:
        """Hold the rest back while the link is too slow to carry it in so many seconds; what is on its way stays."""
        now = time.monotonic()
        if self._held is None:
            if self._is_late(left_s):
                self._sender.hold()
                self._held = now
        elif now - self._held > _PAUSE_S:
            self.go_on()

    def _send(self) -> None:
        self._since, self._held = time.monotonic(), None
        self.helped.offer(self._inputs, self._sender, self._source)

    def _is_late(self, left_s: float) -> bool:
        """As the frame's own rows have shown since sending went on; the estimate also weighs what came before."""
        rate, traffic = self._bandwidth.newest_up(self._since), self._sender.traffic()
        return rate > 0 and left_s > 0 and traffic.queued > 0 and traffic.in_flight + traffic.queued > rate * left_s
