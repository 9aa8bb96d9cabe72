"""Is a split result the unsplit model's?  Random valid plans of every kind, both sides in this process."""
import argparse
import json
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Callable, Optional, Sequence, Tuple

import torch

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench.decisions import watched
from intra_dp_ros.bench.options import add_model_options, fill_zeros, model_of, random_inputs
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import Recording, RecordingError, record
from intra_dp_ros.graph.structure import leaves
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.plan import validate
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.rules.rule import LOCAL, REDUCE
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss.random_plans import KINDS, random_plan
from intra_dp_ros.runtime.exactness import TOLERANCE, relative_error
from intra_dp_ros.runtime.machine import use_threads


@dataclass(frozen=True)
class Result:
    """What was found."""

    model: str
    operators: int  # of the graph as it is split
    local: int  # cut into rows
    reduce: int  # only partial results of them travel
    # `global` (a keyword of Python) is the rest; see `as_json`
    plans: int  # tried
    max_rel_error: float  # worst of all plans: max |a - b| / max |b|
    outputs_equal: bool  # every output of integers is the same, every other one within the tolerance
    decides: bool  # some outputs lie behind sorting, argmax or thresholds, which rounding may turn where values tie
    rest: str  # "" when the whole model was recorded, else where the recording ends and why
    rest_equal: bool  # the model's own results agree too, where its end is not recorded but runs in the application

    def as_json(self) -> str:
        """One JSON object."""
        fields = asdict(self)
        fields["global"] = self.operators - self.local - self.reduce
        return json.dumps(fields, indent=2, sort_keys=True)


def check(name: str, module: Callable, inputs: Sequence[torch.Tensor], plans: int, seed: int,
          progress: Callable[[str], None] = lambda line: None) -> Result:
    """Run `plans` random plans, the kinds in turn, and compare each with the model's own call.

    Where only the beginning of the model is recorded, its outputs are compared with those of the unsplit recording.
    Where outputs lie behind a decision (`decisions`), the error is that of what is decided on.

    Args:
        module: the model, called with `inputs`.
        progress: is told of every plan in one line.

    Raises:
        RecordingError: see `record`.
    """
    with torch.inference_mode():
        reference = leaves(module(*inputs))
    recording = record(module, tuple(inputs))
    split = prepare(recording)
    count = len(split.graph.outputs)
    graph, steady, decided = watched(split.graph)
    recorded = WholeModel(graph, split.weights)(*inputs)
    tiling = Tiling(graph)
    kernels = Kernels(tiling, split.weights)
    order = random.Random(seed)
    worst, are_equal, rest_equal = 0.0, True, True
    for index in range(plans):
        kind = list(KINDS)[index % len(KINDS)]
        plan = random_plan(tiling, kind, order)
        validate(tiling, plan)
        outputs = run_both_sides(kernels, plan, inputs, order)
        if not recording.rest:
            error, is_equal = compare(leaves(recording.finish(module, inputs, {}, outputs[:count])), reference)
        else:
            error, is_equal = compare(outputs[:count], recorded[:count])
            rest_equal = rest_equal and _rest_is_equal(recording, module, inputs, outputs[:count], reference)
        if decided:
            error, _ = compare([outputs[i] for i in steady], [recorded[i] for i in steady])
        worst, are_equal = max(worst, error), are_equal and is_equal
        progress("plan {:3d} of {}  {:<9}  {:3d} transfers  max relative error {:.1e}{}".format(
            index + 1, plans, kind, len(plan.transfers), error,
            "" if is_equal else "  decided differently" if decided and error <= TOLERANCE else "  NOT EQUAL"))
    kinds = Counter(rule.kind for rule in tiling.rules)
    return Result(name, len(tiling.rules), kinds[LOCAL], kinds[REDUCE], plans, worst, are_equal, bool(decided),
                  recording.rest, rest_equal)


def _rest_is_equal(recording: Recording, module: Callable, inputs: Sequence[torch.Tensor],
                   outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> bool:
    """Whether the model's own end makes the same of a split recording's outputs.

    It decides by comparing numbers (scores, overlaps), so rounding alone can change it where two of them are nearly
    equal, as with random weights many are; with the recorded outputs equal that is no fault of the split.
    """
    with torch.inference_mode():
        result = leaves(recording.finish(module, inputs, {}, outputs))
    return [r.shape for r in result] == [r.shape for r in reference] and compare(result, reference)[1]


def compare(outputs: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> Tuple[float, bool]:
    """Relative error of the outputs that are not integers, and whether all agree (integers in every element)."""
    whole = [i for i, b in enumerate(reference) if not b.dtype.is_floating_point]
    rest = [i for i in range(len(reference)) if i not in whole]
    error = relative_error([outputs[i] for i in rest], [reference[i] for i in rest])
    same = all(outputs[i].shape == reference[i].shape and torch.equal(outputs[i], reference[i]) for i in whole)
    return error, same and error <= TOLERANCE


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Compare split executions of a model with the model itself, without a network; exit code 1 when they differ."""
    parser = argparse.ArgumentParser(prog="check_exact", description=main.__doc__)
    add_model_options(parser)
    parser.add_argument("--plans", type=int, default=20, help="random plans to try (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON")
    options = parser.parse_args(argv)
    use_threads(1)
    try:
        model = model_of(options)
        inputs = random_inputs(model, options.seed)
        fill_zeros(model)
        result = check(model.name, model.module, inputs, options.plans, options.seed,
                       progress=lambda line: print(line, flush=True))
    except (ModelError, RecordingError) as error:
        print("error: {}".format(error), file=sys.stderr)
        return 2
    print(result.as_json())
    if options.json:
        with open(options.json, "w") as file:
            file.write(result.as_json() + "\n")
    return 0 if result.max_rel_error <= TOLERANCE and (result.outputs_equal or result.decides) else 1
