"""The networks of the published sizes: parameters, shapes, seeds, recording, and the errors of the user's KAPAO."""
import sys

import pytest
import torch

from intra_dp_ros.apps.models import PRETRAINED, RANDOM, ModelError, load_model
from intra_dp_ros.apps.networks.completion_net import CompletionNet
from intra_dp_ros.apps.networks.people_net import PeopleNet, detections
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import record
from intra_dp_ros.runtime.exactness import relative_error


def count(module):
    return sum(p.numel() for p in module.parameters())


def small_people(raw=False):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return PeopleNet(width=0.125, depth=0.34, raw=raw, score=0.0).eval()


def test_people_net_has_the_size_of_kapao_l():
    assert abs(count(PeopleNet()) / 77.0e6 - 1) < 0.02


def test_people_net_gives_every_prediction_or_a_fixed_number():
    x = torch.randint(0, 256, (1, 3, 128, 192), dtype=torch.uint8)
    model = small_people(raw=True)
    with torch.inference_mode():
        raw = model(x)
        assert raw.shape == (1, 3 * (16 * 24 + 8 * 12 + 4 * 6 + 2 * 3), 57)
        fused = small_people(raw=True).fuse()(x)
        assert torch.allclose(raw, fused, rtol=1e-3, atol=1e-2)
        rows, valid = small_people()(x)
    assert rows.shape == (100, 40) and valid.shape == (100,) and valid.any()
    assert (rows[~valid] == 0).all()
    with pytest.raises(ValueError, match="multiples of 64"):
        model(x[:, :, :100])
    with pytest.raises(ValueError, match="one image at a time"):
        small_people()(x.repeat(2, 1, 1, 1))


def test_people_net_is_recorded_whole():
    x = torch.randint(0, 256, (1, 3, 64, 128), dtype=torch.uint8)
    model = small_people().fuse()
    recording = record(model, (x,))
    assert recording.tail is None and [n.op for n in recording.graph.nodes].count("intra_dp_ros::nms") == 1
    with torch.inference_mode():
        rows, valid = WholeModel(recording.graph, recording.weights)(x)
        wanted = model(x)
    assert torch.allclose(rows, wanted[0], rtol=1e-4, atol=1e-2) and torch.equal(valid, wanted[1])  # pixels


def test_detections_lose_their_rivals():
    rows = torch.zeros(4, 57)
    rows[:, 2:5] = torch.tensor([10.0, 10.0, 1.0])
    rows[:, 0] = torch.tensor([20.0, 21.0, 21.0, 80.0])
    rows[[0, 1, 3], 5] = torch.tensor([0.9, 0.8, 0.1])  # people
    rows[2, 6] = 0.7  # a keypoint of the same box
    found, valid = detections(rows, 0.2, 0.45)
    assert found[valid][:, 4:6].tolist() == [[pytest.approx(0.9), 0.0], [pytest.approx(0.7), 1.0]]
    assert found[0, :4].tolist() == [15.0, -5.0, 25.0, 5.0]


def test_completion_net_has_the_published_size():
    assert abs(count(CompletionNet()) / 0.84e6 - 1) < 0.05
    measured = load_model("sconet-style:measured", shape=(1, 1, 16, 32, 16))
    assert count(measured.module) == count(CompletionNet(context=0))


@pytest.mark.parametrize("attention", [False, True])
def test_completion_net(attention):
    torch.set_num_threads(1)
    name = "sconet-style" + (":attention" if attention else "")
    loaded = load_model(name, shape=(1, 1, 32, 32, 24), seed=3)
    assert loaded.weights == RANDOM and "seed 3" in loaded.weights_note
    x = torch.randint(0, 2, (1, 1, 32, 32, 24), dtype=torch.uint8)
    with torch.inference_mode():
        out = loaded.module(x)
        assert out.shape == (1, 32, 32, 24) and out.dtype == torch.uint8 and int(out.max()) < 20
        assert torch.equal(out, load_model(name, shape=x.shape, seed=3).module(x))
        assert not torch.equal(out, load_model(name, shape=x.shape, seed=4).module(x))
    recording = record(loaded.module, (x,))
    assert recording.tail is None and [n.op for n in recording.graph.nodes].count("conv_transpose2d.input") == 6


