"""torchvision's detectors with steps of fixed size: torchvision's own results, and only the detections travel."""
import random

import pytest
import torch
from torch import nn

from intra_dp_ros.apps.detection.fixed_size import Trimmed, make_fixed_size
from intra_dp_ros.apps.models import load_model
from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.both_sides import run_both_sides
from intra_dp_ros.lop.program import Kernels
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.loss.random_plans import random_plan

torch.set_num_threads(1)
SMALL = {"min_size": 64, "max_size": 96}
FEW = {**SMALL, "rpn_pre_nms_top_n_test": 200, "rpn_post_nms_top_n_test": 100, "box_detections_per_img": 8}


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


def on_mobilenet(name, **options):
    """Detectors that torchvision builds on a ResNet50, in a tenth of the time: on a MobileNet, with narrow heads."""
    from torchvision.models.detection import anchor_utils, backbone_utils, faster_rcnn, keypoint_rcnn, mask_rcnn
    from torchvision.models.detection.fcos import FCOS
    from torchvision.models.detection.retinanet import RetinaNet

    backbone = backbone_utils.mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True)
    if name == "fcos":
        return FCOS(backbone, 5, anchor_generator=anchor_utils.AnchorGenerator(
            ((8,), (16,), (32,)), ((1.0,),) * 3), **options)
    anchors = anchor_utils.AnchorGenerator(((16, 32, 64),) * 3, ((0.5, 1.0, 2.0),) * 3)
    if name == "retinanet":
        return RetinaNet(backbone, 5, anchor_generator=anchors, **options)
    options.update(box_head=faster_rcnn.TwoMLPHead(256 * 49, 64), box_predictor=faster_rcnn.FastRCNNPredictor(64, 5),
                   rpn_anchor_generator=anchors)
    if name == "mask":
        return mask_rcnn.MaskRCNN(backbone, mask_head=mask_rcnn.MaskRCNNHeads(256, (32, 32), 1),
                                  mask_predictor=mask_rcnn.MaskRCNNPredictor(32, 16, 5), **options)
    return keypoint_rcnn.KeypointRCNN(backbone, keypoint_head=keypoint_rcnn.KeypointRCNNHeads(256, (32, 32)),
                                      keypoint_predictor=keypoint_rcnn.KeypointRCNNPredictor(32, 17), **options)


def detector(name, **options):
    """Seeded random weights in float64, and a score that half of the detections in one picture exceed.

    With random weights many scores are nearly equal; in float64 rounding does not change their order.
    """
    found = detectors()
    torch.manual_seed(0)
    model = (getattr(found, name)(weights=None, weights_backbone=None, **options) if "_" in name else
             on_mobilenet(name, **options)).eval().double()
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
    ("ssdlite320_mobilenet_v3_large", {"topk_candidates": 60}, 15000),
    ("retinanet", {**SMALL, "topk_candidates": 200}, 15000), ("fcos", {**SMALL, "topk_candidates": 200}, 9000),
    ("fasterrcnn_mobilenet_v3_large_320_fpn", SMALL, 9000),
    ("keypoints", FEW, 5000), ("mask", FEW, 52000)])
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
    split = prepare(recording)
    tiling, order = Tiling(split.graph), random.Random(0)
    kernels = Kernels(tiling, split.weights)
    for kind in ("bands", "rows"):
        outputs = run_both_sides(kernels, random_plan(tiling, kind, order), [x], order)
        same(recording.finish(model, (x,), {}, outputs), want[-1])


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
