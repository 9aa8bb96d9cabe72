"""Every operator that can be cut, with random parameters, along every axis: any plan gives the whole model's result.

Each case is a small model around one operator.  The operator must be local, so that a rule that gives up is seen.
"""
import random

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as functional

from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.rules.rule import LOCAL
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss.random_plans import random_plan
from intra_dp_ros.runtime.exactness import relative_error

torch.set_num_threads(1)
CASES = 30  # of every family


def sizes(draw, count, least=5, most=12):
    return [draw.randint(least, most) for _ in range(count)]


def image(draw, count, channels=4, least=5, most=12):
    return (draw.choice([1, 1, 2]), channels, *sizes(draw, count, least, most))


def maybe_alone(draw, shape):
    """One image without a batch dimension, now and then; the axes to cut are the same spatial ones."""
    return shape[1:] if draw.random() < 0.2 else shape


def window(draw, count, shape):
    """Kernel, stride, dilation and padding that fit."""
    while True:
        k, s, d = ([draw.randint(1, n) for _ in range(count)] for n in (4, 3, 2))
        p = [draw.randint(0, 3) for _ in range(count)]
        if all(n + 2 * b >= e * (a - 1) + 1 for n, a, e, b in zip(shape[-count:], k, d, p)):
            return k, s, d, p


def convolution(draw):
    n = draw.randint(1, 3)
    shape = image(draw, n)
    k, s, d, p = window(draw, n, shape)
    make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n - 1]
    if draw.random() < 0.3:
        p, s = draw.choice(["same", "valid"]), 1
        k = k if p == "same" else [1 + (a > 1) for a in k]
    return make(4, draw.choice([4, 8]), k, s, p, d, draw.choice([1, 2, 4]), bias=draw.random() < 0.7), maybe_alone(
        draw, shape)


