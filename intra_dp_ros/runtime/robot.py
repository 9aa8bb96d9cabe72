"""The robot: answers every frame, with the server when that is faster, alone when it is not there.

Threading: `infer` on one frame thread at a time; link threads call `_on_message`; connection, planner and sender have
threads of their own.
"""
import collections
import logging
import os
import threading
import time
from dataclasses import replace
from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple

import torch

from intra_dp_ros.graph.record import Recording
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.plan import Plan, local_plan
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.loss.spans import UPLINK, Span, outside, union
from intra_dp_ros.loss.strategies import STRATEGIES
from intra_dp_ros.runtime.aim import Aim
from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.choice import Choice, Situation
from intra_dp_ros.runtime.config import AUTO, RobotConfig, searched
from intra_dp_ros.runtime.connection import LOCAL, Connection
from intra_dp_ros.runtime.emulation import Emulate
from intra_dp_ros.runtime.engine import Engine, Progress, no_progress
from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.planner import Planner
from intra_dp_ros.runtime.rails import FrameEnergy, Rails
from intra_dp_ros.runtime.runner import Ask, Ran, Runner
from intra_dp_ros.runtime.seldom import Seldom
from intra_dp_ros.runtime.sender import FrameKey, TileSender, window_bytes
from intra_dp_ros.runtime.stats import FrameStats, Inference
from intra_dp_ros.runtime.uplink import Uplink
from intra_dp_ros.wire.link import Control, Link
from intra_dp_ros.wire.messages import PROBE, Ack, BandwidthSample, Heartbeat, Message, Tile, serialised_bytes
from intra_dp_ros.wire.session import SessionError
from intra_dp_ros.wire.source import DIFFERS, Source
from intra_dp_ros.wire.tile import TileError, decode_tile

_LOG = logging.getLogger(__name__)

_RECENT = 4  # frames whose timelines can be asked for afterwards


