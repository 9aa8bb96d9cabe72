"""Choosing among candidates, with as many places as can be needed."""
import torch

from intra_dp_ros.graph import detection_ops  # noqa: F401  (defines torch.ops.intra_dp_ros)


def best(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, valid: torch.Tensor, iou_threshold: float,
         count: int) -> torch.Tensor:
    """Places of the boxes that stay, `[min(count, N)]`, -1 where there are fewer; see `detection_ops.batched_nms`."""
    return torch.ops.intra_dp_ros.batched_nms(boxes, scores, groups, valid, iou_threshold, min(count, len(boxes)))


def filled(values: torch.Tensor, places: torch.Tensor, rest: float) -> torch.Tensor:
    """The entries of `values` (`[N, ...]`) in these places, and `rest` where there is none."""
    empty = (places < 0).reshape(-1, *(1 for _ in values.shape[1:]))
    return values.index_select(0, places.clamp(min=0)).masked_fill(empty, rest)
