"""What a recorded model looks like to the scheduler: which operators can be cut, and where little has to travel."""
import argparse
import json
import math
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from matplotlib.patches import Patch

from intra_dp_ros.apps.models import ModelError
from intra_dp_ros.bench.operators import as_lines, operators, reasons
from intra_dp_ros.bench.options import add_model_options, model_of, random_inputs
from intra_dp_ros.bench.plots import FAINT, INK, figure, save, title
from intra_dp_ros.graph.graph import Graph
from intra_dp_ros.graph.record import RecordingError, record
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.rules.rule import GLOBAL, LOCAL, REDUCE
from intra_dp_ros.lop.tiling import Tiling

_LISTED = 12  # operators and cuts printed
_HEADING = "   depth       bytes   of input  last operator before it: what travels"


@dataclass(frozen=True)
class Depth:
    """The border between the operators before and after one depth."""

    depth: int  # operators before it; 0: the inputs
    op: str  # the last of them; "input" at depth 0
    nbytes: int  # of all tensors that are made before and needed after it [byte]
    tensors: Tuple[int, ...]  # these tensors

    @property
    def is_articulation(self) -> bool:
        """One tensor is all that passes: the graph can be cut here like a chain."""
        return len(self.tensors) == 1


def depths(graph: Graph) -> List[Depth]:
    """What passes between the first d operators and the rest, for d = 0 .. number of operators."""
    last: Dict[int, int] = {t: max(vs, default=-1) for t, vs in graph.consumers.items()}
    last.update((t, len(graph.nodes)) for t in graph.outputs)  # results are needed until the end
    live, out = list(graph.inputs), []
    for depth in range(len(graph.nodes) + 1):
        if depth:
            live += graph.nodes[depth - 1].outputs
        live = [t for t in live if last[t] >= depth]
        out.append(Depth(depth, graph.nodes[depth - 1].op if depth else "input",
                         sum(graph.tensors[t].nbytes for t in live), tuple(live)))
    return out


def record_lows(found: Sequence[Depth]) -> List[Depth]:
    """Depths at which less passes than at every one before: the only ones worth a cut of all rows, were the robot's
    computing free."""
    out: List[Depth] = []
    for depth in found:
        if not out or depth.nbytes < out[-1].nbytes:
            out.append(depth)
    return out


def small_articulations(found: Sequence[Depth], count: int) -> List[Depth]:
    """The smallest tensors inside the graph that alone pass, by size; of those in a row of equal size the first."""
    inner = [d for before, d in zip(found, found[1:-1])
             if d.is_articulation and not (before.is_articulation and before.nbytes == d.nbytes)]
    return sorted(inner, key=lambda d: (d.nbytes, d.depth))[:count]


