"""What is known of all robots and servers of a ROS master, from the messages they publish; nothing here calls ROS.

Threading: any thread may call any method; one lock covers everything a `Board` knows.
"""
import collections
import threading
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, List, Mapping, Optional, Sequence, Tuple

from diagnostic_msgs.msg import DiagnosticArray

from intra_dp_ros.bench.record import PARTS
from intra_dp_ros.msg import BandwidthEstimate, Heartbeat, InferenceStats

RECENT_S = 10.0  # frames that count for rates and means
SILENT_S = 5.0  # without a word: shown as gone
LEVELS = ("", "warning", "error", "stale")  # of diagnostic_msgs/DiagnosticStatus
OUTCOMES = {InferenceStats.OUTCOME_LOCAL: "local", InferenceStats.OUTCOME_SPLIT: "split",
            InferenceStats.OUTCOME_TAKEOVER: "takeover"}
_MOST_POINTS = 20000  # of one kind of one robot, whatever the history is
_MOST_ROBOTS = 64  # beyond, those that have been silent for longest are forgotten


@dataclass(frozen=True)
class RobotView:
    """One robot at one moment; means are over the frames of the last `RECENT_S`."""

    name: str  # robot_id
    node: str  # its node; empty: not known yet
    state: str  # LOCAL, CONNECTING, SPLIT, "no model" or empty: not known
    silent_s: Optional[float]  # since its node was last heard; None: never
    is_silent: bool  # for longer than `SILENT_S`
    level: int  # of its diagnostics, an index into LEVELS
    message: str  # of its diagnostics
    model: str  # name and weights; empty: not known
    load: Optional[float]  # other robots that its server computes for at the same time
    frames: int  # answered in the last `RECENT_S`; the numbers below are None without any
    taken: int  # of these, taken over by the robot
    rate_hz: Optional[float]
    latency_s: Optional[float]  # median, sensor message in to result message out
    predicted_s: Optional[float]  # mean of what the scheduler expected of the inference; None: it expected nothing
    bandwidth: Optional[float]  # that the newest plan was chosen for [byte/s]; 0: unknown
    bytes_up: Optional[float]  # a frame, mean [byte]
    energy_j: Optional[float]  # a frame, mean
    last: Optional[Dict[str, Any]]  # the newest frame: see `_frame_values`
    link: Optional[Dict[str, Any]]  # the newest bandwidth estimate: see `_link_values`
    pictures: Tuple[str, ...]  # topics of images that its node publishes


@dataclass(frozen=True)
class ServerView:
    """One server at one moment."""

    name: str  # of its node
    silent_s: float  # since it was last heard
    level: int  # of its diagnostics, an index into LEVELS
    message: str  # of its diagnostics
    device: str  # torch device


@dataclass
class _Robot:
    frames: Deque[Tuple[int, float, InferenceStats]]  # number, when
    links: Deque[Tuple[int, float, BandwidthEstimate]]
    heard: float = 0.0
    since: Optional[float] = None  # when its first frame was answered
    level: int = 0
    message: str = ""
    state: str = ""
    node: str = ""
    values: Dict[str, str] = field(default_factory=dict)
    load: Optional[float] = None


@dataclass
class _Server:
    heard: float
    level: int
    message: str
    device: str


