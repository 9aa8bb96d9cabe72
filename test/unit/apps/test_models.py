"""Models by name, their errors, and the real weights where the cache holds them."""
import sys
import types

import numpy as np
import pytest
import torch

from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.apps.loaders.zoo import FETCH, ZOO
from intra_dp_ros.apps.models import PRETRAINED, RANDOM, InputSpec, ModelError, load_model
from intra_dp_ros.graph.record import record

has_weights = all(asset_path("{}.{}".format(name, end)) for name in ZOO for end in ("json", "bin"))
needs_weights = pytest.mark.skipif(not has_weights, reason="pretrained weights are not in the cache: " + FETCH)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTRA_DP_CACHE", str(tmp_path))


@pytest.fixture
def user_module(monkeypatch):
    module = types.ModuleType("user_models")
    module.make = lambda: torch.nn.Conv2d(3, 2, 1)
    module.with_example = lambda: (torch.nn.Linear(4, 2), torch.zeros(1, 4))
    module.number = lambda: 3
    module.broken = lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "user_models", module)
    return module


@pytest.mark.parametrize("name, shape", [("movenet-multipose", (1, 6, 56)), ("centernet", (1, 100, 6))])
def test_without_assets_a_labelled_random_stand_in(empty_cache, name, shape):
    loaded = load_model(name, size=(128, 128), seed=5)
    assert loaded.weights == RANDOM and "models.assets" not in loaded.weights_note
    assert "intra_dp_ros.apps.assets" in loaded.weights_note and not loaded.module.training
    x = torch.randint(0, 256, (1, 128, 128, 3), dtype=torch.uint8)
    with torch.inference_mode():
        out = loaded.module(x)
        assert out.shape == shape and torch.isfinite(out).all()
        assert torch.equal(out, load_model(name, size=(128, 128), seed=5).module(x))
        assert not torch.equal(out, load_model(name, size=(128, 128), seed=6).module(x))
    assert record(loaded.module, (x,)).graph.inputs


@pytest.mark.parametrize("name, words", [
    ("movenet-multiposes", "did you mean 'movenet-multipose'"), ("nothing", "there are: movenet-multipose, centernet"),
    ("module:", "no model"), ("module:no_such_package:f", "cannot import 'f' from 'no_such_package'"),
    ("module:json:no_such_function", "no_such_function")])
def test_unknown_names_say_what_there_is(name, words):
    with pytest.raises(ModelError, match=words):
        load_model(name)


def test_sizes_are_checked():
    with pytest.raises(ModelError, match="multiples of 32, got 100x128"):
        load_model("movenet-multipose", size=(100, 128))
    with pytest.raises(ModelError, match="equal"):
        load_model("centernet", size=(480, 640))
    with pytest.raises(ModelError, match="height, width"):
        load_model("centernet", size=(0, 640))


def test_a_factory_of_the_user(user_module, tmp_path):
    loaded = load_model("module:user_models:with_example")
    assert loaded.input_specs == (InputSpec((1, 4), "float32"),) and loaded.weights == RANDOM
    with pytest.raises(ModelError, match="gave a int"):
        load_model("module:user_models:number")
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        load_model("module:user_models:broken")
    with pytest.raises(ModelError, match="size, shape or dtype cannot be given"):
        load_model("module:user_models:with_example", size=(4, 4))
    assert load_model("module:user_models:make", size=(8, 6)).input_specs == (InputSpec((1, 8, 6, 3), "uint8"),)
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(2, 4), "bias": torch.zeros(2)}, str(path))
    loaded = load_model("module:user_models:with_example", str(path))
    assert loaded.weights == PRETRAINED and torch.equal(loaded.module.weight, torch.ones(2, 4))


@pytest.mark.parametrize("state, words", [
    ({"weight": torch.ones(3, 4), "bias": torch.zeros(2)}, r"'weight' has shape \[3, 4\], the model needs \[2, 4\]"),
    ({"weight": torch.ones(2, 4)}, r"no tensor 'bias' of shape \[2\]"), ([1], "expected a state dict")])
def test_weights_that_do_not_fit_name_the_first_tensor(user_module, tmp_path, state, words):
    path = str(tmp_path / "weights.pt")
    torch.save(state, path)
    with pytest.raises(ModelError, match=words):
        load_model("module:user_models:with_example", path)


def test_files_that_are_no_weights(user_module, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="no state dict"):
        load_model("module:user_models:with_example", str(path))
    with pytest.raises(ModelError, match="does not exist"):
        load_model("centernet", str(tmp_path / "nowhere.bin"))


def test_torchvision_takes_the_image_as_bytes():
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    before = torch.get_rng_state()
    loaded = load_model("torchvision:mobilenet_v3_small", size=(64, 96), seed=3)
    assert torch.equal(before, torch.get_rng_state())
    x = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        out = loaded.module(x)
        assert torch.equal(out, load_model("torchvision:mobilenet_v3_small", size=(64, 96), seed=3).module(x))
    assert out.shape == (1, 1000) and loaded.weights == RANDOM
    assert loaded.input_specs == (InputSpec((1, 64, 96, 3), "uint8"),)
    with pytest.raises(ModelError, match="did you mean 'mobilenet_v3_small'"):
        load_model("torchvision:mobilenet_v3_smal")