def test_completion_net_takes_weights_of_its_own(tmp_path):
    path = str(tmp_path / "weights.pt")
    torch.save(CompletionNet().state_dict(), path)
    assert load_model("sconet-style", path, shape=(1, 1, 8, 32, 8)).weights == PRETRAINED
    with pytest.raises(ModelError, match="attention"):
        load_model("sconet-style:attention", path)
    with pytest.raises(ModelError, match="multiples of 8"):
        load_model("sconet-style", shape=(1, 1, 30, 32, 24))
    with pytest.raises(ModelError, match="multiples of 64"):
        load_model("kapao-style", size=(100, 640))


def test_kapao_is_the_users_own(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n == "models" or n.startswith("models.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModelError, match="needs a checkout of KAPAO"):
        load_model("kapao")
    with pytest.raises(ModelError, match="has no models"):
        load_model("kapao", kapao_dir=str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    (tmp_path / "models" / "yolov5l6.yaml").write_text("")
    (tmp_path / "models" / "yolo.py").write_text(
        "import torch\n"
        "class Model(torch.nn.Module):\n"
        "    def __init__(self, cfg, ch, nc, num_coords):\n"
        "        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(ch, 5 + nc + num_coords, 8, 8)\n"
        "    def forward(self, x):\n"
        "        return self.conv(x).sigmoid().flatten(2).transpose(1, 2), None\n")
    name, path = "kapao:" + str(tmp_path), str(tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="needs a weights file"):
        load_model(name)
    torch.save({"conv.weight": torch.zeros(57, 3, 4, 4), "conv.bias": torch.zeros(57)}, path)
    with pytest.raises(ModelError, match="conv.weight.*inside the checkout"):
        load_model(name, path)
    torch.save({"conv.weight": torch.rand(57, 3, 8, 8), "conv.bias": torch.zeros(57)}, path)
    loaded = load_model(name, path, size=(128, 128))
    assert loaded.weights == PRETRAINED and str(tmp_path) not in sys.path
    with torch.inference_mode():
        rows, valid = loaded.module(torch.zeros(1, 3, 128, 128, dtype=torch.uint8))
    assert rows.shape == (100, 40) and valid.shape == (100,)
    for module in ("models", "models.yolo"):
        sys.modules.pop(module, None)


def test_an_image_as_opencv_has_it_is_recorded_like_any_other():
    model = small_people().fuse()
    image = torch.randint(0, 256, (64, 128, 3), dtype=torch.uint8).permute(2, 0, 1)[None]  # channels last in memory
    recording = record(model, (image,))
    assert recording.rest == "" and recording.graph.hash == record(model, (image.contiguous(),)).graph.hash
    outputs, expected = WholeModel(recording.graph, recording.weights)(image), model(image)
    assert relative_error(outputs[:1], expected[:1]) < 1e-6


def test_random_people_depend_on_the_image_and_not_on_rounding():
    net = load_model("kapao-style:raw", size=(128, 192)).module
    blocks = torch.randint(0, 256, (2, 3, 16, 24), generator=torch.Generator().manual_seed(3)).float()
    first, second = torch.nn.functional.interpolate(blocks, size=(128, 192), mode="bilinear").to(torch.uint8)
    with torch.inference_mode():
        seen, other = net(first[None])[0], net(second[None])[0]
        assert seen.isfinite().all() and len(seen[:, 4].unique()) > 0.99 * len(seen), "every place has its own score"
        assert (seen - other)[:, 4].abs().max() > 1e-2
        with torch.backends.mkldnn.flags(enabled=False):  # other kernels
            assert relative_error([net(first[None])[0]], [seen]) < 1e-5
    again = load_model("kapao-style:raw", size=(128, 192)).module.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in net.state_dict().items())
