"""The command line of `scripts/bench`."""
import argparse
import math
import shutil
import sys
from typing import List, Optional, Sequence

from intra_dp_ros.apps.loaders.base import nearest
from intra_dp_ros.apps.loaders.vision import vision_names
from intra_dp_ros.apps.models import NAMES
from intra_dp_ros.bench.campaign import time_scale_of
from intra_dp_ros.bench.children import quota_of
from intra_dp_ros.bench.emulated import check as check_emulated
from intra_dp_ros.bench.frames import parse_model
from intra_dp_ros.bench.namespaces import TestbedError
from intra_dp_ros.bench.testbed import PACE, QUOTA
from intra_dp_ros.bench.traces import open_trace
from intra_dp_ros.loss.link_model import FULL, HALF
from intra_dp_ros.loss.objective import KINDS
from intra_dp_ros.loss.strategies import STRATEGIES
from intra_dp_ros.lop.plan import LOSSLESS
from intra_dp_ros.wire.codec import available

AUTO = "auto"
_QUICK = ["--models", "mobilenet_v3_small@1x224x224x3", "--strategies", "local,offload,intra_dp", "--trace",
          "constant:6", "--seconds", "4", "--robot-speed", "0.1", "--no-bound"]

_ESTIMATOR = ["--models", "mobilenet_v3_small@1x480x640x3", "--strategies", "offload,intra_dp", "--trace",
              "steps,indoors,outdoors", "--seconds", "40", "--block", "20", "--robot-speed", "0.1", "--no-bound"]

_STEP = ["--emulate", "published", "--models", "kapao-style", "--strategies", "intra_dp", "--trace", "falls:12:0.5",
         "--seconds", "75", "--block", "75", "--no-bound"]
_IDLE = ["--models", "mobilenet_v3_small@1x224x224x3", "--strategies", "offload", "--robots", "1,4", "--emulate", "1,1",
         "--seconds", "20", "--no-bound"]


def names_of(text: str) -> List[str]:
    """Strategies by name, or all.

    Raises:
        ValueError: naming those that exist.
    """
    names = list(STRATEGIES) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in STRATEGIES:
            raise ValueError("no strategy {!r}; there are: all, {}".format(name, ", ".join(STRATEGIES)))
    return names