class Board:
    """What is known of everybody; times are monotonic [s].

    Args:
        history_s: how long frames and bandwidths are kept [s].
    """

    def __init__(self, history_s: float = RECENT_S) -> None:
        self._history_s = max(history_s, RECENT_S)
        self._lock = threading.Lock()
        self._robots: Dict[str, _Robot] = {}
        self._servers: Dict[str, _Server] = {}
        self._pictures: Mapping[str, Sequence[str]] = {}
        self._points = 0

    def on_stats(self, msg: InferenceStats, now: float) -> None:
        """A frame was answered."""
        with self._lock:
            robot = self._robot(msg.robot_id)
            robot.heard, robot.state = now, msg.state
            robot.since = now if robot.since is None else robot.since
            self._add(robot.frames, now, msg)

    def on_bandwidth(self, msg: BandwidthEstimate, now: float) -> None:
        """What a robot's link carries."""
        with self._lock:
            self._add(self._robot(msg.robot_id).links, now, msg)

    def on_heartbeat(self, msg: Heartbeat, now: float) -> None:
        """A server's sign of life to one robot."""
        with self._lock:
            self._robot(msg.robot_id).load = msg.load

    def on_diagnostics(self, msg: DiagnosticArray, now: float) -> None:
        """States of nodes, ours among them."""
        with self._lock:
            for status in msg.status:
                node = status.name.split(":")[0]
                values = {pair.key: pair.value for pair in status.values}
                if status.name.endswith("intra_dp robot"):
                    robot = self._robot(status.hardware_id)
                    robot.heard, robot.level, robot.message = now, status.level, status.message
                    robot.state, robot.node, robot.values = values.get("state", "no model"), "/" + node, values
                elif status.name.endswith("intra_dp server"):
                    self._servers[node] = _Server(now, status.level, status.message, values.get("device", ""))

    def on_pictures(self, pictures: Mapping[str, Sequence[str]]) -> None:
        """Which topics of images there are, by the node that publishes them."""
        with self._lock:
            self._pictures = {node: tuple(sorted(topics)) for node, topics in pictures.items()}

    def robots(self, now: float) -> List[RobotView]:
        """All robots, by name."""
        with self._lock:
            return [self._view(name, robot, now) for name, robot in sorted(self._robots.items())]

    def servers(self, now: float) -> List[ServerView]:
        """All servers, by name."""
        with self._lock:
            return [ServerView(name, now - s.heard, min(3, s.level), s.message, s.device)
                    for name, s in sorted(self._servers.items())]

    def node_of(self, robot: str) -> str:
        """A robot's node; empty when it is not known."""
        with self._lock:
            return self._robots[robot].node if robot in self._robots else ""

    def points(self, since: int) -> Tuple[int, Dict[str, Dict[str, List[List[Any]]]]]:
        """What came after point `since` (0: all that is kept), for charts.

        Returns:
            The number of the newest point, and by robot "frames": [when [s], latency [ms], inference [ms], predicted
            [ms] or None, outcome, bandwidth the plan was chosen for [MB/s]], "links": [when [s], up [MB/s] or None,
            down [MB/s] or None, round trip [ms]].
        """
        with self._lock:
            out: Dict[str, Dict[str, List[List[Any]]]] = {}
            for name, robot in self._robots.items():
                frames = [_frame_point(when, msg) for when, msg in _after(robot.frames, since)]
                links = [_link_point(when, msg) for when, msg in _after(robot.links, since)]
                if frames or links:
                    out[name] = {"frames": frames, "links": links}
            return self._points, out

    def _robot(self, name: str) -> _Robot:
        if name not in self._robots:
            while len(self._robots) >= _MOST_ROBOTS:
                del self._robots[min(self._robots, key=lambda other: self._robots[other].heard)]
            self._robots[name] = _Robot(collections.deque(maxlen=_MOST_POINTS),
                                        collections.deque(maxlen=_MOST_POINTS))
        return self._robots[name]

    def _add(self, points: Deque[Tuple[int, float, Any]], now: float, msg: Any) -> None:
        self._points += 1
        points.append((self._points, now, msg))
        while points[0][1] < now - self._history_s:
            points.popleft()

    def _view(self, name: str, robot: _Robot, now: float) -> RobotView:
        frames = [(when, msg) for _, when, msg in robot.frames if now - when <= RECENT_S]
        model = robot.values.get("model", "")
        if robot.values.get("weights"):
            model += " ({} weights)".format(robot.values["weights"])
        return RobotView(
            name=name, node=robot.node, state=robot.state, silent_s=now - robot.heard if robot.heard else None,
            is_silent=now - robot.heard > SILENT_S, level=min(3, robot.level), message=robot.message, model=model,
            load=robot.load, frames=len(frames),
            taken=sum(msg.outcome == InferenceStats.OUTCOME_TAKEOVER for _, msg in frames),
            **_means(frames, now - (robot.since or 0.0)),
            last=_frame_values(robot.frames[-1][2]) if robot.frames else None,
            link=_link_values(*robot.links[-1][1:], now) if robot.links else None,
            pictures=tuple(self._pictures.get(robot.node, ())))


def _after(points: Deque[Tuple[int, float, Any]], since: int) -> List[Tuple[float, Any]]:
    found = []
    for number, when, msg in reversed(points):
        if number <= since:
            break
        found.append((when, msg))
    return found[::-1]


def _means(frames: Sequence[Tuple[float, InferenceStats]], known_s: float) -> Dict[str, Optional[float]]:
    names = ("rate_hz", "latency_s", "predicted_s", "bandwidth", "bytes_up", "energy_j")
    if not frames:
        return dict.fromkeys(names)
    count = len(frames)
    latencies = sorted(msg.latency for _, msg in frames)
    predicted = [msg.predicted for _, msg in frames if msg.predicted > 0]
    return dict(zip(names, (
        count / min(RECENT_S, max(1.0, known_s)), latencies[count // 2],
        sum(predicted) / len(predicted) if predicted else None, frames[-1][1].bandwidth,
        sum(msg.bytes_up for _, msg in frames) / count, sum(msg.energy for _, msg in frames) / count)))


def _frame_values(msg: InferenceStats) -> Dict[str, Any]:
    """The newest frame as plain values; "parts": times by name [s]."""
    return {"frame": msg.frame, "outcome": OUTCOMES.get(msg.outcome, "?"), "reason": msg.reason,
            "strategy": msg.strategy, "plan": msg.plan, "latency": msg.latency, "inference": msg.inference,
            "predicted": msg.predicted, "bytes_up": msg.bytes_up, "bytes_down": msg.bytes_down, "energy": msg.energy,
            "energy_source": msg.energy_source, "rel_error": msg.rel_error,
            "parts": {name: getattr(msg, name) for name in PARTS}}


def _link_values(when: float, msg: BandwidthEstimate, now: float) -> Dict[str, Any]:
    """The newest estimate as plain values, in the message's units."""
    return {"up": msg.up, "down": msg.down, "rtt": msg.rtt, "age": msg.age + now - when,
            "confidence": msg.confidence, "source": msg.source}


def _frame_point(when: float, msg: InferenceStats) -> List[Any]:
    return [round(when, 3), round(msg.latency * 1e3, 2), round(msg.inference * 1e3, 2),
            round(msg.predicted * 1e3, 2) if msg.predicted > 0 else None, OUTCOMES.get(msg.outcome, "?"),
            round(msg.bandwidth / 1e6, 3)]


def _link_point(when: float, msg: BandwidthEstimate) -> List[Any]:
    known = msg.confidence > 0
    return [round(when, 3), round(msg.up / 1e6, 3) if known else None,
            round(msg.down / 1e6, 3) if known and msg.down > 0 else None, round(msg.rtt * 1e3, 2)]
