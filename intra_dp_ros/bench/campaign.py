"""Strategies side by side on a testbed, in blocks over the same pieces of the same trace.

Every piece of the trace is played once for every strategy, in an order drawn anew for every piece: what else the
machine does meets all of them.  A block begins with a warm-up that does not count.
"""
import random
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Sequence, Tuple

from intra_dp_ros.bench.labels import model_name
from intra_dp_ros.bench.namespaces import TestbedError
from intra_dp_ros.bench.summary import NOT_CHECKED
from intra_dp_ros.bench.testbed import Testbed
from intra_dp_ros.bench.traces import NamedTrace
from intra_dp_ros.wire.shaper import Trace

GAP_S = 0.01  # between an answer and the next frame
READY_S = 900.0  # for models, profiles, weights and plans
_LEAST_BLOCK_S, _FRAMES_A_BLOCK = 4.0, 8.0  # of a strategy that computes locally
_WARM_S, _WARM_FRAMES = 1.0, 3.0
_LEARN_S, _LEARN_FRAMES = 1.5, 4.0  # by which robots learn what their codecs save
_PATIENCE_S, _PATIENCE_FRAMES = 10.0, 10.0  # for an answer
_LEAST_PATIENCE_S = {"dina": 240.0}  # a frame of hundreds of gathered layers

#: Inference on the published robot (Jetson Xavier NX) [ms], from the logs published with the paper.
PUBLISHED_LOCAL_MS = {"kapao-style": 394.0, "sconet-style": 776.0, "vgg19_bn": 88.0, "convnext_large": 207.0}


@dataclass
class Blocks:
    """What a cell of a campaign, one model on one trace, has seen."""

    frames: List[Dict[str, Any]] = field(default_factory=list)  # `FrameSample` with segment, robot, trace_s
    estimates: List[Dict[str, Any]] = field(default_factory=list)  # strategy, robot, when, up, truth, rtt
    changes: List[Dict[str, Any]] = field(default_factory=list)  # strategy, segment, robot, rates: `_rates`
    lost: Dict[str, int] = field(default_factory=dict)  # strategy -> frames
    pieces: List[Tuple[float, float]] = field(default_factory=list)  # of the first robot's trace: begin, length [s]
    errors: Dict[str, List[float]] = field(default_factory=dict)  # strategy -> of results checked apart
    robot_s: Dict[str, float] = field(default_factory=dict)  # strategy -> processor time [s], all robots
    server_s: Dict[str, float] = field(default_factory=dict)
    wall_s: Dict[str, float] = field(default_factory=dict)
    timelines: Dict[str, Any] = field(default_factory=dict)  # strategy -> of a split frame of the first robot
    inputs: str = ""
    weights: str = ""


def make_ready(testbed: Testbed, strategies: Sequence[str], say: Callable[[str], None]) -> Dict[str, Any]:
    """Models loaded, operators measured, weights uploaded, plans of all strategies made; the first robot's status.

    Raises:
        TestbedError: not within `READY_S`.
    """
    def use(strategy: str) -> Dict[str, Any]:
        return testbed.all("use", READY_S + 10.0, say, strategy=strategy, within_s=READY_S)[0]

    # Frames first by which robots learn what their codecs save: plans are made for that.
    learns = strategies[0]
    seconds = max(_LEARN_S, _LEARN_FRAMES * use(learns)["local_ms"] / 1e3)
    testbed.all("run", READY_S, strategy=learns, seconds=seconds, gap_s=GAP_S, within_s=READY_S, check=False)
    return [use(strategy) for strategy in strategies][-1]


def time_scale_of(model: str, local_ms: float) -> float:
    """How many times slower this robot is than the published one.

    Raises:
        TestbedError: the model was not published.
    """
    name = model_name(model)
    if name not in PUBLISHED_LOCAL_MS:
        raise TestbedError("no published time of {!r} to scale the link by: give --time-scale a number, or one of the "
                           "models {}".format(model, ", ".join(PUBLISHED_LOCAL_MS)))
    return local_ms / PUBLISHED_LOCAL_MS[name]


def block_length(seconds: float, local_s: float, asked: float = 0.0) -> Tuple[int, float]:
    """How many blocks of what length [s] every strategy gets."""
    length = asked or max(_LEAST_BLOCK_S, _FRAMES_A_BLOCK * local_s)
    count = max(1, int(round(seconds / length)))
    return count, seconds / count


