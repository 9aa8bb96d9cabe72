"""The published algorithms against exhaustive search, on random layer graphs and on a real network."""
import itertools
import random

import numpy as np
import pytest
import torch
import torch.nn as nn

from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.graph import Graph, OpNode, Ref, TensorSpec
from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.baselines import dina, dsccs, spso_ga
from intra_dp_ros.loss.baselines.layers import Layers
from intra_dp_ros.loss.baselines.published import HaloFreeTiling
from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import DEADLINE, Objective
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.search import search
from intra_dp_ros.loss.strategies import STRATEGIES, Wanted
from intra_dp_ros.loss.table import build
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.plan import DOWN, UP, PlanError, complete, validate
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.exactness import relative_error

torch.set_num_threads(1)


def layer_graph(draw, most):
    """A random DAG of layers that nobody can cut; some tensors have several readers, some layers several inputs."""
    count = draw.randint(max(2, most - 5), most)
    sizes = [draw.choice([1, 10, 100, 1000]) for _ in range(count + 1)]
    nodes = []
    for v in range(count):
        reads = sorted({draw.randint(max(0, v - 3), v) for _ in range(draw.randint(1, 2))})
        nodes.append(OpNode("layer", {"inputs": tuple(Ref(t) for t in reads)}, (v + 1,)))
    outputs = tuple(sorted({count, draw.randint(1, count)}))
    return Graph(tuple(TensorSpec((n,), "float32") for n in sizes), tuple(nodes), (0,), outputs,
                 tuple(Ref(i) for i in range(len(outputs))))


def case(seed, most):
    draw = random.Random(seed)
    tiling = Tiling(layer_graph(draw, most))
    count = len(tiling.rules)
    robot = Profile(tiling.graph.hash, "x", tuple(draw.uniform(0, 10) for _ in range(count)), (0.0,) * count)
    server = Profile(tiling.graph.hash, "x", tuple(a * draw.uniform(0.1, 0.5) for a in robot.a_ms), (0.0,) * count)
    rate = 10 ** draw.uniform(4, 6.5)
    return tiling, Timeline(tiling, robot, server), LinkModel(rate, rate * 2, 0.001, per_message_s=0.0005)


def seconds(tiling, timeline, link, there):
    """Times of placements (P, layers), summed tensor by tensor; infinite where something flows back."""
    graph = tiling.graph
    total = np.where(there, timeline.server.a_ms, timeline.robot.a_ms).sum(axis=1) / 1e3
    for t, spec in enumerate(graph.tensors):
        made_there = there[:, t - 1] if t else np.zeros(len(there), bool)
        readers = there[:, list(graph.consumers[t])]
        up, down = (spec.nbytes / rate + link.per_message_s + link.rtt_s / 2 for rate in (link.up, link.down))
        total += up * (~made_there & readers.any(axis=1)) + down * (made_there & (t in graph.outputs))
        total[made_there & ~readers.all(axis=1)] = np.inf
    return total


def every_placement(count):
    """All placements of `count` layers, one a row."""
    return (np.arange(2 ** count)[:, None] >> np.arange(count) & 1).astype(bool)


@pytest.mark.parametrize("seed", range(50))
def test_surgery_is_the_best_of_all_cuts(seed):
    tiling, timeline, link = case(seed, 14 if seed % 2 else 9)
    every = every_placement(len(tiling.rules))
    best = seconds(tiling, timeline, link, every).min()
    found = dsccs.surgery(Layers(tiling, timeline, link, "raw"))
    assert seconds(tiling, timeline, link, found[None])[0] == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_the_swarm_meets_any_deadline_that_can_be_met(seed):
    tiling, timeline, link = case(seed, 12)
    layers = Layers(tiling, timeline, link, "raw")
    least = seconds(tiling, timeline, link, every_placement(len(tiling.rules))).min()
    objective = Objective(DEADLINE, deadline_s=float(least) * (1 + 1e-6))
    found = swarm_of(layers, objective, seed)
    assert sum(part[0] for part in layers.times(found[None])) <= objective.deadline_s


def swarm_of(layers, objective, seed):
    return spso_ga.swarm(layers, objective, PowerModel(), np.random.RandomState(seed))


