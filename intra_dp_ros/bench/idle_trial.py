"""What robots cost that are connected and do nothing: processor time of the server, of a robot's node."""
import os
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from intra_dp_ros.bench.measured import commit, machine
from intra_dp_ros.bench.testbed import Testbed

_SETTLE_S = 3.0


def measure(testbed: Testbed, seconds: float) -> Dict[str, Any]:
    """Shares of one core, robots ready and no frames.

    Raises:
        TestbedError: a process ended.
    """
    time.sleep(_SETTLE_S)
    before = testbed.server.processor_s, sum(r.processor_s for r in testbed.robots)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        testbed.check()
        time.sleep(0.2)
    wall = time.monotonic() - began
    return {"robots": len(testbed.robots), "server_cpu_share": (testbed.server.processor_s - before[0]) / wall,
            "robot_cpu_share": (sum(r.processor_s for r in testbed.robots) - before[1]) / wall / len(testbed.robots)}


def result(found: Sequence[Mapping[str, Any]], command: str) -> Dict[str, Any]:
    """What is kept of a run, as JSON."""
    return {"machine": machine(), "commit": commit(), "load": os.getloadavg()[1], "command": command,
            "idle": list(found), "server_cpu_share_per_robot": per_robot(found)}


def per_robot(found: Sequence[Mapping[str, Any]]) -> Optional[float]:
    """The server's share of a core for each further robot, from the fewest to the most; None of one number of robots.
    """
    few, many = min(found, key=lambda f: f["robots"]), max(found, key=lambda f: f["robots"])
    further = many["robots"] - few["robots"]
    return (many["server_cpu_share"] - few["server_cpu_share"]) / further if further else None


def in_words(found: Sequence[Mapping[str, Any]]) -> List[str]:
    """A Markdown table and a sentence."""
    lines = ["| idle robots | server, share of a core | a robot's node |", "|---|---|---|"]
    lines += ["| {robots} | {server_cpu_share:.1%} | {robot_cpu_share:.1%} |".format(**f) for f in found]
    each = per_robot(found)
    return lines + ([] if each is None else [
        "", "Each further idle robot costs the server {:.2%} of a core.".format(each)])
