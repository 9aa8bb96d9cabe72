"""torchvision's detectors with steps of fixed size: torchvision's own results, and only the detections travel."""
import pytest
import torch
from torch import nn

from intra_dp_ros.apps.detection.fixed_size import Trimmed, make_fixed_size
from intra_dp_ros.apps.models import load_model
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import record

torch.set_num_threads(1)
SMALL = {"min_size": 64, "max_size": 96}


class OfBatch(nn.Module):
    """Images `[N, 3, H, W]` in front of a detector."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(list(images.unbind(0)))


def detectors():
    try:
        from torchvision.models import detection
    except Exception as error:  # one made for another torch raises more than ImportError
        pytest.skip("no usable torchvision: {}".format(error))
    return detection


def detector(name, **options):
    """Seeded random weights in float64, and a score that half of the detections in one picture exceed.

    With random weights many scores are nearly equal; in float64 rounding does not change their order.
    """
    torch.manual_seed(0)
    model = getattr(detectors(), name)(weights=None, weights_backbone=None, **options).eval().double()
    for key, weight in model.named_parameters():
        if key.endswith(("cls_logits.weight", "bbox_reg.weight", "bbox_pred.weight", "cls_score.weight")):
            weight.data.mul_(3)
    set_threshold(model, 0.0)
    with torch.inference_mode():
        scores = OfBatch(model)(pictures())[0]["scores"]
    return model, float(scores[len(scores) // 2 - 1:][:2].mean())


def set_threshold(model, score):
    getattr(model, "roi_heads", model).score_thresh = score


def pictures(seed=0, count=1, size=(64, 80)):
    """Boxes of colour on a gradient, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.linspace(0.2, 0.8, size[1]).expand(count, 3, *size).clone()
    for image in images:
        for _ in range(6):
            y, x, h, w = (torch.rand(4, generator=generator) * torch.tensor([40, 50, 30, 40])).int().tolist()
            image[:, y:y + h + 4, x:x + w + 4] = torch.rand(3, 1, 1, generator=generator)
    return (images + 0.02 * torch.randn(images.shape, generator=generator)).clamp(0, 1).double()


def same(got, want):
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert list(a) == list(b) or sorted(a) == sorted(b)
        for key in b:
            assert a[key].dtype == b[key].dtype and a[key].shape == b[key].shape, (key, a[key].shape, b[key].shape)
            assert torch.allclose(a[key].float(), b[key].float(), rtol=1e-5, atol=1e-5), key


@pytest.mark.parametrize("name, options, most", [
    ("ssdlite320_mobilenet_v3_large", {}, 15000), ("retinanet_resnet50_fpn", SMALL, 15000),
    ("fcos_resnet50_fpn", SMALL, 9000), ("fasterrcnn_mobilenet_v3_large_320_fpn", SMALL, 9000),
    ("keypointrcnn_resnet50_fpn", {**SMALL, "box_detections_per_img": 8}, 31000),
    ("maskrcnn_resnet50_fpn", {**SMALL, "box_detections_per_img": 8}, 320000)])
def test_torchvisions_own_detections(name, options, most):
    model, threshold = detector(name, **options)
    x, y = pictures(0), pictures(1)
    cases = ((x, 1.0), (torch.cat((x, y)), threshold), (y, threshold), (x, threshold))

    def run(call):
        found = []
        for images, score in cases:
            set_threshold(model, score)
            with torch.inference_mode():
                found.append(call(images))
        return found

    want = run(OfBatch(model))
    assert make_fixed_size(model)
    for a, b in zip(run(Trimmed(OfBatch(model))), want):
        same(a, b)
    assert len(want[-1][0]["scores"]) > 0 == len(want[0][0]["scores"])
    model = Trimmed(OfBatch(model))
    recording = record(model, (x,))
    graph = recording.graph
    assert sum(graph.tensors[t].nbytes for t in graph.outputs) < most
    with torch.inference_mode():
        same(recording.finish(model, (x,), {}, WholeModel(graph, recording.weights)(x)), want[-1])


def test_parts_of_the_users_own_are_left_alone():
    detection = detectors()

    class Heads(detection.roi_heads.RoIHeads):
        pass

    model, _ = detector("fasterrcnn_mobilenet_v3_large_320_fpn", **SMALL)
    model.roi_heads.__class__ = Heads
    assert not make_fixed_size(model) and not make_fixed_size(nn.Conv2d(3, 4, 1))
    assert "filter_proposals" not in vars(model.rpn)


def test_a_detector_by_name_gives_torchvisions_result():
    detectors()
    loaded = load_model("torchvision:ssdlite320_mobilenet_v3_large", shape=(1, 64, 96, 3))
    image = (pictures(2, size=(64, 96)) * 255).to(torch.uint8).permute(0, 2, 3, 1)
    with torch.inference_mode():
        got = loaded.module(image)
        del loaded.module.model.model.postprocess_detections  # torchvision's again
        same(got, loaded.module.model(image))
    assert sorted(got[0]) == ["boxes", "labels", "scores"]
