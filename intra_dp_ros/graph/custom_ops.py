"""Operators of this package, ``intra_dp_ros::NAME``: steps whose ATen form has a result of no fixed shape.

They are defined through PyTorch's own interface (the same from 1.13 on), are free of side effects, and check their
arguments, because a server runs them on what it got over the network.  Those of detectors are in `detection_ops`.
"""
from typing import Any, Callable

import numpy as np
import torch
from torch import library

#: Most boxes that one call compares: the work grows with its square.
MAX_BOXES = 4096
_BLOCK = 128

LIBRARY = library.Library("intra_dp_ros", "DEF")
LIBRARY.define("nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor")


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression with a result of fixed shape.

    Boxes are taken by descending score (equal scores: the first one first); a box is kept unless its overlap with a
    kept one exceeds the threshold.  The boxes kept are those of `torchvision.ops.nms`.

    Args:
        boxes: `[N, 4]`, corners x1, y1, x2, y2; floating point, N <= `MAX_BOXES`.
        scores: `[N]`, floating point.
        iou_threshold: intersection over union above which the lower score goes, 0..1.

    Returns:
        bool `[N]`, true where the box is kept.

    Raises:
        ValueError: shapes, types or a threshold other than these.
    """
    if boxes.dim() != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError("nms takes boxes [N, 4] and scores [N], got {} and {}".format(
            list(boxes.shape), list(scores.shape)))
    if boxes.shape[0] > MAX_BOXES:
        raise ValueError("nms takes at most {} boxes, got {}: keep the best ones (topk)".format(
            MAX_BOXES, boxes.shape[0]))
    if not (boxes.is_floating_point() and scores.is_floating_point()):
        raise ValueError("nms takes floating point boxes and scores, got {} and {}".format(boxes.dtype, scores.dtype))
    if not 0.0 <= iou_threshold <= 1.0:
        raise ValueError("nms takes an iou_threshold from 0 to 1, got {}".format(iou_threshold))
    order = torch.sort(scores, descending=True, stable=True).indices
    keep = torch.zeros(len(order), dtype=torch.bool, device=boxes.device)
    keep[order] = survivors(boxes.index_select(0, order), iou_threshold)
    return keep


def survivors(ranked: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy suppression of boxes `[N, 4]` that come by descending score: bool `[N]`, true where the box stays."""
    if ranked.dtype in (torch.float16, torch.bfloat16):
        ranked = ranked.float()  # areas overflow float16
    threshold = np.float32(iou_threshold)
    if ranked.dtype == torch.float32 and threshold > iou_threshold:
        # torchvision compares in double: the largest float32 that is not above the threshold decides alike
        threshold = np.nextafter(threshold, np.float32(-1))
    gone = np.zeros(len(ranked), dtype=bool)
    for start in range(0, len(ranked), _BLOCK):  # a block of rows of overlaps fits into the cache
        overlaps = _overlaps(ranked[start:start + _BLOCK], ranked[start:], float(threshold)).cpu().numpy()
        rest = gone[start:]
        for rank, row in enumerate(overlaps):
            if not rest[rank]:
                rest[rank + 1:] |= row[rank + 1:]
    return ~torch.from_numpy(gone).to(ranked.device)


def _overlaps(boxes: torch.Tensor, others: torch.Tensor, threshold: float) -> torch.Tensor:
    """bool `[len(boxes), len(others)]`: whether two boxes overlap by more than the threshold."""
    x1, y1, x2, y2 = boxes.t()[:, :, None]
    p1, q1, p2, q2 = others.t()
    width = (torch.minimum(x2, p2) - torch.maximum(x1, p1)).clamp(min=0)
    common = (torch.minimum(y2, q2) - torch.maximum(y1, q1)).clamp(min=0) * width
    return common / ((x2 - x1) * (y2 - y1) + (p2 - p1) * (q2 - q1) - common) > threshold


def implement(name: str, function: Callable[..., Any]) -> None:
    """Make `function` the operator's implementation on every device."""
    for device in ("CPU", "CUDA"):
        LIBRARY.impl(name, function, device)


implement("nms", nms)
