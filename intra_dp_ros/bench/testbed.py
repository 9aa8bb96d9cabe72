"""Real nodes over a real shaped link: a master, a server, robots with monitor and driver, each in its place.

With root every place is a network namespace and the kernel shapes what goes between them.  Without, all nodes share the
host's loopback and the package's own relay node shapes the topics of one robot.

Threading: one thread uses this; `Talk` has one that reads.
"""
import json
import os
import queue
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from intra_dp_ros.bench.children import Child, Children, clean_groups, left_groups, share_out
from intra_dp_ros.bench.namespaces import Network, Place, TestbedError, build, clean, existing, prefix_of, remove, stale
from intra_dp_ros.bench.shaping import Air
from intra_dp_ros.loss.link_model import HALF
from intra_dp_ros.runtime.machine import HEAP_ENVIRONMENT
from intra_dp_ros.wire.shaper import Trace

NS = "/intra_dp"
PACE, QUOTA = "pace", "quota"  # how a robot is slowed: its compute thread sleeps, or the kernel's quota
_AIR_TOPICS = ("up", "probe", "plan", "heartbeat_up", "ack_down", "down", "heartbeat_down", "ack_up")
_START_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Setting:
    """What a testbed is to be like."""

    model: str  # NAME or NAME@SHAPE
    folder: str  # for logs and the nodes' caches
    robots: int = 1
    robot_speed: float = 1.0  # of this machine's
    slowed_by: str = PACE
    duplex: str = HALF
    codec: str = "raw"
    objective: str = "latency"
    adaptive: bool = True  # robots compute beside a link that is late
    seed: int = 0
    random_inputs: bool = False  # instead of real images and scans
    emulate: Tuple[str, str] = ("", "")  # files with operator times of robot and server; empty: they compute
    server_rate: float = 125e6  # of the server's own link, when robots share it [byte/s]


