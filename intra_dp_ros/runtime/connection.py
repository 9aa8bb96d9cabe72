"""The robot's connection to a server: opens a session, has uploaded what is missing, keeps it alive, opens it again.

Threading: one thread talks to the server's services (which may block) and sends heartbeats and plans; the frame thread
calls `begin` and `end`; link threads call `check` and `on_heartbeat`; anyone may read the properties.  `_lock` covers
the session, the plans and what the server confirmed.
"""
import logging
import math
import threading
import time
from dataclasses import replace
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

from intra_dp_ros.lop.plan import Plan
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.runtime.engine import Engine, Progress, no_progress
from intra_dp_ros.runtime.pulse import AWAKE_S, IDLE_PERIOD_S, Pulse, RoundTrip
from intra_dp_ros.runtime.upload import Uploader
from intra_dp_ros.wire.link import Control, ControlError, Link
from intra_dp_ros.wire.messages import Heartbeat, OpenReply, OpenRequest, PlanMessage
from intra_dp_ros.wire.session import Gate, SessionError
from intra_dp_ros.wire.tile import probe_tile

_LOG = logging.getLogger(__name__)

LOCAL, CONNECTING, SPLIT = "LOCAL", "CONNECTING", "SPLIT"  # states

_LOST_S = 0.5  # without a sign of life: frames are computed locally
_REOPEN_S = 1.0  # without a sign of life: the session is opened anew
_GRACE_S = 2.0  # for the first sign of life of a new session
_POLL_S = 0.5  # between questions whether the server is ready
#: Before a plan that the server has not confirmed is sent again; twice as long every time, as it may have refused it.
_RESEND_S, _LONGEST_RESEND_S = 1.0, 30.0
_ORDER_S = 1.0  # between looks at which weights are needed first
_PROBE_BYTES, _PROBES = 8 * 1024, 4  # a train small enough not to disturb, long enough to be timed
_REFUSED_S = 5.0  # before asking again after a refusal


