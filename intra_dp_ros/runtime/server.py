"""The server: receives graphs and weights, and runs its part of any robot's frames.  Knows no model and no application.

Threading: `open` and `put` come from service threads, messages from link threads; building a graph and serving frames
have threads of their own.  One lock covers the tables of engines and sessions; each session locks its own state.
"""
import logging
import os
import threading
import time
from typing import Any, Callable, Dict, List, Optional

import torch

from intra_dp_ros.graph.graph import Graph, GraphError
from intra_dp_ros.graph.store import Store, StoredWeights, StoreError
from intra_dp_ros.runtime.emulation import Emulate
from intra_dp_ros.runtime.engine import Engine, Progress, no_progress
from intra_dp_ros.runtime.limits import Limits, check_graph
from intra_dp_ros.runtime.machine import give_back
from intra_dp_ros.runtime.pulse import BUSY_PERIOD_S
from intra_dp_ros.runtime.serving import RobotSession
from intra_dp_ros.runtime.turns import Turns
from intra_dp_ros.wire.link import Control, Link
from intra_dp_ros.wire.messages import PROTOCOL_VERSION, BlobReply, BlobRequest, Message, OpenReply, OpenRequest
from intra_dp_ros.wire.session import SessionError, check_robot_id, new_nonce

_LOG = logging.getLogger(__name__)
_GONE_S = 30.0  # a session whose robot was not heard for so long is ended; its robot opens another one
_AWAY_S = 5.0  # a robot not heard for so long makes room for another one
_LOOK_S = 5.0  # between looks for such sessions
_FAILED_S = 30.0  # before a graph that could not be made ready is tried again
_GAP_S = 2.0  # a piece of a weight waits so long for those before it, which travel on other connections


