"""People and their keypoints as objects: a one-stage detector of the size of KAPAO-L, written from its description.

Backbone, pyramid and heads follow the published design of YOLOv5-P6 at its "L" size (a focus stem of strided slices,
cross-stage-partial blocks, spatial pyramid pooling, a top-down and a bottom-up path, four heads); the 57 columns of a
prediction are KAPAO's (McNally et al., "Rethinking Keypoint Representations", 2022): 4 of the box, 1 whether there is
an object, 18 classes (a person and 17 single keypoints), 34 coordinates of a person's 17 keypoints.
"""
import math
from typing import Callable, List, Sequence, Tuple, Union

import torch
import torch.nn.functional as F

from intra_dp_ros.graph import custom_ops  # noqa: F401  (defines torch.ops.intra_dp_ros)

CLASSES, KEYPOINTS, COLUMNS = 18, 17, 57
STRIDES = (8, 16, 32, 64)
#: Width and height of the three anchors of every stride [pixel].
ANCHORS = (((19, 27), (44, 40), (38, 94)), ((96, 68), (86, 152), (180, 137)),
           ((140, 301), (303, 264), (238, 542)), ((436, 615), (739, 380), (925, 792)))
CANDIDATES, DETECTIONS = 512, 100  # boxes that compete, and most that are given
_HEAD_GAIN, _RARE = 64.0, 2.5  # of random heads: factor; logit by which objects are rare, and people are not


class Conv(torch.nn.Module):
    """Convolution, batch norm, SiLU; `fuse` folds the norm into the convolution, which is how it runs."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm: torch.nn.Module = torch.nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(self.norm(self.conv(x)))

    def fuse(self) -> None:
        """The same in one convolution."""
        self.conv = torch.nn.utils.fusion.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
        self.norm = torch.nn.Identity()


class Bottleneck(torch.nn.Module):
    """1x1 and 3x3, with the input added."""

    def __init__(self, channels: int, is_residual: bool) -> None:
        super().__init__()
        self.first, self.second = Conv(channels, channels), Conv(channels, channels, 3)
        self.is_residual = is_residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x))
        return x + y if self.is_residual else y


class Csp(torch.nn.Module):
    """Cross-stage-partial block: half of the channels go through bottlenecks, half pass by."""

    def __init__(self, inputs: int, outputs: int, depth: int, is_residual: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.through, self.beside, self.join = Conv(inputs, half), Conv(inputs, half), Conv(2 * half, outputs)
        self.blocks = torch.nn.Sequential(*[Bottleneck(half, is_residual) for _ in range(depth)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat((self.blocks(self.through(x)), self.beside(x)), 1))


class Pyramid(torch.nn.Module):
    """Spatial pyramid pooling: max pools of 3, 5 and 7 beside their input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.narrow, self.join = Conv(inputs, inputs // 2), Conv(inputs * 2, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.narrow(x)
        return self.join(torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in (3, 5, 7)], 1))