def play(testbed: Testbed, trace: NamedTrace, strategies: Sequence[str], seconds: float, local_s: float, seed: int,
         say: Callable[[str], None], block_s: float = 0.0) -> Blocks:
    """One cell.

    Args:
        seconds: for every strategy.
        local_s: what a frame takes on the robot alone, about.
        block_s: length of a block; 0: by `local_s`.

    Raises:
        TestbedError: a process ended, or a driver could not do what it was told.
    """
    blocks, order = Blocks(), random.Random(seed)
    count, length = block_length(seconds, local_s, block_s)
    period = trace.trace.period
    robots = testbed.setting.robots
    traces = [trace.trace.shifted(i * period / robots) for i in range(robots)]
    for segment in range(count):
        blocks.pieces.append((segment * period / count, length))
        names = list(strategies)
        order.shuffle(names)
        for strategy in names:
            testbed.air.hold(max(trace.mean, 1e4))
            testbed.all("use", READY_S, strategy=strategy, within_s=READY_S)
            _block(testbed, traces, strategy, segment, blocks.pieces[-1][0], length, local_s, blocks)
            own = [f["latency_ms"] for f in blocks.frames if f["strategy"] == strategy and f["segment"] == segment]
            say("block {}/{} {:<12} {:>3} frames, mean {:.0f} ms".format(
                segment + 1, count, strategy, len(own), sum(own) / max(1, len(own))))
    return blocks


def _block(testbed: Testbed, traces: Sequence[Trace], strategy: str, segment: int, start_s: float, length: float,
           local_s: float, blocks: Blocks) -> None:
    warm = max(_WARM_S, _WARM_FRAMES * local_s)
    begin = start_s - warm  # what came before in the trace warms up
    begin += traces[0].period if begin < 0 else 0.0
    origin = testbed.air.play(traces, begin)
    before = _processor_times(testbed)
    patience = max(_PATIENCE_S + _PATIENCE_FRAMES * local_s, _LEAST_PATIENCE_S.get(strategy, 0.0))
    emulated = bool(testbed.setting.emulate[0])
    found = testbed.all("run", warm + length + 600.0, strategy=strategy, seconds=warm + length, gap_s=GAP_S,
                        within_s=patience, check=not emulated)
    after = _processor_times(testbed)
    if strategy != "local" and strategy not in blocks.timelines:
        traced = testbed.all("timeline", 60.0)[0]
        blocks.timelines.update({strategy: traced} if traced else {})
    # Of a few frames the values were kept, and of many they all may have been sent to warm up.  Once is enough where
    # they are computed apart.
    is_checked = bool(blocks.errors.get(strategy)) or any(
        f["rel_error"] != NOT_CHECKED and f["sent"] >= origin + warm for run in found for f in run["frames"])
    for checked in () if is_checked else testbed.all("verify", max(600.0, 4.0 * patience), strategy=strategy,
                                                     within_s=patience):
        blocks.errors.setdefault(strategy, []).extend(checked["errors"])
        blocks.lost[strategy] = blocks.lost.get(strategy, 0) + checked["lost"]
    for robot, run in enumerate(found):
        blocks.inputs, blocks.weights = run["inputs"], "{} ({})".format(run["weights"], run["weights_note"])
        blocks.lost[strategy] = blocks.lost.get(strategy, 0) + run["lost"]
        for frame in run["frames"]:
            if frame["sent"] >= origin + warm:
                blocks.frames.append(dict(frame, segment=segment, robot=robot,
                                          trace_s=frame["sent"] - origin + begin))
        for when, up, rtt, age, source in run["estimates"]:
            blocks.estimates.append({"strategy": strategy, "segment": segment, "robot": robot, "when": when, "up": up,
                                     "truth": testbed.air.truth(robot, when), "rtt": rtt, "age": age,
                                     "source": source, "trace_s": when - origin + begin})
        own = {"strategy": strategy, "segment": segment, "robot": robot}
        blocks.changes.append(dict(own, rates=_rates(testbed.air, robot, origin)))
    for table, a, b in zip((blocks.robot_s, blocks.server_s), after, before):
        table[strategy] = table.get(strategy, 0.0) + a - b
    blocks.wall_s[strategy] = blocks.wall_s.get(strategy, 0.0) + max(run["ran_s"] for run in found)


def _rates(air: Any, robot: int, origin: float) -> List[Tuple[float, float]]:
    """When the shaper changed a robot's rate (monotonic [s]) and to what [byte/s], from the moment `origin` on.

    The shaper knows them until it plays again at most, so they are kept with every run.
    """
    found = [(origin, air.truth(robot, origin))]
    for when, rate in air.changes(robot):
        if when > origin and rate != found[-1][1]:  # the relay lists pieces of the trace at the same rate, too
            found.append((when, rate))
    return found


def _processor_times(testbed: Testbed) -> Tuple[float, float]:
    server = testbed.server.processor_s if testbed.server is not None else 0.0
    return sum(robot.processor_s for robot in testbed.robots), server
