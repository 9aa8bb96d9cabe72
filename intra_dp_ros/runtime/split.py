"""One frame on the robot: its own rows computed, rows sent, results received, until the outputs are whole.

The robot never waits for ever: when the server falls silent, or what is left would take longer than starting over, the
frame raises `TakeOver` and the caller computes it alone.

Threading: `run` on the frame thread; `on_tile` on link threads.  `_change` covers the inbox.
"""
import collections
import threading
import time
from typing import Callable, Deque, List, Mapping, Optional, Sequence, Tuple

import torch

from intra_dp_ros.lop.interval import pieces
from intra_dp_ros.lop.plan import UP
from intra_dp_ros.lop.stream import Stream
from intra_dp_ros.loss.spans import DOWNLINK, ROBOT, Span
from intra_dp_ros.runtime.bandwidth import BandwidthEstimator
from intra_dp_ros.runtime.engine import Engine
from intra_dp_ros.runtime.hedge import Beside, Hedge
from intra_dp_ros.runtime.pace import Pace
from intra_dp_ros.runtime.part import Part
from intra_dp_ros.runtime.pulse import SILENCE_S, Pulse
from intra_dp_ros.runtime.rethink import Find, Rethink
from intra_dp_ros.runtime.sender import TileSender
from intra_dp_ros.wire.messages import Tile
from intra_dp_ros.wire.source import Source

_CHECK_S = 0.005  # between looks at the link
#: Give up when sending the rest would take this many times what the frame was expected to take.
TOO_SLOW = 1.5


class Complete(Exception):
    """The server's rows were sooner than the robot that computes alone."""


class TakeOver(Exception):
    """The robot has to finish the frame itself; the message says why."""


