"""Bandwidth traces by name: recorded ones where they are, made ones where they are not, and what each of them is."""
import os
import random
from dataclasses import dataclass
from typing import Tuple

from intra_dp_ros.bench.trace import MEAN_MBPS, indoors_like
from intra_dp_ros.wire.shaper import Trace

INDOORS, OUTDOORS, STEPS, CONSTANT, FALLS = "indoors", "outdoors", "steps", "constant:", "falls:"
#: Recorded traces lie beside the checkout.
_RECORDED = os.path.join("..", "shared", "data", "bandwidth_traces")
_MEAN = {INDOORS: 93.0, OUTDOORS: 73.0}  # of the paper's links [Mbit/s]
_SYNTHETIC_S = 300.0
_FALLS, _HIGH_S, _LOW_S = 15, (2.0, 4.0), 2.0  # so many, from so long at the upper to so long at the lower rate [s]
_STEPS, _STEP_S = (12e6, 2e6, 6e6, 1e6, 12e6, 4e6, 20e6, 8e6), 2.5  # [byte/s], [s]


@dataclass(frozen=True)
class NamedTrace:
    """A trace and what to call it."""

    trace: Trace
    label: str  # for reports: name, and whether it is recorded or made

    @property
    def mean(self) -> float:
        """Mean bandwidth [byte/s]."""
        return self.trace.carried(self.trace.period) / self.trace.period


def open_trace(name: str, time_scale: float = 1.0, seed: int = 0) -> NamedTrace:
    """A trace by name.

    Args:
        name: `indoors`, `outdoors`, `steps` (2.5 s each, 1 to 20 MB/s), `constant:MBps`, `falls:MBps:MBps` (from one
            to the other, again and again) or a CSV file with the columns ``t_s``, ``MBps``.
        time_scale: how many times slower the trace and what it carries are to be.
        seed: of a made trace.

    Raises:
        ValueError: no number behind `constant:`, or a file that is no trace.
        OSError: the file cannot be read.
    """
    if name.startswith(CONSTANT):
        try:
            rate = float(name[len(CONSTANT):]) * 1e6
        except ValueError:
            raise ValueError("trace {!r}: expected a number of MB/s behind {!r}".format(name, CONSTANT)) from None
        trace, label = Trace.constant(rate), "constant {:g} MB/s".format(rate / 1e6)
    elif name.startswith(FALLS):
        trace, label = _falls(name, seed)
    elif name == STEPS:
        trace = Trace([i * _STEP_S for i in range(len(_STEPS))], _STEPS, len(_STEPS) * _STEP_S)
        label = "steps between {:g} and {:g} MB/s".format(min(_STEPS) / 1e6, max(_STEPS) / 1e6)
    elif name in _MEAN:
        trace, label = _environment(name, seed)
    else:
        trace, label = Trace.read(name), os.path.basename(name)
    if time_scale != 1.0:
        label += ", slowed {:g} x in time and bandwidth".format(time_scale)
    return NamedTrace(trace.slowed(time_scale), label)


def _falls(name: str, seed: int) -> Tuple[Trace, str]:
    try:
        high, low = (float(part) * 1e6 for part in name[len(FALLS):].split(":"))
    except ValueError:
        raise ValueError("trace {!r}: expected two numbers of MB/s, as in {}12:0.5".format(name, FALLS)) from None
    draw, now, times = random.Random(seed), 0.0, []
    for _ in range(_FALLS):  # at irregular moments, so that they meet frames anywhere
        times += [now, now + draw.uniform(*_HIGH_S)]
        now = times[-1] + _LOW_S
    return Trace(times, [high, low] * _FALLS, now), "falls from {:g} to {:g} MB/s".format(high / 1e6, low / 1e6)


def _environment(name: str, seed: int) -> Tuple[Trace, str]:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.path.join(root, _RECORDED, name + ".csv")
    if os.path.isfile(path):
        return Trace.read(path), name + " (recorded)"
    times, rates = indoors_like(_SYNTHETIC_S, seed)
    factor = _MEAN[name] * 1e6 / 8 / (MEAN_MBPS * 1e6)
    trace = Trace(list(times), list(rates * 1e6 * factor), _SYNTHETIC_S)
    return trace, "{} (made, seed {}: the recorded one is not here)".format(name, seed)
