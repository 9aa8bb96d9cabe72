"""A device by a few numbers, from which the time of any operator follows.

A processor hands operators to a GPU, one after the other; the GPU computes them, one after the other, while the
processor is ahead of it.  A call takes the processor ``call``; what it asks for takes the GPU

    kernel = launch + flops / throughput + bytes / bandwidth

with a throughput and a bandwidth for every family of operators (`operator_work`).  In a frame an operator's time is its
kernel and, where the GPU has nothing left to do, what it waits for the call.  So a network of many small operators
costs its calls, and one of few large ones its arithmetic.
"""
import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import yaml

from intra_dp_ros.graph.graph import Graph
from intra_dp_ros.loss.operator_work import ARITHMETIC, FAMILIES, VIEW, Work, work_of
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.lop.tiling import Tiling

ROBOT, SERVER = "robot", "server"


@dataclass(frozen=True)
class Rate:
    """What a family's work takes."""

    ms_per_gflop: float  # [ms / 10^9 operations]; 0 where arithmetic is not counted
    ms_per_gb: float  # [ms / 10^9 byte]


@dataclass(frozen=True)
class Device:
    """One device."""

    name: str
    call_ms: float  # the processor's time for a call
    launch_ms: float  # the GPU's time for an operator of no size
    rates: Mapping[str, Rate]  # of every family

    def __post_init__(self) -> None:
        if set(self.rates) != set(FAMILIES):
            raise ValueError("device {!r}: families {} instead of {}".format(
                self.name, ", ".join(self.rates), ", ".join(FAMILIES)))
        rates = [n for rate in self.rates.values() for n in (rate.ms_per_gflop, rate.ms_per_gb)]
        if not all(0 <= n < float("inf") for n in (self.call_ms, self.launch_ms, *rates)):
            raise ValueError("device {!r}: times must be finite and >= 0".format(self.name))

    def kernel_ms(self, work: Work) -> float:
        """The GPU's time for an operator; a view has none."""
        if work.family == VIEW:
            return 0.0
        rate = self.rates[work.family]
        return self.launch_ms + work.flops / 1e9 * rate.ms_per_gflop + work.nbytes / 1e9 * rate.ms_per_gb

    def times_ms(self, graph: Graph) -> List[Tuple[float, float]]:
        """Per operator of a whole frame: what the GPU waits for the call, and its kernel."""
        kernels = [self.kernel_ms(work_of(graph, node)) for node in graph.nodes]
        return list(zip(waits_ms(self.call_ms, kernels), kernels))

    def frame_ms(self, graph: Graph) -> float:
        """A whole frame."""
        return sum(wait + kernel for wait, kernel in self.times_ms(graph))

    def profile(self, tiling: Tiling) -> Profile:
        """Times of a graph's operators.  Waiting and the launch are the cost of a call, the rest is the rows'."""
        a, b = [], []
        for node, rule, (wait, kernel) in zip(tiling.graph.nodes, tiling.rules, self.times_ms(tiling.graph)):
            once = min(self.launch_ms, kernel) if rule.rows else kernel
            a.append(wait + once)
            b.append((kernel - once) / rule.rows if rule.rows else 0.0)
        return Profile(tiling.graph.hash, self.name, tuple(a), tuple(b))


def waits_ms(call_ms: float, kernels: Sequence[float]) -> List[float]:
    """How long the GPU waits for each call of a sequence, the first of which begins when the GPU has nothing to do."""
    called, done, waits = 0.0, 0.0, []
    for kernel in kernels:
        called += call_ms
        waits.append(max(0.0, called - done))
        done = max(called, done) + kernel
    return waits


def to_yaml(robot: Device, server: Device, head: str) -> str:
    """Both devices as a file that people can read; `head`: what stands at its top, in lines of any length < 120."""
    lines = ["# " + line for line in head.splitlines()]
    for place, device in ((ROBOT, robot), (SERVER, server)):
        lines += ["{}:".format(place), "  name: {}".format(json.dumps(device.name)),
                  "  call_ms: {:.4g}  # the processor's time to hand an operator to the GPU".format(device.call_ms),
                  "  launch_ms: {:.4g}  # the GPU's time for an operator of no size".format(device.launch_ms),
                  "  rates:"]
        for family in FAMILIES:
            rate, parts, words = device.rates[family], [], []
            if family in ARITHMETIC:
                parts.append("ms_per_gflop: {:.4g}".format(rate.ms_per_gflop))
                words.append(_per_second(rate.ms_per_gflop, "GFLOP/s"))
            parts.append("ms_per_gb: {:.4g}".format(rate.ms_per_gb))
            words.append(_per_second(rate.ms_per_gb, "GB/s"))
            lines.append("    {}: {{{}}}  # {}".format(family, ", ".join(parts), ", ".join(words)))
    return "\n".join(lines) + "\n"


def _per_second(ms: float, unit: str) -> str:
    return "{:.{}f} {}".format(1e3 / ms, 0 if 1e3 / ms >= 100 else 1, unit) if ms else "any {}".format(unit)


def read(path: str) -> Tuple[Device, Device]:
    """Robot and server of a file.

    Raises:
        ValueError: not such a file, naming it and what is wrong.
        OSError: it cannot be read.
    """
    with open(path, encoding="utf-8") as file:
        try:
            raw = yaml.safe_load(file)
            return _device(raw[ROBOT]), _device(raw[SERVER])
        except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise ValueError("{} describes no robot and server ({}): compare config/devices/published.yaml".format(
                path, "no {}".format(error) if isinstance(error, KeyError) else error)) from None


def _device(raw: Mapping[str, Any]) -> Device:
    rates: Dict[str, Rate] = {family: Rate(float(rate["ms_per_gflop"]) if family in ARITHMETIC else 0.0,
                                           float(rate["ms_per_gb"])) for family, rate in raw["rates"].items()}
    return Device(str(raw["name"]), float(raw["call_ms"]), float(raw["launch_ms"]), rates)
