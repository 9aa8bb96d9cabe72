"""Processes of a testbed: each on its own processors, ended with this one however it ends, their times kept.

Threading: one thread, and that must live as long as the children: the kernel ends them when it ends.
"""
import ctypes
import math
import os
import signal
import subprocess
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from intra_dp_ros.bench.namespaces import TestbedError

_PR_SET_PDEATHSIG = 1
_STOP_S = 5.0  # to end by themselves
_LIBC = ctypes.CDLL(None)
_CGROUP = "/sys/fs/cgroup/cpu"
_PERIOD_US = 10000  # short, so that a slow processor does not come in bursts
_LONGEST_US = 1000000  # the kernel's longest period
_LEAST_US = 1000  # the kernel's least quota


class Child:
    """One process.

    Args:
        name: for its log and messages.
        argv: program and arguments.
        env: of the environment, what differs from this process's.
        log: file for what it says.
        namespace: network namespace; empty: this process's.
        cpus: processors it may use; empty: all.
        talks: whether it is told what to do, and answers, over pipes.
    """

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: str, namespace: str = "",
                 cpus: Sequence[int] = (), talks: bool = False) -> None:
        self.name = name
        self.log = log
        allowed: Set[int] = set(cpus) & os.sched_getaffinity(0)

        def before() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if allowed:
                os.sched_setaffinity(0, allowed)

        inside = ["ip", "netns", "exec", namespace] if namespace else []
        with open(log, "w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [*inside, *argv], env={**os.environ, **env}, stderr=file, preexec_fn=before, start_new_session=True,
                stdout=subprocess.PIPE if talks else file, stdin=subprocess.PIPE if talks else subprocess.DEVNULL)

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    @property
    def processor_s(self) -> float:
        """Processor time it has used so far [s]; 0 when it is gone."""
        try:
            with open("/proc/{}/stat".format(self.process.pid), encoding="utf-8") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):
            return 0.0

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])


class Children:
    """All processes of a testbed."""

    def __init__(self) -> None:
        self.all: List[Child] = []
        self._groups: List[str] = []

    def start(self, *args: Any, **options: Any) -> Child:
        """See `Child`."""
        child = Child(*args, **options)
        self.all.append(child)
        return child

    def limit(self, child: Child, name: str, share: float) -> None:
        """Give a process this share of one processor, by the kernel's quota.

        Raises:
            TestbedError: there are no such control groups here (cgroup v1 `cpu`), or they take root.
        """
        folder = os.path.join(_CGROUP, name)
        period, quota = quota_of(share)
        try:
            os.mkdir(folder)
        except OSError as error:
            raise TestbedError("the kernel's quota needs root and control groups of version 1 in {} ({}): use "
                               "--slowed-by pace".format(_CGROUP, error.strerror)) from None
        self._groups.append(folder)
        for file, value in (("cpu.cfs_period_us", period), ("cgroup.procs", child.process.pid),
                            ("cpu.cfs_quota_us", quota)):
            with open(os.path.join(folder, file), "w", encoding="utf-8") as stream:
                stream.write(str(value))

    def dead(self) -> Optional[Child]:
        """A process that has ended, if any."""
        return next((c for c in self.all if not c.is_alive), None)

    def stop(self) -> None:
        """End them all: asked first, then killed, at once by whoever interrupts the waiting."""
        try:
            self._end(signal.SIGINT)
        finally:
            self._end(signal.SIGKILL)
            self._close()

    def _end(self, sign: int) -> None:
        for child in self.all:
            if child.is_alive:
                _signal(child, sign)
        end = time.monotonic() + _STOP_S
        while time.monotonic() < end and any(c.is_alive for c in self.all):
            time.sleep(0.05)

    def _close(self) -> None:
        for child in self.all:
            for pipe in (child.process.stdin, child.process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        pass  # what was not written yet has no reader
        for folder in self._groups:
            _remove_group(folder)
        self._groups = []


def quota_of(share: float) -> Tuple[int, int]:
    """The kernel's period and quota [us] for a share of one processor.

    Raises:
        TestbedError: it knows none so small.
    """
    period = max(_PERIOD_US, math.ceil(_LEAST_US / share)) if share > 0 else math.inf
    if period > _LONGEST_US:
        raise TestbedError("the kernel's quota cannot be {:g} of a processor, {:g} is its least: use --slowed-by "
                           "pace".format(share, _LEAST_US / _LONGEST_US))
    return period, max(_LEAST_US, int(share * period))


def left_groups(prefix: str) -> List[str]:
    """Control groups of this prefix."""
    try:
        return [os.path.join(_CGROUP, name) for name in os.listdir(_CGROUP) if name.startswith(prefix)]
    except OSError:
        return []


def clean_groups(prefix: str) -> None:
    """Remove the control groups of this prefix."""
    for folder in left_groups(prefix):
        _remove_group(folder)


def share_out(robots: int) -> Dict[str, List[int]]:
    """Which processors whose: the last one the server's, one a robot, as far as there are any.

    Returns:
        "server", "robot0", "robot1" ... -> processors.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        return {"server": cpus, **{"robot{}".format(i): cpus for i in range(robots)}}
    return {"server": cpus[-1:], **{"robot{}".format(i): [cpus[i % (len(cpus) - 1)]] for i in range(robots)}}


def _signal(child: Child, sign: int) -> None:
    try:
        os.killpg(child.process.pid, sign)
    except OSError:
        pass  # gone meanwhile


def _remove_group(folder: str) -> None:
    for _ in range(20):
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.05)  # its processes are still ending
