"""A robot and a server that predict the operator times of any model, fitted to the published ones, and how well."""
import argparse
import os
import sys
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench import frames
from intra_dp_ros.bench.hardware import PUBLISHED_SCALE
from intra_dp_ros.bench.paper_tables import table, tiling_of
from intra_dp_ros.bench.published import CASES, Data
from intra_dp_ros.graph.record import RecordingError
from intra_dp_ros.loss import device_csv
from intra_dp_ros.loss.device_csv import Row
from intra_dp_ros.loss.device_fit import Observed, call_ms, fit
from intra_dp_ros.loss.device_model import Device, to_yaml
from intra_dp_ros.loss.operator_work import NORM, VIEW, Work, family_of, work_of
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.machine import use_threads

NAMES = ("Jetson Xavier NX, fitted", "GPU server, fitted")
_SIDES = ("robot", "server")
#: Models without published times, and two with: what is predicted of them is printed.
_OTHERS = ("vgg19_bn@1x224x224x3,resnet101@1x224x224x3,mobilenet_v3_small@1x224x224x3,convnext_base@1x224x224x3,"
           "kapao-style,sconet-style")
_JUDGED_MS = 0.1  # an operator's error says something from here on: times are rounded to 0.01 ms
_HEAD = """A robot and a server by what their operators take: a Jetson Xavier NX and a GPU server, PyTorch, float32.
Written by `rosrun intra_dp_ros fit_devices --out FILE`, fitted to {operators} operators of
{models}: times published with the paper, the robot's multiplied
by {scale:g} (bench/hardware.py says why). GFLOP: 10^9 operations, outputs in whole tiles (loss/operator_work.py); GB:
10^9 byte. How well the times are met: docs/simulation.md."""


@dataclass(frozen=True)
class Sample:
    """A model with measured operators."""

    name: str
    tiling: Tiling
    rows: Tuple[Row, ...]

    def ms(self, row: Row, side: int) -> float:
        """An operator's part of a whole frame."""
        return (row.robot_ms, row.server_ms)[side] * PUBLISHED_SCALE[side]

    def found(self) -> List[Tuple[int, Row]]:
        """Nodes of the graph with their rows.  The first operator of a file has no time and is left out."""
        first = next((row for row in self.rows if row.op != "_start"), None)
        matched, _ = device_csv.match(self.tiling.graph, self.rows)
        return [(v, row) for v, row in matched.items() if row is not first]

    def observed(self, side: int) -> List[Observed]:
        """What a device is fitted to: also batch norms, which the graph does without."""
        graph = self.tiling.graph
        works = [(work_of(graph, graph.nodes[v]), row) for v, row in self.found()]
        works += [(Work(NORM, 0, 2 * 4 * int(np.prod(row.shape))), row) for row in self.rows if row.op == "batch_norm"]
        return [Observed(work, self.ms(row, side)) for work, row in works if work.family != VIEW]

    def calls(self, side: int) -> List[float]:
        """Times of operators that compute nothing [ms]."""
        return [self.ms(row, side) for row in self.rows if row.op == "__getitem__" or family_of(row.op) == VIEW]


@dataclass(frozen=True)
class Check:
    """How well a device predicts a model."""

    frame: float  # predicted whole frame over the published one
    operators: float  # the same of the operators with a published time
    error: float  # median of their relative errors, of those that take 0.1 ms and more; nan: there are none
    count: int  # of these


def fitted(samples: Sequence[Sample], side: int) -> Device:
    """The robot (0) or the server (1) that fits the samples best."""
    return fit(NAMES[side], call_ms([ms for s in samples for ms in s.calls(side)]),
               [o for s in samples for o in s.observed(side)])


def check(sample: Sample, device: Device, side: int) -> Check:
    """A device against a sample."""
    graph, tiling = sample.tiling.graph, sample.tiling
    mapped = device_csv.map_rows(tiling, sample.rows, scale=PUBLISHED_SCALE)
    published = (mapped.robot, mapped.server)[side].frame_ms([rule.rows for rule in tiling.rules])
    times = [sum(parts) for parts in device.times_ms(graph)]
    pairs = np.array([(times[v], sample.ms(row, side)) for v, row in sample.found()])
    errors = [abs(ours / theirs - 1) for ours, theirs in pairs if theirs >= _JUDGED_MS]
    return Check(sum(times) / published, float(pairs[:, 0].sum() / pairs[:, 1].sum()),
                 float(np.median(errors)) if errors else float("nan"), len(errors))


def validation(samples: Sequence[Sample]) -> str:
    """Markdown: every model as predicted by a device fitted to the other models' times, and to all."""
    rows = []
    for side, place in enumerate(_SIDES):
        everything = fitted(samples, side)
        for sample in samples:
            others = fitted([s for s in samples if s is not sample], side)
            inside, outside = check(sample, everything, side), check(sample, others, side)
            rows.append((sample.name, place, *("{:.2f}".format(c) for c in (
                outside.frame, outside.operators, inside.frame, inside.operators)),
                *("{:.0%}".format(c.error) if c.count else "" for c in (outside, inside)), str(inside.count)))
    return table(("model", "device", "frame, without its times", "its operators", "frame, with them", "its operators",
                  "an operator's error, without", "with", "operators"), rows)


def predictions(robot: Device, server: Device, models: Sequence[str]) -> str:
    """Markdown: whole frames of models by name, and how much of them the GPU waits for calls.

    Raises:
        ModelError, RecordingError: a model that cannot be benched.
    """
    rows = []
    for name in models:
        graph = prepare(frames.record_whole(frames.load(name, 0))).graph
        rows.append((name, str(len(graph.nodes)), *(text for device in (robot, server) for text in (
            "{:.1f}".format(device.frame_ms(graph)), "{:.1f}".format(sum(w for w, _ in device.times_ms(graph)))))))
    return table(("model", "operators", "robot, ms", "of it waiting for calls", "server, ms", "of it waiting"), rows)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fit a robot and a server to the published operator times and print how well they predict them."""
    parser = argparse.ArgumentParser(prog="fit_devices", description=main.__doc__)
    parser.add_argument("--data", default=os.path.join("..", "shared", "data"), metavar="DIR",
                        help="published measurements (default: %(default)s)")
    parser.add_argument("--out", default="", metavar="FILE", help="YAML file to write, for --emulate and --profile")
    parser.add_argument("--models", default=_OTHERS, metavar="NAME[@SHAPE],...",
                        help="whose whole frames are predicted; empty: none (default: %(default)s)")
    options = parser.parse_args(argv)
    use_threads(1)
    try:
        samples = read_samples(Data(options.data))
        print("Predicted over published time, and the median error of operators of {:g} ms and more; without its "
              "times: by devices fitted to the other models.\n\n{}".format(_JUDGED_MS, validation(samples)))
        robot, server = (fitted(samples, side) for side in (0, 1))
        if options.out:
            with open(options.out, "w", encoding="utf-8") as file:
                file.write(to_yaml(robot, server, head_of(samples)))
        if options.models:
            print("\n" + predictions(robot, server, options.models.split(",")))
    except (ModelError, RecordingError, ValueError, OSError) as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    return 0


def read_samples(data: Data) -> List[Sample]:
    """The published models, recorded here, with their times."""
    return [Sample(case.name, tiling_of(case, case.dtype), device_csv.read(data.profile(case))) for case in CASES]


def head_of(samples: Sequence[Sample]) -> str:
    """What the file says about itself."""
    return _HEAD.format(operators=sum(len(s.observed(0)) for s in samples), models=", ".join(s.name for s in samples),
                        scale=PUBLISHED_SCALE[0])
