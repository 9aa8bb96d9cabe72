"""One robot's session on the server: checks and acknowledges its tiles, computes its frames, sends results back.

Threading: link threads check, decode and acknowledge tiles and put them into the inbox; one worker thread computes,
when it is the frame's turn; the sender has its own thread.  `_change` covers the inbox, the plans and what is admitted.
"""
import collections
import logging
import threading
import time
from dataclasses import replace
from typing import Any, Deque, Dict, List, Optional, Tuple
from zlib import crc32

import torch

from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.lop.plan import Plan, PlanError
from intra_dp_ros.lop.stream import Stream
from intra_dp_ros.runtime.admission import Admission
from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.engine import Engine
from intra_dp_ros.runtime.load import Share
from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.pulse import AWAKE_S, IDLE_PERIOD_S, WAITING_PERIOD_S, Pulse
from intra_dp_ros.runtime.seldom import Seldom
from intra_dp_ros.runtime.sender import FrameKey, TileSender, window_bytes
from intra_dp_ros.runtime.turns import Turn, Turns
from intra_dp_ros.wire.link import Link
from intra_dp_ros.wire.messages import AGAIN, PROBE, Ack, Heartbeat, Message, PlanMessage, Tile, serialised_bytes
from intra_dp_ros.wire.session import Gate, SessionError
from intra_dp_ros.wire.source import Joiner, SourceError
from intra_dp_ros.wire.tile import TileError, TileSpec, decode_tile, no_rows

_LOG = logging.getLogger(__name__)
_PLANS = 64  # of one session; the one that frames have not used for longest goes first
_UNKNOWN_S = 0.1  # what a frame is expected to take when its plan does not say
_SPANS_KEPT = 4  # frames whose computing can be asked for afterwards
_QUIET_S = 1.0  # a frame of which nothing has come for so long keeps nobody busy: robots may end theirs alone


class _Abandoned(Exception):
    """The robot has gone on to another frame, or with this one by another plan."""


class _Frame:
    """A frame that the server works on."""

    def __init__(self, key: FrameKey, part: Part) -> None:
        self.key = key
        self.part = part
        self.stream: Optional[Stream] = None
        self.turn: Optional[Turn] = None
        expected_ms = part.plan.predicted_ms
        self.due = time.monotonic() + (_UNKNOWN_S if expected_ms is None else expected_ms / 1e3)  # monotonic [s]
        self.busy = 0.0  # computing so far [s]
        self.spans: List[Tuple[float, float]] = []  # computing: begin, end (monotonic) [s]
        self.heard = time.monotonic()  # when the last of its tiles came (monotonic) [s]

    @property
    def is_live(self) -> bool:
        """Whether it computes, waits for its turn, or tiles of it may be on their way."""
        return self.turn is not None or time.monotonic() - self.heard < _QUIET_S