class Connection:
    """One robot's session.

    Args:
        robot_id: unique among the robots of a server.
        engine: of the graph the server is to run.
        weights: constant -> tensor.
        link, control: the robot's ends; the link is closed by its owner.
        needs_probe: whether the bandwidth is unknown and nobody measures it.
        is_busy: whether a frame is using the link.
        preferred: the plan that would be used, at a bandwidth [byte/s] unless a better estimate is there.
        progress: called with (what, done, of) during the upload.
    """

    def __init__(self, robot_id: str, engine: Engine, weights: Dict[str, Any], link: Link, control: Control,
                 needs_probe: Callable[[], bool], is_busy: Callable[[], bool] = lambda: False,
                 preferred: Callable[[float], Optional[Plan]] = lambda bandwidth: None,
                 progress: Progress = no_progress) -> None:
        self.robot_id = robot_id
        self.pulse = Pulse()
        self.problem = "no server has answered yet"  # why frames are not split; empty when they can be
        self.server_profile: Optional[Profile] = None
        self.probe_period_s = 1.0  # between probes of an idle link that nobody measures [s]; infinite: none
        self.wanted = threading.Event()  # cleared: stay alone
        self.wanted.set()
        self._engine = engine
        self.uploader = Uploader(robot_id, {engine.graph.constants[name].sha256: tensor
                                            for name, tensor in weights.items()}, control, self.wanted, is_busy,
                                 progress)
        self._preferred = preferred
        self._next_order = 0.0
        self._names = [spec.sha256 for spec in engine.graph.constants.values()]
        self._link = link
        self._control = control
        self._needs_probe = needs_probe
        self._lock = threading.Lock()
        self._session = 0
        self._gate: Optional[Gate] = None
        self._opened = 0.0  # monotonic [s]
        self._plans: List[Plan] = []
        self._sent: Dict[int, Tuple[float, float]] = {}  # epoch -> when it is sent again, how long it waits then
        self._confirmed: FrozenSet[int] = frozenset()
        self._frame = 0  # that is being worked on; 0: none
        self._told = -math.inf  # when the server was last told of a frame (monotonic) [s]
        self._probes = 0
        self._last_probe = -math.inf
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connection", daemon=True)

    def start(self) -> None:
        """Begin connecting."""
        self._thread.start()

    def close(self) -> None:
        """Stop; returns at once even while a service call hangs."""
        self._closed.set()
        self.uploader.close()

    @property
    def session(self) -> int:
        """Nonce of the session; 0: none."""
        return self._session

    @property
    def confirmed(self) -> FrozenSet[int]:
        """Epochs of the plans that the server holds and has validated."""
        return self._confirmed

    @property
    def is_alive(self) -> bool:
        """Whether a session is open and the server was heard of late."""
        return self._session != 0 and time.monotonic() - self.pulse.heard < _LOST_S

    @property
    def state(self) -> str:
        """LOCAL, CONNECTING or SPLIT."""
        if not self.wanted.is_set():
            return LOCAL
        return SPLIT if self.is_alive and self._confirmed else CONNECTING

    def offer(self, plans: Sequence[Plan]) -> None:
        """The plans that the server is to hold, from now on and in every new session."""
        with self._lock:
            self._plans = list(plans)
            self._sent.clear()

    def begin(self, frame: int) -> None:
        """A frame begins, with or without the server: one that rests between frames is told, and beats more often."""
        self._frame = frame
        if self._session and self.wanted.is_set() and time.monotonic() - self._told > AWAKE_S / 2:
            self._beat()

    def end(self) -> None:
        """The frame is answered."""
        self._frame = 0

    def send(self, message: Any) -> None:
        """Send to the server; never blocks."""
        self._link.send(message)

    def check(self, message: Any) -> None:
        """Raises SessionError when a message does not belong to the session."""
        gate = self._gate
        if gate is None:
            raise SessionError("there is no session yet")
        gate.check(message)

    def on_heartbeat(self, beat: Heartbeat) -> Optional[RoundTrip]:
        """A checked heartbeat; the round trip it closes, if any."""
        with self._lock:
            if beat.session == self._session:  # else another one was opened since it was checked
                self._confirmed = frozenset(beat.epochs)
        return self.pulse.received(beat)

    def _run(self) -> None:
        while not self._closed.wait(IDLE_PERIOD_S):
            if not self.wanted.is_set():
                continue
            try:
                now = time.monotonic()
                silent = now - max(self.pulse.heard, self._opened + _GRACE_S - _REOPEN_S)
                if self._session == 0 or silent > _REOPEN_S:
                    if self._session and not self.problem:
                        self._say("the server is silent")
                    self._open()
                self._keep(time.monotonic())
            except ControlError as error:
                self._say(str(error))
            except Exception:  # this thread must not die: without it the robot never splits again
                _LOG.exception("the connection failed; it is tried again")

    def _keep(self, now: float) -> None:
        """Heartbeat, plans that are not confirmed, probes."""
        if self._session == 0:
            return
        self._beat()
        with self._lock:
            # Only to a server that is heard: what is sent into silence is lost, and would have to wait for its turn.
            due = [p for p in self._plans if self.is_alive and p.epoch not in self._confirmed
                   and now > self._sent.get(p.epoch, (0.0, 0.0))[0] and self.uploader.holds(self._needs(p))]
            for plan in due:
                _, pause = self._sent.get(plan.epoch, (0.0, _RESEND_S))
                self._sent[plan.epoch] = now + pause, min(2 * pause, _LONGEST_RESEND_S)
        for plan in due:
            self._link.send(PlanMessage(self.robot_id, self._session, plan.epoch, plan.graph, plan.to_json()))
        if self.is_alive:
            if not self.uploader.holds(self._names):
                self._order_upload(now)
                self.problem = "" if self._confirmed else (
                    self.uploader.problem or "weights are on their way to the server")
            else:
                self.problem = "" if self._confirmed else "the server has no plan yet"
            if now - self._last_probe >= self.probe_period_s < math.inf and self._needs_probe():
                self._last_probe = now
                for _ in range(_PROBES):
                    self._link.send(replace(probe_tile(self.robot_id, self._probes, _PROBE_BYTES), sent=now))
                    self._probes += 1
        elif self.pulse.heard > self._opened:  # else the session is new
            self._say("the server is silent")

    def _beat(self) -> None:
        frame = self._frame
        if frame:
            self._told = time.monotonic()
        self._link.send(self.pulse.beat(self.robot_id, self._session, frame=frame))

    def _open(self) -> None:
        """One attempt to open a session; what it needs is uploaded.

        Raises:
            ControlError: the server does not answer.
        """
        reply = self._ask()
        if reply.accepted and reply.need_graph:
            reply = self._ask(self._engine.graph.to_json(with_source=False))
        self.uploader.want(reply.missing, reply.received)
        if not reply.accepted:
            self._session = 0
            self._say("the server refuses: {}".format(reply.reason))
            self._closed.wait(_REFUSED_S)
        elif reply.session == 0:
            self._session = 0  # the last one is gone
            self._say("the server is making the graph ready")
            self._closed.wait(_POLL_S)
        else:
            profile = Profile.from_json(reply.profile_json)
            with self._lock:
                self._gate = Gate(self.robot_id, reply.session)
                self._confirmed = frozenset()
                self._sent.clear()
                self._session, self._opened, self._told = reply.session, time.monotonic(), -math.inf
            self.server_profile = profile
            _LOG.info("session with the server is open")

    def _ask(self, graph_json: str = "") -> OpenReply:
        return self._control.open(OpenRequest(self.robot_id, self._engine.graph.hash, graph_json))

    def _needs(self, plan: Plan) -> FrozenSet[str]:
        """SHA-256 of the weights that the server's part of a plan reads."""
        graph = self._engine.graph
        return frozenset(graph.constants[name].sha256 for node, stop in zip(graph.nodes, plan.server_stop) if stop > 0
                         for name in node.constants)

    def _order_upload(self, now: float) -> None:
        """What the plan of the moment needs is uploaded first, everything in the order of its use."""
        if now < self._next_order:
            return
        self._next_order = now + _ORDER_S
        plan, graph = self._preferred(self.uploader.rate), self._engine.graph
        self.uploader.order(self._needs(plan) if plan is not None else frozenset(),
                            [graph.constants[name].sha256 for node in graph.nodes for name in node.constants])

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            _LOG.warning("frames are computed on the robot: %s", problem)
            self.problem = problem