def models_of(text: str) -> List[str]:
    """The models in a list with commas between.

    Raises:
        ValueError: an empty name.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(name.strip(".") for name in names):
        raise ValueError("--models {!r} names a model without letters".format(text))
    return names


def parse(arguments: Optional[Sequence[str]] = None, description: str = "") -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of two minutes at most: does it work, are "
                        "the results exact, is nothing left behind?")
    parser.add_argument("--estimator", action="store_true", help="the bandwidth estimator on trial: offload and "
                        "intra_dp on steps, indoors, outdoors; pictures beside the raw data")
    parser.add_argument("--step", action="store_true", help="the link falls from 12 to 0.5 MB/s and rises again "
                        "in mid-frame, with and without adapting to it")
    parser.add_argument("--idle", action="store_true", help="what robots cost the server that are connected and do "
                        "nothing")
    parser.add_argument("--models", default="mobilenet_v3_small", metavar="NAME[@SHAPE],...",
                        help="models, with the shape of their input if not the default (%(default)s)")
    parser.add_argument("--strategies", default="local,offload,neurosurgeon,intra_dp",
                        help="comma-separated, or all: {} (%(default)s)".format(", ".join(STRATEGIES)))
    parser.add_argument("--trace", default="indoors", metavar="NAME,...", help="indoors, outdoors, steps, "
                        "constant:MBps, falls:MBps:MBps, or a CSV file with t_s, MBps (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each strategy on each trace (%(default)s)")
    parser.add_argument("--block", type=float, default=0.0, help="length of a block [s]; 0: some frames (%(default)s)")
    parser.add_argument("--robots", type=_counts, default=[1], metavar="N,...",
                        help="robots at once on one server; several numbers: one after the other (1)")
    parser.add_argument("--robot-speed", type=float, default=0.25, help="of this machine's (%(default)s)")
    parser.add_argument("--slowed-by", choices=(PACE, QUOTA), default=PACE, help="sleeping after operators, or the "
                        "kernel's quota for the whole node (%(default)s)")
    parser.add_argument("--emulate", default="", metavar="published|fitted|FILE|ROBOT,SERVER", help="replace "
                        "computing by waits: published operator times; those of any model, by a device model fitted to "
                        "the published ones; of a CSV file, or a YAML file's device model; or this machine's times "
                        "these factors; results are computed afterwards")
    parser.add_argument("--server-MBps", type=float, default=125.0, help="of the server's own link, which several "
                        "robots share (%(default)s)")
    parser.add_argument("--time-scale", default="1", metavar="N", help="the trace is played so many times slower, and "
                        "carries so many times less; auto: as the robot is slower than the published one (%(default)s)")
    parser.add_argument("--codec", choices=(*available(), LOSSLESS), default="raw", help="of images sent (%(default)s)")
    parser.add_argument("--duplex", choices=(HALF, FULL), default=HALF, help="of the link (%(default)s)")
    parser.add_argument("--objective", choices=KINDS, default=KINDS[0], help="of intra_dp (%(default)s)")
    parser.add_argument("--random-inputs", action="store_true", help="random tensors instead of real images and scans")
    parser.add_argument("--seed", type=int, default=0, help="of weights, inputs, order (%(default)s)")
    parser.add_argument("--no-bound", action="store_true", help="leave the lower bound out, and what keeps "
                        "intra_dp from it")
    parser.add_argument("--relay", action="store_true", help="shape the link in user space, even as root")
    parser.add_argument("--json", default="", metavar="FILE", help="write the figures: an object, a list of several")
    parser.add_argument("--from", default="", dest="earlier", metavar="FILE,...",
                        help="measure nothing: write the report of what earlier runs wrote with --json")
    parser.add_argument("--report", default="", metavar="FILE", help="Markdown file to write (measured.md in --out)")
    parser.add_argument("--out", default="bench_out", help="folder of logs, raw data, report, pictures (%(default)s)")
    options = parser.parse_args(arguments)
    trials = ((options.quick, _QUICK), (options.estimator, _ESTIMATOR), (options.step, _STEP), (options.idle, _IDLE))
    for is_asked, defaults in trials:
        if is_asked:  # what is given besides holds
            options = parser.parse_args(defaults + list(sys.argv[1:] if arguments is None else arguments))
    try:
        _check(options)
    except (ValueError, OSError, TestbedError, argparse.ArgumentTypeError) as error:
        parser.error(str(error))
    if not options.earlier and shutil.which("rosmaster") is None:
        parser.error("rosmaster is not on the PATH: start this with scripts/bench")
    return options


def _check(options: argparse.Namespace) -> None:
    """What is wrong with options is told before hours of measuring, not after.

    Raises:
        ValueError, OSError, TestbedError, ArgumentTypeError: it.
    """
    names_of(options.strategies)
    models = models_of(options.models)
    if not 0.0 < options.robot_speed <= 1.0:
        raise ValueError("--robot-speed must be above 0 and at most 1, got {:g}".format(options.robot_speed))
    for name, value, may_be_zero in (("--seconds", options.seconds, False), ("--block", options.block, True),
                                     ("--server-MBps", options.server_MBps, False)):
        if not 0.0 <= value < math.inf or not (value or may_be_zero):
            raise ValueError("{} must be finite and {}, got {:g}".format(
                name, "not below 0" if may_be_zero else "above 0", value))
    if options.time_scale != AUTO and not 0.0 < float(options.time_scale) < math.inf:
        raise ValueError("--time-scale must be positive or {!r}".format(AUTO))
    if options.earlier:
        return  # a report needs neither models nor traces
    if options.slowed_by == QUOTA and options.robot_speed < 1.0 and not options.emulate:
        quota_of(options.robot_speed)
    for name in options.trace.split(","):
        open_trace(name, 1.0, options.seed)
    for model in models:
        _check_model(model)
        if options.time_scale == AUTO:
            time_scale_of(model, 1.0)
        if options.emulate:
            check_emulated(options.emulate, model)


def _check_model(text: str) -> None:
    """Raises ValueError, ArgumentTypeError: there is no such model, or the shape is none; its file is not looked at."""
    name, _ = parse_model(text)
    kind, colon, rest = name.partition(":")
    if name in NAMES:
        return
    if colon and kind != "torchvision":
        is_known = kind in [known.partition(":")[0] for known in NAMES]
    else:
        known_names = vision_names()  # none without torchvision: loading says what to install
        is_known = (rest or name) in known_names or not known_names
    if not is_known:
        raise ValueError("no model {!r}{}; there are: {}".format(
            name, nearest(rest or name, [*NAMES, *vision_names()]), ", ".join(NAMES)))


def _counts(text: str) -> List[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError("{!r} is not a number, nor several with commas between".format(text)) from None
    if not all(1 <= n <= 16 for n in found):
        raise argparse.ArgumentTypeError("{}: a server takes between 1 and 16 robots".format(text))
    return found