class RobotSession:
    """What the server keeps for one robot.

    Args:
        robot_id: checked.
        nonce: that every message of the session carries.
        engine: of the robot's graph.
        link: to the robot; belongs to the session until `release`.
        turns: of the processor, shared by all sessions.
    """

    def __init__(self, robot_id: str, nonce: int, engine: Engine, link: Link, turns: Turns) -> None:
        self.robot_id = robot_id
        self.nonce = nonce
        self.engine = engine
        self._link = link
        self._turns = turns
        self._gate = Gate(robot_id, nonce)
        self._pulse = Pulse()
        self._opened = time.monotonic()
        self._bandwidth = BandwidthEstimator(robot_id)  # "up" is from here to the robot
        self._sender = TileSender(link, engine.tiling, "to_{}".format(robot_id), self._window)
        self._change = threading.Condition()
        self._inbox: Deque[Tuple[Tile, torch.Tensor]] = collections.deque()
        self._parts: Dict[int, Part] = {}  # by epoch
        self._joiner = Joiner()
        self._admission = Admission(engine.graph.inputs)
        self._inputs: Tuple[int, List[Tuple[int, int, torch.Tensor]]] = (0, [])  # frame; tensor, first row, rows
        self._current: Optional[_Frame] = None
        self._recent: Deque[_Frame] = collections.deque(maxlen=_SPANS_KEPT)
        self._next_beat = 0.0
        self._awake_until = 0.0  # the robot has frames (monotonic) [s]
        self._frames = 0
        self._load = Share()
        self._may_complain = Seldom()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="serve_{}".format(robot_id), daemon=True)
        self._worker.start()

    @property
    def silent_s(self) -> float:
        """Since the robot was last heard, or the session was opened [s]."""
        return time.monotonic() - max(self._pulse.heard, self._opened)

    @property
    def is_busy(self) -> bool:
        """Whether a frame is being worked on."""
        frame = self._current
        return frame is not None and frame.is_live

    @property
    def wants_processor(self) -> bool:
        """Whether a frame computes or waits for its turn."""
        frame = self._current
        return frame is not None and frame.turn is not None

    def status(self) -> Dict[str, Any]:
        """For people and reports."""
        with self._change:
            recent = [{"frame": f.key.frame, "busy_s": f.busy, "spans": list(f.spans)} for f in self._recent]
            return {"session": str(self.nonce), "graph": self.engine.graph.hash[:12], "plans": sorted(self._parts),
                    "frames": self._frames, "refused": dict(self._gate.refused), "recent": recent}

    def beat(self, others: float) -> None:
        """Send a heartbeat when one is due; called every few milliseconds.

        Args:
            others: frames of other robots that want the processor now, more than it can compute beside this one's.
        """
        now = time.monotonic()
        load = self._load.add(others)
        frame = self._current
        if not self.is_busy and now < self._next_beat:
            return
        self._next_beat = now + (WAITING_PERIOD_S if now < self._awake_until else IDLE_PERIOD_S)
        with self._change:
            epochs = tuple(sorted(self._parts))
        stream = frame.stream if frame is not None else None
        self._link.send(self._pulse.beat(
            self.robot_id, self.nonce, frame=frame.key.frame if frame is not None else 0,
            progress=stream.steps_done if stream is not None else 0, epochs=epochs,
            load=load))

    def release(self) -> Link:
        """End the session and hand its link over to the next one."""
        self._stop()
        return self._link

    def close(self) -> None:
        """End the session and its link."""
        self._stop()
        self._link.close()

    def _stop(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._sender.close()

    def on_message(self, message: Message) -> None:
        """Something came from the robot; called from link threads."""
        received = time.monotonic()
        try:
            self._gate.check(message)
        except SessionError as error:
            if isinstance(message, Tile):
                self._acknowledge(message, received, str(error))
            return
        if isinstance(message, Tile) and message.tensor == PROBE:
            self._acknowledge(message, received)
            return
        self._pulse.note()
        if isinstance(message, Tile):
            self._on_tile(message, received)
        elif isinstance(message, Ack):
            self._sender.acked(message)
            self._bandwidth.on_ack("up", message)
        elif isinstance(message, Heartbeat):
            self._on_heartbeat(message, received)
        elif isinstance(message, PlanMessage):
            self._on_plan(message)

    def _on_heartbeat(self, message: Heartbeat, received: float) -> None:
        trip = self._pulse.received(message)
        if trip is not None:
            self._bandwidth.on_rtt(trip.seconds, trip.offset)
        if message.frame:
            if received >= self._awake_until:
                self._next_beat = 0.0  # the robot has not heard this side for longer than it may in a frame
            self._awake_until = received + AWAKE_S

    def _on_plan(self, message: PlanMessage) -> None:
        try:
            plan = Plan.from_json(message.json)
            if plan.epoch != message.epoch:
                raise PlanError("a plan of epoch {} was sent as epoch {}".format(plan.epoch, message.epoch))
            part = Part.of_server(self.engine.kernels, plan)
        except (PlanError, GraphError) as error:  # the latter: of a weight that is not here
            _LOG.error("plan %d of robot %s is refused: %s", message.epoch, self.robot_id, error)
            return
        with self._change:
            self._parts.pop(plan.epoch, None)
            self._parts[plan.epoch] = part  # the newest: epochs do not tell, a robot may come back to old ones
            while len(self._parts) > _PLANS:
                del self._parts[next(iter(self._parts))]
        self._next_beat = 0.0  # tell the robot at once

    def _on_tile(self, tile: Tile, received: float) -> None:
        with self._change:
            part = self._parts.pop(tile.epoch, None)
            if part is not None:
                self._parts[tile.epoch] = part  # the newest: it is in use
        try:
            if part is None:
                raise TileError("a tile of plan {}, which this server does not have".format(tile.epoch))
            spec = part.arrives.get(tile.tensor)
            whole = self._whole(tile, spec)
            if whole is not None:
                with self._change:
                    self._admission.check(whole, spec)
                rows = no_rows(tile) if tile.tensor == AGAIN else decode_tile(whole, part.arrives, self.engine.device)
                with self._change:  # before the acknowledgement, which takes its time
                    self._admission.admit(whole, spec)
                    if self._inbox and self._inbox[-1][0].frame < tile.frame:
                        self._inbox.clear()  # nobody waits for them any more
                    self._inbox.append((tile, rows))
                    self._change.notify_all()
        except TileError as error:
            self._acknowledge(tile, received, str(error))
            return
        self._acknowledge(tile, received)

    def _whole(self, tile: Tile, spec: Optional[TileSpec]) -> Optional[Tile]:
        """A tile with all of its encoding; None while parts of it are on their way.

        Raises:
            TileError: it cannot be part of anything.
        """
        if tile.codec != "source" or spec is None or spec.codec != tile.codec:
            return tile
        if crc32(tile.data) != tile.crc32:
            raise TileError("a tile of tensor {}: its data is broken".format(tile.tensor))
        try:
            data = self._joiner.add((tile.frame, tile.tensor, tile.start), tile.data)
        except SourceError as error:
            raise TileError("a tile of tensor {}: {}".format(tile.tensor, error)) from None
        return None if data is None else replace(tile, data=data, crc32=crc32(data))

    def _acknowledge(self, tile: Tile, received: float, reason: str = "") -> None:
        if reason and self._may_complain():
            _LOG.warning("a tile of robot %s is dropped: %s", self.robot_id, reason)
        ack = Ack(self.robot_id, tile.session, tile.frame, tile.sequence, serialised_bytes(tile), received, not reason,
                  reason, tile.sent)
        self._link.send(ack)
        self._bandwidth.on_ack("down", ack)

    def _window(self) -> int:
        """Of the link to the robot; before anything was sent there, the link from it says what to expect."""
        now = self._bandwidth.sample()
        return window_bytes(now.up or now.down, now.rtt)

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._inbox and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                tiles = list(self._inbox)
                self._inbox.clear()
            try:
                self._serve(tiles)
            except _Abandoned:
                self._end()
            except Exception:  # the robot finishes the frame itself; the server lives on
                _LOG.exception("frame of robot %s failed", self.robot_id)
                self._end()

    def _serve(self, tiles: List[Tuple[Tile, torch.Tensor]]) -> None:
        """Feed what has come, and compute when the last tile of a chunk is among it."""
        whole_chunk = False
        for tile, rows in tiles:
            self._keep(tile, rows)
            frame = self._current
            if frame is None or not frame.key.is_of(tile):
                if self._recent and self._recent[-1].key.is_past(tile):
                    continue  # of a frame that is done or was given up
                frame = self._begin(tile)
                whole_chunk = False
            frame.heard = time.monotonic()
            for tensor, start, value in self._inputs[1] if tile.tensor == AGAIN else [(tile.tensor, tile.start, rows)]:
                if tensor in frame.part.arrives:
                    frame.stream.feed(tensor, start, value)
            whole_chunk = whole_chunk or not tile.more
        frame = self._current
        if frame is None or not whole_chunk:
            return
        frame.turn = self._turns.turn(frame.due, lambda: self._is_wanted(frame))
        try:
            self._take_turn(frame)
            frame.stream.advance()
            self._account(frame)
        finally:
            frame.turn.release()
            frame.turn = None
        if frame.stream.is_complete:
            self._frames += 1
            self._end()

    def _keep(self, tile: Tile, rows: torch.Tensor) -> None:
        """The inputs' rows stay until the next frame: this one may go on by another plan."""
        if self._inputs[0] != tile.frame:
            self._inputs = (tile.frame, [])
        if tile.tensor in self.engine.graph.inputs:
            self._inputs[1].append((tile.tensor, tile.start, rows))

    def _end(self) -> None:
        """The frame is done or given up: only its times are asked for afterwards; its inputs' rows stay (`_keep`)."""
        frame, self._current = self._current, None
        if frame is not None:
            frame.stream = None

    def _begin(self, tile: Tile) -> _Frame:
        self._end()
        key = FrameKey(self.robot_id, self.nonce, tile.frame, tile.epoch, tile.stamp, tile.frame_id)
        with self._change:
            frame = _Frame(key, self._parts[tile.epoch])
            self._recent.append(frame)
        self._sender.begin(key)
        frame.stream = Stream(frame.part.program, lambda t, start, rows: self._emit(frame, t, start, rows),
                              lambda: self._check(frame))
        self._current = frame
        self._next_beat = 0.0
        return frame

    def _emit(self, frame: _Frame, tensor: int, start: int, rows: torch.Tensor) -> None:
        self._account(frame)
        self._sender.put(tensor, start, rows, frame.part.codecs[tensor], frame.busy)

    def _account(self, frame: _Frame) -> None:
        frame.spans[-1] = (frame.spans[-1][0], time.monotonic())
        frame.busy = sum(end - begin for begin, end in frame.spans)

    def _check(self, frame: _Frame) -> None:
        if not self._is_wanted(frame):
            raise _Abandoned()
        if frame.turn.should_pass:
            self._account(frame)
            frame.turn.release()
            self._take_turn(frame)

    def _take_turn(self, frame: _Frame) -> None:
        if not frame.turn.take():
            raise _Abandoned()
        began = time.monotonic()
        frame.spans.append((began, began))

    def _is_wanted(self, frame: _Frame) -> bool:
        return not self._closed and self._admission.is_newest(frame.key.frame, frame.key.epoch)
