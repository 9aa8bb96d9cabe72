"""What the last frames of a robot were like, for /diagnostics.  Thread-safe: the tuple that readers see is replaced."""
import collections
import time
from typing import Any, Dict, Tuple

from intra_dp_ros.runtime.stats import TAKEOVER, FrameStats

_FRAMES = 30


class FrameWindow:
    """The newest frames; one thread adds."""

    def __init__(self) -> None:
        self.answered = 0
        self._frames: Tuple[Tuple[float, float, FrameStats], ...] = ()  # when done (monotonic [s]), latency [s]

    def add(self, latency_s: float, stats: FrameStats) -> None:
        """One frame more."""
        self._frames = (*self._frames[1 - _FRAMES:], (time.monotonic(), latency_s, stats))
        self.answered += 1

    def values(self) -> Dict[str, Any]:
        """Speed, bytes, energy and how the frames were answered; numbers are means unless they say otherwise."""
        frames, now = self._frames, time.monotonic()
        if not frames:
            return {"answered": self.answered}
        latencies = sorted(latency for _, latency, _ in frames)
        outcomes = collections.Counter(stats.outcome for _, _, stats in frames)
        timed = [(stats.inference_s, stats.predicted_s) for _, _, stats in frames if stats.predicted_s > 0]
        # Up to now, not up to the newest frame: a camera that has stopped has no rate.
        span = now - frames[0][0]
        last = frames[-1][2]
        reasons = [stats.reason for _, _, stats in frames if stats.outcome == TAKEOVER]
        return {
            "answered": self.answered, "rate [Hz]": (len(frames) - 1) / span if span > 0 else 0.0,
            "median latency [ms]": latencies[len(latencies) // 2] * 1e3, "worst latency [ms]": latencies[-1] * 1e3,
            "inference [ms]": _mean(stats.inference_s for _, _, stats in frames) * 1e3,
            "predicted inference [ms]": _mean(p for _, p in timed) * 1e3 if timed else "",
            "inference against prediction": _mean(i for i, _ in timed) / _mean(p for _, p in timed) if timed else "",
            "up per frame [kB]": _mean(stats.bytes_up for _, _, stats in frames) / 1e3,
            "down per frame [kB]": _mean(stats.bytes_down for _, _, stats in frames) / 1e3,
            "energy per frame [J]": _mean(stats.energy_j for _, _, stats in frames),
            "energy from": last.energy_source, "plan": last.plan,
            "frames by outcome": ", ".join("{} {}".format(n, name) for name, n in sorted(outcomes.items())),
            "last fallback": reasons[-1] if reasons else ""}


def _mean(values: Any) -> float:
    found = list(values)
    return sum(found) / len(found)
