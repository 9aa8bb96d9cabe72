"""The steps of detectors whose results have no fixed shape, with results that have one: places left over are marked.

`topk_above`, `batched_nms` and `heatmap_keypoints` decide exactly as torchvision's detectors do on a CPU (the same
operators on the same values, equal scores included); `multiscale_roi_align` and the `..._rows` operators compute only
what is marked valid, so that places left over cost next to nothing.
"""
from typing import Callable, List, Optional, Tuple

import torch
import torch.nn.functional as functional

from intra_dp_ros.graph.custom_ops import LIBRARY, implement, survivors

#: Most boxes that one call compares, pools or looks at.
MAX_CANDIDATES = 1 << 19
#: Boxes from which torchvision compares within every group instead of moving the groups apart (`batched_nms`).
_GROUP_BY_GROUP = 1000
_MAP_VALUES = 1 << 24  # of enlarged heat maps that are held at once
_MAX_MAP = 1 << 26  # of one enlarged heat map
_FAR = 1e6  # coordinate beyond which a box is no box of any image [pixel]

LIBRARY.define("topk_above(Tensor scores, float threshold, int count) -> (Tensor, Tensor)")
LIBRARY.define("batched_nms(Tensor boxes, Tensor scores, Tensor groups, Tensor valid, float iou_threshold, int count)"
               " -> Tensor")
LIBRARY.define("multiscale_roi_align(Tensor[] features, Tensor rois, Tensor levels, float[] scales, int[] output_size, "
               "int sampling_ratio) -> Tensor")
LIBRARY.define("heatmap_keypoints(Tensor maps, Tensor boxes, Tensor valid) -> (Tensor, Tensor)")
LIBRARY.define("linear_rows(Tensor input, Tensor weight, Tensor? bias, Tensor valid) -> Tensor")
LIBRARY.define("conv2d_rows(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, "
               "int groups, Tensor valid) -> Tensor")
LIBRARY.define("conv_transpose2d_rows(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, "
               "int[] output_padding, int groups, int[] dilation, Tensor valid) -> Tensor")


def topk_above(scores: torch.Tensor, threshold: float, count: int) -> Tuple[torch.Tensor, torch.Tensor]:
    """The `count` best of the scores above a threshold, in every column.

    Args:
        scores: `[N, C]`, floating point, not negative.
        count: from 1 to N.

    Returns:
        scores by descending value `[count, C]`, -1 where there are fewer; their rows int64 `[count, C]`, there 0.

    Raises:
        ValueError: shapes, types or a count other than these.
    """
    if scores.dim() != 2 or not scores.is_floating_point() or not 1 <= count <= scores.shape[0]:
        raise ValueError("topk_above takes floating point scores [N, C] and a count from 1 to N, got {} {} and {}"
                         .format(scores.dtype, list(scores.shape), count))
    values, rows = scores.new_full((count, scores.shape[1]), -1.0), torch.zeros(
        (count, scores.shape[1]), dtype=torch.int64, device=scores.device)
    above = scores > threshold
    for column in above.any(0).nonzero()[:, 0].tolist():
        given = above[:, column].nonzero()[:, 0]
        found, at = scores[:, column].index_select(0, given).topk(min(count, len(given)))
        values[:len(at), column], rows[:len(at), column] = found, given.index_select(0, at)
    return values, rows


def batched_nms(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, valid: torch.Tensor,
                iou_threshold: float, count: int) -> torch.Tensor:
    """Greedy non-maximum suppression within groups: the best `count` boxes that are kept.

    Args:
        boxes: `[N, 4]`, corners x1, y1, x2, y2; floating point, N <= `MAX_CANDIDATES`.
        scores: `[N]`, floating point.
        groups: int64 `[N]`; boxes of different groups do not suppress each other.
        valid: bool `[N]`; the others are as if they were not there.
        iou_threshold: intersection over union above which the lower score goes, 0..1.
        count: from 1 to N.

    Returns:
        int64 `[count]`, the places of the boxes kept by descending score, -1 where there are fewer.

    Raises:
        ValueError: shapes, types, a threshold or a count other than these.
    """
    _check_boxes("batched_nms", boxes, scores, groups, valid)
    if not scores.is_floating_point() or groups.dtype != torch.int64 or valid.dtype != torch.bool:
        raise ValueError("batched_nms takes floating point scores, int64 groups and bool valid, got {}, {} and {}"
                         .format(scores.dtype, groups.dtype, valid.dtype))
    if not 0.0 <= iou_threshold <= 1.0 or not 1 <= count <= len(boxes):
        raise ValueError("batched_nms takes an iou_threshold from 0 to 1 and a count from 1 to {}, got {} and {}"
                         .format(len(boxes), iou_threshold, count))
    given = valid.nonzero()[:, 0]
    boxes, scores, groups = (t.index_select(0, given) for t in (boxes, scores, groups))
    if len(given) > _GROUP_BY_GROUP:
        stays = torch.zeros_like(scores, dtype=torch.bool)
        for group in groups.unique():
            members = (groups == group).nonzero()[:, 0]
            stays[members.index_select(0, _kept(boxes[members], scores[members], iou_threshold))] = True
        kept = stays.nonzero()[:, 0]
        kept = kept.index_select(0, scores[kept].sort(descending=True)[1])
    elif len(given):
        apart = groups.to(boxes.dtype) * (boxes.max() + torch.ones((), dtype=boxes.dtype, device=boxes.device))
        kept = _kept(boxes + apart[:, None], scores, iou_threshold)
    else:
        kept = given
    places = torch.full((count,), -1, dtype=torch.int64, device=boxes.device)
    places[:len(kept)] = given.index_select(0, kept[:count])
    return places


