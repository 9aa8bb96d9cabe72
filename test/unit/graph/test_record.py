"""Recorded models against the models themselves: networks, writes through views, nested results, refusals."""
import re

import pytest
import torch
import torch.nn.functional as F
import vision
from torch import nn

from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.graph import Graph, GraphError
from intra_dp_ros.graph.record import RecordingError, record, unflatten
from intra_dp_ros.graph.structure import leaves
from intra_dp_ros.graph.two_parts import TwoParts

torch.set_num_threads(1)
IMAGE = (1, 3, 8, 8)


def check_exact(model, *args, rtol=1e-4, **kwargs):
    """Record, replay on other values than recorded, compare every output; the recording."""
    recording = record(model, args, kwargs)
    graph = Graph.from_json(recording.graph.to_json())
    assert graph == recording.graph and graph.hash == recording.graph.hash
    fresh = [torch.rand_like(a) if a.dtype.is_floating_point else a for a in leaves((args, kwargs))]
    rest = iter(fresh)
    call_args = [next(rest).clone() if isinstance(a, torch.Tensor) else a for a in args]
    call_kwargs = {k: next(rest).clone() if isinstance(a, torch.Tensor) else a for k, a in kwargs.items()}
    with torch.no_grad():
        expected = model(*call_args, **call_kwargs)
    got = unflatten(graph.structure, WholeModel(graph, recording.weights)(*fresh))
    pairs = list(zip(leaves(expected), leaves(got)))
    assert pairs and len(leaves(expected)) == len(leaves(got))
    for want, have in pairs:
        assert (want.shape, want.dtype) == (have.shape, have.dtype)
        bound = rtol * want.double().abs().max() if want.numel() else 0
        assert want.numel() == 0 or (want.double() - have.double()).abs().max() <= bound
    return recording


def ops(recording):
    return [node.op for node in recording.graph.nodes]


def image():
    return torch.rand(IMAGE, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vgg11_bn", "squeezenet1_1", "densenet121",
                                  "convnext_tiny", "shufflenet_v2_x1_0", "swin_t"])
def test_torchvision_networks(name):
    models = vision.models()
    torch.manual_seed(0)
    model = getattr(models, name)(weights=None)
    for part in model.modules():  # statistics of a fresh batch norm are 0 and 1: folding would not show
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    recording = check_exact(model.eval(), torch.rand(1, 3, 64, 64))
    assert all(len(node.outputs) >= 1 and node.source for node in recording.graph.nodes)
    known = dict(model.named_parameters())
    kept = [name for name in recording.weights if name in known]
    assert kept and all(torch.equal(recording.weights[name], known[name]) for name in kept)


def test_batch_norm_is_folded_only_where_it_may_be():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.shared, self.other = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.shared(self.norm(self.conv(x)))
            return self.other(y) + y

    torch.manual_seed(1)
    net = Net()
    net.norm.running_mean.uniform_()
    net.norm.running_var.uniform_(0.5, 2)
    assert ops(check_exact(net.eval(), image())) == ["conv2d", "conv2d", "batch_norm", "add.Tensor"]


def test_constants_with_equal_bytes_share_one_name_and_unused_ones_go():
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Dropout()).eval()
    net[1].load_state_dict(net[0].state_dict())
    recording = check_exact(net, image())
    assert ops(recording) == ["linear", "linear"]
    assert set(recording.weights) == {"0.weight", "0.bias"} == set(recording.graph.constants)


def test_defaults_and_identities_are_left_out():
    def model(x):
        y = F.dropout(x.contiguous().clone().detach().float(), 0.5, False)[:, :]
        return F.conv2d(y.view(IMAGE).expand(IMAGE), torch.ones(2, 3, 1, 1))

    node, = check_exact(model, image()).graph.nodes
    assert node.op == "conv2d" and set(node.args) == {"input", "weight"}
    assert node.source.startswith("test_record.py:")


def test_uint8_image_is_the_input():
    def model(picture):
        return (picture.permute(2, 0, 1)[None].float() / 255 - 0.4) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)

    recording = check_exact(model, torch.randint(0, 255, (4, 5, 3), dtype=torch.uint8))
    spec = recording.graph.tensors[recording.graph.inputs[0]]
    assert (spec.shape, spec.dtype) == ((4, 5, 3), "uint8")
    assert ops(recording) == ["permute", "unsqueeze", "to.dtype", "div.Tensor", "sub.Tensor", "div.Tensor"]


def writes_constant(x):
    y = x.clone()
    y[:, 0] = 1
    return y


def writes_broadcast(x):
    y = x * 2
    y[:, 1:2, 0:3] = 2 * x[:, 1:2, 0:3, 0:1]
    return y


def writes_through_chain(x):
    y = x + 0
    turned = y.permute(0, 2, 3, 1)
    turned[..., 2] += 3
    y.view(-1)[3:5] = 7
    return y, turned


