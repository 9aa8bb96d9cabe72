"""What ROS transport adds to an offloaded frame: the figures of `scripts/bench_overhead`, for reports."""
import statistics
from typing import Any, Dict, List, Mapping, Sequence

from intra_dp_ros.bench.measured import commit, machine

ADDED = "ROS adds"  # a frame from message to message over ROS minus the same in one process


def result(times: Mapping[str, Sequence[float]], size: Sequence[int], command: str) -> Dict[str, Any]:
    """What is kept of a run, as JSON.

    Args:
        times: part of a frame -> [ms], one entry a frame.
        size: height, width of the image.
    """
    return {"machine": machine(), "commit": commit(), "command": command, "size": list(size),
            "frames": len(times[ADDED]), "overhead": {
                name: {"median": statistics.median(values), "p95": sorted(values)[int(0.95 * len(values))]}
                for name, values in times.items()}}


def in_words(found: Mapping[str, Any]) -> List[str]:
    """A Markdown table and a sentence, of `result`."""
    lines = ["| part of a frame | median ms | p95 |", "|---|---|---|"]
    lines += ["| {} | {:.2f} | {:.2f} |".format(name, f["median"], f["p95"]) for name, f in found["overhead"].items()]
    return lines + ["", "A {} uint8 image offloaded over an unshaped link, real nodes on one machine, takes {:.1f} ms "
                    "more from the image's message to the result's than from tensor to tensor in one process (median "
                    "of {} frames taken in turns).".format(
                        "x".join(map(str, found["size"])), found["overhead"][ADDED]["median"], found["frames"])]
