"""One frame from its first plan to its outputs, whatever the link does on the way.

A frame under a plan with the server may go on by another plan, be computed beside the link or be taken over; one that
the robot began alone may be given to the server.

Threading: `run` on the frame thread; link threads read `frame`, which is replaced as a whole.
"""
import logging
import time
from dataclasses import replace
from typing import Callable, Collection, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch

from intra_dp_ros.runtime import stats
from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.choice import Choice, Situation
from intra_dp_ros.runtime.connection import Connection
from intra_dp_ros.runtime.engine import Engine
from intra_dp_ros.runtime.hedge import Beside
from intra_dp_ros.runtime.offer import Offer
from intra_dp_ros.runtime.pace import Pace
from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.rethink import Again, Other
from intra_dp_ros.runtime.rise import WORTH, Rise
from intra_dp_ros.runtime.sender import FrameKey, TileSender, Traffic
from intra_dp_ros.runtime.split import RobotFrame, TakeOver
from intra_dp_ros.wire.source import Source

_LOG = logging.getLogger(__name__)
#: A split frame that is not there after its prediction and this many local runs is computed locally.
DEADLINE_LOCALS = 2.0


class Ask(NamedTuple):
    """A frame that is asked for."""

    inputs: Sequence[torch.Tensor]
    key: FrameKey  # of any plan and session
    source: Optional[Source]  # what the first input was made of, for the codec `source`
    adapts: bool  # whether it may change sides, or its plan, in its middle; baselines' frames do not


class Ran(NamedTuple):
    """A frame that is done."""

    frame: RobotFrame  # the one that answers
    outputs: Tuple[torch.Tensor, ...]
    traffic: Traffic
    outcome: str  # see `stats`
    reason: str  # why it did not run as planned; empty: it did