class Robot:
    """One model on one robot.

    Args:
        recording: of the model.
        folder: cache of profiles and plans on disk.
        config: see there.
        progress: called with (what, done, of) by whatever takes long.
        emulate: computing is replaced by waits of these times, for benches.

    Raises:
        GraphError: the graph cannot be run on this device.
        ValueError: a strategy that does not exist.
    """

    def __init__(self, recording: Recording, folder: str, config: RobotConfig = RobotConfig(),
                 progress: Progress = no_progress, emulate: Optional[Emulate] = None) -> None:
        folder = os.path.expanduser(folder)
        self.config = config
        recording = prepare(recording)
        self.engine = Engine(recording.graph, recording.weights, config.device, emulate=emulate)
        self._aim = Aim(self.engine.tiling, config, os.path.join(folder, "codecs"))
        _LOG.info("%s", self.engine.tiling.uncut_in_words())
        self.engine.measure(os.path.join(folder, "profiles"), progress)
        self.bandwidth = BandwidthEstimator(config.robot_id)
        self._uplink = Uplink(self.bandwidth)
        self.connection: Optional[Connection] = None
        self._weights = recording.weights
        self._progress = progress
        self._planner = Planner(self.engine, config.slowdown, self._aim.link_at(), config.input_codec, config.objective,
                                config.power, os.path.join(folder, "plans"), self._on_plans, progress)
        self._choice = Choice(Part.of_robot(self.engine.kernels, local_plan(self.engine.tiling)),
                              self._planner.local_s, self._aim.link_at)
        self._words: Dict[int, str] = {0: "local"}
        self._sender: Optional[TileSender] = None
        self._busy = threading.Lock()  # one frame at a time
        self._offering = threading.Lock()
        self._may_complain = Seldom()
        self._number = 0
        self._runner = Runner(self.engine, self._choice, config.slowdown, self._planner.local_s, self.bandwidth,
                              self._situation)
        self._uses_source = True  # until the server makes other pixels of one
        self._recent: Deque[FrameStats] = collections.deque(maxlen=_RECENT)
        self._probe_period_s = 1.0
        self._energy = FrameEnergy(config.power, Rails.find() if config.slowdown == 1.0 else None)
        self.strategy = ""
        self.set_strategy(config.strategy)

    def connect(self, link: Link, control: Control) -> None:
        """Look for the server behind a link, from now on; the link stays the caller's to close."""
        self.connection = Connection(self.config.robot_id, self.engine, self._weights, link, control,
                                     self._needs_probe, self._is_sending, self._preferred, self._progress)
        self.connection.probe_period_s = self._probe_period_s
        self._sender = TileSender(link, self.engine.tiling, "to_server", self._window)
        self._runner.connect(self._sender, self.connection)
        if self.strategy == "local":
            self.connection.wanted.clear()
        link.subscribe(self._on_message)
        self.connection.start()

    def set_strategy(self, name: str) -> None:
        """Change the strategy from the next frame on.

        Raises:
            ValueError: naming those that exist.
        """
        if name != AUTO and name not in STRATEGIES:
            raise ValueError("no strategy {!r}; there are: {}".format(name, ", ".join([AUTO, *STRATEGIES])))
        self.strategy = name
        self._choice.restart()
        if name != "local":
            self._planner.want(searched(name))
        if self.connection is not None:
            (self.connection.wanted.clear if name == "local" else self.connection.wanted.set)()
        self._offer()

    def aim(self, objective: Objective, input_codec: str) -> None:
        """Plan for another objective or codec of the inputs from now on; plans that are there serve until then.

        Raises:
            CodecError: no such codec here.
        """
        self._aim.want(objective, input_codec, self._planner)
        self.config = replace(self.config, objective=objective, input_codec=input_codec)

    def probe_every(self, period_s: float) -> None:
        """How often an idle link that no monitor measures is probed [s]; infinity: never."""
        self._probe_period_s = period_s
        if self.connection is not None:
            self.connection.probe_period_s = period_s

    def infer(self, inputs: Sequence[torch.Tensor], stamp: Tuple[int, int] = (0, 0), frame_id: str = "",
              source: Optional[Source] = None) -> Inference:
        """The model's flat outputs for one frame.

        Args:
            inputs: the graph's inputs, in order, of the recorded shapes and types.
            stamp, frame_id: of the sensor message; they travel with the tiles.
            source: what the first input was made of: it travels instead where the plans say so (codec `source`).

        Raises:
            GraphError: other inputs than recorded.
        """
        self.engine.check(inputs)
        with self._busy:
            self._number += 1
            if self._aim.codecs.take():
                self._aim.tell(self._planner)
            if self._aim.is_new():
                self._choice.forget()
            state, now = self.state, self._situation()
            part, why_alone = self._choice.plan_for(now)
            predicted_s = self._choice.predicted_s(part, now)
            expected_s = self._choice.expected_s(part, predicted_s)
            key = FrameKey(self.config.robot_id, 0, self._number, 0, stamp, frame_id)
            ran = self._runner.run(Ask(inputs, key, source if self._uses_source else None, self._adapts), part,
                                   expected_s, now.bandwidth)
            done = time.monotonic()
            if ran.frame.part is part:
                self._choice.learn(part, predicted_s, done - ran.frame.began)
            self._aim.codecs.offer(inputs, ran.outputs, source)
            self._recent.append(self._stats(ran, ran.reason or why_alone, state, now.bandwidth, expected_s, done))
            return Inference(ran.outputs, self._recent[-1])

    @property
    def state(self) -> str:
        """LOCAL, CONNECTING or SPLIT."""
        return LOCAL if self.connection is None else self.connection.state

    @property
    def uplink(self) -> float:
        """The newest estimate of the uplink [byte/s], from own traffic or from the monitor; 0: unknown."""
        return self._uplink.rate

    def on_bandwidth(self, sample: BandwidthSample) -> None:
        """What a bandwidth monitor says."""
        self._uplink.hear(sample)

    def plan(self, epoch: int) -> Plan:
        """The plan of an answered frame.  Raises KeyError: it is not among the present plans any more."""
        return self._choice.parts[epoch].plan if epoch else self._choice.local.plan

    def has_plans(self, strategy: str) -> bool:
        """Whether frames can run under a strategy: its plans are made and the server holds them."""
        if strategy == "local":
            return True
        table = self._planner.table(searched(strategy))
        return table is not None and self.connection is not None and all(
            p.is_local or p.epoch in self.connection.confirmed for p in table.plans)

    def status(self) -> Dict[str, Any]:
        """For people and reports."""
        connection = self.connection
        return {
            "robot_id": self.config.robot_id, "state": self.state, "strategy": self.strategy,
            "model_hash": self.engine.graph.hash[:12],
            "problem": "" if connection is None else connection.problem, "frames": self._number,
            "upload": {} if connection is None else connection.uploader.status(),
            "ready": {name: self.has_plans(name) for name in (AUTO, *STRATEGIES)},
            "is_planning": self.strategy != "local" and not self._planner.is_current(searched(self.strategy)),
            "rtt_ms": 0.0 if connection is None else connection.pulse.rtt * 1e3, "uplink_MBps": self.uplink / 1e6,
            "uplink_age_s": min(self._uplink.age_s, 1e6),
            "server_clock_offset_s": 0.0 if connection is None else connection.pulse.offset,
            "local_ms": self._planner.local_s * 1e3, "slowdown": self.config.slowdown,
            "recent": [self._timeline_of(s) for s in list(self._recent)]}

    def close(self) -> None:
        """Stop all threads of this robot."""
        self._energy.close()
        self._planner.close()
        if self.connection is not None:
            self.connection.close()
            self._sender.close()

    def _situation(self) -> Situation:
        name = searched(self.strategy)
        return Situation(name, self._planner.table(name), self._planner.timeline, self.connection, self.uplink,
                         self._uplink.age_s, self._aim.load)

    @property
    def _adapts(self) -> bool:
        """Whether frames may change in their middle; baselines' do not."""
        return self.config.adaptive and searched(self.strategy) == "intra_dp"

    def _stats(self, ran: Ran, reason: str, state: str, bandwidth: float, expected_s: float, done: float
               ) -> FrameStats:
        frame, traffic = ran.frame, ran.traffic
        plan, latency = frame.part.plan, done - frame.began
        busy = union(frame.busy)
        radio = outside([(sent, min(acked, done)) for sent, acked, _ in traffic.spans], frame.busy)
        spans = [*frame.spans, *(Span(UPLINK, sent - frame.began, acked - frame.began, label)
                                 for sent, acked, label in traffic.spans)]
        return FrameStats(
            frame=self._number, outcome=ran.outcome, reason=reason, state=state, strategy=self.strategy,
            plan=self._words.get(plan.epoch, plan.strategy), epoch=plan.epoch, inference_s=latency,
            predicted_s=expected_s, encode_s=traffic.encode_s, uplink_wait_s=traffic.wait_s,
            robot_compute_s=busy, server_compute_s=frame.server_busy_s, downlink_s=frame.downlink_s,
            merge_s=frame.merge_s, bytes_up=traffic.bytes, bytes_down=frame.bytes_down,
            energy_j=self._energy.of(busy, radio, frame.began, done), energy_source=self._energy.source,
            bandwidth=bandwidth, began=frame.began, spans=tuple(spans))

    def _timeline_of(self, done: FrameStats) -> Dict[str, Any]:
        """What a frame really did and what the scheduler expected of it, for pictures."""
        part, timeline, expected = self._choice.parts.get(done.epoch), self._planner.timeline, ()
        if part is not None and timeline is not None and done.bandwidth > 0 and not done.reason:
            expected = timeline.predict(part.plan, self._aim.link_at(done.bandwidth)).spans
        return done.traced(expected)

    def _on_message(self, message: Message) -> None:
        connection = self.connection
        received = time.monotonic()
        if isinstance(message, Ack) and message.frame == 0:
            self.bandwidth.on_ack("up", message)  # of a probe, which belongs to no session
            return
        try:
            connection.check(message)
        except SessionError as error:
            _LOG.debug("a message is dropped: %s", error)
            return
        if isinstance(message, Heartbeat):
            trip = connection.on_heartbeat(message)
            if trip is None:
                return
            self.bandwidth.on_rtt(trip.seconds, trip.offset)
            self._aim.hear(connection.pulse.rtt, message.load, connection.uploader.status()["missing"] > 0,
                           self._planner)
            if connection.server_profile is not None:  # after the round trip: plans are searched for from now on
                self._planner.server_is(connection.server_profile)
            return
        connection.pulse.note()
        if isinstance(message, Ack):
            self._sender.acked(message)
            self.bandwidth.on_ack("up", message)
            if not message.accepted:
                if self._may_complain():
                    _LOG.warning("the server dropped a tile: %s", message.reason)
                self._uses_source &= DIFFERS not in message.reason
                frame = self._runner.frame
                if frame is not None and message.frame == self._number:
                    frame.refused = message.reason or "it does not say why"
        elif isinstance(message, Tile) and message.tensor != PROBE:
            self._on_tile(message, received)

    def _on_tile(self, tile: Tile, received: float) -> None:
        frame = self._runner.frame
        reason = ""
        if frame is not None and tile.frame == self._number and tile.epoch == frame.part.plan.epoch:
            began = time.perf_counter()
            try:
                rows = decode_tile(tile, frame.part.arrives, self.engine.device)
                frame.on_tile(tile, rows, tile.sent - self.connection.pulse.offset, time.perf_counter() - began)
            except TileError as error:
                reason = str(error)
                if self._may_complain():
                    _LOG.warning("a tile is dropped: %s", reason)
        ack = Ack(self.config.robot_id, tile.session, tile.frame, tile.sequence, serialised_bytes(tile), received,
                  not reason, reason, tile.sent)
        self.connection.send(ack)
        self.bandwidth.on_ack("down", ack)

    def _on_plans(self, plans: List[Plan]) -> None:
        known = self._choice.parts
        self._choice.renew({p.epoch: known.get(p.epoch) or Part.of_robot(self.engine.kernels, p) for p in plans})
        self._words = {0: "local", **{p.epoch: p.in_words(self.engine.tiling) for p in plans}}
        self._offer()

    def _offer(self) -> None:
        """The server is to hold the plans of the present strategy: it keeps a limited number."""
        with self._offering:  # a strategy set meanwhile offers its own afterwards
            table = self._planner.table(searched(self.strategy))
            if self.connection is not None and table is not None:
                self.connection.offer([p for p in table.plans if not p.is_local])

    def _window(self) -> int:
        rtt = 0.0 if self.connection is None else self.connection.pulse.rtt
        return window_bytes(self.bandwidth.sample().up, rtt)

    def _is_sending(self) -> bool:
        """Whether a frame uses the link."""
        frame = self._runner.frame
        return frame is not None and not frame.part.plan.is_local

    def _preferred(self, bandwidth: float) -> Optional[Plan]:
        """The plan of the present bandwidth, of `bandwidth` where that is unknown; None: there are no plans yet."""
        table = self._planner.table(searched(self.strategy))
        return None if table is None else table.rungs[table.lookup(self.uplink or bandwidth)].plan

    def _needs_probe(self) -> bool:
        return not self._is_sending() and self._uplink.needs_probe(self._probe_period_s)