@pytest.mark.parametrize("name, shape, dtype, ends_in", [
    ("mobilenet_v3_small", (1, 3, 64, 64), "uint8", False), ("squeezenet1_1", (1, 3, 64, 64), "float32", False),
    ("lraspp_mobilenet_v3_large", (1, 64, 64, 3), None, False), ("raft_small", (1, 128, 128, 3), None, False),
    ("ssdlite320_mobilenet_v3_large", (1, 64, 96, 3), None, True), ("r3d_18", (1, 4, 32, 32, 3), None, False)])
def test_a_torchvision_model_of_every_kind_is_recorded(name, shape, dtype, ends_in):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    torch.set_num_threads(1)
    loaded = load_model("torchvision:" + name, shape=shape, dtype=dtype)
    assert loaded.input_specs == (InputSpec(shape, dtype or "uint8"),) * (2 if name == "raft_small" else 1)
    x = [torch.randint(0, 256, shape).to(getattr(torch, spec.dtype)) for spec in loaded.input_specs]
    recording = record(loaded.module, tuple(x))
    assert [recording.graph.tensors[i].dtype for i in recording.graph.inputs] == [dtype or "uint8"] * len(x)
    assert recording.tail is None and bool(recording.rest) == ends_in  # places without a detection are cut off here


def test_layouts_of_an_image_give_the_same():
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    x = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    plain = (x.permute(0, 3, 1, 2) / 255.0 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225])[:, None, None]
    with torch.inference_mode():
        out = [load_model("torchvision:squeezenet1_1", shape=y.shape, dtype=str(y.dtype)[6:]).module(y)
               for y in (x, x.permute(0, 3, 1, 2).contiguous(), plain)]
    assert torch.allclose(out[0], out[1], atol=1e-4) and torch.allclose(out[0], out[2], atol=1e-4)


@pytest.mark.parametrize("name, options, words", [
    ("torchvision:squeezenet1_1", {"dtype": "int64"}, "uint8 images or float32"),
    ("torchvision:squeezenet1_1", {"dtype": "float32", "shape": (1, 64, 64, 3)}, r"float32 \[1, 3, H, W\], got"),
    ("torchvision:r3d_18", {"shape": (1, 64, 64, 3)}, r"\[1, T, H, W, 3\]"),
    ("centernet", {"dtype": "float32"}, "takes uint8 images"), ("centernet", {"dtype": "float"}, "no element type"),
    ("centernet", {"shape": (1, 3, 512, 512)}, "takes uint8 images"), ("centernet", {"shape": (0,)}, "positive"),
    ("centernet", {"shape": (1, 512, 512, 3), "size": (512, 512)}, "not both")])
def test_inputs_that_do_not_fit(name, options, words):
    if name.startswith("torchvision"):
        pytest.importorskip("torchvision", reason="torchvision is not installed")
    with pytest.raises(ModelError, match=words):
        load_model(name, **options)


@needs_weights
def test_weights_of_another_model_are_refused():
    with pytest.raises(ModelError, match="block_14_project/Conv2D_weights.*1440, 240"):
        load_model("movenet-multipose", asset_path("centernet.bin"))


@needs_weights
@pytest.mark.skipif(asset_path("vtest.avi") is None, reason="the video is not in the cache: " + FETCH)
@pytest.mark.parametrize("name, least", [("movenet-multipose", 4), ("centernet", 6)])
def test_pretrained_models_find_the_pedestrians(name, least):
    people = pytest.importorskip("intra_dp_ros.apps.people", reason="OpenCV is not installed")
    from intra_dp_ros.bench.bag import open_source
    from intra_dp_ros.wire.picture import preprocess
    torch.set_num_threads(1)
    loaded = load_model(name)
    assert loaded.weights == PRETRAINED
    rgb = [image for _, image in open_source().frames(10.0, 8.0)][79]
    x, fit = preprocess(rgb, loaded.input_specs[0].shape[1:3])
    with torch.inference_mode():
        found = people.decode(loaded.decode, [loaded.module(torch.from_numpy(x)).numpy()], fit, loaded.threshold)
    assert least <= len(found) <= 9
    right_most = [p for p in found if p.box[0] < 590 < p.box[2] and p.box[1] < 235 < p.box[3]]
    assert right_most, "the man in the middle of the road is not among {}".format([p.box for p in found])
    height = right_most[0].box[3] - right_most[0].box[1]
    assert 70 < height < 120
    if name == "movenet-multipose":
        heads = np.mean([k.y for k in right_most[0].keypoints[:5]])
        feet = np.mean([k.y for k in right_most[0].keypoints[15:]])
        assert feet - heads > 0.6 * height