class Talk:
    """Questions to a driver, and its answers."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._lines: "queue.Queue[str]" = queue.Queue()
        threading.Thread(target=self._read, name="talk_" + child.name, daemon=True).start()

    def ask(self, op: str, **arguments: Any) -> None:
        """Have something done.

        Raises:
            TestbedError: the driver is gone.
        """
        try:
            self.child.process.stdin.write((json.dumps(dict(arguments, op=op)) + "\n").encode())
            self.child.process.stdin.flush()
        except OSError:
            raise TestbedError("{} has stopped:\n{}".format(self.child.name, self.child.last_words())) from None

    def answer(self, patience_s: float, check: Callable[[], None], say: Callable[[str], None] = lambda text: None
               ) -> Any:
        """What came of it.

        Args:
            check: raises when waiting is useless.
            say: called with what is being done meanwhile.

        Raises:
            TestbedError: it was not done.
        """
        end = time.monotonic() + patience_s
        while True:
            try:
                line = json.loads(self._lines.get(timeout=_POLL_S))
            except queue.Empty:
                check()
                if time.monotonic() > end:
                    raise TestbedError("{} did not answer within {:.0f} s; its log is {}".format(
                        self.child.name, patience_s, self.child.log)) from None
                continue
            if "error" in line:
                raise TestbedError("{}: {}".format(self.child.name, line["error"]))
            if "done" in line:
                return line["done"]
            say(line["doing"])

    def _read(self) -> None:
        for line in self.child.process.stdout:
            self._lines.put(line.decode())


class Testbed:
    """Context manager; everything is gone when it ends, however it ends.

    Args:
        setting: see there.
        in_kernel: whether the kernel shapes the link (namespaces, root).
        relay: parameters of the relay node, among them its trace, when not `in_kernel`.

    Raises:
        TestbedError: it cannot be built here.
    """

    __test__ = False

    def __init__(self, setting: Setting, in_kernel: bool = True, relay: Sequence[str] = ()) -> None:
        if not in_kernel and setting.robots != 1:
            raise TestbedError("several robots need network namespaces, and those need root")
        self.setting = setting
        self._in_kernel = in_kernel
        self._relay = list(relay)
        self._prefix = prefix_of(os.getpid())
        self._children = Children()
        self.air: Any = None
        self.robots: List[Child] = []
        self.server: Optional[Child] = None
        self.talks: List[Talk] = []

    def __enter__(self) -> "Testbed":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def check(self) -> None:
        """Raises TestbedError when a process has ended."""
        if self.air is not None:
            self.air.check()
        dead = self._children.dead()
        if dead is not None:
            raise TestbedError("{} has stopped; the end of {}:\n{}".format(dead.name, dead.log, dead.last_words()))

    def all(self, op: str, patience_s: float, say: Callable[[str], None] = lambda text: None, **arguments: Any
            ) -> List[Any]:
        """Have every driver do something at once; what came of it, a robot each."""
        for talk in self.talks:
            talk.ask(op, **arguments)
        return [talk.answer(patience_s, self.check, say) for talk in self.talks]

    def close(self) -> None:
        """Take everything down."""
        if self.air is not None:
            self.air.close()
            self.air = None
        self._children.stop()
        if self._in_kernel:
            remove(self._prefix)

    def _start(self) -> None:
        setting = self.setting
        os.makedirs(setting.folder, exist_ok=True)
        if self._in_kernel:
            network = build(setting.robots, setting.duplex, self._prefix)
            self.air = Air(network, os.path.join(setting.folder, "tc.log"), setting.server_rate)
            self.air.hold(setting.server_rate)
        else:
            network = Network(Place("", "127.0.0.1"), (Place("", "127.0.0.1"),), ())
        port = 11311 if self._in_kernel else _free_port()
        self._environment = {"ROS_MASTER_URI": "http://{}:{}".format(network.server.address, port),
                             "ROS_LOG_DIR": os.path.abspath(os.path.join(setting.folder, "ros")),
                             "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **HEAP_ENVIRONMENT}
        cpus = share_out(setting.robots)
        self._child("master", ["rosmaster", "--core", "-p", str(port), "-w", "3"], network.server, cpus["server"])
        self._wait_for_master(network, port)
        self.server = self._child("server", _node("server_node") + [
            "_ns:=" + NS, "_threads:=1", "_folder:=" + self._cache("server"),
            *_emulating(setting.emulate[1])], network.server, cpus["server"])
        if not self._in_kernel:
            self._child("shaper", _node("shaper_node") + ["_robot_id:=r0", "_half_duplex:={}".format(
                str(setting.duplex == HALF).lower())] + self._relay, network.robots[0], cpus["server"])
        for i, place in enumerate(network.robots):
            self._start_robot(i, place, cpus)
        if not self._in_kernel:
            self.air = RelayedAir(self)

    def _start_robot(self, i: int, place: Place, cpus: Dict[str, List[int]]) -> None:
        setting, name = self.setting, "r{}".format(i)
        own = cpus["robot{}".format(i)]
        paced = setting.slowed_by == PACE
        relayed = [] if self._in_kernel else [
            "{0}/{1}/{2}:=/air/{1}/{2}".format(NS, name, topic) for topic in _AIR_TOPICS]
        robot = self._child("robot" + name, _node("bench_robot") + relayed + [
            "__ns:=/" + name, "_robot_id:=" + name, "_ns:=" + NS, "_model:=" + setting.model, "_threads:=1",
            "_seed:={}".format(setting.seed), "_duplex:=" + setting.duplex, "_input_codec:=" + setting.codec,
            "_objective:=" + setting.objective, "_adaptive:={}".format(str(setting.adaptive).lower()),
            *_emulating(setting.emulate[0]), "_folder:=" + self._cache(name),
            "_robot_slowdown:={:g}".format(1.0 / setting.robot_speed if paced else 1.0)], place, own)
        if not paced and setting.robot_speed < 1.0:
            self._children.limit(robot, self._prefix + name, setting.robot_speed)
        self.robots.append(robot)
        self._child("monitor" + name, _node("bandwidth_monitor_node") + relayed + [
            "__ns:=/" + name, "_robot_id:=" + name, "_ns:=" + NS], place, own)
        driver = [sys.executable, "-m", "intra_dp_ros.ros.bench_driver", "--model", setting.model, "--robot-id", name,
                  "--ns", NS, "--seed", str(setting.seed), "__ns:=/" + name]
        driver += ["--random"] if setting.random_inputs else []
        self.talks.append(Talk(self._child("driver" + name, driver, place, cpus["server"], talks=True)))

    def _child(self, name: str, argv: List[str], place: Place, cpus: Sequence[int], talks: bool = False) -> Child:
        return self._children.start(name, argv, dict(self._environment, ROS_IP=place.address), os.path.join(
            self.setting.folder, name + ".log"), place.namespace, cpus, talks)

    def _wait_for_master(self, network: Network, port: int) -> None:
        """Asked from its own place: this process is in none."""
        words = "import socket; socket.create_connection(({!r}, {}), 1).close()".format(network.server.address, port)
        end = time.monotonic() + _START_S
        number = 0
        while True:
            number += 1
            tried = self._child("ask{}".format(number), [sys.executable, "-S", "-c", words], network.server, ())
            self._children.all.remove(tried)
            if tried.process.wait(timeout=10.0) == 0:
                return
            self.check()
            if time.monotonic() > end:
                raise TestbedError("the ROS master did not start within {:.0f} s".format(_START_S))
            time.sleep(_POLL_S)

    def _cache(self, name: str) -> str:
        return os.path.abspath(os.path.join(self.setting.folder, "cache", name))


class RelayedAir:
    """The relay node's trace, as `Air` has it; it plays on while nobody looks."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._traces: Sequence[Trace] = ()
        self._began = 0.0  # when the trace was at 0 (monotonic [s])

    def hold(self, rate: float) -> None:
        """The relay cannot; its trace goes on."""

    def play(self, traces: Sequence[Trace], start_s: float) -> float:
        """See `Air`; the traces must be what the relay was started with."""
        now = self._testbed.all("air", 20.0, shaper="/shaper", start_s=start_s)[0]
        self._traces, self._began = traces, now - start_s
        return now

    def truth(self, robot: int, when: float) -> float:
        """See `Air`."""
        return self._traces[robot].rate(when - self._began) if self._traces else 0.0

    def changes(self, robot: int) -> List[Tuple[float, float]]:
        """See `Air`; up to now."""
        if not self._traces:
            return []
        trace, now = self._traces[robot], time.monotonic()
        rounds = range(int(max(0.0, now - self._began) / trace.period) + 1)
        return [(self._began + k * trace.period + when, rate) for k in rounds for when, rate in trace.pieces
                if self._began + k * trace.period + when <= now]

    def check(self) -> None:
        """See `Air`; the testbed sees when the node is gone."""

    def close(self) -> None:
        """Nothing to stop."""


def clean_up() -> List[str]:
    """Remove what killed runs left behind; what it was."""
    groups = [os.path.basename(path) for prefix in stale([os.path.basename(p) for p in left_groups("idp")])
              for path in left_groups(prefix)]
    for name in groups:
        clean_groups(name)
    return clean() + groups


def left_over() -> List[str]:
    """What this process's testbeds have left behind: namespaces, control groups, children; nothing when all is well."""
    prefix = prefix_of(os.getpid())
    names = [name for name in existing() if name.startswith(prefix)] + left_groups(prefix)
    with_parent: List[Tuple[str, str]] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/{}/stat".format(entry), encoding="utf-8") as file:
                    head, tail = file.read().rsplit(")", 1)
            except OSError:
                continue
            if int(tail.split()[1]) == os.getpid() and tail.split()[0] != "Z":
                with_parent.append((entry, head))
    return names + ["process " + head + ")" for _, head in with_parent]


def _node(module: str) -> List[str]:
    return [sys.executable, "-c", "from intra_dp_ros.ros.{} import main; main()".format(module)]


def _emulating(path: str) -> List[str]:
    return ["_emulate:=" + path] if path else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
