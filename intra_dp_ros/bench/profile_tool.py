"""What a model costs on this machine: every operator's call and rows, codecs of what travels, memory."""
import argparse
import csv
import json
import sys
from dataclasses import asdict
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench.codec_costs import measured
from intra_dp_ros.bench.memory import peak_bytes
from intra_dp_ros.bench.options import add_model_options, model_of, random_inputs
from intra_dp_ros.graph.graph import Graph
from intra_dp_ros.graph.record import RecordingError, record
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.plan import DOWN, LOSSLESS, UP, codec_of, local_plan
from intra_dp_ros.lop.program import Kernels, Program
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.engine import device_name
from intra_dp_ros.runtime.machine import keep_freed_memory, use_threads
from intra_dp_ros.runtime.measure import measure, run_in_chunks

_LISTED = 15  # operators printed


def codecs_of(tiling: Tiling, tensors: Dict[int, torch.Tensor]) -> Dict[str, Dict[str, float]]:
    """Ratio and speeds of the codec that suits each input and result, on the values given, in row chunks."""
    choose, found = codec_of(tiling, LOSSLESS), {}
    for t, value in tensors.items():
        name = choose(t, UP if t in tiling.graph.inputs else DOWN)
        if name != "raw" and tiling.axis[t] is not None:
            cost = measured(name, [value.cpu().numpy()], tiling.axis[t], value.numel())
            found["{} {}".format(name, "x".join(map(str, value.shape)))] = {
                "ratio": cost.ratio, "encode_ns_per_byte": cost.encode_s_per_byte * 1e9,
                "decode_ns_per_byte": cost.decode_s_per_byte * 1e9}
    return found


def costliest(graph: Graph, tiling: Tiling, profile: Profile) -> List[Tuple[float, str]]:
    """Whole time [ms] and words, of the operators that take most."""
    rows = [rule.rows for rule in tiling.rules]
    whole = np.array(profile.a_ms) + np.array(profile.b_ms) * rows
    return [(float(whole[v]), "{:8.3f}  {:8.3f}  {:9.4f}  {:6d}  {} {}  {}".format(
        whole[v], profile.a_ms[v], profile.b_ms[v], rows[v], graph.nodes[v].op,
        "x".join(map(str, graph.tensors[graph.nodes[v].outputs[0]].shape)), graph.nodes[v].source))
        for v in np.argsort(-whole)[:_LISTED].tolist()]


def compared(now: Profile, before: Profile, rows: Sequence[int]) -> str:
    """One line: this profile against an earlier one.

    Raises:
        ValueError: of another graph.
    """
    if now.graph != before.graph:
        raise ValueError("the earlier profile is of another graph ({} and not {}): same model, input and version?"
                         .format(before.graph[:12], now.graph[:12]))
    a, b = now.frame_ms(rows), before.frame_ms(rows)
    return "against {}: {:.1f} ms now, {:.1f} ms then, ratio {:.3f}".format(before.device, a, b, a / b if b else 0.0)


def write_csv(path: str, tiling: Tiling, robot: Profile, server: Profile) -> None:
    """Operator times of two devices as the simulator reads them.

    Raises:
        OSError: the file cannot be written.
    """
    graph = tiling.graph
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("index", "op", "inputs", "output_shapes", "local_dim", "robot_ms", "server_ms"))
        for v, (node, rule) in enumerate(zip(graph.nodes, tiling.rules)):
            times = ["{:.4f}".format(p.a_ms[v] + p.b_ms[v] * rule.rows) for p in (robot, server)]
            writer.writerow((v, node.name, list(node.inputs), list(graph.tensors[node.outputs[0]].shape),
                             rule.axes[0], *times))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure a model's operators on this machine and print where the time goes."""
    parser = argparse.ArgumentParser(prog="profile", description=main.__doc__)
    add_model_options(parser)
    parser.add_argument("--device", default="cpu", help="torch device (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the processor; 0: PyTorch's choice (default: 1)")
    parser.add_argument("--runs", type=int, default=5, help="measured frames of each kind (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the profile as JSON")
    parser.add_argument("--compare", metavar="FILE", help="an earlier profile's JSON, of this or another machine")
    parser.add_argument("--csv", metavar="FILE", help="with --server: times of both devices, for simulate --profile")
    parser.add_argument("--server", metavar="FILE", help="the server's profile as JSON")
    options = parser.parse_args(argv)
    if bool(options.csv) != bool(options.server):
        parser.error("--csv and --server go together: the file holds the times of both devices")
    use_threads(options.threads)
    keep_freed_memory()
    try:
        model = model_of(options)
        inputs = random_inputs(model, options.seed)
        recording = prepare(record(model.module, inputs))
        tiling = Tiling(recording.graph)
        kernels = Kernels(tiling, recording.weights, torch.device(options.device))
        profile = measure(kernels, inputs, device_name(options.device), options.runs, _progress)
        lines = _report(model.name, tiling, kernels, profile, inputs)
        if options.compare:
            lines.append(compared(profile, _read(options.compare), [r.rows for r in tiling.rules]))
        if options.csv:
            write_csv(options.csv, tiling, profile, _read(options.server))
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(asdict(profile), file)
    except (ModelError, RecordingError, ValueError, OSError, RuntimeError) as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _report(name: str, tiling: Tiling, kernels: Kernels, profile: Profile, inputs: Sequence[torch.Tensor]) -> List[str]:
    graph, rows = tiling.graph, [rule.rows for rule in tiling.rules]
    program = Program.of_robot(kernels, local_plan(tiling))
    placed = [x.to(kernels.device) for x in inputs]
    stream = run_in_chunks(program, placed, 1)
    ends = {**dict(zip(graph.inputs, inputs)), **{t: stream.result(t) for t in graph.outputs}}
    peak = peak_bytes(lambda: run_in_chunks(program, placed, 1))
    lines = ["{} on {}: {:.1f} ms a frame, {} operators, {:.1f} MB of tensors at most".format(
        name, profile.device, profile.frame_ms(rows), len(rows), peak / 1e6),
        "      ms  call ms     row ms    rows  operator, shape, source"]
    lines += [words for _, words in costliest(graph, tiling, profile)]
    for what, cost in codecs_of(tiling, ends).items():
        lines.append("codec {}: {:.1%} of the bytes, encoding {:.1f}, decoding {:.1f} ns/byte (on random values: real "
                     "images shrink)".format(what, cost["ratio"], cost["encode_ns_per_byte"],
                                             cost["decode_ns_per_byte"]))
    return lines


def _read(path: str) -> Profile:
    with open(path, encoding="utf-8") as file:
        return Profile.from_json(file.read())


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print("\rmeasuring {}/{}".format(done, total), end="\n" if done == total else "", file=sys.stderr, flush=True)