def other_views_see_the_write(x):
    y = x.clone()
    even, flat = y[..., ::2], y.flatten()
    first, second = y.split(1, 1)[:2]
    second.mul_(2)
    y.unbind(1)[2].sub_(1)
    return even, flat, first, second, y


def fills_zeros(x):
    out = torch.zeros(1, 3, 4)
    out[:, 0] = x[:, 0, 0, :4]
    out[:, 1:] = x[:, 1:, 1, :4]
    copied = torch.empty_like(out)
    copied.copy_(out[:, :1])
    return out, copied


def masked_write(x):
    y = x * 1
    y[y > 0.7] = 0
    y.masked_fill_(x < 0.1, 2.0)
    return y


def keeps_type(x):
    y = x.half()
    y += x
    return y


def activations_in_place(x):
    y = F.relu(x - 0.5, inplace=True)
    y = F.hardswish(F.leaky_relu(y, inplace=True), inplace=True)
    return y.clamp_(0.05).mul_(3).add_(x, alpha=2)


@pytest.mark.parametrize("model", [writes_constant, writes_broadcast, writes_through_chain, other_views_see_the_write,
                                   fills_zeros, masked_write, keeps_type, activations_in_place])
def test_writes_become_values(model):
    recording = check_exact(model, image())
    assert not [op for op in ops(recording) if op.split(".")[0].endswith("_")]


def test_the_caller_keeps_its_input():
    given = image()
    record(lambda x: x.mul_(2), (given,))
    assert torch.equal(given, image())


def test_nested_results():
    def model(x):
        y = x.relu()
        return {"a": [y, (y, x)], "fixed": torch.ones(2), "plain": (3, "a", None, 0.5), "scalar": x.sum()}

    recording = check_exact(model, image())
    assert len(recording.graph.outputs) == 4  # y is there once
    result = unflatten(recording.graph.structure, ["y", "x", "fixed", "scalar"])
    assert result == {"a": ["y", ("y", "x")], "fixed": "fixed", "plain": (3, "a", None, 0.5), "scalar": "scalar"}


def test_keyword_and_scalar_arguments():
    def model(x, scale, gain=None, power=1):
        return (x * scale + gain) ** power

    recording = check_exact(model, image(), torch.tensor(2.5), gain=torch.rand(3, 1, 1), power=2)
    shapes = [recording.graph.tensors[t].shape for t in recording.graph.inputs]
    assert shapes == [IMAGE, (), (3, 1, 1)]


def test_decode_tail():
    def model(x):
        scores, order = x.flatten(1).topk(5)
        boxes = x.view(1, 3, -1).swapaxes(1, 2).contiguous().view(1, -1, 3)
        chosen = boxes.gather(1, (order % 64)[..., None].expand(-1, -1, 3))
        grid = torch.stack(torch.meshgrid(torch.arange(8.), torch.arange(8.), indexing="ij"))
        return scores, chosen.sigmoid(), x[:, [0, 2]], x[:, :2] + grid, x.max(1)[0], torch.hstack([x, x])

    check_exact(model, image())


def test_resizes_and_pads():
    def model(x):
        up = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        pads = [F.pad(x, (1, 2, 1, 0)), F.pad(x, (1, 1, 2, 1), mode="reflect"),
                F.pad(x, (1, 1, 0, 0), mode="replicate"), F.pad(x, (1, 1, 1, 1), value=-1.5)]
        return [up, F.interpolate(x, size=(5, 5)), F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2), *pads]

    assert {"constant_pad_nd", "reflection_pad2d", "replication_pad2d"} < set(ops(check_exact(model, image())))


def reads_item(x):
    return x * x.max().item()


def branches(x):
    return x + 1 if bool(x.sum() > 3) else x


def nonzero(x):
    return x.nonzero()


def masks(x):
    return x[x > 0.5]


@pytest.mark.parametrize("model, operator", [(reads_item, "(item|_local_scalar_dense)"),
                                             (branches, "(is_nonzero|_local_scalar_dense)"),
                                             (nonzero, "nonzero"), (masks, "index.Tensor")])
def test_data_dependent_models_are_refused_with_their_line(model, operator):
    with pytest.raises(RecordingError) as caught:
        record(model, (image(),))
    line = model.__code__.co_firstlineno + 1
    assert re.match("{} at test_record.py:{}: ".format(operator, line), str(caught.value))
    assert "depends on the data" in str(caught.value) and "keep the rest in the application" in str(caught.value)


def test_an_error_the_model_swallows_is_still_raised():
    def model(x):
        try:
            return x.nonzero()
        except Exception:
            return x

    with pytest.raises(RecordingError, match="nonzero"):
        record(model, (image(),))


def test_values_computed_outside_torch_are_refused():
    def model(x):
        return x * float(x.numpy().max())

    with pytest.raises(RecordingError, match=r"numpy at test_record.py:\d+: .*depends on the data"):
        record(model, (image(),))


