"""torchvision's R-CNNs with results of fixed shape (`RegionProposalNetwork`, `RoIHeads`; torchvision 0.14 to 0.28).

Proposals and detections come in as many places as there can be at most; those left over are empty boxes at the origin.
An empty box stays empty when it is decoded, and torchvision drops empty boxes, so it is never taken for one.
"""
from types import MethodType
from typing import Any, Dict, List, Sequence, Tuple

import torch
import torch.nn.functional as functional
from torch.overrides import TorchFunctionMode

from intra_dp_ros.apps.detection.one_stage import clipped
from intra_dp_ros.apps.detection.places import best, filled

#: Masks of the detections in their boxes, still to be drawn into the image; height and width of it [pixel].
RAW_MASKS, SIZE = "raw_masks", "size"
_EMPTY = 1e-2  # side of a detection below which it is dropped [pixel]

Shapes = Sequence[Tuple[int, int]]


def replace_steps(model: torch.nn.Module) -> bool:
    """Give this one R-CNN the steps of this module; False, and nothing is changed, if it is none of torchvision's."""
    from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
    from torchvision.models.detection.roi_heads import RoIHeads
    from torchvision.models.detection.rpn import RegionProposalNetwork
    from torchvision.ops import MultiScaleRoIAlign

    if not isinstance(model, GeneralizedRCNN) or type(model.rpn) is not RegionProposalNetwork or (
            type(model.roi_heads) is not RoIHeads):
        return False
    heads = model.roi_heads
    pools = [p for p in (heads.box_roi_pool, heads.mask_roi_pool, heads.keypoint_roi_pool) if p is not None]
    if any(type(pool) is not MultiScaleRoIAlign or pool.sampling_ratio < 1 for pool in pools):
        return False
    model.rpn.filter_proposals = MethodType(filter_proposals, model.rpn)
    heads.forward = MethodType(detect, heads)
    if heads.has_mask():
        model.transform.postprocess = MethodType(postprocess, model.transform)
    return True


def postprocess(transform: Any, result: List[Dict[str, Any]], image_shapes: Shapes,
                original_image_sizes: Shapes) -> List[Dict[str, Any]]:
    """`GeneralizedRCNNTransform.postprocess`; masks, which are drawn box by box, are left for the application."""
    result = type(transform).postprocess(transform, result, image_shapes, original_image_sizes)
    for found, size in zip(result, original_image_sizes):
        found[SIZE] = tuple(size)
    return result


def filter_proposals(rpn: Any, proposals: torch.Tensor, objectness: torch.Tensor, image_shapes: Shapes,
                     num_anchors_per_level: List[int]) -> Tuple[List[torch.Tensor], List[torch.Tensor]]:
    """`RegionProposalNetwork.filter_proposals`: the best boxes of every image."""
    images = proposals.shape[0]
    objectness = objectness.reshape(images, -1)
    levels = torch.cat([torch.full((n,), level, dtype=torch.int64, device=proposals.device)
                        for level, n in enumerate(num_anchors_per_level)])
    top = rpn._get_top_n_idx(objectness, num_anchors_per_level)
    final_boxes, final_scores = [], []
    for index, image_shape in enumerate(image_shapes):
        boxes = clipped(proposals[index].index_select(0, top[index]), image_shape)
        scores = objectness[index].index_select(0, top[index]).sigmoid()
        valid = _is_large(boxes, rpn.min_size) & (scores >= rpn.score_thresh)
        places = best(boxes, scores, levels.index_select(0, top[index]), valid, rpn.nms_thresh, rpn.post_nms_top_n())
        final_boxes.append(filled(boxes, places, 0.0))
        final_scores.append(filled(scores, places, 0.0))
    return final_boxes, final_scores


def detect(heads: Any, features: Dict[str, torch.Tensor], proposals: List[torch.Tensor], image_shapes: Shapes,
           targets: Any = None) -> Tuple[List[Dict[str, torch.Tensor]], Dict[str, torch.Tensor]]:
    """`RoIHeads.forward` of a model in eval mode."""
    valid = _is_large(torch.cat(proposals), 0.0)
    pooled = pool(heads.box_roi_pool, features, proposals, image_shapes, valid)
    with OnlyRows(valid):
        logits, regression = heads.box_predictor(heads.box_head(pooled))
    result = _classified(heads, logits, regression, proposals, image_shapes)
    boxes = [found["boxes"] for found in result]
    valid = torch.cat([found["scores"] for found in result]) >= 0
    if heads.has_mask():
        pooled = pool(heads.mask_roi_pool, features, boxes, image_shapes, valid)
        with OnlyRows(valid):
            logits = heads.mask_predictor(heads.mask_head(pooled))
        labels = torch.cat([found["labels"] for found in result])
        masks = logits.sigmoid()[torch.arange(len(labels), device=labels.device), labels][:, None]
        for found, part in zip(result, masks.split([len(b) for b in boxes])):
            found[RAW_MASKS] = part
    if heads.has_keypoint():
        pooled = pool(heads.keypoint_roi_pool, features, boxes, image_shapes, valid)
        with OnlyRows(valid):
            logits = heads.keypoint_predictor(heads.keypoint_head(pooled))
        keypoints, scores = torch.ops.intra_dp_ros.heatmap_keypoints(logits, torch.cat(boxes), valid)
        counts = [len(b) for b in boxes]
        for found, part, part_scores in zip(result, keypoints.split(counts), scores.split(counts)):
            found.update(keypoints=part, keypoints_scores=part_scores)
    return result, {}