def _kept(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Places of the boxes kept, by descending score."""
    order = torch.sort(scores, descending=True, stable=True).indices
    return order[survivors(boxes.index_select(0, order), iou_threshold)]


def multiscale_roi_align(features: List[torch.Tensor], rois: torch.Tensor, levels: torch.Tensor, scales: List[float],
                         output_size: List[int], sampling_ratio: int) -> torch.Tensor:
    """`torchvision.ops.roi_align` of every box in the level of a pyramid that it belongs to.

    Args:
        features: of every level, `[I, C, H, W]`.
        rois: `[N, 5]`: image, x1, y1, x2, y2 [pixel of the image]; N <= `MAX_CANDIDATES`.
        levels: int64 `[N]`; boxes of no level (-1), of no image, or further out than 10^6 give zeros.
        scales: of every level: its pixels by one of the image.
        output_size: rows and columns of the result, each 1 to 64.
        sampling_ratio: points by row and column of each of them, 1 to 16.

    Returns:
        `[N, C, *output_size]`.

    Raises:
        ValueError: shapes, types or sizes other than these.
    """
    sizes = {(f.shape[0], f.shape[1], f.dtype) if f.dim() == 4 else None for f in features}
    if len(sizes) != 1 or None in sizes or len(scales) != len(features):
        raise ValueError("multiscale_roi_align takes features [I, C, H, W] alike but for H and W, and as many scales, "
                         "got {} and {} scales".format([list(f.shape) for f in features], len(scales)))
    if rois.dim() != 2 or rois.shape[1] != 5 or levels.shape != rois.shape[:1] or len(rois) > MAX_CANDIDATES:
        raise ValueError("multiscale_roi_align takes rois [N, 5] and levels [N], N <= {}, got {} and {}".format(
            MAX_CANDIDATES, list(rois.shape), list(levels.shape)))
    if len(output_size) != 2 or not 1 <= min(output_size) <= max(output_size) <= 64:
        raise ValueError("multiscale_roi_align takes an output_size of two numbers from 1 to 64, got {}".format(
            list(output_size)))
    if not 1 <= sampling_ratio <= 16:
        raise ValueError("multiscale_roi_align takes a sampling_ratio from 1 to 16, got {}".format(sampling_ratio))
    near = (rois[:, 0] >= 0) & (rois[:, 0] < len(features[0])) & (rois.abs() <= _FAR).all(1)
    levels = levels.masked_fill(~near, -1)
    result = features[0].new_zeros((len(rois), features[0].shape[1], *output_size))
    for level, (feature, scale) in enumerate(zip(features, scales)):
        at = (levels == level).nonzero()[:, 0]
        if len(at):
            result[at] = torch.ops.torchvision.roi_align(
                feature, rois.index_select(0, at), scale, *output_size, sampling_ratio, False)
    return result


def heatmap_keypoints(maps: torch.Tensor, boxes: torch.Tensor,
                      valid: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
    """The place of every keypoint in its box: the peak of its heat map, enlarged to the box (as in Mask R-CNN).

    Args:
        maps: `[N, K, H, W]`, floating point.
        boxes: `[N, 4]`, corners [pixel].
        valid: bool `[N]`; the others give zeros, as do boxes of more than 2^26 pixels.

    Returns:
        float32 `[N, K, 3]`: x, y [pixel] and 1; float32 `[N, K]`: the peak's value.

    Raises:
        ValueError: shapes or types other than these.
    """
    _check_boxes("heatmap_keypoints", boxes, valid)
    if maps.dim() != 4 or len(maps) != len(boxes) or valid.dtype != torch.bool or 0 in maps.shape[1:]:
        raise ValueError("heatmap_keypoints takes maps [N, K, H, W], boxes [N, 4] and bool valid [N], got {}, {} and {}"
                         .format(list(maps.shape), list(boxes.shape), valid.dtype))
    places = torch.zeros((len(boxes), maps.shape[1], 3), device=maps.device)
    scores = torch.zeros((len(boxes), maps.shape[1]), device=maps.device)
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    possible = valid & (sides.ceil().prod(1) <= _MAX_MAP)
    for i in possible.nonzero()[:, 0].tolist():
        width, height = (int(n) for n in sides[i].ceil().tolist())
        peaks = []
        for part in maps[i].split(max(1, _MAP_VALUES // (width * height))):
            large = functional.interpolate(part[:, None], size=(height, width), mode="bicubic", align_corners=False)
            large = large.flatten(1)
            at = large.argmax(1, keepdim=True)
            peaks.append((large.gather(1, at)[:, 0], at[:, 0]))
        at = torch.cat([indices for _, indices in peaks])
        column, row = at % width, torch.div(at, width, rounding_mode="floor")
        x_scale, y_scale = sides[i, 0] / width, sides[i, 1] / height
        places[i, :, 0] = (column.float() + 0.5) * x_scale + boxes[i, 0]
        places[i, :, 1] = (row.float() + 0.5) * y_scale + boxes[i, 1]
        places[i, :, 2] = 1
        scores[i] = torch.cat([values for values, _ in peaks])
    return places, scores


def _check_boxes(name: str, boxes: torch.Tensor, *others: torch.Tensor) -> None:
    if boxes.dim() != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point() or len(boxes) > MAX_CANDIDATES:
        raise ValueError("{} takes floating point boxes [N, 4], N <= {}, got {} {}".format(
            name, MAX_CANDIDATES, boxes.dtype, list(boxes.shape)))
    if any(other.shape != boxes.shape[:1] for other in others):
        raise ValueError("{} takes one entry for each of {} boxes, got {}".format(
            name, len(boxes), [list(other.shape) for other in others]))


def linear_rows(tensor: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor],
                valid: torch.Tensor) -> torch.Tensor:
    """`linear` of the rows that are valid (bool `[N]`, `tensor` is `[N, ...]`); the others are zero.

    Raises:
        ValueError: no rows, or `valid` of another length.
    """
    return _of_rows(lambda rows: functional.linear(rows, weight, bias), tensor, valid)


def conv2d_rows(tensor: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor], stride: List[int],
                padding: List[int], dilation: List[int], groups: int, valid: torch.Tensor) -> torch.Tensor:
    """`conv2d` of the images that are valid, as `linear_rows`."""
    return _of_rows(lambda rows: functional.conv2d(
        rows, weight, bias, stride, padding, dilation, groups), tensor, valid)


def conv_transpose2d_rows(tensor: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor], stride: List[int],
                          padding: List[int], output_padding: List[int], groups: int, dilation: List[int],
                          valid: torch.Tensor) -> torch.Tensor:
    """`conv_transpose2d` of the images that are valid, as `linear_rows`."""
    return _of_rows(lambda rows: functional.conv_transpose2d(
        rows, weight, bias, stride, padding, output_padding, groups, dilation), tensor, valid)


def _of_rows(function: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor,
             valid: torch.Tensor) -> torch.Tensor:
    if tensor.dim() < 1 or not len(tensor) or valid.shape != tensor.shape[:1] or valid.dtype != torch.bool:
        raise ValueError("an operator on some rows takes a tensor [N, ...], N > 0, and bool valid [N], got {} and {} {}"
                         .format(list(tensor.shape), valid.dtype, list(valid.shape)))
    given = valid.nonzero()[:, 0]
    if len(given) == len(tensor):
        return function(tensor)
    # one row at least, because only the result tells its own shape
    found = function(tensor.index_select(0, given) if len(given) else tensor[:1])
    result = found.new_zeros((len(tensor), *found.shape[1:]))
    return result.index_copy_(0, given, found) if len(given) else result


for _function in (topk_above, batched_nms, multiscale_roi_align, heatmap_keypoints, linear_rows, conv2d_rows,
                  conv_transpose2d_rows):
    implement(_function.__name__, _function)