class RobotFrame:
    """The robot's side of one frame.

    Args:
        engine: of the graph.
        part: of the plan the frame runs under.
        pace: of the emulated processor.
    """

    def __init__(self, engine: Engine, part: Part, pace: Pace) -> None:
        self.part = part
        self.began = time.monotonic()
        self.busy: List[Tuple[float, float]] = []  # computing: begin, end (monotonic) [s]
        self._is_computing = False
        self.spans: List[Span] = []
        self.merge_s = 0.0
        self.bytes_down = 0
        self.server_busy_s = 0.0
        self._server_busy_before = 0.0  # by another plan
        self.downlink_s = 0.0
        self.was_beaten = False  # the robot alone had the result before the server
        self.went_on = ""  # why another plan was given up for this one
        self.refused = ""  # why the server did not take a tile
        self._engine = engine
        self._pace = pace
        self._sender: Optional[TileSender] = None
        self._sent: Mapping[int, int] = {}  # tensor -> one past the last row that was sent by another plan
        self._change = threading.Condition()
        self._inbox: Deque[Tuple[Tile, torch.Tensor]] = collections.deque()
        self._check: Callable[[], None] = lambda: None
        self._next_check = 0.0  # looking at the link after every operator would cost more than some operators
        self._stream: Optional[Stream] = Stream(part.program, self._emit, self._step)

    def run_alone(self, inputs: Sequence[torch.Tensor], look: Callable[[], None] = lambda: None
                  ) -> Tuple[torch.Tensor, ...]:
        """A local plan.

        Args:
            look: called between operators; what it raises ends the frame.
        """
        self._check = look
        self._feed(inputs, 0, 1)
        self._advance()
        return self.outputs()

    def follow(self, before: "RobotFrame", sent: Mapping[int, int], why: str) -> None:
        """Go on where a frame under another plan ends.

        Args:
            sent: tensor -> one past the last row of it that is on its way to the server, or there.
        """
        self._sent, self.went_on = sent, "went on by another plan: " + why
        self.began, self.bytes_down, self.merge_s = before.began, before.bytes_down, before.merge_s
        self.busy, self.spans = list(before.busy), list(before.spans)
        self.server_busy_s = self._server_busy_before = before.server_busy_s

    def offer(self, inputs: Sequence[torch.Tensor], sender: TileSender, source: Optional[Source] = None) -> None:
        """Have the server compute a plan in which this side computes nothing; `look` tells when it has.

        What the sender has sent of the frame already is not sent again.
        """
        self._sender, self._sent = sender, sender.sent
        self._send_inputs(inputs, source)

    def look(self, seconds: float = 0.0) -> None:
        """Take what has come, or comes first in so many seconds.

        Raises:
            Complete: all is there.
        """
        tiles = self._came(seconds)
        if tiles:
            self._take(tiles)
            if self._stream.is_complete:
                raise Complete

    def run_split(self, inputs: Sequence[torch.Tensor], sender: TileSender, pulse: Pulse,
                  bandwidth: BandwidthEstimator, patience_s: float, deadline_s: float,
                  source: Optional[Source] = None, beside: Optional[Beside] = None, find: Find = lambda rate: None
                  ) -> Tuple[torch.Tensor, ...]:
        """A plan with the server; `sender.begin` was called for the frame.

        When rows are late, or tiles on their way to the server are, the robot begins to compute the frame alone, and
        whoever has it first answers: a link that fell in the middle of a frame costs little more than the robot alone.
        It pauses while the link is back.

        Args:
            bandwidth: of the link.
            patience_s: what the plan or a local run is expected to take, whichever is longer.
            deadline_s: since the beginning of the frame; later the robot takes over whatever happens.
            source: what the first input was made of, for the codec `source`.
            beside: None: wait for the server as long as it keeps up.
            find: of another plan, for when the link changes.

        Raises:
            TakeOver: the server or the link does not keep up.
            Again: another plan is sooner.
        """
        self._sender = sender
        hedge = rethink = None
        if beside is not None:
            now = time.monotonic()
            hedge = Hedge(beside, now, sender.traffic, lambda: pulse.rtt, is_shared=self.part.is_shared)
            rethink = Rethink(hedge, beside.rate, bandwidth, find, now)

        def check() -> None:
            now = time.monotonic()
            if now < self._next_check:
                return
            self._next_check = now + _CHECK_S
            gone = self._gone(pulse, now)
            if gone:
                raise TakeOver(gone)
            if now - self.began > deadline_s:
                raise TakeOver("no result after {:.0f} ms".format(deadline_s * 1e3))
            if rethink is not None:
                rethink.look()
            rate = bandwidth.sample().up
            if rate > 0.0:
                traffic = sender.traffic()
                left = (traffic.in_flight + traffic.queued) / rate
                if left > TOO_SLOW * patience_s:
                    raise TakeOver("sending the rest would take {:.0f} ms more".format(left * 1e3))

        self._check = check
        self._send_inputs(inputs, source)
        chunks = self.part.plan.robot_chunks
        for chunk in range(chunks):
            if self._feed(inputs, chunk, chunks):
                self._advance()
        while not self._stream.is_complete:
            tiles = self._wait(hedge)
            if not tiles:
                return self._race(inputs, beside, hedge, rethink, lambda: bool(self._gone(pulse, time.monotonic())))
            self._take(tiles)
        return self.outputs()

    def on_tile(self, tile: Tile, rows: torch.Tensor, sent: float, decode_s: float) -> None:
        """Rows came from the server.

        Args:
            sent: when, on this side's clock [s].
            decode_s: spent on checking and decoding.
        """
        now = time.monotonic()
        with self._change:
            self.spans.append(Span(DOWNLINK, sent - self.began, now - self.began, "tensor {} rows [{}, {})".format(
                tile.tensor, tile.start, tile.stop)))
            self.downlink_s = now - sent
            self.server_busy_s = max(self.server_busy_s, self._server_busy_before + tile.busy)
            self.bytes_down += len(tile.data)
            self.merge_s += decode_s
            self._inbox.append((tile, rows))
            self._change.notify_all()

    def _gone(self, pulse: Pulse, now: float) -> str:
        """Why nothing more is to be expected of the server; empty: something is."""
        if self.refused:
            return "the server refused a tile: {}".format(self.refused)
        silent = now - max(pulse.heard, self.began)
        return "the server was silent for {:.0f} ms".format(silent * 1e3) if silent > SILENCE_S + pulse.rtt else ""

    def _send_inputs(self, inputs: Sequence[torch.Tensor], source: Optional[Source]) -> None:
        given = dict(zip(self._engine.graph.inputs, inputs))
        for transfer in self.part.plan.transfers:
            if transfer.direction != UP or transfer.tensor not in given:
                continue
            axis, x = self._engine.tiling.axis[transfer.tensor], given[transfer.tensor]
            original = source if transfer.codec == "source" and x is inputs[0] else None
            for first, last in pieces(transfer.start, transfer.stop, 1 if original else transfer.chunks):
                first = max(first, self._sent.get(transfer.tensor, 0))
                if first < last:
                    self._sender.put(transfer.tensor, first, x if axis is None else x.narrow(axis, first, last - first),
                                     transfer.codec, source=original)

    def _feed(self, inputs: Sequence[torch.Tensor], chunk: int, chunks: int) -> bool:
        """Hand the next chunk of the robot's own band to its stream; whether there was any."""
        fed = False
        for (t, need), x in zip(self.part.band.items(), inputs):
            if t not in self.part.program.readers and t not in self.part.program.keep:
                continue
            axis, fed = self._engine.tiling.axis[t], True
            if axis is None:
                if chunk == 0:
                    self._stream.feed(t, 0, x.to(self._engine.device))
                continue
            first = need.start + need.size * chunk // chunks if chunk else 0
            last = need.start + need.size * (chunk + 1) // chunks
            if last > first:
                self._stream.feed(t, first, x.narrow(axis, first, last - first).to(self._engine.device))
        return fed

    def _advance(self) -> None:
        self._go_on()
        try:
            self._stream.advance()
            self._pace.finish()
        finally:
            self._rest()

    def _go_on(self) -> None:
        began = time.monotonic()
        self.busy.append((began, began))
        self._is_computing = True
        self._pace.start()

    def _rest(self) -> None:
        if not self._is_computing:
            return  # what it waited for came, and ended it
        began, now = self.busy[-1][0], time.monotonic()
        self.busy[-1], self._is_computing = (began, now), False
        self.spans.append(Span(ROBOT, began - self.began, now - self.began, "compute"))

    def _step(self) -> None:
        self._pace()
        self._check()
        self._pace.start()  # looking is no computing

    def _emit(self, tensor: int, start: int, rows: torch.Tensor) -> None:
        if self._sender is not None:
            self._sender.put(tensor, start, rows, self.part.codecs[tensor])

    def _wait(self, hedge: Optional[Hedge]) -> List[Tuple[Tile, torch.Tensor]]:
        """What has come since the last call, at least one tile; none when the rest is late."""
        while True:
            tiles = self._came(_CHECK_S)
            if tiles or (hedge is not None and hedge.is_late()):
                return tiles
            self._check()

    def _came(self, seconds: float) -> List[Tuple[Tile, torch.Tensor]]:
        """What has come since the last call; waits so long for the first."""
        with self._change:
            if not self._inbox and seconds > 0.0:
                self._change.wait(seconds)
            tiles = list(self._inbox)
            self._inbox.clear()
        return tiles

    def _race(self, inputs: Sequence[torch.Tensor], beside: Beside, hedge: Hedge, rethink: Rethink,
              is_gone: Callable[[], bool]) -> Tuple[torch.Tensor, ...]:
        """Compute alone, with an eye on what comes; the outputs of whoever is first."""
        alone = beside.alone()

        def look() -> None:
            self.look()
            now = time.monotonic()
            if now >= self._next_check:
                self._next_check = now + _CHECK_S
                if not is_gone():
                    rethink.look()
                    if hedge.may_pause():
                        alone.pause(until_late)

        def until_late() -> None:
            while not hedge.is_late() and not is_gone():
                rethink.look()
                self.look(_CHECK_S)
            hedge.begin()

        self._check = lambda: None  # the server's silence ends nothing now: the robot has the frame by itself
        hedge.begin()
        try:
            outputs = alone.run_alone(inputs, look)
            self.was_beaten = True
        except Complete:
            outputs = self.outputs()
        finally:
            self.add(alone, "beside the link")
            alone.drop()
        return outputs

    def drop(self) -> None:
        """Let go of all rows; only the times are still asked for."""
        self._check = lambda: None
        self._stream = None
        with self._change:
            self._inbox.clear()

    def pause(self, wait: Callable[[], None]) -> None:
        """Between two operators; what `wait` takes is not counted as computing."""
        self._rest()
        wait()
        self._go_on()

    def add(self, alone: "RobotFrame", label: str) -> None:
        """Count what the robot computed alone for this frame."""
        self.busy += alone.busy
        shift = alone.began - self.began
        self.spans += [Span(s.lane, s.start_s + shift, s.stop_s + shift, label) for s in alone.spans]

    def _take(self, tiles: List[Tuple[Tile, torch.Tensor]]) -> None:
        began = time.perf_counter()
        for tile, rows in tiles:
            self._stream.feed(tile.tensor, tile.start, rows)
        self.merge_s += time.perf_counter() - began
        if any(not tile.more for tile, _ in tiles) and self._stream.has_work:
            self._advance()

    def outputs(self) -> Tuple[torch.Tensor, ...]:
        """Of a complete frame."""
        began = time.perf_counter()
        outputs = tuple(self._stream.result(t).cpu() for t in self._engine.graph.outputs)
        self.merge_s += time.perf_counter() - began
        return outputs
