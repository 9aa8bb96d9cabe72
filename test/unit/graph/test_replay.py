"""Models of which only a part can be a graph: the graph and the model's own rest give the model's own result."""
import collections
import copy
import dataclasses
import random
import typing

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import vision
from torch import nn

from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import RecordingError, ReplayError, record
from intra_dp_ros.graph.structure import leaves

torch.set_num_threads(1)
KERNEL = torch.rand(4, 3, 3, 3, generator=torch.Generator().manual_seed(1)) - 0.5

GRU = nn.GRU(8, 8, batch_first=True).eval()


def image(seed=7, shape=(1, 3, 8, 8)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def work(x):
    return F.conv2d(x, KERNEL, padding=1)


def check(model, *args, others=None, tolerance=1e-5, **kwargs):
    """Record, then compare graph and rest with the model itself, on other values too; the recording."""
    recording = record(model, args, kwargs)
    run = WholeModel(recording.graph, recording.weights)
    for given in (args, others or tuple(image(seed=9) if isinstance(a, torch.Tensor) else a for a in args)):
        own = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in given)
        with torch.no_grad():
            want = model(*own, **kwargs)
        got = recording.finish(model, given, kwargs, run(*leaves((given, kwargs))))
        same(want, got, tolerance)
    return recording


def same(want, got, tolerance):
    assert type(want) is type(got)
    if isinstance(want, torch.Tensor):
        assert (want.shape, want.dtype) == (got.shape, got.dtype)
        if want.numel():
            assert float((want.double() - got.double()).abs().max()) <= tolerance * float(want.double().abs().max())
    elif isinstance(want, dict):
        assert list(want) == list(got)
        for key in want:
            same(want[key], got[key], tolerance)
    elif isinstance(want, (tuple, list)):
        assert len(want) == len(got)
        for a, b in zip(want, got):
            same(a, b, tolerance)
    elif dataclasses.is_dataclass(want):
        for field in dataclasses.fields(want):
            same(getattr(want, field.name), getattr(got, field.name), tolerance)
    else:
        assert want == got


def selects(x):
    y = work(x)
    return y[y > 0], (y > 0).nonzero()


def branches(x):
    y = work(x).relu()
    return y * 2 if y.sum() > y.numel() else -y


def reads_numbers(x):
    y = work(x)
    return [round(v, 4) for v in y.mean((0, 2, 3)).tolist()], y


def uses_numpy(x):
    y = work(x)
    return torch.from_numpy(np.sort(np.asarray(y), axis=1)) + float(y.numpy().max())


def loops(x):
    y, count = work(x), 0
    while y.abs().max().item() > 0.5:
        y, count = y / 2, count + 1
    return y, count


def writes_after(x):
    """Writes to views and sources of what the graph made have to be seen in each other."""
    y = work(x)
    flat, part, turned = y.view(-1), y[:, 1:3], y.permute(0, 2, 3, 1)
    n = int(y.argmax())
    flat[n] = 100.0
    part.mul_(2)
    turned[..., 0] = 3
    return y, flat, part, turned


def writes_before(x):
    out = torch.zeros(2, 4, 8, 8)
    one = out[0]
    out[:, :, 1].add_(5)
    one.copy_(work(x)[0])
    y = work(x).relu_()
    y[:, 2] = 1
    return out, out[y.repeat(2, 1, 1, 1) > 0.3], y


def writes_to_its_input(x):
    x.mul_(0.5)
    y = work(x)
    return x, y[y > 0]


def keeps_a_slice(x):
    y = work(x)[:, 1:2]
    return y.unique()


def keeps_in_containers(x):
    class Holder:
        pass

    y = work(x)
    holder, constant = Holder(), torch.arange(8.0)
    holder.maps = {"a": [y, collections.deque([y.half()])], "f": lambda: y.sum(1)}
    n = int((y > 0).sum())
    return holder.maps["a"][0] + constant, holder.maps["a"][1][0][..., :n], holder.maps["f"]()


def needs_only_shapes(x):
    y = work(x)
    grid = torch.zeros_like(y) + torch.ones(y.shape)
    return (y + grid)[y > 0.1], y.new_full((2,), 3), x.data.abs()[x > 0.5]


def swallows(x):
    y = work(x)
    try:
        return y.nonzero()
    except Exception:
        return y


def rounds(x):
    return work(x.to(torch.bfloat16).float()).bfloat16().sort(1).values[0].unique(dim=0)


def looks_closely(x):
    y = work(x)
    shown, copied = repr(y.flatten()[:3]), copy.deepcopy(y)
    return shown, copied.relu_(), y


def runs_a_recurrence(x):
    y = work(x)[0].flatten(1)[:, :8]
    hidden = GRU(y[None])[0]
    return hidden, hidden[hidden > 0]


