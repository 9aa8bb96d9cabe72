"""The operators of detectors: what torchvision's own steps give, within places of fixed number, and their limits."""
import pytest
import torch
import torch.nn.functional as functional
import vision

from intra_dp_ros.graph.detection_ops import MAX_CANDIDATES
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import record

torch.set_num_threads(1)
ops = torch.ops.intra_dp_ros


def candidates(count, seed):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(count, 4, generator=generator) * 100
    boxes[:, 2:] = boxes[:, :2] + torch.rand(count, 2, generator=generator) * 40
    scores = (torch.rand(count, generator=generator) * 50).round() / 50  # with equal scores
    groups = torch.randint(0, 5, (count,), generator=generator)
    return boxes, scores, groups, torch.rand(count, generator=generator) < 0.7


@pytest.mark.parametrize("count, seed, threshold, most", [
    (1, 0, 0.5, 1), (300, 1, 0.5, 300), (1300, 2, 0.3, 50), (2500, 3, 0.5, 2500), (2500, 4, 0.1, 100)])
def test_keeps_what_torchvisions_batched_nms_keeps(count, seed, threshold, most):
    vision.models()
    from torchvision.ops import batched_nms
    boxes, scores, groups, valid = candidates(count, seed)
    places = ops.batched_nms(boxes, scores, groups, valid, threshold, most)
    given = valid.nonzero()[:, 0]
    want = given[batched_nms(boxes[given], scores[given], groups[given], threshold)][:most]
    assert places.shape == (most,) and places[:len(want)].tolist() == want.tolist()
    assert bool((places[len(want):] == -1).all())
    nothing = ops.batched_nms(boxes, scores, groups, torch.zeros_like(valid), threshold, most)
    assert nothing.tolist() == [-1] * most


@pytest.mark.parametrize("seed", range(3))
def test_the_best_above_a_threshold_of_every_column(seed):
    scores = torch.rand(200, 6, generator=torch.Generator().manual_seed(seed))
    scores[:, 2] *= 0.1
    values, rows = ops.topk_above(scores, 0.6, 90)
    for column in range(6):
        above = (scores[:, column] > 0.6).nonzero()[:, 0]
        want, at = scores[above, column].topk(min(90, len(above)))
        assert torch.equal(values[:len(want), column], want)
        assert torch.equal(rows[:len(want), column], above[at])
        assert values[len(want):, column].tolist() == [-1.0] * (90 - len(want))


def test_pools_each_box_in_its_level():
    vision.models()
    from torchvision.ops import MultiScaleRoIAlign, poolers
    torch.manual_seed(0)
    features = {str(i): torch.randn(2, 4, 64 >> i, 80 >> i) for i in range(3)}
    boxes = [candidates(30, seed)[0] * torch.tensor([1.5, 1.0, 1.5, 1.0]) for seed in (1, 2)]
    pool = MultiScaleRoIAlign(["0", "1", "2"], 5, 2, canonical_scale=20, canonical_level=3)
    want = pool(features, boxes, [(256, 320), (256, 320)])
    levels = pool.map_levels(boxes)
    assert len(levels.unique()) > 1
    levels[7] = -1
    got = ops.multiscale_roi_align(list(features.values()), poolers._convert_to_roi_format(boxes), levels, pool.scales,
                                   [5, 5], 2)
    assert not got[7].any() and torch.equal(torch.cat((got[:7], got[8:])), torch.cat((want[:7], want[8:])))


def test_keypoints_are_torchvisions():
    vision.models()
    from torchvision.models.detection.roi_heads import heatmaps_to_keypoints
    torch.manual_seed(0)
    maps, (boxes, _, _, valid) = torch.randn(12, 17, 14, 14), candidates(12, 5)
    places, scores = ops.heatmap_keypoints(maps, boxes, valid)
    want, want_scores = heatmaps_to_keypoints(maps[valid], boxes[valid])
    assert torch.equal(places[valid], want) and torch.equal(scores[valid], want_scores)
    assert 0 < int(valid.sum()) < 12 and not places[~valid].any() and not scores[~valid].any()


@pytest.mark.parametrize("valid", ([1, 0, 0, 1, 1], [0] * 5, [1] * 5))
def test_only_valid_rows_are_computed(valid):
    torch.manual_seed(0)
    valid = torch.tensor(valid, dtype=torch.bool)
    x, w, b = torch.randn(5, 4, 6, 7), torch.randn(4, 2, 3, 3), torch.randn(4)
    keep = valid[:, None, None, None]
    for got, want in (
            (ops.conv2d_rows(x, w, b, [2, 1], [1, 0], [1, 1], 2, valid),
             functional.conv2d(x, w, b, (2, 1), (1, 0), 1, 2)),
            (ops.conv_transpose2d_rows(x, w, b[:2], [2, 2], [1, 1], [1, 0], 1, [1, 1], valid),
             functional.conv_transpose2d(x, w, b[:2], 2, 1, (1, 0))),
            (ops.linear_rows(x, torch.ones(3, 7), None, valid), functional.linear(x, torch.ones(3, 7)))):
        assert got.shape == want.shape and torch.allclose(got, want * keep, atol=1e-5)