@pytest.mark.parametrize("seed", range(20))
def test_the_swarm_meets_its_deadline_with_little_energy(seed):
    tiling, timeline, link = case(seed, 8)
    layers, power = Layers(tiling, timeline, link, "raw"), PowerModel()
    every = np.array(list(itertools.product([False, True], repeat=len(tiling.rules))))
    robot, server, sent = layers.times(every)
    latency = robot + server + sent
    objective = Objective(DEADLINE, deadline_s=float(np.quantile(latency, 0.3)))
    best = spso_ga.fitness(layers, every, objective, power).min()
    found = swarm_of(layers, objective, seed)
    cost = float(spso_ga.fitness(layers, found[None], objective, power)[0])
    assert sum(part[0] for part in layers.times(found[None])) <= objective.deadline_s
    assert cost <= 1.05 * best
    again = spso_ga.swarm(layers, objective, power, np.random.RandomState(seed))
    assert (again == found).all()


class Net(nn.Module):
    """A skip connection, halo, stride, and a layer that needs everything."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.head = nn.Linear(4 * 6 * 4, 5)

    def forward(self, x):
        y = self.b(self.a(x).relu())
        return self.head((self.c(y).relu() + y).flatten(1))


@pytest.fixture(scope="module")
def real():
    x = torch.randn(1, 3, 12, 8)
    recording = record(Net().eval(), (x,))
    tiling = Tiling(recording.graph)
    draw = random.Random(1)
    robot, server = (Profile(tiling.graph.hash, "x", tuple(scale * draw.uniform(0, 1) for _ in tiling.rules),
                             tuple(scale * draw.uniform(0, 1) for _ in tiling.rules)) for scale in (1, 0.2))
    return x, recording, tiling, Timeline(tiling, robot, server)


@pytest.mark.parametrize("name", ["dsccs", "spso_ga", "dina"])
@pytest.mark.parametrize("rate", [1e4, 3e5, 1e7])
def test_plans_run_and_are_exact(real, name, rate):
    x, recording, tiling, timeline = real
    plan = STRATEGIES[name](tiling, timeline, [LinkModel(rate, rate, 0.002)], "raw", Wanted())[0]
    validate(tiling, plan)
    outputs = run_both_sides(Kernels(tiling, recording.weights), plan, [x], random.Random(0))
    assert relative_error(outputs, WholeModel(recording.graph, recording.weights)(x)) < 1e-5
    assert STRATEGIES[name](tiling, timeline, [LinkModel(0.0, 0.0)], "raw", Wanted())[0].is_local


def test_dina_gathers_every_layer(real):
    _, _, tiling, timeline = real
    plan = dina.plan(tiling, timeline, LinkModel(1e6, 1e6))
    for v, rule in enumerate(tiling.rules):
        assert plan.server_stop[v] == plan.robot_start[v]
    both = {t.tensor for t in plan.transfers if t.direction == UP} & {
        t.tensor for t in plan.transfers if t.direction == DOWN}
    assert len(both) >= 3  # rows of a layer cross in both directions
    for t in both:
        up, down = ([(x.start, x.stop) for x in plan.transfers if (x.tensor, x.direction) == (t, way)]
                    for way in (UP, DOWN))
        assert down[0][1] == up[0][0] and (down[0][0], up[0][1]) == (0, tiling.rows[t])


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_a_table(real, name):
    _, _, tiling, timeline = real
    table = build(tiling, timeline, LinkModel(1e6, 1e6, 0.002), name)
    assert table.strategy == name and table.rungs[0].plan.is_local
    for rung in table.rungs:
        validate(tiling, rung.plan)


def test_tiles_without_halos_are_predicted_and_never_run(real):
    """The published tiles ask for fewer rows; on the real graph their plan has no proof."""
    _, _, tiling, timeline = real
    bare = HaloFreeTiling(tiling)
    assert [r.rows for r in bare.rules] == [r.rows for r in tiling.rules]
    half = [r.rows // 2 if r.kind == LOCAL else r.rows for r in tiling.rules]
    cut = complete(bare, "intra_dp_published", half, half)
    validate(bare, cut)
    with pytest.raises(PlanError, match="without all of rows"):
        validate(tiling, cut)
    times = Timeline(bare, timeline.robot, timeline.server)
    plan = search(bare, times, LinkModel(1e5, 1e5), streamed=False, generations=2)
    assert plan.robot_chunks == 1 and all(t.chunks == 1 for t in plan.transfers)