def _classified(heads: Any, logits: torch.Tensor, regression: torch.Tensor, proposals: List[torch.Tensor],
                image_shapes: Shapes) -> List[Dict[str, torch.Tensor]]:
    """`RoIHeads.postprocess_detections`; class 0 is the background."""
    counts, classes = [len(p) for p in proposals], logits.shape[-1]
    all_boxes = heads.box_coder.decode(regression, proposals).split(counts)
    all_scores = functional.softmax(logits, -1).split(counts)
    result = []
    for boxes, scores, image_shape in zip(all_boxes, all_scores, image_shapes):
        labels = torch.arange(1, classes, device=scores.device).expand(len(scores), -1).reshape(-1)
        boxes = clipped(boxes, image_shape)[:, 1:].reshape(-1, 4)
        scores = scores[:, 1:].reshape(-1)
        valid = (scores > heads.score_thresh) & _is_large(boxes, _EMPTY)
        places = best(boxes, scores, labels, valid, heads.nms_thresh, heads.detections_per_img)
        result.append({"boxes": filled(boxes, places, 0.0), "labels": filled(labels, places, 0),
                       "scores": filled(scores, places, -1.0)})
    return result


def _is_large(boxes: torch.Tensor, side: float) -> torch.Tensor:
    """bool `[N]`: whether both sides are at least `side` long, and longer than nothing."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    if side == 0.0:
        return (width > 0) & (height > 0)
    return (width >= side) & (height >= side)


def pool(pooling: Any, features: Dict[str, torch.Tensor], boxes: List[torch.Tensor], image_shapes: Shapes,
         valid: torch.Tensor) -> torch.Tensor:
    """`MultiScaleRoIAlign`: every valid box in the level that fits its size; zeros for the others."""
    from torchvision.ops import poolers

    chosen = [features[name] for name in pooling.featmap_names if name in features]
    if pooling.scales is None or pooling.map_levels is None:
        pooling.scales, pooling.map_levels = poolers._setup_scales(
            chosen, image_shapes, pooling.canonical_scale, pooling.canonical_level)
    rois = poolers._convert_to_roi_format(boxes)
    levels = pooling.map_levels(boxes) if len(chosen) > 1 else torch.zeros_like(rois[:, 0], dtype=torch.int64)
    return torch.ops.intra_dp_ros.multiscale_roi_align(
        chosen, rois, torch.where(valid, levels, -1), pooling.scales, pooling.output_size, pooling.sampling_ratio)


class OnlyRows(TorchFunctionMode):
    """Inside of it, linear layers and convolutions compute only those entries of their first dimension that are valid.

    Args:
        valid: bool `[N]`; calls on tensors with another first dimension are as ever.
    """

    def __init__(self, valid: torch.Tensor) -> None:
        super().__init__()
        self.valid = valid

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        make = _CALLS.get(func)
        if make is None or len(args[0]) != len(self.valid):
            return func(*args, **kwargs)
        return make(self.valid, *args, **kwargs)


def _linear(valid: torch.Tensor, tensor: torch.Tensor, weight: torch.Tensor, bias: Any = None) -> torch.Tensor:
    return torch.ops.intra_dp_ros.linear_rows(tensor, weight, bias, valid)


def _conv2d(valid: torch.Tensor, tensor: torch.Tensor, weight: torch.Tensor, bias: Any = None, stride: Any = 1,
            padding: Any = 0, dilation: Any = 1, groups: int = 1) -> torch.Tensor:
    if isinstance(padding, str):
        return functional.conv2d(tensor, weight, bias, stride, padding, dilation, groups)
    return torch.ops.intra_dp_ros.conv2d_rows(
        tensor, weight, bias, _pair(stride), _pair(padding), _pair(dilation), groups, valid)


def _conv_transpose2d(valid: torch.Tensor, tensor: torch.Tensor, weight: torch.Tensor, bias: Any = None,
                      stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                      dilation: Any = 1) -> torch.Tensor:
    return torch.ops.intra_dp_ros.conv_transpose2d_rows(
        tensor, weight, bias, _pair(stride), _pair(padding), _pair(output_padding), groups, _pair(dilation), valid)


def _pair(value: Any) -> List[int]:
    return list(value) if isinstance(value, (tuple, list)) else [value, value]


_CALLS = {functional.linear: _linear, functional.conv2d: _conv2d, functional.conv_transpose2d: _conv_transpose2d}