def reshapes_in_place(x):
    y, mask = work(x), torch.zeros(8, 4)
    part = y[:, 1:2]
    y.unsqueeze_(0).transpose_(1, 2)
    mask.t_()[1:] = y[0, :3, 0, 0]
    y[0, 0] = 2.0
    n = int(part.argmax()) % 8
    y.squeeze_()[..., n] = 1.0
    return y, part, mask


def returns_its_input(x):
    return x, work(x)[x.repeat(1, 2, 1, 1)[:, :4] > 0.5]


MODELS = [selects, branches, reads_numbers, uses_numpy, loops, writes_after, writes_before, writes_to_its_input,
          keeps_a_slice, keeps_in_containers, needs_only_shapes, swallows, rounds, looks_closely,
          runs_a_recurrence, reshapes_in_place, returns_its_input]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_the_rest_runs_in_the_application(model):
    recording = check(model, image())
    tail = recording.tail
    assert "conv2d" in [n.op for n in recording.graph.nodes]
    assert tail.operator and tail.source.startswith("test_replay.py:") and tail.source in tail.sentence


@pytest.mark.parametrize("model", [writes_to_its_input, returns_its_input], ids=lambda m: m.__name__)
def test_an_image_with_its_channels_last_in_memory(model):
    check(model, image().contiguous(memory_format=torch.channels_last))


def test_what_is_random_stays_random():
    def model(x):
        noise = torch.rand(4, 1, 1)
        return work(x) * random.random(), work(x) + noise

    recording = record(model, (image(),))
    assert recording.tail.operator == "mul.Tensor" and "random" in recording.tail.sentence
    outputs = WholeModel(recording.graph, recording.weights)(image())
    first, second = (recording.finish(model, (image(),), {}, outputs) for _ in range(2))
    assert not torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1])


def test_only_what_is_alive_leaves_the_graph():
    shapes = [[r.graph.tensors[t].shape for t in r.graph.outputs] for r in (record(m, (image(),)) for m in (
        keeps_a_slice, selects, uses_numpy))]
    assert shapes == [[(1, 1, 8, 8)], [(1, 4, 8, 8), (1, 4, 8, 8)], [(1, 4, 8, 8)]]


def test_the_prefix_is_not_computed_again(monkeypatch):
    recording = record(selects, (image(),))
    outputs = WholeModel(recording.graph, recording.weights)(image())
    marked = tuple(torch.full_like(t, 1) for t in outputs)
    chosen, places = recording.finish(selects, (image(),), {}, marked)
    assert chosen.numel() == 4 * 64 and bool((chosen == 1).all()) and len(places) == 4 * 64


Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass(frozen=True)
class Result:
    maps: torch.Tensor
    name: str = "r"


class ModelOutput(collections.OrderedDict):
    """As transformers has it: a dict whose entries are attributes too."""

    def __getattr__(self, name):
        return self[name]


class Odd:
    def __init__(self, maps):
        self.maps = maps


@pytest.mark.parametrize("make, is_whole", [
    (lambda y: Pair(y, [y.sum(), (y, 3, None)]), True),
    (lambda y: collections.OrderedDict([("b", y), ("a", Pair(y, "word"))]), True),
    (lambda y: Result(y.abs()), False), (lambda y: ModelOutput(logits=y, hidden=(y, y + 1)), False),
    (lambda y: {0: y, 1: {2: y}}, False), (lambda y: collections.defaultdict(list, a=y), False)])
def test_nested_results_are_the_models_own(make, is_whole):
    recording = check(lambda x: make(work(x)), image())
    assert (recording.tail is None) == is_whole


def test_results_of_any_class():
    def model(x):
        return Odd(work(x))

    recording = record(model, (image(),))
    got = recording.finish(model, (image(),), {}, WholeModel(recording.graph, recording.weights)(image()))
    assert type(got) is Odd and torch.allclose(got.maps, work(image()))


def test_results_that_count_calls():
    calls = []

    def model(x):
        calls.append(x)
        return work(x), len(calls)

    recording = record(model, (image(),))
    outputs = WholeModel(recording.graph, recording.weights)(image())
    numbers = [recording.finish(model, (image(),), {}, outputs)[1] for _ in range(2)]
    assert numbers == [len(calls) - 1, len(calls)]


class Inputs(typing.NamedTuple):
    image: torch.Tensor
    gain: torch.Tensor


@dataclasses.dataclass
class Scan:
    image: torch.Tensor
    name: str


@pytest.mark.parametrize("given", [[image()], {"image": image(), "n": 3}, Inputs(image(), torch.tensor(2.0)),
                                   Scan(image(), "scan"), (image(), slice(1, 3), torch.float32)])