def describe(name: str, tiling: Tiling) -> str:
    """The whole text.

    Args:
        name: of the model.
        tiling: of its recorded graph.
    """
    graph, table = tiling.graph, operators(tiling)
    found = depths(graph)
    return "\n".join([
        *as_lines(table),
        "",
        *totals(name, tiling),
        "",
        "global operators (need their whole input), and why:",
        *reasons(table, _LISTED),
        "",
        "depths at which less has to travel than anywhere before:", _HEADING,
        *(_row(graph, d, found[0]) for d in record_lows(found)[:_LISTED]), "",
        "smallest tensors at which the model can be cut like a chain:", _HEADING,
        *(_row(graph, d, found[0]) for d in small_articulations(found, _LISTED // 2))])


def totals(name: str, tiling: Tiling) -> List[str]:
    """A few lines: operators by class, weights, what goes in and out."""
    graph, kinds = tiling.graph, Counter(rule.kind for rule in tiling.rules)
    values = sum(c.nbytes for c in graph.constants.values())
    return [
        "{}: {} operators, {} local, {} reduce and {} global".format(
            name, len(graph.nodes), kinds[LOCAL], kinds[REDUCE], kinds[GLOBAL]),
        "constants  {:.2f} million values, {:.1f} MB".format(parameters(graph) / 1e6, values / 1e6),
        "inputs     " + _tensors(graph, graph.inputs),
        "outputs    " + _tensors(graph, graph.outputs),
        "cut along  dimension {}".format(", ".join(str(tiling.axis[t]) for t in graph.inputs)),
    ]


def parameters(graph: Graph) -> int:
    """Values of all weights, buffers and other constants."""
    return sum(math.prod(c.shape) for c in graph.constants.values())


def _tensors(graph: Graph, tensors: Sequence[int]) -> str:
    specs = [graph.tensors[t] for t in tensors]
    return ", ".join("{} {} ({} bytes)".format(s.dtype, "x".join(map(str, s.shape)), s.nbytes) for s in specs)


def _row(graph: Graph, cut: Depth, inputs: Depth) -> str:
    specs = [graph.tensors[t] for t in cut.tensors]
    shapes = ["{} {}".format(s.dtype, "x".join(map(str, s.shape))) for s in specs]
    more = ["and {} more".format(len(shapes) - 2)] if len(shapes) > 2 else []
    return "  {:6d}  {:10d}  {:7.1f} %  {}: {}".format(
        cut.depth, cut.nbytes, 100.0 * cut.nbytes / max(1, inputs.nbytes), cut.op, ", ".join(shapes[:2] + more))


def draw(name: str, tiling: Tiling, path: str) -> None:
    """A PNG: bytes that pass at every depth, with the articulations marked.

    Raises:
        OSError: the file cannot be written.
    """
    found = depths(tiling.graph)
    chain = [d for d in found if d.is_articulation]
    fig = figure(9.6, 3.9)
    axis = fig.subplots()
    for v, rule in enumerate(tiling.rules):
        if rule.kind == GLOBAL:
            axis.axvspan(v, v + 1, color=FAINT, linewidth=0.0)
    axis.plot([d.depth for d in found], [max(1, d.nbytes) / 1e3 for d in found], drawstyle="steps-post",
              color="#0072B2", linewidth=1.2, label="all tensors that pass")
    axis.plot([d.depth for d in chain], [max(1, d.nbytes) / 1e3 for d in chain], linestyle="", marker="o",
              markersize=3.5, color="#D55E00", label="one tensor passes (articulation)")
    axis.axhline(found[0].nbytes / 1e3, color=INK, linewidth=1.0, linestyle="--", label="input")
    axis.set_yscale("log")
    axis.set_xlim(0, len(tiling.rules))
    axis.set_xlabel("depth [operators]")
    axis.set_ylabel("would have to travel [kB]")
    handles = axis.get_legend_handles_labels()[0] + [Patch(color=FAINT, label="global operator")]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    title(axis, _title(name, found))
    save(fig, path)


def _title(name: str, found: Sequence[Depth]) -> str:
    first = next((d.depth for d in found if d.nbytes < found[0].nbytes), None)
    if first is None:
        return "{}: nowhere less has to travel than the input".format(name)
    return "{}: less than the input has to travel first at depth {} of {}".format(name, first, len(found) - 1)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Record a model and print what the scheduler can do with it."""
    parser = argparse.ArgumentParser(prog="inspect", description=main.__doc__)
    add_model_options(parser)
    parser.add_argument("--json", metavar="FILE", help="write the table of operators as JSON")
    parser.add_argument("--plot", metavar="FILE", help="PNG to write: bytes over depth")
    options = parser.parse_args(argv)
    try:
        model = model_of(options)
        recording = record(model.module, random_inputs(model, options.seed))
        tiling = Tiling(prepare(recording).graph)
        print(describe("{} ({} weights)".format(model.name, model.weights), tiling))
        if recording.rest:
            print("\n" + recording.rest)
        if options.json:
            with open(options.json, "w") as file:
                json.dump({"model": model.name, "operators": [asdict(o) for o in operators(tiling)]}, file, indent=1)
        if options.plot:
            draw(model.name, tiling, options.plot)
    except (ModelError, RecordingError, OSError) as error:
        print("error: {}".format(error), file=sys.stderr)
        return 1
    return 0