class _Building:
    """A graph that a thread is making ready."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.engine: Optional[Engine] = None
        self.error = ""  # why it cannot be run
        self.failed = 0.0  # when that was found, monotonic [s]


class Server(Control):
    """Serves several robots.

    Args:
        folder: cache of graphs, weights and profiles on disk.
        make_link: robot id -> the server's end of a link to that robot.
        device: of torch.
        limits: what a robot may ask for.
        progress: called with (what, done, of) while a graph is made ready.
        emulate: computing is replaced by waits of these times, for benches.
    """

    def __init__(self, folder: str, make_link: Callable[[str], Link], device: str = "cpu", limits: Limits = Limits(),
                 progress: Progress = no_progress, emulate: Optional[Emulate] = None) -> None:
        self._store = Store(folder, limits.store_bytes)
        self._profiles = os.path.join(self._store.folder, "profiles")
        self._make_link = make_link
        self._device = device
        self._limits = limits
        self._progress = progress
        self._emulate = emulate
        # A GPU is one processor, and so is an emulated device; of a CPU a frame uses as many cores as it has threads.
        is_cpu = torch.device(device).type == "cpu" and emulate is None
        self._turns = Turns(max(1, len(os.sched_getaffinity(0)) // torch.get_num_threads()) if is_cpu else 1)
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # one session at a time is opened; taken before `_lock`
        self._graphs: Dict[str, _Building] = {}
        self._sessions: Dict[str, RobotSession] = {}  # by robot id
        self._closed = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="server_heartbeats", daemon=True)
        self._beats.start()

    def open(self, request: OpenRequest) -> OpenReply:
        """A robot asks to run a graph; see `OpenReply` for what it has to do next."""
        if request.version != PROTOCOL_VERSION:
            return OpenReply(False, "robot {!r} speaks protocol version {}, this server {}: install the same version "
                             "of intra_dp_ros on both".format(request.robot_id, request.version, PROTOCOL_VERSION))
        try:
            check_robot_id(request.robot_id)
            return self._open(request)
        except (SessionError, GraphError) as error:
            _LOG.warning("robot %r is refused: %s", request.robot_id, error)
            return OpenReply(False, str(error))

    def put(self, request: BlobRequest) -> BlobReply:
        """A piece of a weight."""
        try:
            if request.total > self._limits.blob_bytes:
                raise StoreError("a weight of {} bytes is more than the {} this server takes".format(
                    request.total, self._limits.blob_bytes))
            return BlobReply(True, received=self._store.blobs.write_chunk(
                request.sha256, request.offset, request.total, request.data, _GAP_S))
        except (StoreError, OSError) as error:
            return BlobReply(False, str(error))

    def status(self) -> Dict[str, Any]:
        """What the server is doing, for people and reports."""
        with self._lock:
            graphs = {name[:12]: "ready" if b.engine else b.error or "building" for name, b in self._graphs.items()}
            sessions = list(self._sessions.values())
        return {"device": self._device, "graphs": graphs, "robots": {s.robot_id: s.status() for s in sessions}}

    @property
    def is_busy(self) -> bool:
        """Whether a frame is being worked on."""
        with self._lock:
            return any(s.is_busy for s in self._sessions.values())

    def close(self) -> None:
        """End all sessions."""
        self._closed.set()
        self._beats.join(timeout=2.0)
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.close()

    def _open(self, request: OpenRequest) -> OpenReply:
        known = self._graphs.get(request.graph)
        if known is not None and known.error and time.monotonic() - known.failed > _FAILED_S:
            with self._lock:  # what was in the way, such as a full disk, may be gone
                self._graphs.pop(request.graph, None)
            known = None
        if known is None:
            graph = self._graph(request)
            if graph is None:
                return OpenReply(True, need_graph=True)
            known = self._build(graph)
        if known.error:
            return OpenReply(False, known.error)
        missing = tuple(self._store.missing(known.graph))
        received = tuple(self._store.blobs.received(name) for name in missing)
        if known.engine is None:
            return OpenReply(True, missing=missing, received=received)
        session = self._session(request.robot_id, known.engine)
        return OpenReply(True, session=session.nonce, missing=missing, received=received,
                         profile_json=known.engine.profile.to_json())

    def _graph(self, request: OpenRequest) -> Optional[Graph]:
        """The graph asked for, from the request or from disk; None: it has to be sent."""
        if request.graph_json:
            if len(request.graph_json) > self._limits.graph_bytes:
                raise GraphError("the graph takes {} bytes of JSON, this server accepts {}".format(
                    len(request.graph_json), self._limits.graph_bytes))
            graph = Graph.from_json(request.graph_json)
            if graph.hash != request.graph:
                raise GraphError("the graph sent is not {}: record and send it again".format(request.graph[:12]))
            check_graph(graph, self._limits)
            self._store.put_graph(graph)
            return graph
        try:
            graph = self._store.get_graph(request.graph)
        except StoreError:  # not here, or its file is damaged: the robot sends it
            return None
        check_graph(graph, self._limits)
        return graph

    def _build(self, graph: Graph) -> _Building:
        with self._lock:
            building = self._graphs.get(graph.hash)
            if building is not None:
                return building
            if len(self._graphs) >= self._limits.graphs:
                self._forget_one()
            building = self._graphs[graph.hash] = _Building(graph)
        threading.Thread(target=self._make, args=(building,), name="server_build", daemon=True).start()
        return building

    def _make(self, building: _Building) -> None:
        graph = building.graph
        try:  # the weights may still be on their way
            engine = Engine(graph, StoredWeights(self._store, graph), self._device, at_once=False,
                            emulate=self._emulate)
            engine.measure(self._profiles, self._progress)
            give_back()
            building.engine = engine
        except Exception as error:  # whatever a graph from outside makes go wrong is that graph's fault
            _LOG.exception("graph %s cannot be run", graph.hash[:12])
            building.failed = time.monotonic()
            building.error = "this server cannot run the graph: {}".format(error)

    def _forget_one(self) -> None:
        """Make room: the oldest graph that no session uses."""
        used = {s.engine.graph.hash for s in self._sessions.values()}
        for name, building in self._graphs.items():
            if name not in used and (building.engine or building.error):
                del self._graphs[name]
                return
        raise GraphError("this server runs {} graphs already; stop another robot first".format(len(self._graphs)))

    def _session(self, robot_id: str, engine: Engine) -> RobotSession:
        """A new session; it replaces the robot's last one but keeps its link."""
        with self._opening:  # links are made and closed outside `_lock`: that takes time, and heartbeats must go on
            idle = None
            with self._lock:
                old = self._sessions.get(robot_id)
                if old is None and len(self._sessions) >= self._limits.robots:
                    idle = max(self._sessions.values(), key=lambda s: s.silent_s)
                    if idle.silent_s < _AWAY_S:
                        raise SessionError("this server serves {} robots already: stop one, or raise its "
                                           "~max_robots".format(len(self._sessions)))
                    del self._sessions[idle.robot_id]
            if idle is not None:
                _LOG.warning("robot %s makes room for %s", idle.robot_id, robot_id)
                idle.close()
            if old is None:
                link = self._make_link(robot_id)
                link.subscribe(lambda message: self._dispatch(robot_id, message))
            else:
                link = old.release()
            session = RobotSession(robot_id, new_nonce(), engine, link, self._turns)
            with self._lock:
                self._sessions[robot_id] = session
            if self._closed.is_set():
                session.close()
        _LOG.info("robot %s runs graph %s", robot_id, engine.graph.hash[:12])
        return session

    def _dispatch(self, robot_id: str, message: Message) -> None:
        session = self._sessions.get(robot_id)
        if session is not None:
            session.on_message(message)

    def _end_gone(self) -> None:
        """End the sessions of robots that are gone: they would keep their graphs, and ROS looking for them."""
        with self._opening:
            with self._lock:
                gone = [session for session in self._sessions.values() if session.silent_s > _GONE_S]
                for session in gone:
                    del self._sessions[session.robot_id]
            for session in gone:
                _LOG.info("robot %s is gone", session.robot_id)
                session.close()

    def _beat(self) -> None:
        look = 0.0
        while not self._closed.wait(BUSY_PERIOD_S):
            with self._lock:
                sessions: List[RobotSession] = list(self._sessions.values())
            now = time.monotonic()
            if now >= look and any(session.silent_s > _GONE_S for session in sessions):
                look = now + _LOOK_S
                threading.Thread(target=self._end_gone, name="server_end", daemon=True).start()
            wanting = sum(session.wants_processor for session in sessions)
            for session in sessions:
                others = wanting - session.wants_processor
                try:
                    session.beat(max(0.0, (1 + others) / self._turns.slots - 1.0))
                except Exception:  # one robot's trouble must not silence the server for the others
                    _LOG.exception("no heartbeat to robot %s", session.robot_id)