def test_nested_inputs(given):
    def model(given, scale=1):
        x = given["image"] if isinstance(given, dict) else getattr(given, "image", None)
        y = work(given[0] if x is None else x) * scale
        return y if isinstance(scale, torch.Tensor) else (y, y[y > 0])

    check(model, given, others=(given,))
    assert check(model, given, others=(given,), scale=torch.tensor(2.5)).tail is None


@pytest.mark.parametrize("given", [np.ones((1, 3, 8, 8), np.float32), object()])
def test_inputs_that_hide_their_values_are_refused(given):
    with pytest.raises(RecordingError, match=r"torch\.as_tensor"):
        record(lambda x, other: work(x), (image(), given))


class Stateful(nn.Module):
    """Keeps what it saw, and makes its grid at the first call."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("count", torch.zeros(1))
        self.grid = self.seen = None

    def forward(self, x):
        y = self.conv(x)
        if self.grid is None:
            self.grid = torch.arange(8.0).view(1, 1, 8, 1)
        self.count += 1
        self.seen = y + self.grid
        return self.seen[self.seen > 2] + self.count * 0


def test_a_model_with_a_state():
    model = Stateful().eval()
    recording = check(model, image())
    assert model.count == 4 and "changes count" in recording.tail.reason  # recording left it alone
    outputs = WholeModel(recording.graph, recording.weights)(image())
    recording.finish(model, (image(),), {}, outputs)
    assert torch.allclose(model.seen, model.conv(image()) + model.grid, atol=1e-5)


class Detector(nn.Module):
    def __init__(self, part=None):
        super().__init__()
        self.conv, self.part = nn.Conv2d(3, 4, 3, padding=1), part or nn.Identity()

    @torch.no_grad()
    def forward(self, x):
        y = self.part(self.conv(x))
        return y[y > 0]


@pytest.mark.parametrize("part", [nn.Dropout(), nn.Sequential(nn.BatchNorm2d(4)), nn.Dropout2d(inplace=True)])
def test_training_mode_is_named(part):
    with pytest.raises(RecordingError, match=r"call model\.eval\(\)"):
        record(Detector(part), (image(),))


def test_hooks_and_wrappers():
    model, seen = Detector().eval(), []
    model.conv.register_forward_hook(lambda module, given, out: seen.append(out.shape) or out * 2)
    check(model, image())
    check(nn.DataParallel(model), image())
    assert set(seen) == {(1, 4, 8, 8)}


@pytest.mark.parametrize("convert", [torch.jit.script, lambda m: torch.jit.trace(m, image(), check_trace=False)])
def test_torchscript(convert):
    check(convert(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout()).eval()), image())
    check(convert(Detector().eval()), image())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    model = Detector(nn.ReLU(inplace=True)).eval().to(dtype)
    check(model, image().to(dtype), others=(image(9).to(dtype),), tolerance=1e-2)


def test_float16_where_torch_computes_it():
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).half()
    try:
        net(image().half())
    except RuntimeError:
        pytest.skip("this torch computes no float16 linear layers on the CPU")
    check(net, image().half(), others=(image(9).half(),), tolerance=1e-2)


def test_another_sequence_is_noticed():
    model = Detector().eval()
    recording = record(model, (image(),))
    outputs = WholeModel(recording.graph, recording.weights)(image())
    model.part = nn.ReLU()
    with pytest.raises(ReplayError, match="relu"):
        recording.finish(model, (image(),), {}, outputs)
    with pytest.raises(ReplayError, match="made 0 of the"):
        recording.finish(lambda x: 3, (image(),), {}, outputs)


def test_errors_of_the_model_are_its_own():
    problems = []

    def model(x):
        y = work(x)
        if problems:
            raise KeyError(problems)
        return y[y > 0]

    recording = record(model, (image(),))
    outputs = WholeModel(recording.graph, recording.weights)(image())
    problems.append("mine")
    with pytest.raises(KeyError, match="mine"):
        recording.finish(model, (image(),), {}, outputs)


def test_nothing_to_return():
    with pytest.raises(RecordingError, match="no tensor"):
        record(lambda x: print(work(x).shape), (image(),))


@pytest.mark.parametrize("name, options, sizes", [
    ("ssdlite320_mobilenet_v3_large", {}, (120, 160)),
    ("fasterrcnn_mobilenet_v3_large_320_fpn", {"min_size": 96, "max_size": 128}, (96, 128)),
    ("keypointrcnn_resnet50_fpn", {"min_size": 64, "max_size": 96}, (64, 80))])
def test_torchvision_detectors(name, options, sizes):
    detection = vision.models().detection
    torch.manual_seed(0)
    model = getattr(detection, name)(weights=None, weights_backbone=None, **options).eval()
    recording = check(model, [image(3, (3, *sizes))], others=([image(4, (3, *sizes))],), tolerance=1e-4)
    assert recording.tail is not None and len(recording.graph.nodes) > 100
