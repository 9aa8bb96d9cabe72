"""A small network of the same shape as the people models, with seeded random weights.

It stands in where the pretrained weights could not be fetched, so that a demo still moves real amounts of data through
real operators.  What it finds means nothing; whoever loads it labels its results "random".
"""
from typing import Sequence

import torch
import torch.nn.functional as F

_STAGES = ((24, 2, 2), (32, 2, 3), (64, 2, 4), (96, 1, 3), (160, 2, 3))  # channels, stride, blocks (as MobileNetV2)
_WIDTH = 64  # channels of the feature pyramid


class _Block(torch.nn.Module):
    """Expand, depthwise convolution, project, and a residual where shapes allow."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        wide = channels * 6
        self.expand = torch.nn.Conv2d(channels, wide, 1)
        self.depthwise = torch.nn.Conv2d(wide, wide, 3, stride, 1, groups=wide)
        self.project = torch.nn.Conv2d(wide, out, 1)
        self.is_residual = stride == 1 and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(F.relu6(self.depthwise(F.relu6(self.expand(x)))))
        return x + y if self.is_residual else y


class StandIn(torch.nn.Module):
    """uint8 image `[1, height, width, 3]` -> float32 `[1, people, columns]`, as the pretrained models give.

    Args:
        input_shape: `(1, height, width, 3)`, height and width multiples of 32.
        people: rows of the output.
        columns: values per person.
        seed: of the weights.

    Raises:
        ValueError: a size that is no multiple of 32.
    """

    def __init__(self, input_shape: Sequence[int], people: int, columns: int, seed: int) -> None:
        super().__init__()
        if input_shape[1] % 32 or input_shape[2] % 32:
            raise ValueError("height and width must be multiples of 32, got {}x{}".format(*input_shape[1:3]))
        self.people, self.columns = people, columns
        self.stem = torch.nn.Conv2d(3, 24, 3, 2, 1)
        stages, laterals, channels = [], [], 24
        for out, stride, blocks in _STAGES:
            stages.append(torch.nn.Sequential(*[
                _Block(channels if i == 0 else out, out, stride if i == 0 else 1) for i in range(blocks)]))
            laterals.append(torch.nn.Conv2d(out, _WIDTH, 1))
            channels = out
        self.stages = torch.nn.ModuleList(stages)
        self.laterals = torch.nn.ModuleList(laterals)
        self.heat = torch.nn.Conv2d(_WIDTH, 1, 1)
        self.values = torch.nn.Conv2d(_WIDTH, columns, 1)
        _seeded(self, seed)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
        x = F.relu6(self.stem(x))
        features = []
        for stage, lateral in zip(self.stages, self.laterals):
            x = stage(x)
            features.append(lateral(x))
        y = features[-1]
        for feature in features[-2::-1]:
            if y.shape[2:] != feature.shape[2:]:
                y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = y + feature
        scores, index = torch.topk(self.heat(y).reshape(1, -1), self.people)
        values = torch.sigmoid(self.values(y)).reshape(1, self.columns, -1).permute(0, 2, 1)
        return values[0].index_select(0, index[0])[None] * torch.sigmoid(scores)[:, :, None]


def _seeded(model: torch.nn.Module, seed: int) -> None:
    """Weights that keep the size of activations, the same on every machine."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.dim() > 1 else 1
            spread = (1.0 / fan_in) ** 0.5 if parameter.dim() > 1 else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