def test_random_models_are_refused():
    with pytest.raises(RecordingError, match="random"):
        record(lambda x: x + torch.rand(8), (image(),))


@pytest.mark.parametrize("part", [nn.Dropout(), nn.BatchNorm2d(3), nn.InstanceNorm2d(3, track_running_stats=True)])
def test_training_mode_is_refused(part):
    before = {k: v.clone() for k, v in part.state_dict().items()}
    with pytest.raises(RecordingError, match="call model.eval()"):
        record(nn.Sequential(part), (image(),))
    assert all(torch.equal(v, part.state_dict()[k]) for k, v in before.items())


def test_a_model_that_changes_its_buffers_is_refused():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            return x + self.count

    net = Counter().eval()
    with pytest.raises(RecordingError, match="changes count"):
        record(net, (image(),))
    assert net.count.item() == 0


def test_unknown_operators_are_named_with_their_line():
    with pytest.raises(RecordingError, match=r"renorm at test_record.py:\d+: is not in the operator registry"):
        record(lambda x: torch.renorm(x, 2, 0, 1.0), (image(),))


def test_complex_numbers_are_refused():
    with pytest.raises(RecordingError, match="complex"):
        record(lambda x: torch.view_as_complex(x.view(-1, 2)), (image(),))


def test_no_tensor_is_nothing_to_record():
    with pytest.raises(RecordingError, match="no tensor"):
        record(lambda n: n, (3,))


def test_replay_of_another_shape_is_refused():
    recording = record(nn.ReLU(), (image(),))
    with pytest.raises(GraphError, match="record again"):
        WholeModel(recording.graph, recording.weights)(torch.rand(1, 3, 9, 8))


class Halves(TwoParts):
    """Ends in what depends on values, and says so."""

    def __init__(self, is_early=False):
        super().__init__()
        self.conv, self.is_early = nn.Conv2d(3, 4, 3), is_early

    def begun(self, x, gain=1.0):
        y = self.conv(x) * gain
        return {"y": y[y > 0] if self.is_early else y, "size": (2, 3)}

    def finished(self, result):
        return result["y"][result["y"] > 0.1] * result["size"][1]


@pytest.mark.parametrize("is_early", [False, True])
def test_a_model_of_two_parts_is_recorded_up_to_where_it_says(is_early):
    torch.manual_seed(0)
    model, (x, other) = Halves(is_early).eval(), torch.randn(2, 1, 3, 8, 8)
    recording = record(model, (x,), {"gain": 2.0})
    assert recording.own_end == "Halves" and (recording.tail is not None) == is_early
    assert ("index.Tensor" if is_early else "Halves.finished") in recording.rest
    outputs = WholeModel(recording.graph, recording.weights)(other)
    with torch.inference_mode():
        assert torch.allclose(recording.finish(model, (other,), {"gain": 2.0}, outputs), model(other, gain=2.0))


def test_pairs_with_names_as_torch_gives_them():
    x = torch.randn(1, 4, 5)
    recording = record(lambda x: {"best": torch.max(x.exp(), 1)}, (x,))
    got = recording.finish(None, (x,), {}, WholeModel(recording.graph, recording.weights)(x))["best"]
    want = torch.max(x.exp(), 1)
    assert recording.tail is None and type(got) is type(want)
    assert torch.equal(got.values, want.values) and torch.equal(got.indices, want.indices)


def test_the_same_bytes_as_other_numbers_are_refused():
    with pytest.raises(RecordingError, match="view.dtype at test_record.py"):
        record(lambda x: x.view(torch.int32).float() * 1e-9, (image(),))
    check_exact(lambda x: x.view(torch.float32) * 2, image())


def test_a_norm_behind_a_convolution_without_a_batch():
    torch.manual_seed(3)
    for size in (8, 10):  # as many rows as channels, and not
        net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm1d(size)).eval()
        net[1].running_mean.uniform_(-1, 1)
        net[1].running_var.uniform_(0.5, 2)
        check_exact(net, torch.rand(3, size, 12))


def test_an_input_that_is_an_index():
    table = torch.randn(5, 4)
    labels = torch.arange(20, dtype=torch.uint8).reshape(1, 4, 5) % 5
    check_exact(lambda x: F.embedding(x.long(), table), labels)
    with pytest.raises(RecordingError, match="fails with others from the same range .*IndexError"):
        record(lambda x: F.embedding(x.long()[:, ::2], table), (labels * torch.tensor([[1], [60], [1], [60]]).byte(),))


def test_numbers_are_written_as_the_tensors_type_has_them():
    def model(x):
        y = x * 1.0
        y[:, 1:2].fill_(0.1)
        return y
    x = torch.rand(IMAGE, dtype=torch.float64)
    recording = record(model, (x,))
    assert torch.equal(WholeModel(recording.graph, recording.weights)(x)[0], model(x))
