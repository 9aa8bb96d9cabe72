"""The operator nms: against the definition and torchvision, its limits, and how it is recorded."""
import pytest
import torch

from intra_dp_ros.graph.custom_ops import MAX_BOXES
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.record import record

nms = torch.ops.intra_dp_ros.nms


def boxes_and_scores(count, seed):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(count, 4, generator=generator) * 100
    boxes[:, 2:] = boxes[:, :2] + torch.rand(count, 2, generator=generator) * 40
    return boxes, (torch.rand(count, generator=generator) * 20).round() / 20  # with equal scores


def by_definition(boxes, scores, threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i)):
        a = boxes[i].tolist()
        for j in kept:
            b = boxes[j].tolist()
            common = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
            if both > 0 and common / both > threshold:
                break
        else:
            kept.append(i)
    return sorted(kept)


@pytest.mark.parametrize("count, seed, threshold", [
    (0, 0, 0.5), (1, 1, 0.5), (40, 2, 0.0), (150, 3, 0.3), (150, 4, 0.6), (60, 5, 1.0)])
def test_keeps_what_the_definition_keeps(count, seed, threshold):
    boxes, scores = boxes_and_scores(count, seed)
    keep = nms(boxes, scores, threshold)
    assert keep.dtype == torch.bool and keep.shape == (count,)
    assert keep.nonzero()[:, 0].tolist() == by_definition(boxes, scores, threshold)


def test_keeps_what_torchvision_keeps():
    try:
        from torchvision.ops import nms as theirs
        theirs(torch.zeros(0, 4), torch.zeros(0), 0.5)
    except Exception as error:  # one made for another torch
        pytest.skip("no usable torchvision: {}".format(error))
    boxes, scores = boxes_and_scores(1000, 6)
    assert nms(boxes, scores, 0.45).nonzero()[:, 0].tolist() == sorted(theirs(boxes, scores, 0.45).tolist())


@pytest.mark.parametrize("boxes, scores, threshold, words", [
    (torch.zeros(3, 5), torch.zeros(3), 0.5, r"boxes \[N, 4\]"), (torch.zeros(3, 4), torch.zeros(2), 0.5, "scores"),
    (torch.zeros(MAX_BOXES + 1, 4), torch.zeros(MAX_BOXES + 1), 0.5, "at most"),
    (torch.zeros(3, 4).int(), torch.zeros(3), 0.5, "floating point"),
    (torch.zeros(3, 4), torch.zeros(3), 2.0, "0 to 1")])
def test_arguments_are_checked(boxes, scores, threshold, words):
    with pytest.raises(ValueError, match=words):
        nms(boxes, scores, threshold)


def test_is_recorded_as_one_operator():
    boxes, scores = boxes_and_scores(50, 7)

    def model(boxes, scores):
        return scores * nms(boxes, scores, 0.45)

    recording = record(model, (boxes, scores))
    assert [node.op for node in recording.graph.nodes] == ["intra_dp_ros::nms", "mul.Tensor"]
    other = boxes_and_scores(50, 8)
    assert torch.equal(WholeModel(recording.graph, recording.weights)(*other)[0], model(*other))
