"""Network namespaces on one machine: every robot and the server in one of its own, the air between them.

Half duplex, both directions share the air, as Wi-Fi has it: everybody sends by default to A; A forwards everything over
one shaped device to B; B has a plain device back to everybody.  Full duplex: everybody hangs on A, which forwards to
whom it is for; what leaves A for the server is shaped as up, what leaves the server as down.

All names begin with a prefix that holds the number of the process, so that two runs do not meet, and what a killed run
left behind is found (`clean`) and removed by the next one.
"""
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from intra_dp_ros.loss.link_model import HALF

_PREFIX = "idp"
_ADDRESS, _LINK = "10.78.0.{}", "10.77.{}.{}"
_SERVER = 1  # last number of its address; robots count from 10
_FIRST_ROBOT = 10


class TestbedError(RuntimeError):
    """The testbed cannot be built here; the message says what is missing."""

    __test__ = False  # for pytest, which takes the name for a test's


@dataclass(frozen=True)
class Place:
    """Where nodes run."""

    namespace: str
    address: str


@dataclass(frozen=True)
class Port:
    """A device whose queue is the air."""

    namespace: str
    device: str


@dataclass(frozen=True)
class Network:
    """What `build` has made."""

    server: Place
    robots: Tuple[Place, ...]
    ports: Tuple[Port, ...]  # to be shaped, all at the same rates


def prefix_of(pid: int) -> str:
    """What the names of this process's namespaces and control groups begin with."""
    return "{}{}_".format(_PREFIX, pid)


def missing() -> str:
    """Why namespaces cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "tc"):
        try:
            subprocess.run([tool, "-V"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        except (OSError, subprocess.CalledProcessError):
            return "the program {!r} is missing: install iproute2".format(tool)
    name = prefix_of(os.getpid()) + "try"
    try:
        run("ip netns add {}".format(name))
        run("ip -n {0} link add t0 type veth peer name t1".format(name))
        run("tc -n {0} qdisc add dev t0 root tbf rate 8mbit burst 4k limit 64k".format(name))
        run("ip -n {0} link set dev t0 gso_max_segs 1".format(name))
    except TestbedError as error:
        return str(error)
    finally:
        subprocess.run(["ip", "netns", "del", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ""


def build(robots: int, duplex: str, prefix: str) -> Network:
    """Namespaces, devices, addresses and routes for the server and so many robots.

    Raises:
        TestbedError: a command failed; what was made so far stays for `remove`.
    """
    half = duplex == HALF
    hubs = [prefix + "a", prefix + "b"] if half else [prefix + "a"]
    server = Place(prefix + "s", _ADDRESS.format(_SERVER))
    places = [Place("{}r{}".format(prefix, i), _ADDRESS.format(_FIRST_ROBOT + i)) for i in range(robots)]
    for name in hubs + [server.namespace] + [p.namespace for p in places]:
        run("ip netns add {}".format(name))
        _forward(name, name in hubs)
        run("ip -n {} link set lo up".format(name))
    net = 0
    for place, nick in [(server, "s")] + [(p, "r{}".format(i)) for i, p in enumerate(places)]:
        run("ip -n {} addr add {}/32 dev lo".format(place.namespace, place.address))
        out_hub, back_hub = hubs[0], hubs[-1]
        near, far = _veth(place.namespace, "out", out_hub, "to" + nick, net)
        run("ip -n {} route add default via {} src {}".format(place.namespace, far, place.address))
        if half:
            net += 1
            near, _ = _veth(place.namespace, "in", back_hub, "to" + nick, net)
        run("ip -n {} route add {}/32 via {}".format(back_hub, place.address, near))
        net += 1
    if robots > 1:  # htb lets a packet of 64 kB go at once on credit, a small frame's whole: tbf cuts it up
        for place in [server, *places]:
            run("ip -n {} link set dev out gso_max_segs 1".format(place.namespace))
    if half:
        _, far = _veth(hubs[0], "air", hubs[1], "air", net)
        run("ip -n {} route add default via {}".format(hubs[0], far))
        ports = (Port(hubs[0], "air"),)
    else:
        ports = (Port(hubs[0], "tos"), Port(server.namespace, "out"))
    return Network(server, tuple(places), ports)


def remove(prefix: str) -> List[str]:
    """Kill what still runs in namespaces of this prefix and remove them; their names."""
    names = [name for name in existing() if name.startswith(prefix)]
    for name in names:
        _kill_inside(name)
        subprocess.run(["ip", "netns", "del", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return names


def clean() -> List[str]:
    """Remove what runs left behind that were killed: namespaces whose process is gone; their names."""
    return [name for prefix in stale(existing()) for name in remove(prefix)]


def stale(names: Sequence[str]) -> List[str]:
    """Prefixes among these names whose process does not live any more."""
    found = {re.match(_PREFIX + r"(\d+)_", name) for name in names}
    pids = {int(match.group(1)) for match in found if match is not None}
    return [prefix_of(pid) for pid in sorted(pids) if not _is_bench(pid)]


def existing() -> List[str]:
    """Names of this machine's network namespaces."""
    try:
        done = subprocess.run(["ip", "netns", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return []  # without iproute2 there are none
    return [line.split()[0] for line in done.stdout.decode().splitlines() if line.split()]


def run(command: str) -> None:
    """Run a command of words without spaces.

    Raises:
        TestbedError: it failed; with what it said.
    """
    try:
        done = subprocess.run(command.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20.0)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TestbedError("{}: {}".format(command, error)) from None
    if done.returncode != 0:
        raise TestbedError("{}: {}".format(command, done.stdout.decode(errors="replace").strip()))


def _veth(left: str, left_device: str, right: str, right_device: str, net: int) -> Tuple[str, str]:
    """A pair of devices between two namespaces; their addresses."""
    run("ip link add {} netns {} type veth peer name {} netns {}".format(left_device, left, right_device, right))
    addresses = _LINK.format(net, 1), _LINK.format(net, 2)
    for namespace, device, address in ((left, left_device, addresses[0]), (right, right_device, addresses[1])):
        run("ip -n {} addr add {}/30 dev {}".format(namespace, address, device))
        run("ip -n {} link set {} up".format(namespace, device))
    return addresses


def _forward(namespace: str, forwards: bool) -> None:
    """What comes in on another device than answers leave by is taken all the same; hubs pass packets on."""
    words = "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done"
    if forwards:
        words += "; echo 1 > /proc/sys/net/ipv4/ip_forward"
    subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", words], check=False, stderr=subprocess.DEVNULL)


def _kill_inside(namespace: str) -> None:
    for _ in range(10):
        done = subprocess.run(["ip", "netns", "pids", namespace], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        pids = [int(word) for word in done.stdout.decode().split()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # gone by itself
        if not pids:
            return
        time.sleep(0.1)


def _is_bench(pid: int) -> bool:
    """Whether this process lives and is Python: a number may have been given to another program since."""
    try:
        with open("/proc/{}/cmdline".format(pid), "rb") as file:
            return b"python" in file.read() or pid == os.getpid()
    except OSError:
        return False
