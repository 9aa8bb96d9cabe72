"""Random plans on random graphs, run by both sides' executors, against the unsplit model."""
import random
from dataclasses import replace

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.plan import DOWN, UP, Plan, PlanError, codec_of, complete, local_plan, validate
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.tiling import Tiling

torch.set_num_threads(1)


class RandomNet(nn.Module):
    """A small DAG with branches and skips, its operators drawn from a seed."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.choice = random.Random(seed)
        self.plan = [self.choice.randrange(13) for _ in range(self.choice.randint(2, 7))]
        self.convs = nn.ModuleList()
        self.specs = []
        for _ in self.plan:
            k, s, d = self.choice.randint(1, 5), self.choice.randint(1, 2), self.choice.randint(1, 2)
            p = self.choice.randint(0, k)
            groups = self.choice.choice([1, 2, 4])
            self.convs.append(nn.Conv2d(4, 4, (k, 3), (s, 1), (p, 1), (d, 1), groups))
            self.specs.append((k, s, d, p))
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)
        self.head = nn.Linear(4, 3)
        self.tail = self.choice.randrange(4)

    def forward(self, image):
        x = image.permute(0, 3, 1, 2).float() / 255
        x = functional.pad(x, (0, 0, 0, 0, 0, 1))  # a fourth channel
        skips = [x]
        for kind, conv, (k, s, d, p) in zip(self.plan, self.convs, self.specs):
            if kind <= 3 and x.shape[2] + 2 * p >= d * (k - 1) + 1:
                x = functional.relu(conv(x))
            elif kind == 4 and x.shape[2] >= 3:
                x = functional.max_pool2d(x, (3, 3), (2, 1), (1, 1), ceil_mode=bool(k % 2))
            elif kind == 5:
                x = functional.interpolate(x, scale_factor=2, mode="bilinear")[:, :, :, ::2]
            elif kind == 6:
                x = functional.interpolate(x, scale_factor=(2, 1), mode="nearest")
            elif kind == 7:
                x = torch.cat([x, x * 2, x.sigmoid()], 1)[:, 1:5]
            elif kind == 8:
                x = torch.cat([x, functional.relu(x) + 1], 2)  # along the rows
            elif kind == 9:
                x = functional.pad(x, (0, 0, k % 3, p % 3), mode="replicate" if s == 1 else "constant")
            elif kind == 10 and x.shape[2] >= 2:  # no operator takes images of no rows
                x = x[:, :, k % 2::s]
            elif kind == 11 and x.shape[2] >= 2:
                x = functional.avg_pool2d(x, (2, 1), (1, 1)) * x.softmax(1)[:, :, 1:]
            elif kind == 12:
                x = self.norm(x) * torch.linspace(0, 1, x.shape[2]).view(1, 1, -1, 1)
            matching = [y for y in skips if y.shape == x.shape]
            if matching and s == 2:
                x = x + matching[-1]
            skips.append(x)
        rows = self.head(x.permute(0, 2, 3, 1))
        if self.tail == 0:
            return rows
        if self.tail == 1:
            return {"rows": rows.argmax(-1), "pooled": x.mean((2, 3))}
        if self.tail == 2:
            return rows, (x * functional.adaptive_avg_pool2d(x, 1)).amax(1)
        return rows.flatten(2), rows.reshape(1, -1, 3).topk(2, 1).values


def assert_exact(outputs, reference):
    for a, b in zip(outputs, reference):
        assert a.shape == b.shape and a.dtype == b.dtype
        if b.numel():
            scale = float(b.double().nan_to_num().abs().max())
            assert torch.allclose(a.double(), b.double(), rtol=0, atol=1e-4 * scale, equal_nan=True)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 10 ** 6), data=st.data())
def test_any_valid_plan_gives_the_whole_models_result(seed, data):
    net = RandomNet(seed).eval()
    image = torch.randint(0, 256, (1, data.draw(st.integers(6, 19)), 7, 3), dtype=torch.uint8)
    recording = record(net, (image,))
    tiling = Tiling(recording.graph)
    kernels = Kernels(tiling, recording.weights)
    order = random.Random(data.draw(st.integers(0, 999)))
    style = data.draw(st.integers(0, 2))
    stops = [order.choice([0, r.rows, order.randint(0, r.rows)]) if style else order.randint(0, r.rows)
             for r in tiling.rules]
    starts = [s if style == 2 else order.randint(0, s) for s in stops]
    plan = complete(tiling, "random", stops, starts, up_chunks=order.randint(1, 4), robot_chunks=order.randint(1, 5),
                    grain=order.randint(1, 5))
    plan = Plan.from_json(plan.to_json())
    validate(tiling, plan)
    assert_exact(run_both_sides(kernels, plan, [image], order),
                 WholeModel(recording.graph, recording.weights)(image))


@pytest.fixture(scope="module")
def small():
    recording = record(RandomNet(5).eval(), (torch.randint(0, 256, (1, 12, 7, 3), dtype=torch.uint8),))
    return recording, Tiling(recording.graph)


def test_local_plan_sends_nothing(small):
    plan = local_plan(small[1])
    assert plan.is_local and not plan.transfers


def offload(tiling):
    rows = [r.rows for r in tiling.rules]
    return complete(tiling, "offload", rows, rows, up_chunks=3)


def test_offload_sends_inputs_up_and_outputs_down(small):
    _, tiling = small
    plan = offload(tiling)
    assert {t.tensor for t in plan.transfers if t.direction == UP} == set(tiling.graph.inputs)
    assert {t.tensor for t in plan.transfers if t.direction == DOWN} == set(tiling.graph.outputs)


def test_broken_plans_are_refused(small):
    _, tiling = small
    plan = offload(tiling)
    up = next(t for t in plan.transfers if t.direction == UP)
    others = tuple(t for t in plan.transfers if t is not up)
    broken = {
        "without all of rows": replace(plan, transfers=others + (replace(up, stop=up.stop - 1),)),
        "never reach the robot": replace(plan, transfers=(up,)),
        "does not fit": replace(plan, transfers=plan.transfers + (replace(up, stop=up.stop + 1),)),
        "does not exist": replace(plan, transfers=plan.transfers + (replace(up, tensor=9999),)),
        "neither up nor down": replace(plan, transfers=plan.transfers + (replace(up, direction="sideways"),)),
        "does not compute": replace(plan, transfers=plan.transfers + (replace(up, direction=DOWN),)),
        "would not know when to begin": replace(plan, transfers=tuple(t for t in plan.transfers if t is not up)),
        "boundaries": replace(plan, server_stop=plan.server_stop[:-1]),
        "is for graph": replace(plan, graph="0" * 64),
        "has .* rows, not": replace(plan, server_stop=(10 ** 6,) + plan.server_stop[1:]),
    }
    for message, bad in broken.items():
        with pytest.raises(PlanError, match=message):
            validate(tiling, bad)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"graph":1}', "[" * 100000])
def test_texts_that_are_no_plan(text):
    with pytest.raises(PlanError, match="not a plan"):
        Plan.from_json(text)


@pytest.mark.parametrize("time", ["NaN", "Infinity", "-1", "1" + "0" * 400])
def test_a_plan_that_takes_no_time_that_exists(time):
    text = local_plan(Tiling(record(lambda x: x * 2.0, (torch.zeros(1, 3, 8, 8),)).graph)).to_json()
    assert '"predicted_ms":null' in text
    with pytest.raises(PlanError, match="not a plan"):
        Plan.from_json(text.replace('"predicted_ms":null', '"predicted_ms":' + time))


def test_the_codec_of_volumes_is_for_classes_that_come_back_too():
    graph = record(lambda x: (x.argmax(1).to(torch.uint8), x * 0.5), (torch.zeros(1, 4, 8, 8),)).graph
    tiling = Tiling(graph, (2,))
    classes, scores = graph.outputs
    for codec, of_classes in (("bits+lz4", "bits+lz4"), ("lz4", "raw")):
        codecs = codec_of(tiling, codec)
        assert [codecs(t, DOWN) for t in (graph.inputs[0], classes, scores)] == [codec, of_classes, "raw"]