class PeopleNet(torch.nn.Module):
    """uint8 `[1, 3, H, W]` RGB, H and W multiples of 64 -> detections of fixed size.

    The result is `(rows, valid)`: float32 `[100, 40]` (box x1, y1, x2, y2 in pixels, score, class, then x, y of 17
    keypoints in pixels) by descending score and bool `[100]`, true for the rows that are detections.  Boxes of
    different classes do not suppress each other.

    Args:
        width, depth: multiples of the L size's channels and bottlenecks.
        raw: give every prediction instead, `[1, A, 57]`, A = 3 * (sum over strides of H * W / stride^2), decoded.
        score, iou: least score of a detection, overlap above which the worse of two goes; 0..1.

    Raises:
        ValueError: an input that is not such an image.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0, raw: bool = False, score: float = 0.2,
                 iou: float = 0.45) -> None:
        super().__init__()
        self.raw, self.score, self.iou = raw, score, iou
        c = [max(8, int(n * width) // 8 * 8) for n in (64, 128, 256, 512, 768, 1024)]
        d = [max(1, round(n * depth)) for n in (3, 9, 9, 3, 3)]
        self.focus = Conv(12, c[0], 3)
        self.down = torch.nn.ModuleList([Conv(c[i], c[i + 1], 3, 2) for i in range(5)])
        self.stages = torch.nn.ModuleList([Csp(c[i + 1], c[i + 1], d[i]) for i in range(4)])
        self.pyramid, self.deepest = Pyramid(c[5], c[5]), Csp(c[5], c[5], d[4], False)
        self.lateral = torch.nn.ModuleList([Conv(c[i + 1], c[i], 1) for i in (4, 3, 2)])
        self.upward = torch.nn.ModuleList([Csp(2 * c[i], c[i], d[4], False) for i in (4, 3, 2)])
        self.downward = torch.nn.ModuleList([Conv(c[i], c[i], 3, 2) for i in (2, 3, 4)])
        self.merge = torch.nn.ModuleList([Csp(2 * c[i], c[i + 1], d[4], False) for i in (2, 3, 4)])
        self.heads = torch.nn.ModuleList([torch.nn.Conv2d(c[i], 3 * COLUMNS, 1) for i in (2, 3, 4, 5)])

    def fuse(self) -> "PeopleNet":
        """Batch norms folded into their convolutions, as it runs on a robot; after the weights are in."""
        for module in list(self.modules()):
            if isinstance(module, Conv):
                module.fuse()
        return self

    def forward(self, image: torch.Tensor) -> Union[torch.Tensor, Tuple[torch.Tensor, torch.Tensor]]:
        if image.dim() != 4 or image.shape[1] != 3 or image.shape[2] % 64 or image.shape[3] % 64:
            raise ValueError("the people network takes [N, 3, H, W] with H and W multiples of 64, got {}".format(
                list(image.shape)))
        if image.shape[0] != 1 and not self.raw:
            raise ValueError("the people network finds people in one image at a time, got {}".format(image.shape[0]))
        x = image / 255.0
        x = torch.cat([x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)], 1)
        predictions = torch.cat([
            self._decode(head(y), index) for index, (head, y) in enumerate(zip(self.heads, self._features(x)))], 1)
        return predictions if self.raw else detections(predictions[0], self.score, self.iou)

    def _features(self, x: torch.Tensor) -> List[torch.Tensor]:
        x = self.focus(x)
        levels = []
        for down, stage in zip(self.down, self.stages):
            x = stage(down(x))
            levels.append(x)
        x = self.deepest(self.pyramid(self.down[4](x)))
        sides = []
        for lateral, csp, level in zip(self.lateral, self.upward, levels[:0:-1]):
            side = lateral(x)
            sides.append(side)
            x = csp(torch.cat((F.interpolate(side, scale_factor=2.0, mode="nearest"), level), 1))
        found = [x]
        for down, csp, side in zip(self.downward, self.merge, sides[::-1]):
            x = csp(torch.cat((down(x), side), 1))
            found.append(x)
        return found

    @staticmethod
    def _decode(y: torch.Tensor, index: int) -> torch.Tensor:
        """Columns of one head in pixels and probabilities, `[N, 3 * h * w, 57]`."""
        rows, columns = y.shape[2:]
        stride = float(STRIDES[index])
        y = y.unflatten(1, (3, COLUMNS)).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
        across = torch.arange(columns, device=y.device).expand(rows, columns)
        along = torch.arange(rows, device=y.device)[:, None].expand(rows, columns)
        cells = torch.stack((across, along), 2)[None, None].to(y.dtype)
        anchors = torch.tensor(ANCHORS[index], device=y.device, dtype=y.dtype).reshape(1, 3, 1, 1, 2)
        centre = (y[..., :2] * 2.0 - 0.5 + cells) * stride
        size = (y[..., 2:4] * 2.0) ** 2 * anchors
        points = (y[..., 5 + CLASSES:] * 4.0 - 2.0) * anchors.repeat(1, 1, 1, 1, KEYPOINTS)
        points = points + cells.repeat(1, 1, 1, 1, KEYPOINTS) * stride
        return torch.cat((centre, size, y[..., 4:5 + CLASSES], points), 4).flatten(1, 3)


def detections(rows: torch.Tensor, score: float, iou: float) -> Tuple[torch.Tensor, torch.Tensor]:
    """The best of the predictions `[A, 57]` without their rivals, as `PeopleNet` gives them."""
    scores, classes = (rows[:, 4:5] * rows[:, 5:5 + CLASSES]).max(1)
    scores, best = torch.topk(scores, min(CANDIDATES, len(rows)))
    rows, classes = rows.index_select(0, best), classes.index_select(0, best)
    half = rows[:, 2:4] * 0.5
    boxes = torch.cat((rows[:, :2] - half, rows[:, :2] + half), 1)
    apart = classes[:, None].to(boxes.dtype) * 4096.0  # [pixel]: no two classes overlap
    keep = torch.ops.intra_dp_ros.nms(boxes + apart, scores, iou) & (scores > score)
    found = torch.cat((boxes, scores[:, None], classes[:, None].to(boxes.dtype), rows[:, 5 + CLASSES:]), 1)
    ranks, first = torch.topk(torch.where(keep, scores, scores - 2.0), min(DETECTIONS, len(found)))
    valid = ranks > 0.0
    return found.index_select(0, first) * valid[:, None].to(found.dtype), valid


def make_lively(net: PeopleNet) -> None:
    """Scale random weights, before `fuse`, so that what an image shows reaches the heads and some places score high.

    Under torch's own random weights each of the hundred layers halves what it is given: the heads give the same number
    everywhere, and a comparison of results compares nothing.  Here every layer has a scale that keeps the variance
    (Mishkin and Matas, "All you need is a good init", 2016), of patches of more contrast than images have, so that none
    grows without bounds: powers of two, the same on every machine.  Less of it arrives of an image, which the heads
    make up for; what they say of plain grey is no object.
    """
    def keep_variance(module: torch.nn.Module, _: object, y: torch.Tensor) -> torch.Tensor:
        factor = 2.0 ** -round(math.log2(float(y.std())))
        module.weight *= factor
        return y * factor

    def make_rare(head: torch.nn.Module, _: object, y: torch.Tensor) -> None:
        head.weight *= _HEAD_GAIN
        head.bias.copy_(-torch.round(_HEAD_GAIN * (y.mean((0, 2, 3)) - head.bias) * 8.0) / 8.0)
        head.bias[4::COLUMNS] -= _RARE
        head.bias[5::COLUMNS] += _RARE  # the person among the classes

    convolutions = [m.conv for m in net.modules() if isinstance(m, Conv)]
    patches = torch.randint(0, 2, (1, 3, 16, 16)) * 255.0
    with torch.no_grad():
        _with_hooks(net, [(conv, keep_variance) for conv in convolutions], F.interpolate(patches, size=(256, 256)))
        _with_hooks(net, [(head, make_rare) for head in net.heads], torch.full((1, 3, 256, 256), 128))


def _with_hooks(net: PeopleNet, hooks: Sequence[Tuple[torch.nn.Module, Callable]], image: torch.Tensor) -> None:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    net.eval()(image.to(torch.uint8))
    for handle in handles:
        handle.remove()