def transposed_convolution(draw):
    n = draw.randint(1, 3)
    shape = image(draw, n, least=3, most=7)
    while True:
        k, s, d = ([draw.randint(1, m) for _ in range(n)] for m in (5, 5, 2))
        p = [draw.randint(0, (e * (a - 1)) // 2 + 1) for a, e in zip(k, d)]
        o = [draw.randint(0, max(b, e) - 1) for b, e in zip(s, d)]
        out = [(m - 1) * b - 2 * q + e * (a - 1) + z + 1 for m, b, q, e, a, z in zip(shape[2:], s, p, d, k, o)]
        if min(out) > 0:
            break
    make = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[n - 1]
    return make(4, 4, k, s, p, o, draw.choice([1, 2]), draw.random() < 0.7, d), maybe_alone(draw, shape)


def max_pooling(draw):
    n = draw.randint(1, 3)
    shape = image(draw, n)
    k, s, d, _ = window(draw, n, shape)
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[n - 1]
    p, ceil = [a // 2 for a in k], draw.random() < 0.5
    return lambda x: pool(x, k, s, p, d, ceil), shape


def max_pooling_with_indices(draw):
    n = draw.randint(1, 3)
    shape = image(draw, n)
    if draw.random() < 0.4:
        adaptive = (functional.adaptive_max_pool1d, functional.adaptive_max_pool2d, functional.adaptive_max_pool3d)
        size = sizes(draw, n, 2, 9)
        return lambda x: adaptive[n - 1](x, size if n > 1 else size[0], return_indices=True), shape
    k, s, d, _ = window(draw, n, shape)
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[n - 1]
    p, ceil = [a // 2 for a in k], draw.random() < 0.5
    return lambda x: pool(x, k, s, p, d, ceil, return_indices=True), shape


def average_pooling(draw):
    n = draw.randint(1, 3)
    shape = image(draw, n)
    k, s, _, _ = window(draw, n, shape)
    make = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[n - 1]
    more = {"divisor_override": draw.randint(1, 9)} if n > 1 and draw.random() < 0.3 else {}
    return make(k, s, [a // 2 for a in k], draw.random() < 0.5, draw.random() < 0.5, **more), shape


def adaptive_pooling(draw):
    n = draw.randint(1, 3)
    make = draw.choice([(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), (
        nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)])[n - 1]
    return make([draw.randint(2, 9) for _ in range(n)] if n > 1 else draw.randint(2, 9)), image(draw, n)


def interpolation(draw):
    n = draw.randint(1, 3)
    modes = [("nearest", "nearest-exact", "linear"), ("nearest", "nearest-exact", "bilinear", "bicubic"),
             ("nearest", "nearest-exact", "trilinear")][n - 1]
    options = {"mode": draw.choice(modes)}
    if "nearest" not in options["mode"]:
        options["align_corners"] = draw.random() < 0.5
    if draw.random() < 0.5:
        options["size"] = sizes(draw, n, 1, 25)
    else:
        options["scale_factor"] = [draw.choice([2.0, 3.0, 0.5, draw.uniform(0.4, 3)]) for _ in range(n)]
        options["recompute_scale_factor"] = draw.choice([None, True])
    return lambda x: functional.interpolate(x, **options), image(draw, n)


def padding(draw):
    n = draw.randint(1, 3)
    mode = draw.choice(["constant", "reflect", "replicate"])
    least = -2 if mode == "constant" else 0
    amounts = [draw.randint(least, 4) for _ in range(2 * n)]
    return lambda x: functional.pad(x, amounts, mode), image(draw, n)


def shuffling(draw):
    kind, r = draw.randrange(6), draw.randint(2, 3)
    h, w = sizes(draw, 2)
    if kind == 0:
        return lambda x: functional.pixel_shuffle(x, r), (1, 2 * r * r, h, w)
    if kind == 1:
        return lambda x: functional.pixel_unshuffle(x, r), (1, 3, h * r, w * r)
    if kind == 2:
        return nn.ChannelShuffle(r), (1, 2 * r, h, w)
    if kind == 3:
        dim = draw.choice([2, 3])
        return lambda x: x.unfold(dim, 3, r), (1, 3, h, w)
    k, s, d, p = window(draw, 2, (1, 3, h, w))
    if draw.random() < 0.5:
        return lambda x: functional.fold(functional.unfold(x, k, d, p, s) * 2, (h, w), k, d, p, s), (1, 3, h, w), [2]
    return lambda x: functional.unfold(x, k, d, p, s), (1, 3, h, w), [2]


def sampling(draw):
    h, w = sizes(draw, 2)
    options = {"mode": draw.choice(["bilinear", "nearest", "bicubic"]), "align_corners": draw.random() < 0.5,
               "padding_mode": draw.choice(["zeros", "border", "reflection"])}
    constant = torch.randn(1, 3, 5, 7)
    if draw.random() < 0.5:
        return lambda x: functional.grid_sample(constant, x.tanh(), **options), (1, h, w, 2), [1, 2]
    return lambda x: functional.grid_sample(x.permute(0, 3, 1, 2), x.tanh(), **options), (1, h, w, 2), [1, 2]


def of_images(draw):
    """Along the batch, which windows and pixels often become: every image by itself."""
    family = draw.choice([convolution, transposed_convolution, max_pooling, max_pooling_with_indices, average_pooling,
                          adaptive_pooling, interpolation])
    while True:
        model, shape, *_ = family(draw)
        if shape[0] != 4 or shape[1] == 4:  # with a batch
            break
    if draw.random() < 0.2:
        model, shape = nn.GroupNorm(2, 4), (1, 4, 5, 6)
    images = draw.randint(3, 9)
    if draw.random() < 0.3:
        shape, grid, held = (1, 4, 5, 6), torch.rand(images, 3, 4, 2) * 2 - 1, torch.randn(images, 2, 5, 6)
        options = {"align_corners": False}
        model = draw.choice([
            lambda x: functional.grid_sample(x, x.permute(0, 2, 3, 1)[..., :2].tanh(), **options),
            lambda x: functional.grid_sample(x, grid, **options),
            lambda x: functional.grid_sample(held, x.permute(0, 2, 3, 1)[..., :2].tanh(), **options)])
    return model, (images, *shape[1:]), [0]


def shapes(draw):
    kind, h, w = draw.randrange(12), draw.choice([4, 6, 8]), draw.choice([3, 6])
    shape = (1, 4, h, w)
    return ((lambda x: x.flatten(2) + 1, shape, [2]), (lambda x: x.reshape(1, 4, 2, h // 2, w).sum(4), shape, [2]),
            (lambda x: x.permute(0, 2, 3, 1).reshape(h * w, 4).relu(), shape, [2]),
            (lambda x: x.permute(2, 0, 1, 3).squeeze(1).unflatten(0, (2, h // 2)), shape, [2]),
            (lambda x: torch.stack([x, x * 2], 2).flatten(1, 2), shape, [2, 3]),
            (lambda x: x.unsqueeze(0).expand(3, 1, 4, h, w).mean(0), shape, [2, 3]),
            (lambda x: x.repeat(2, 1, 1, 1) + x, shape, [2, 3]),
            (lambda x: torch.cat([c * i for i, c in enumerate(x.split(2, 1))], 1), shape, [2, 3]),
            (lambda x: torch.cat([x[:, :, ::2], x[:, :, 1::2]], 1), shape, [2, 3]),
            (lambda x: x.flip(1) + x.roll(1, 1), shape, [2, 3]),
            (lambda x: x[:, torch.tensor([3, 0, 0])] + x.select(1, 1).unsqueeze(1), shape, [2, 3]),
            (lambda x: torch.cat([x, x.exp(), x.tanh()], 2)[:, :, 1:-2], shape, [2, 3]))[kind]


def products(draw):
    kind, h, w = draw.randrange(10), draw.randint(4, 9), draw.randint(3, 6)
    shape, weight = (2, 3, h, w), torch.randn(w, 5)
    return ((lambda x: torch.einsum("bchw,bcgw->bchg", x.exp(), x).softmax(3), shape, [2]),
            (lambda x: torch.einsum("bchg,bcgw->bchw", (x @ x.transpose(2, 3)).softmax(3), x), shape, [2]),
            (nn.Linear(w, 5), shape, [2]), (lambda x: x @ weight, shape, [2]),
            (lambda x: weight.t() @ x.transpose(2, 3), shape, [2]),
            (lambda x: torch.einsum("bchw,wk->bkhc", x, weight), shape, [2]),
            (lambda x: torch.bmm(x.permute(2, 0, 1, 3).flatten(1, 2), x.permute(2, 3, 0, 1).flatten(2)), shape, [2]),
            (lambda x: (x.permute(0, 2, 1, 3) @ x.permute(0, 2, 3, 1)).softmax(3), shape, [2]),
            (lambda x: torch.baddbmm(torch.ones(1, 1, 5), x[0], weight.expand(3, w, 5)), shape, [2]),
            (lambda x: torch.addmm(torch.ones(5), x[0, 0], weight), shape, [2]))[kind]


class Scaled(nn.Module):
    """Constants that carry the axis, and ones that do not."""

    def __init__(self, shape):
        super().__init__()
        self.rows, self.slope = torch.randn(1, 1, shape[2], 1), nn.PReLU(4)
        self.norm, self.layer = nn.BatchNorm2d(4).eval(), nn.LayerNorm(shape[3])
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x):
        return self.layer(self.slope(self.norm(x.clamp(-1, 1))) * self.rows + self.rows.exp())


def elementwise(draw):
    kind, shape = draw.randrange(9), (1, 4, *sizes(draw, 2))
    return ((Scaled(shape), shape, [2]), (lambda x: torch.where(x > 0, x, x.exp() - 1), shape),
            (lambda x: x.softmax(1).argmax(1), shape), (lambda x: x.sort(1).values.cumsum(1), shape),
            (lambda x: x.topk(2, 1).values - x.amax(1, keepdim=True), shape),
            (lambda x: torch.gather(x, 1, x.argsort(1)) * x.std(1, keepdim=True), shape),
            (lambda x: functional.one_hot(x.argmax(1), 4).float().mean(-1), shape),
            (lambda x: functional.embedding(x.argmax(1), torch.arange(12.).view(4, 3)), shape),
            (lambda x: x.norm(dim=1) + x.logsumexp(1) + x.var(1), shape))[kind]


POINTWISE = "logit erfc erfinv lgamma digamma i0 sinc asinh acosh atanh sgn signbit rad2deg deg2rad isposinf isneginf"
PAIRWISE = "hypot logaddexp logaddexp2 fmax fmin heaviside copysign xlogy"


def less_common(draw):
    h, w = sizes(draw, 2)
    shape, rows, bounds = (1, 4, h, w), torch.rand(h, 1) + 0.5, torch.linspace(-1, 1, 5)
    single, pair = getattr(torch, draw.choice(POINTWISE.split())), getattr(torch, draw.choice(PAIRWISE.split()))
    kind = draw.randrange(12)
    return ((lambda x: torch.nan_to_num(single(x.sigmoid() * 0.9 + 0.05)), shape),
            (lambda x: torch.nan_to_num(single(x.tanh().abs() + 1e-3)), shape),
            (lambda x: pair(x.abs() + 0.1, x.sigmoid()), shape), (lambda x: pair(x.abs() + 0.1, rows), shape, [2]),
            (lambda x: [*torch.var_mean(x, 1), *torch.std_mean(x, 1, keepdim=True), *torch.aminmax(x, dim=1)], shape),
            (lambda x: [*torch.median(x, 1), *torch.kthvalue(x, 2, 1), torch.mode(x.round(), 1)[0]], shape),
            (lambda x: [*torch.kthvalue(x, 2), torch.mode(x.round())[0], torch.count_nonzero(x > 0, 1)], shape, [2]),
            (lambda x: [*torch.cummax(x, 1), *torch.cummin(x, 1), x.cumprod(1), x.logcumsumexp(1), x.nansum(1)], shape),
            (lambda x: torch.cross(x[:, :3], x[:, 1:] * rows, 1), shape, [2]),
            (lambda x: torch.bucketize(x, bounds) + torch.searchsorted(bounds, x, right=True), shape),
            (lambda x: torch.diagonal(x.unsqueeze(1) * x.unsqueeze(2), 0, 1, 2).relu(), shape),
            (lambda x: [x.diff(dim=2), x.diff(dim=1), x.diff(2, 2), x.diff().sigmoid()], shape, [2]))[kind]


FAMILIES = (convolution, transposed_convolution, max_pooling, max_pooling_with_indices, average_pooling,
            adaptive_pooling, interpolation, padding, shuffling, sampling, of_images, shapes, products, elementwise,
            less_common)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", range(CASES))
def test_any_plan_of_any_operator(family, case):
    draw = random.Random("{} {}".format(family.__name__, case))
    torch.manual_seed(case)
    model, shape, *axes = family(draw)
    x = torch.randn(shape)
    recording = record(model.eval() if isinstance(model, nn.Module) else model, (x,))
    reference = WholeModel(recording.graph, recording.weights)(x)
    leading = 1 if family.__name__.endswith("convolution") and shape[0] == 4 else 2  # 4 channels without a batch
    for axis in axes[0] if axes else range(leading, len(shape)):
        tiling = Tiling(recording.graph, (axis,))
        uncut = [n.op for n, rule in zip(recording.graph.nodes, tiling.rules) if rule.kind != LOCAL]
        assert not uncut, (uncut, axis, shape)
        kernels = Kernels(tiling, recording.weights)
        for kind in ("rows", "bands"):
            outputs = run_both_sides(kernels, random_plan(tiling, kind, draw), [x], draw)
            assert relative_error(outputs, reference) < 1e-5, (axis, shape, recording.graph.nodes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.uint8, torch.int64])
def test_other_types_than_float32(dtype):
    """Cut or not, the result is the whole model's; what ATen rounds by itself is not cut."""
    draw = random.Random(str(dtype))
    calls = [
        lambda x: functional.pad(x, (0, 0, 2, 1)) + x.amax(), lambda x: functional.interpolate(x, size=(5, 9)),
        lambda x: torch.cat([x, x * 2], 2)[:, :, ::2], lambda x: functional.pixel_shuffle(x, 2) + 1,
        lambda x: x.unfold(2, 3, 2).amax(-1), lambda x: functional.max_pool2d(x, 3, 2, 1),
        lambda x: functional.interpolate(x, size=(5, 9), mode="bilinear"),
        lambda x: functional.interpolate(x, scale_factor=2.0, mode="bicubic", align_corners=True),
        lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False), lambda x: x.sum(1) // 3]
    x = (torch.rand(1, 4, 11, 6) * 200).to(dtype)
    run = 0
    for call in calls:
        try:
            call(x)
        except (RuntimeError, NotImplementedError):
            continue  # this torch has no kernel for the type
        run += 1
        recording = prepare(record(call, (x,)))
        tiling = Tiling(recording.graph)
        kernels, reference = Kernels(tiling, recording.weights), WholeModel(recording.graph, recording.weights)(x)
        for kind in ("rows", "bands", "staircase", "cut") * 2:
            outputs = run_both_sides(kernels, random_plan(tiling, kind, draw), [x], draw)
            assert [o.dtype for o in outputs] == [r.dtype for r in reference]
            assert relative_error(outputs, reference) < 1e-5
    assert run >= 5


_WEIGHT, _ROWS = torch.randn(24, 3, 3), torch.randn(1, 4, 48, 1)
_SINGLE = torch.ones(4, 4, 1, 1)


@pytest.mark.parametrize("model, shape, axis", [
    (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU()).eval(),
     (1, 3, 24, 16), 2),  # statistics over all rows
    (lambda x: functional.interpolate(x, scale_factor=(41.0, 1.0)), (1, 1, 5, 3), 2),  # rounded in float32
    (lambda x: functional.conv2d(x, _SINGLE, torch.ones(4), padding=(16, 0)) + _ROWS, (1, 4, 16, 8), 2),
    (lambda x: torch.baddbmm(torch.zeros(1, 1, 3), x, _WEIGHT), (24, 5, 3), 0)])
def test_calls_whose_rows_are_not_where_they_seem(model, shape, axis):
    torch.manual_seed(2)
    x, draw = torch.randn(shape), random.Random(1)
    recording = record(model, (x,))
    reference = WholeModel(recording.graph, recording.weights)(x)
    tiling = Tiling(recording.graph, (axis,))
    kernels = Kernels(tiling, recording.weights)
    for _ in range(6):
        assert relative_error(run_both_sides(kernels, random_plan(tiling, "rows", draw), [x], draw), reference) < 1e-5
