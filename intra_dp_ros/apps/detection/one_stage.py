"""The last step of torchvision's detectors of one stage, with results of fixed shape.

Each function stands for `postprocess_detections` of one class (torchvision 0.14 to 0.28) and gives as many places as
the detector gives detections at most; those left over have score -1.
"""
from typing import Any, Dict, List, Sequence, Tuple

import torch

from intra_dp_ros.apps.detection.places import best, filled

Detections = List[Dict[str, torch.Tensor]]
Shapes = Sequence[Tuple[int, int]]


def retinanet(model: Any, head_outputs: Dict[str, List[torch.Tensor]], anchors: List[List[torch.Tensor]],
              image_shapes: Shapes) -> Detections:
    """RetinaNet: the best of every level, then suppression within classes."""
    return _of_levels(model, head_outputs, anchors, image_shapes, model.box_coder.decode_single,
                      lambda logits: torch.sigmoid(logits[0]))


def fcos(model: Any, head_outputs: Dict[str, List[torch.Tensor]], anchors: List[List[torch.Tensor]],
         image_shapes: Shapes) -> Detections:
    """FCOS: as RetinaNet, with scores that count how central a box is."""
    return _of_levels(model, head_outputs, anchors, image_shapes, model.box_coder.decode,
                      lambda logits: torch.sqrt(torch.sigmoid(logits[0]) * torch.sigmoid(logits[1])))


def _of_levels(model: Any, head_outputs: Dict[str, List[torch.Tensor]], anchors: List[List[torch.Tensor]],
               image_shapes: Shapes, decode: Any, score: Any) -> Detections:
    names = [name for name in ("cls_logits", "bbox_ctrness") if name in head_outputs]
    detections = []
    for index, image_shape in enumerate(image_shapes):
        boxes, scores, labels = [], [], []
        levels = zip(head_outputs["bbox_regression"], anchors[index], *(head_outputs[name] for name in names))
        for regression, level_anchors, *logits in levels:
            classes = logits[0].shape[-1]
            all_scores = score([values[index] for values in logits]).flatten()
            found, at = torch.ops.intra_dp_ros.topk_above(
                all_scores[:, None], model.score_thresh, min(model.topk_candidates, len(all_scores)))
            found, at = found[:, 0], at[:, 0]
            anchor = torch.div(at, classes, rounding_mode="floor")
            boxes.append(clipped(decode(regression[index][anchor], level_anchors[anchor]), image_shape))
            scores.append(found)
            labels.append(at % classes)
        detections.append(_best(model, torch.cat(boxes), torch.cat(scores), torch.cat(labels)))
    return detections


def ssd(model: Any, head_outputs: Dict[str, torch.Tensor], image_anchors: List[torch.Tensor],
        image_shapes: Shapes) -> Detections:
    """SSD: the best of every class, then suppression within classes; class 0 is the background."""
    detections = []
    all_scores = torch.softmax(head_outputs["cls_logits"], -1)
    for regression, scores, anchors, image_shape in zip(
            head_outputs["bbox_regression"], all_scores, image_anchors, image_shapes):
        boxes = clipped(model.box_coder.decode_single(regression, anchors), image_shape)
        scores, at = torch.ops.intra_dp_ros.topk_above(
            scores[:, 1:], model.score_thresh, min(model.topk_candidates, len(scores)))
        labels = torch.arange(1, scores.shape[1] + 1, device=scores.device)[:, None].expand(-1, len(scores))
        detections.append(_best(model, boxes[at.t().flatten()], scores.t().flatten(), labels.flatten()))
    return detections


def clipped(boxes: torch.Tensor, image_shape: Tuple[int, int]) -> torch.Tensor:
    """Boxes `[..., 4]` with their corners inside of the image."""
    from torchvision.ops import clip_boxes_to_image

    return clip_boxes_to_image(boxes, image_shape)


def _best(model: Any, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> Dict[str, torch.Tensor]:
    places = best(boxes, scores, labels, scores >= 0, model.nms_thresh, model.detections_per_img)
    return {"boxes": filled(boxes, places, 0.0), "scores": filled(scores, places, -1.0),
            "labels": filled(labels, places, 0)}
