"""Rewritten graphs give the model's results, leave nothing of their kind uncut, and any plan of them is exact."""
import random

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as functional

from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.graph import Graph, GraphError
from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.axis import candidates, prepare
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.rewrite import split_reductions
from intra_dp_ros.lop.rules.rule import GLOBAL, LOCAL, REDUCE
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss.random_plans import KINDS, random_plan
from intra_dp_ros.runtime.exactness import relative_error

torch.set_num_threads(1)


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up, self.conv = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        return y * self.up(self.down(functional.adaptive_avg_pool2d(y, 1)).relu()).sigmoid() + x


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.group, self.instance = nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)
        for norm in (self.group, self.instance):
            norm.weight.data.uniform_(0.5, 2), norm.bias.data.uniform_(-1, 1)

    def forward(self, x):
        return self.instance(self.group(x * 3 + 100).relu())  # a mean far from zero: unstable formulas fail


class LayerNorms(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.all, self.plain = nn.LayerNorm((4, rows, 6)), nn.LayerNorm((rows, 6), elementwise_affine=False)
        self.all.weight.data.uniform_(0.5, 2), self.all.bias.data.uniform_(-1, 1)

    def forward(self, x):
        return self.plain(self.all(x * 3 + 100).relu())


def root_mean_squares(x):
    if not hasattr(functional, "rms_norm"):  # torch < 2.4
        return x
    return functional.rms_norm(x, x.shape[2:], torch.linspace(1, 2, x[0, 0].numel()).view(x.shape[2:]), 1e-6)


def written(x):
    """Pictures copied into a frame, as detection models batch them."""
    frame = x.new_zeros(1, *x.shape[1:])
    frame[0, :, : x.shape[2]].copy_(x[0])
    frame = frame.exp()
    frame[:, :, 2:5] = x[:, :, :3] * 2
    frame[:, 1:3] = x[:, :2].sigmoid()
    return frame + 1


MODELS = {
    "written over": written,
    "mean": lambda x: x.exp().mean((2, 3)) + 1,
    "mean of everything": lambda x: x.exp().mean(),
    "mean, kept": lambda x: x - x.mean((1, 2, 3), keepdim=True),
    "sum": lambda x: x.exp().sum((-1, -2)),
    "sum of integers": lambda x: (x * 10).to(torch.uint8).sum((2, 3)),
    "amax": lambda x: x.amax((2, 3), keepdim=True) * x,
    "amin": lambda x: x.amin((1, 2)),
    "max of everything": lambda x: x / x.max(),
    "min of everything": lambda x: x - x.min(),
    "var": lambda x: (x + 50).var((2, 3)),
    "var of everything": lambda x: x * (x + 50).var(),
    "std, kept": lambda x: x / x.std((1, 2, 3), keepdim=True, unbiased=False),
    "logsumexp": lambda x: x.logsumexp((2, 3)),
    "half": lambda x: x.to(torch.bfloat16).mean((2, 3)).float(),
    "adaptive pooling": lambda x: functional.adaptive_avg_pool2d(x.exp(), (1, 1)).flatten(1),
    "adaptive maximum": lambda x: functional.adaptive_max_pool2d(x.exp(), (1, 1)).flatten(1),
    "adaptive pooling to columns": lambda x: functional.adaptive_avg_pool2d(x.exp(), (1, 4)) + 1,
    "adaptive maximum to columns": lambda x: functional.adaptive_max_pool2d(x.exp(), (1, 4)) + 1,
    "any and all": lambda x: torch.stack([(x > 2).any(), (x > -2).all(), (x[:, 0] > 9).any(), (x[:, 1] > -9).all()]),
    "any of integers": lambda x: (x * 10).to(torch.uint8).any(),
    "prod": lambda x: (x.tanh() + 1.1).prod(),
    "prod of integers": lambda x: (x > -2).to(torch.int32).prod(),
    "circular": lambda x: functional.pad(x.exp(), (1, 2, 3, 2), "circular").sigmoid(),
    "circular, cut off": lambda x: functional.pad(x.exp(), (2, -1, 2, -1), "circular").sigmoid(),
    "circular, only cut off": lambda x: functional.pad(x.exp(), (0, 0, -2, 0), "circular").sigmoid(),
    "rows": lambda x: x.exp()[:, :, 3] + x.sigmoid().select(2, -1) * x[:, :, 0],
    "every row": lambda x: sum(row * i for i, row in enumerate(x.exp().unbind(2))),
    "layer norms": LayerNorms,
    "root mean squares": root_mean_squares,
    "squeeze and excite": SqueezeExcite(),
    "norms": Norms(),
    "roll": lambda x: torch.roll(x.exp(), (2, 1), (2, 3)).sigmoid(),
    "roll back": lambda x: torch.roll(x, -3, 2) + x,
    "roll all around": lambda x: torch.roll(x, x.shape[2], 2),
    "chunk": lambda x: torch.cat([c.exp() * (i + 1) for i, c in enumerate(x.chunk(3, 2))], 2),
    "split": lambda x: [c.sigmoid() for c in x.split([5, x.shape[2] - 5], 2)],
    "twice": lambda x: torch.cat([x, x.exp(), x], 2).tanh(),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rows", [9, 16])
def test_equal_and_cut(name, rows):
    torch.manual_seed(rows)
    model = MODELS[name]
    model = model(rows) if model is LayerNorms else model
    x = torch.randn(1, 4, rows, 6)
    recording = record(model.eval() if isinstance(model, nn.Module) else model, (x,))
    graph = split_reductions(recording.graph, (2,))
    assert graph.input_axes == (2,) and Graph.from_json(graph.to_json()) == graph
    assert graph.hash == split_reductions(recording.graph, (2,)).hash
    reference = WholeModel(recording.graph, recording.weights)(x)
    assert relative_error(WholeModel(graph, recording.weights)(x), reference) < (1e-2 if name == "half" else 1e-5)
    tiling, order = Tiling(graph), random.Random(rows)
    for v, (node, rule) in enumerate(zip(graph.nodes, tiling.rules)):
        if any(tiling.axis[t] is not None and graph.tensors[t].numel > 40 for t in node.inputs):
            assert rule.kind in (LOCAL, REDUCE), (node.op, node.args)  # big tensors with rows are cut, all of them
    kernels = Kernels(tiling, recording.weights)
    whole = WholeModel(graph, recording.weights)(x)
    for kind in KINDS:
        for _ in range(2):
            outputs = run_both_sides(kernels, random_plan(tiling, kind, order), [x], order)
            assert relative_error(outputs, whole) < 1e-5


def test_a_reduction_of_one_number_a_row_is_left_as_it_is():
    graph = record(lambda x: x.exp().mean(2), (torch.zeros(1, 4, 8, 6),)).graph
    assert len(split_reductions(graph, (2,)).nodes) == len(graph.nodes)
    assert split_reductions(graph, (None,)).nodes == graph.nodes


class Tall(nn.Module):
    """Softmax over the rows: to be cut along the columns."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(x).softmax(2)[:, :3])


def test_the_axis_with_the_least_uncut_work_is_chosen():
    def chosen(model, *shape):
        return prepare(record(model, (torch.zeros(shape),))).graph.input_axes

    assert chosen(nn.Conv2d(3, 8, 3).eval(), 1, 3, 32, 32) == (2,)  # H where it does not matter
    assert chosen(Tall().eval(), 1, 3, 32, 32) == (3,)
    assert chosen(nn.Conv3d(1, 2, 3, padding=1).eval(), 1, 1, 16, 32, 32)[0] in (2, 3)
    assert chosen(nn.Linear(64, 8).eval(), 1, 64) == (None,)


def test_what_is_prepared_stays_as_it_is():
    recording = prepare(record(nn.Conv2d(3, 8, 3).eval(), (torch.zeros(1, 3, 32, 32),)))
    assert prepare(recording) is recording


def test_several_inputs_follow_the_largest():
    graph = record(lambda a, b, c: (a + b).relu() * c, (torch.zeros(1, 3, 16, 32), torch.zeros(1, 1, 16, 1),
                                                        torch.zeros(()))).graph
    assert candidates(graph)[0] == (2, 2, None)
    tiling = Tiling(prepare(record(lambda a, b, c: (a + b).relu() * c, (
        torch.zeros(1, 3, 16, 32), torch.zeros(1, 1, 16, 1), torch.zeros(())))).graph)
    assert not [rule for rule in tiling.rules if rule.kind == GLOBAL]


def test_axes_that_no_input_has():
    graph = record(torch.nn.ReLU(), (torch.zeros(1, 3, 8, 8),)).graph
    text = split_reductions(graph, (2,)).to_json()
    for wrong in ("[4]", "[2,2]", "[-1]", '["2"]'):
        with pytest.raises(GraphError):
            Graph.from_json(text.replace('"input_axes":[2]', '"input_axes":' + wrong))
