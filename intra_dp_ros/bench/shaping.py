"""The air of a testbed: kernel queues that follow bandwidth traces, and what they let through, for reports.

One robot: `tbf` on every port.  Several: `htb`, a class a robot that follows that robot's trace, under one class for
what the server's own link carries.

A trace says what TCP carries, as such traces are recorded; headers come on top.  While a rate is changed the kernel
fills its bucket anew, and what gathers in it while nothing is sent goes out at once: so the bucket is small, and rates
that stay are left alone.  It is the same at all rates: a packet that was let in under a larger one would wait for ever.

Threading: `play` starts one thread that writes to `tc` and to the truth; `hold` ends it first; one thread uses these.
"""
import subprocess
import threading
import time
from bisect import bisect_right
from typing import IO, List, Optional, Sequence, Tuple

from intra_dp_ros.bench.namespaces import Network, Port, TestbedError
from intra_dp_ros.wire.shaper import Trace

STEP_S = 0.1  # between looks at the trace
#: Bytes on the air for a byte of TCP's: Ethernet, IP and TCP headers with time stamps over a segment's payload.
OVERHEAD = 1514.0 / 1448.0
LEAST_RATE = 1000.0  # [byte/s]: the kernel knows no rate of 0, and a packet that waits is not looked at again for long
_BUCKET = 4000  # more than two packets [byte]
_QUANTUM = 3000  # bytes a class may send in its turn, two packets: the kernel would go by the rate, and complain
_QUEUE_S, _LEAST_QUEUE = 0.2, 256 * 1024  # what waits for the air at most [byte]


class Air:
    """Shapes the ports of a network.

    Args:
        network: as built.
        log: file for what `tc` complains of.
        server_rate: of the server's own link, shared by all robots [byte/s].

    Raises:
        TestbedError: the kernel has no such queues.
    """

    def __init__(self, network: Network, log: str, server_rate: float = 125e6) -> None:
        self._network = network
        self._server_rate = server_rate
        self._truth: List[List[Tuple[float, float]]] = [[] for _ in network.robots]  # since when, rate [byte/s]
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._log = log
        with open(log, "w", encoding="utf-8") as file:
            self._tc = [self._start(port, file) for port in network.ports]
        self._rates = [0.0] * len(network.robots)
        for tc, port in zip(self._tc, network.ports):
            for line in setup_lines(port.device, [r.address for r in network.robots], server_rate):
                self._write(tc, line)

    def check(self) -> None:
        """Raises TestbedError when the kernel did not take a rate: the link is not what its trace says then."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            said = file.read().strip()
        if said:
            raise TestbedError("tc cannot shape the link: {}".format(said.splitlines()[0]))

    def hold(self, rate: float) -> None:
        """The same rate for everybody from now on [byte/s]."""
        self._end()
        self._set([rate] * len(self._rates))

    def play(self, traces: Sequence[Trace], start_s: float) -> float:
        """Follow a trace a robot from now on.

        Args:
            start_s: where in the traces now is.

        Returns:
            The moment (monotonic [s]) at which the traces were at `start_s`.
        """
        self._end()
        self._stop = threading.Event()
        origin = time.monotonic()
        self._set([trace.rate(start_s) for trace in traces])
        self._thread = threading.Thread(target=self._follow, args=(tuple(traces), start_s, origin, self._stop),
                                        name="air", daemon=True)
        self._thread.start()
        return origin

    def truth(self, robot: int, when: float) -> float:
        """The rate at a moment (monotonic [s]) [byte/s]; 0 before the first."""
        log = self._truth[robot]
        index = bisect_right(log, (when, float("inf")))
        return log[index - 1][1] if index else 0.0

    def changes(self, robot: int) -> List[Tuple[float, float]]:
        """Every moment (monotonic [s]) at which the rate changed, and to what [byte/s]."""
        return list(self._truth[robot])

    def close(self) -> None:
        """Stop; the queues go with their namespaces."""
        self._end()
        for tc in self._tc:
            tc.stdin.close()
            try:
                tc.wait(timeout=2.0)
            except subprocess.TimeoutExpired:
                tc.kill()

    def _follow(self, traces: Tuple[Trace, ...], start_s: float, origin: float, stop: threading.Event) -> None:
        tick = 0
        while True:
            tick += 1
            if stop.wait(max(0.0, origin + tick * STEP_S - time.monotonic())):
                return
            try:
                self._set([trace.rate(start_s + tick * STEP_S) for trace in traces])
            except TestbedError:
                return  # the testbed is being taken down

    def _end(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _set(self, rates: Sequence[float]) -> None:
        for robot, rate in enumerate(max(LEAST_RATE, rate) for rate in rates):
            if rate == self._rates[robot]:
                continue
            for tc, port in zip(self._tc, self._network.ports):
                self._write(tc, change_line(port.device, robot, len(rates), rate, self._server_rate))
            self._rates[robot] = rate
            self._truth[robot].append((time.monotonic(), rate))

    @staticmethod
    def _start(port: Port, log: IO[str]) -> subprocess.Popen:
        """It reads its commands one after the other, so that a change of the rate takes no new process."""
        return subprocess.Popen(["tc", "-n", port.namespace, "-force", "-batch", "-"], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL, stderr=log, bufsize=0)

    def _write(self, tc: subprocess.Popen, line: str) -> None:
        try:
            tc.stdin.write(line.encode() + b"\n")
        except OSError:
            self.check()
            raise TestbedError("tc has stopped; its log is {}".format(self._log)) from None


def setup_lines(device: str, addresses: Sequence[str], server_rate: float) -> List[str]:
    """Commands for `tc` that make a port's queues."""
    if len(addresses) == 1:
        return ["qdisc add dev {} root tbf {}".format(device, _tbf(server_rate))]
    shared = _bits(server_rate)
    lines = ["qdisc add dev {} root handle 1: htb default 9".format(device),
             "class add dev {} parent 1: classid 1:1 htb rate {} ceil {} quantum {}".format(
                 device, shared, shared, _QUANTUM)]
    for i, address in enumerate(addresses):
        lines.append("class add dev {} parent 1:1 classid 1:{:x} htb {}".format(
            device, _class(i), _htb(server_rate, server_rate / len(addresses))))
        lines.append("qdisc add dev {} parent 1:{:x} bfifo limit {}".format(device, _class(i), 2 << 20))
        lines += ["filter add dev {} parent 1: protocol ip u32 match ip {} {}/32 flowid 1:{:x}".format(
            device, end, address, _class(i)) for end in ("src", "dst")]
    return lines


def change_line(device: str, robot: int, robots: int, rate: float, server_rate: float) -> str:
    """The command for `tc` that gives a robot's class another rate [byte/s]."""
    if robots == 1:
        return "qdisc change dev {} root tbf {}".format(device, _tbf(rate))
    return "class change dev {} parent 1:1 classid 1:{:x} htb {}".format(
        device, _class(robot), _htb(rate, min(rate, server_rate / robots)))


def _class(robot: int) -> int:
    return 16 + robot


def _bits(rate: float) -> str:
    return "{:.0f}bit".format(rate * OVERHEAD * 8)


def _tbf(rate: float) -> str:
    return "rate {} burst {} limit {:.0f}".format(_bits(rate), _BUCKET, max(_LEAST_QUEUE, rate * _QUEUE_S))


def _htb(ceil: float, rate: float) -> str:
    return "rate {} ceil {} burst {} cburst {} quantum {}".format(_bits(rate), _bits(ceil), _BUCKET, _BUCKET, _QUANTUM)