BOXES, SCORES, GROUPS, VALID = candidates(3, 0)
X = torch.zeros(3, 2, 4, 4)


@pytest.mark.parametrize("call, words", [
    (lambda: ops.batched_nms(BOXES[:, :3], SCORES, GROUPS, VALID, 0.5, 2), r"boxes \[N, 4\]"),
    (lambda: ops.batched_nms(torch.zeros(1, 4).expand(MAX_CANDIDATES + 1, 4), SCORES, GROUPS, VALID, 0.5, 2), "N <="),
    (lambda: ops.batched_nms(BOXES, SCORES[:2], GROUPS, VALID, 0.5, 2), "one entry for each"),
    (lambda: ops.batched_nms(BOXES, SCORES, GROUPS.float(), VALID, 0.5, 2), "int64 groups"),
    (lambda: ops.batched_nms(BOXES, SCORES, GROUPS, VALID, 2.0, 2), "0 to 1"),
    (lambda: ops.batched_nms(BOXES, SCORES, GROUPS, VALID, 0.5, 4), "1 to 3"),
    (lambda: ops.topk_above(SCORES, 0.5, 1), r"\[N, C\]"), (lambda: ops.topk_above(BOXES, 0.5, 4), "count"),
    (lambda: ops.multiscale_roi_align([X, X[:, :1]], torch.zeros(3, 5), GROUPS, [1.0, 0.5], [2, 2], 2), "alike"),
    (lambda: ops.multiscale_roi_align([X], torch.zeros(3, 4), GROUPS, [1.0], [2, 2], 2), "rois"),
    (lambda: ops.multiscale_roi_align([X], torch.zeros(3, 5), GROUPS, [1.0], [2, 900], 2), "output_size"),
    (lambda: ops.multiscale_roi_align([X], torch.zeros(3, 5), GROUPS, [1.0], [2, 2], 0), "sampling_ratio"),
    (lambda: ops.heatmap_keypoints(X, BOXES[:2], VALID), "one entry"),
    (lambda: ops.heatmap_keypoints(X[:2], BOXES, VALID), r"maps \[N, K, H, W\]"),
    (lambda: ops.linear_rows(X, torch.ones(3, 4), None, VALID[:2]), "bool valid")])
def test_arguments_are_checked(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 9.0])
def test_no_value_makes_them_fail(value):
    boxes, scores, every = torch.full((3, 4), value), torch.full((3,), value), torch.ones(3, dtype=torch.bool)
    boxes[1:, 2:] = 5e37
    assert ops.batched_nms(boxes, scores, GROUPS, every, 0.5, 3).shape == (3,)
    assert ops.topk_above(boxes, 0.5, 3)[0].shape == (3, 4)
    assert ops.heatmap_keypoints(torch.full((3, 2, 4, 4), value), boxes, every)[0].shape == (3, 2, 3)
    vision.models()
    rois = torch.cat((scores[:, None], boxes), 1)
    pooled = ops.multiscale_roi_align([X + 1], rois, torch.zeros(3).long(), [1.0], [2, 2], 2)
    assert pooled.shape == (3, 2, 2, 2) and not pooled.any()  # no box of an image


def test_are_recorded_with_shapes_that_hold_for_any_values():
    def model(boxes, scores, maps, valid):
        values, rows = ops.topk_above(scores, 0.3, 20)
        places = ops.batched_nms(boxes[rows[:, 0]], values[:, 0], rows[:, 1], values[:, 0] > 0, 0.5, 10)
        weight = torch.ones(4, 4, 1, 1)
        return places, ops.heatmap_keypoints(ops.conv2d_rows(maps, weight, None, [1, 1], [0, 0], [1, 1], 1, valid),
                                             boxes[:3], valid)

    def inputs(seed):
        boxes, scores, _, valid = candidates(50, seed)
        return boxes, torch.stack((scores, scores.flip(0)), 1), torch.randn(3, 4, 5, 5), valid[:3]

    recording = record(model, inputs(1))
    assert recording.tail is None
    for seed in (2, 3):
        x = inputs(seed)
        places, (points, scores) = model(*x)
        got = WholeModel(recording.graph, recording.weights)(*x)
        assert all(torch.equal(a, b) for a, b in zip(got, (places, points, scores)))
