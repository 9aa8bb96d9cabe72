"""A bandwidth trace like a robot sees indoors, made from a seed.

The trace is not a recording.  It has what matters of one (paper section 2: the link changes every few hundred
milliseconds around a mean of 93 Mbit/s): a level that wanders over several seconds, is held for about half a second at
a time, now and then rises for a moment, and drops to 1-3 MB/s for 0.5-1.5 s when somebody walks into the line of sight.

`python3 -m intra_dp_ros.bench.trace FILE` writes `config/traces/indoors_like.csv` anew.
"""
import argparse
import csv
import sys
from typing import List, Optional, Sequence, Tuple

import numpy as np

STEP_S = 0.1  # [s] between samples
MEAN_MBPS = 11.625  # [MB/s] = 93 Mbit/s
LOWEST_MBPS, HIGHEST_MBPS = 1.0, 29.0  # [MB/s]
_WANDER_S = 8.0  # [s] in which the slow level forgets itself
_WANDER_MBPS, _JITTER_MBPS = 3.3, 1.1  # [MB/s] standard deviations
_BLOCKED = 4  # drops a minute
_RAISED = 2  # rises a minute


def indoors_like(seconds: float = 60.0, seed: int = 93) -> Tuple[np.ndarray, np.ndarray]:
    """Times [s] and bandwidths [MB/s] every 0.1 s; the mean is MEAN_MBPS, the values are whole kB/s.

    Raises:
        ValueError: less than ten seconds, too short for drops and the mean together.
    """
    if seconds < 10.0:
        raise ValueError("a trace needs at least 10 s, got {}".format(seconds))
    random = np.random.RandomState(seed)
    count = int(round(seconds / STEP_S))
    values = MEAN_MBPS + _wander(random, count) + _held(random, count)
    for start, stop in _windows(random, count, int(round(_RAISED * seconds / 60.0)), 0.4, 0.8):
        values[start:stop] += random.uniform(6.0, 12.0)
    blocked = np.zeros(count, bool)
    for start, stop in _windows(random, count, int(round(_BLOCKED * seconds / 60.0)), 0.5, 1.5):
        values[start:stop] = random.uniform(1.0, 3.0) + random.normal(0.0, 0.1, stop - start)
        blocked[start:stop] = True
    return np.round(np.arange(count) * STEP_S, 1), _with_mean(values, blocked)


def _wander(random: np.random.RandomState, count: int) -> np.ndarray:
    """A first-order random process (Ornstein-Uhlenbeck)."""
    keep = np.exp(-STEP_S / _WANDER_S)
    level, out = random.normal(0.0, _WANDER_MBPS), np.empty(count)
    for i in range(count):
        level = keep * level + np.sqrt(1.0 - keep ** 2) * random.normal(0.0, _WANDER_MBPS)
        out[i] = level
    return out


def _held(random: np.random.RandomState, count: int) -> np.ndarray:
    """Jitter that stays for 0.3-0.8 s: rate control changes its mind no faster."""
    out, start = np.empty(count), 0
    while start < count:
        stop = start + random.randint(3, 9)
        out[start:stop] = random.normal(0.0, _JITTER_MBPS)
        start = stop
    return out


def _windows(random: np.random.RandomState, count: int, windows: int, shortest_s: float,
             longest_s: float) -> List[Tuple[int, int]]:
    """Sample ranges spread over the trace, one in each of `windows` equal parts, so that none meet."""
    ranges = []
    for part in range(windows):
        length = int(round(random.uniform(shortest_s, longest_s) / STEP_S))
        first, last = part * count // windows, (part + 1) * count // windows
        start = random.randint(first, max(first + 1, last - length))
        ranges.append((start, start + length))
    return ranges


def _with_mean(values: np.ndarray, blocked: np.ndarray) -> np.ndarray:
    """Shift the samples that are not blocked until the mean is right to the kB/s."""
    target = int(round(MEAN_MBPS * 1000.0 * len(values)))
    low, high = int(LOWEST_MBPS * 1000), int(HIGHEST_MBPS * 1000)
    kilobytes = np.clip(np.round(values * 1000.0), low, high).astype(np.int64)
    free = np.flatnonzero(~blocked)
    missing = target - int(kilobytes.sum())
    while missing:
        share = np.full(len(free), missing // len(free))
        share[:missing % len(free)] += 1
        kilobytes[free] = np.clip(kilobytes[free] + share, low, high)
        missing = target - int(kilobytes.sum())
    return kilobytes / 1000.0


def write_trace(path: str, seconds: float = 60.0, seed: int = 93) -> None:
    """Write the trace as CSV with the columns `t_s`, `MBps`."""
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("t_s", "MBps"))
        writer.writerows(("{:.1f}".format(t), "{:.3f}".format(v)) for t, v in zip(*indoors_like(seconds, seed)))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the trace."""
    parser = argparse.ArgumentParser(prog="python3 -m intra_dp_ros.bench.trace", description=main.__doc__)
    parser.add_argument("path", help="CSV file to write")
    parser.add_argument("--seconds", type=float, default=60.0, help="length [s]")
    parser.add_argument("--seed", type=int, default=93)
    arguments = parser.parse_args(argv)
    write_trace(arguments.path, arguments.seconds, arguments.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