class Runner:
    """Of one robot.

    Args:
        engine: of the graph.
        choice: of plans.
        slowdown: of the emulated robot.
        local_s: what a frame takes on the robot alone, as measured at start [s].
        bandwidth: of the link, by this robot's own traffic.
        situation: what plans are chosen by, now.

    Attributes:
        frame: what the server's rows are for now; None: nothing.
    """

    def __init__(self, engine: Engine, choice: Choice, slowdown: float, local_s: float, bandwidth: BandwidthEstimator,
                 situation: Callable[[], Situation]) -> None:
        self.frame: Optional[RobotFrame] = None
        self._engine, self._choice, self._slowdown, self._local_s = engine, choice, slowdown, local_s
        self._bandwidth, self._situation = bandwidth, situation
        self._sender: Optional[TileSender] = None
        self._connection: Optional[Connection] = None

    def connect(self, sender: TileSender, connection: Connection) -> None:
        """There is a link now."""
        self._sender, self._connection = sender, connection

    def run(self, ask: Ask, part: Part, expected_s: float, rate: float) -> Ran:
        """Begin by a plan.

        Args:
            expected_s: what it should take [s].
            rate: bandwidth of the uplink that it was chosen for [byte/s]; 0: unknown.
        """
        frame, connection = self._new(part), self._connection
        self.frame = frame
        if connection is not None:
            connection.begin(ask.key.frame)
        try:
            if part.plan.is_local:
                return self._run_alone(ask, frame, rate)
            self._begin_sending(ask, part)
            return self._run_split(ask, frame, expected_s, rate)
        finally:
            self.frame = None
            if connection is not None:
                connection.end()

    def _run_alone(self, ask: Ask, frame: RobotFrame, rate: float) -> Ran:
        """On the robot, until the link has risen and the server is clearly sooner."""
        def make(part: Part) -> RobotFrame:
            self._begin_sending(ask, part)
            helped = self.frame = self._new(part)
            helped.began = frame.began
            return helped

        if not ask.adapts:
            return Ran(frame, frame.run_alone(ask.inputs), Traffic(), stats.LOCAL, "")
        offer = Offer(ask.inputs, ask.source, self._sender, lambda: self._connection.session, self._bandwidth, make)
        why = ""
        try:
            found, outputs = Rise(
                self._choice.alone_s, rate, lambda left_s: self._choice.risen(self._situation(), WORTH * left_s), offer,
                lambda: self._choice.trial(self._situation())).run(frame, ask.inputs)
        except Again as again:
            is_new = offer.helped is None or offer.is_lost
            after = self._go_on(frame, again, lambda part: (
                self._begin_sending(ask, part) if is_new else self._sender.change(part.plan.epoch)))
            return self._run_split(ask, after, again.other.expected_s, again.other.rate,
                                   () if is_new else (offer.helped.part.plan.epoch,))
        except Exception as error:
            if offer.helped is None:
                raise  # the robot's own failure
            _LOG.exception("what the server had of a frame failed, and the robot begins it again")
            why = "begun again: {!r}".format(error)
        if why:
            return self._alone(ask, frame, stats.LOCAL, why)
        if offer.helped is not None:
            self._sender.abandon()
        traffic = Traffic() if offer.helped is None else self._sender.traffic()
        if found is frame:
            return Ran(found, outputs, traffic, stats.LOCAL, "")
        return Ran(found, outputs, traffic, stats.SPLIT, "begun on the robot; the link rose, and the server was sooner")

    def _run_split(self, ask: Ask, frame: RobotFrame, expected_s: float, rate: float, before: Collection[int] = ()
                   ) -> Ran:
        """By the frame's plan, or by those that it goes on by; `sender.begin` was called.

        Args:
            before: epochs of plans that the server had the frame by before.
        """
        sender, past = self._sender, {frame.part.plan.epoch, *before}
        while True:
            latest_s = time.monotonic() - frame.began + expected_s + DEADLINE_LOCALS * self._local_s
            try:
                outputs = frame.run_split(
                    ask.inputs, sender, self._connection.pulse, self._bandwidth, max(expected_s, self._local_s),
                    latest_s, ask.source,
                    Beside(lambda: self._new(self._choice.local), self._choice.alone_s, expected_s, rate)
                    if ask.adapts and expected_s > 0 else None,
                    lambda now: self._other(now, frame.part, past))
                break
            except Again as again:
                frame = self._go_on(frame, again, lambda part: sender.change(part.plan.epoch))
                past.add(frame.part.plan.epoch)
                _, expected_s, rate = again.other
                continue
            except TakeOver as error:
                why = str(error)
            except Exception as error:  # such as no memory for both the split frame and the one beside it
                _LOG.exception("a frame with the server failed, and is computed alone")
                why = "the split frame failed: {!r}".format(error)
            return self._alone(ask, frame, stats.TAKEOVER, why)  # here nothing holds on to what the error left
        if frame.was_beaten:
            sender.abandon()
            return Ran(frame, outputs, sender.traffic(), stats.TAKEOVER,
                       "the server was late, and the robot alone sooner")
        return Ran(frame, outputs, sender.traffic(), stats.SPLIT, frame.went_on)

    def _alone(self, ask: Ask, frame: RobotFrame, outcome: str, why: str) -> Ran:
        """The frame from its beginning, by the robot."""
        self._sender.abandon()
        frame.drop()
        alone = self._new(self._choice.local)
        outputs = alone.run_alone(ask.inputs)
        frame.add(alone, "taken over")
        return Ran(frame, outputs, self._sender.traffic(), outcome, why)

    def _other(self, rate: float, under: Part, past: Collection[int]) -> Optional[Other]:
        """What the frame may go on by at a bandwidth [byte/s]."""
        sender = self._sender
        if sender.session != self._connection.session:
            return None  # the server that had its rows is not there any more
        return self._choice.other(self._situation()._replace(bandwidth=rate), under, past, sender.sent,
                                  sender.traffic())

    def _go_on(self, frame: RobotFrame, again: Again, send: Callable[[Part], Mapping[int, int]]) -> RobotFrame:
        """The frame that another one goes on as.

        Args:
            send: makes the sender go on by a part; tensor -> one past the last row of it that was sent before.
        """
        part = again.other.part
        after = self.frame = self._new(part)  # before the server can answer by its plan
        after.follow(frame, send(part), str(again))
        return after

    def _begin_sending(self, ask: Ask, part: Part) -> Mapping[int, int]:
        """A new frame of the sender: no row of it was sent before."""
        # The session of now: it may have been opened since the frame began on the robot alone.
        self._sender.begin(replace(ask.key, session=self._connection.session, epoch=part.plan.epoch))
        return {}

    def _new(self, part: Part) -> RobotFrame:
        return RobotFrame(self._engine, part, Pace(self._slowdown))
