"""TensorFlow.js graphs: each operation's meaning on tiny graphs, against values worked out here."""
import base64
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.apps.tfjs import TfjsError, TfjsModel
from intra_dp_ros.apps.tfjs_file import parse_graph, read_graph, read_weights
from intra_dp_ros.apps.tfjs_ops import same_padding
from intra_dp_ros.graph.record import record


def text(value):
    return {"s": base64.b64encode(value.encode()).decode()}


def ints(*values):
    return {"list": {"i": [str(v) for v in values]}}


def node(name, op, *inputs, **attrs):
    return {"name": name, "op": op, "input": list(inputs), "attr": attrs}


IMAGE = node("image", "Placeholder")


def build(nodes, arrays, shape, outputs=None, **options):
    consts = [node(name, "Const") for name in arrays]
    return TfjsModel(parse_graph({"modelTopology": {"node": list(nodes) + consts + [IMAGE]}}), arrays, shape, outputs,
                     **options)


def image(*shape, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8))


def naive_conv(x, kernel, stride, dilation, rows, columns, depthwise):
    """x [h, w, c], kernel [kh, kw, in, out or multiplier]; float64 loops."""
    x = np.pad(x.astype(np.float64), (rows, columns, (0, 0)))
    reach = [(k - 1) * dilation + 1 for k in kernel.shape[:2]]
    height, width = [(x.shape[i] - reach[i]) // stride + 1 for i in (0, 1)]
    out = np.zeros((height, width, kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            patch = x[i * stride:i * stride + reach[0]:dilation, j * stride:j * stride + reach[1]:dilation]
            if depthwise:
                out[i, j] = np.einsum("hwc,hwcm->cm", patch, kernel).reshape(-1)
            else:
                out[i, j] = np.einsum("hwc,hwco->o", patch, kernel)
    return out


@settings(deadline=None, max_examples=60)
@given(height=st.integers(3, 12), width=st.integers(3, 12), size=st.integers(1, 4), stride=st.integers(1, 3),
       dilation=st.integers(1, 2), kind=st.sampled_from(["SAME", "VALID"]), depthwise=st.booleans())
def test_convolutions_agree_with_loops(height, width, size, stride, dilation, kind, depthwise):
    reach = (size - 1) * dilation + 1
    if kind == "VALID" and (reach > height or reach > width):
        return
    random = np.random.RandomState(size)
    kernel = random.randn(size, size, 3, 2).astype(np.float32)
    out = 6 if depthwise else 2
    bias = random.randn(out).astype(np.float32)
    attrs = dict(strides=ints(1, stride, stride, 1), dilations=ints(1, dilation, dilation, 1), padding=text(kind),
                 fused_ops={"list": {"s": [text("BiasAdd")["s"], text("Relu")["s"]]}})
    op = "FusedDepthwiseConv2dNative" if depthwise else "_FusedConv2D"
    model = build([node("out", op, "image", "kernel", "bias", **attrs)], {"kernel": kernel, "bias": bias},
                  (1, height, width, 3))
    x = image(1, height, width, 3)
    rows, columns = [same_padding(n, size, stride, dilation) if kind == "SAME" else (0, 0) for n in (height, width)]
    expected = np.maximum(naive_conv(x[0].numpy(), kernel, stride, dilation, rows, columns, depthwise) + bias, 0.0)
    assert np.allclose(model(x)[0].numpy(), expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("size, kernel, stride, expected", [
    (5, 3, 1, (1, 1)), (4, 3, 2, (0, 1)), (5, 3, 2, (1, 1)), (6, 1, 2, (0, 0)), (7, 4, 1, (1, 2)), (224, 3, 2, (0, 1))])
def test_same_padding_puts_the_larger_half_after(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


def legacy_resize(x, height, width):
    for axis, size in ((0, height), (1, width)):
        at = np.arange(size) * (x.shape[axis] / size)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, x.shape[axis] - 1), at - low
        shape = [-1 if i == axis else 1 for i in range(3)]
        x = np.take(x, low, axis) * (1 - part).reshape(shape) + np.take(x, high, axis) * part.reshape(shape)
    return x


def test_bilinear_resize_in_its_three_conventions():
    x = image(1, 4, 5, 3)
    arrays = {"size": np.array([8, 15])}
    attrs = {"legacy": {}, "half": {"half_pixel_centers": {"b": True}}, "aligned": {"align_corners": {"b": True}}}
    got = {name: build([node("out", "ResizeBilinear", "image", "size", **attr)], arrays, (1, 4, 5, 3))(x)[0].numpy()
           for name, attr in attrs.items()}
    plain = x[0].numpy().astype(np.float64)
    assert np.allclose(got["legacy"], legacy_resize(plain, 8, 15), atol=1e-3)
    for name, aligned in (("half", False), ("aligned", True)):
        expected = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2).float(), (8, 15), mode="bilinear",
                                                   align_corners=aligned).permute(0, 2, 3, 1)[0]
        assert np.allclose(got[name], expected.numpy(), atol=1e-3)
    with pytest.raises(TfjsError, match="whole factors"):
        build([node("out", "ResizeBilinear", "image", "size")], {"size": np.array([7, 15])}, (1, 4, 5, 3))


def test_max_pool_pads_with_minus_infinity():
    attrs = dict(ksize=ints(1, 2, 2, 1), strides=ints(1, 1, 1, 1), padding=text("SAME"))
    model = build([node("low", "Sub", "image", "high"), node("out", "MaxPool", "low", **attrs)],
                  {"high": np.array(300.0, np.float32)}, (1, 4, 4, 3))
    x = image(1, 4, 4, 3)
    out = model(x)[0].numpy()
    assert (out < 0).all()  # zeros from padding would win
    assert np.array_equal(out[3, 3], x[0, 3, 3].numpy() - 300.0)


@pytest.mark.parametrize("op, function", [
    ("Sub", np.subtract), ("RealDiv", np.divide), ("Maximum", np.maximum), ("Minimum", np.minimum), ("AddV2", np.add),
    ("Mul", np.multiply), ("Less", np.less), ("GreaterEqual", np.greater_equal), ("Greater", np.greater),
    ("FloorMod", np.mod), ("FloorDiv", np.floor_divide), ("SquaredDifference", lambda a, b: (a - b) ** 2)])
@pytest.mark.parametrize("constant", [np.array(7.0, np.float32), np.array([3.0, 7.0, 250.0], np.float32)])
@pytest.mark.parametrize("is_left", [False, True])
def test_binary_operations_with_a_constant_on_either_side(op, function, constant, is_left):
    x = torch.clamp_min(image(1, 2, 4, 3), 1)
    operands = ("c", "image") if is_left else ("image", "c")
    out = build([node("out", op, *operands)], {"c": constant}, (1, 2, 4, 3))(x).numpy()
    plain = x.numpy().astype(np.float32)
    expected = function(constant, plain) if is_left else function(plain, constant)
    assert out.shape == expected.shape and np.allclose(out, expected, rtol=1e-5)


def test_shapes_are_folded_and_strided_slices_keep_their_masks():
    arrays = {"b": np.array([0, 1]), "e": np.array([0, 3]), "s": np.array([1, 1]), "zero": np.array([0]),
              "one": np.array([1]), "two": np.array([2]), "minus": np.array(-1), "like": np.array(2.0, np.float32)}
    nodes = [
        node("shape", "Shape", "image"),
        node("h", "StridedSlice", "shape", "one", "two", "one", shrink_axis_mask={"i": "1"}),
        node("target", "Pack", "h", "minus", axis={"i": "0"}),
        node("flat", "Reshape", "image", "target"),
        # [:, 1:3] with a new axis in front of the end
        node("cut", "StridedSlice", "flat", "b", "e", "s", begin_mask={"i": "1"}, end_mask={"i": "1"}),
        node("out", "Mul", "cut", "like"),
    ]
    model = build(nodes, arrays, (1, 4, 5, 3))
    x = image(1, 4, 5, 3)
    assert torch.equal(model(x), x.reshape(4, 15)[:, 1:3] * 2.0)
    assert len(model._steps) == 3  # reshape, slice, multiply: the shape is a number by now


def test_gather_top_k_and_select():
    arrays = {"k": np.array(3), "flat": np.array([-1]), "half": np.array(100.0, np.float32), "axis": np.array(0),
              "all": np.zeros((3,), np.float32), "one": np.array(1)}
    nodes = [
        node("list", "Reshape", "image", "flat"), node("top", "TopKV2", "list", "k"),
        node("again", "GatherV2", "list", "top:1", "axis"), node("index", "ExpandDims", "top:1", "one"),
        node("third", "GatherNd", "list", "index"), node("big", "Greater", "again", "half"),
        node("out", "Select", "big", "third", "all"),
    ]
    x = image(1, 4, 5, 3)
    expected = torch.topk(x.reshape(-1).float(), 3)[0]
    model = build(nodes, arrays, (1, 4, 5, 3))
    assert torch.equal(model(x), torch.where(expected > 100, expected, torch.zeros(3)))
    assert len(record(model, (x,)).graph.outputs) == 1


def test_scale_and_offset_come_before_the_graph():
    model = build([node("out", "Relu", "image")], {}, (1, 2, 2, 3), scale=1 / 127.5, offset=-1.0)
    x = image(1, 2, 2, 3)
    assert torch.allclose(model(x), torch.relu(x.float() / 127.5 - 1.0), atol=1e-6)


def test_unknown_operations_and_wrong_images_are_named():
    with pytest.raises(TfjsError, match="'odd'.*NonMaxSuppressionV5"):
        build([node("odd", "NonMaxSuppressionV5", "image")], {}, (1, 2, 2, 3))
    with pytest.raises(ValueError, match="loop"):
        parse_graph({"modelTopology": {"node": [node("a", "Relu", "b"), node("b", "Relu", "a")]}})
    model = build([node("out", "Relu", "image")], {}, (1, 2, 2, 3))
    with pytest.raises(TypeError, match="uint8"):
        model(torch.zeros(1, 2, 2, 3))
    with pytest.raises(TypeError, match=r"\[1, 2, 2, 3\]"):
        model(image(1, 3, 2, 3))


def test_weights_files_are_widened_and_checked(tmp_path):
    manifest = [{"paths": ["w.bin"], "weights": [
        {"name": "half", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "bytes", "shape": [3], "dtype": "float32",
         "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
        {"name": "count", "shape": [], "dtype": "int32"}]}]
    path, values = tmp_path / "w.json", tmp_path / "w.bin"
    path.write_text(json.dumps({"modelTopology": {"node": [IMAGE]}, "weightsManifest": manifest}))
    raw = np.array([1.5, -2], "<f2").tobytes() + bytes([0, 2, 4]) + np.array(7, "<i4").tobytes()
    values.write_bytes(raw)
    found = read_weights(read_graph(str(path)), str(values))
    assert found["half"].tolist() == [1.5, -2.0] and found["bytes"].tolist() == [-1.0, 0.0, 1.0]
    assert found["count"] == 7 and found["count"].dtype == np.int64
    for wrong in (raw[:-1], raw + b"x"):
        values.write_bytes(wrong)
        with pytest.raises(TfjsError, match="'count'"):
            read_weights(read_graph(str(path)), str(values))
    path.write_text("{}")
    with pytest.raises(TfjsError, match="no TensorFlow.js graph model"):
        read_graph(str(path))
