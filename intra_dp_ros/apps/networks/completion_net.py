"""Semantic scene completion: what is where in a volume of which a part is seen, after SCONet's description (AGRNav).

A two-dimensional U-Net looks at the volume from above, with its 32 vertical cells as channels; a three-dimensional head
with convolutions of dilations 1, 2 and 3 side by side gives every cell one of 20 classes.
"""
import torch
import torch.nn.functional as F

HEIGHT, CLASSES, WIDTH = 32, 20, 8  # vertical cells, classes, channels of the head
_LEVELS = (32, 48, 64, 80)  # channels of the U-Net at full, half, quarter and eighth resolution
_COARSE = (16, 8, 4)  # channels that the half, quarter and eighth resolution hand upwards


class CrissCross(torch.nn.Module):
    """Criss-cross attention: every cell looks at its row and its column (Huang et al., CCNet, 2019).

    It reads whole rows and columns, so no side can compute a part of its rows alone: a global step.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = torch.nn.Conv2d(channels, channels // 8, 1)
        self.key = torch.nn.Conv2d(channels, channels // 8, 1)
        self.value = torch.nn.Conv2d(channels, channels, 1)
        self.gain = torch.nn.Parameter(torch.full((1,), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        height = x.shape[2]
        along = torch.einsum("nchw,ncgw->nhwg", query, key)
        across = torch.einsum("nchw,nchv->nhwv", query, key)
        itself = torch.eye(height, dtype=torch.bool, device=x.device)[None, :, None]
        along = along.masked_fill(itself, float("-inf"))  # the cell itself is in its row already
        weights = torch.softmax(torch.cat((along, across), 3), 3)
        seen = torch.einsum("nhwg,ncgw->nchw", weights[..., :height], value)
        return x + self.gain * (seen + torch.einsum("nhwv,nchv->nchw", weights[..., height:], value))


class Context(torch.nn.Module):
    """A depthwise-separable residual block, the channels widened twelvefold between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 12 * channels
        self.widen = torch.nn.Conv2d(channels, wide, 1)
        self.look = torch.nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.narrow = torch.nn.Conv2d(wide, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(F.relu(self.look(F.relu(self.widen(x)))))


class Head(torch.nn.Module):
    """`[N, 1, 32, H, W]` -> scores of the classes `[N, 20, 32, H, W]`."""

    def __init__(self) -> None:
        super().__init__()

        def conv(outputs: int, dilation: int, inputs: int = WIDTH, bias: bool = False) -> torch.nn.Conv3d:
            return torch.nn.Conv3d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)
        self.lift = conv(WIDTH, 1, 1, True)
        self.first = torch.nn.ModuleList([conv(WIDTH, d) for d in (1, 2, 3)])
        self.first_norm = torch.nn.ModuleList([torch.nn.BatchNorm3d(WIDTH) for _ in range(3)])
        self.second = torch.nn.ModuleList([conv(WIDTH, d) for d in (1, 2, 3)])
        self.second_norm = torch.nn.ModuleList([torch.nn.BatchNorm3d(WIDTH) for _ in range(3)])
        self.classes = conv(CLASSES, 1, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.lift(x))
        paths = zip(self.first, self.first_norm, self.second, self.second_norm)
        y = [norm2(second(F.relu(norm1(first(x))))) for first, norm1, second, norm2 in paths]
        y[0] += y[1]
        y[0] += y[2]
        return self.classes(F.relu(y[0] + x))


class CompletionNet(torch.nn.Module):
    """Occupancy uint8 `[1, 1, X, 32, Y]` (0 or 1), X and Y multiples of 8 -> classes uint8 `[1, X, 32, Y]`, 0..19.

    Args:
        attention: criss-cross attention at an eighth of the resolution.
        context: blocks of depthwise-separable convolutions there; 3 make the published 0.84 million parameters, 0 the
            operators whose times were published (0.35 million).

    Raises:
        ValueError: an input that is not such a volume.
    """

    def __init__(self, attention: bool = False, context: int = 3) -> None:
        super().__init__()
        full, half, quarter, eighth = _LEVELS
        to_half, to_quarter, to_eighth = _COARSE
        conv, up = torch.nn.Conv2d, torch.nn.ConvTranspose2d
        levels = zip((HEIGHT, *_LEVELS), _LEVELS)
        self.down = torch.nn.ModuleList([
            torch.nn.ModuleList([conv(a, b, 3, 1, 1), conv(b, b, 3, 1, 1)]) for a, b in levels])
        self.context = torch.nn.Sequential(*(Context(eighth) for _ in range(context)))
        self.attention = CrissCross(eighth) if attention else None
        self.narrow = torch.nn.ModuleList([conv(eighth, to_eighth, 3, 1, 1), conv(quarter, to_quarter, 3, 1, 1),
                                           conv(half, to_half, 3, 1, 1)])
        self.eighth_up = torch.nn.ModuleList([up(to_eighth, to_eighth, 6, 2, 2), up(to_eighth, to_eighth, 4, 4),
                                              up(to_eighth, to_eighth, 8, 8)])
        self.quarter_up = torch.nn.ModuleList([up(to_quarter, to_quarter, 6, 2, 2), up(to_quarter, to_quarter, 4, 4)])
        self.half_up = up(to_half, to_half, 6, 2, 2)
        self.join = torch.nn.ModuleList([conv(quarter + to_eighth, quarter, 3, 1, 1),
                                         conv(half + to_quarter + to_eighth, half, 3, 1, 1),
                                         conv(full + to_half + to_quarter + to_eighth, full, 3, 1, 1)])
        self.head = Head()

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        if volume.dim() != 5 or volume.shape[1] != 1 or volume.shape[3] != HEIGHT or volume.shape[2] % 8 \
                or volume.shape[4] % 8:
            raise ValueError("the completion network takes [N, 1, X, {}, Y] with X and Y multiples of 8, got {}".format(
                HEIGHT, list(volume.shape)))
        x = volume.to(torch.float32).squeeze(1).permute(0, 2, 1, 3)
        levels = []
        for index, (first, second) in enumerate(self.down):
            x = F.relu(second(F.relu(first(F.max_pool2d(x, 2) if index else x))))
            levels.append(x)
        x = self.context(x)
        if self.attention is not None:
            x = self.attention(x)
        eighth = self.narrow[0](x)
        x = F.relu(self.join[0](torch.cat((self.eighth_up[0](eighth), levels[2]), 1)))
        quarter = self.narrow[1](x)
        x = F.relu(self.join[1](torch.cat((self.quarter_up[0](quarter), levels[1], self.eighth_up[1](eighth)), 1)))
        half = self.narrow[2](x)
        x = F.relu(self.join[2](torch.cat(
            (self.half_up(half), levels[0], self.quarter_up[1](quarter), self.eighth_up[2](eighth)), 1)))
        scores = self.head(x[:, None])
        return scores.permute(0, 1, 3, 2, 4).argmax(1).to(torch.uint8)


def make_sparse(net: CompletionNet, share: float = 0.03) -> None:
    """Make a network with random weights call little of a volume occupied, as trained ones do.

    Random weights give nearly every cell the same class, which would be a hundred times more points to send and to draw
    than real results are.  So class 0, free space, gets as much of a bias as leaves `share` of the cells of a made-up
    scene (a floor and two walls) to other classes.
    """
    scene = torch.zeros((1, 1, 64, HEIGHT, 64), dtype=torch.uint8)
    scene[:, :, 8:56:3, 1, 8:56] = 1
    scene[:, :, 20, 1:20, 8:40] = 1
    scene[:, :, 20:50, 1:16, 40] = 1
    seen = []
    hook = net.head.classes.register_forward_hook(lambda module, inputs, scores: seen.append(scores))
    try:
        with torch.inference_mode():
            net(scene)
    finally:
        hook.remove()
    lead = (seen[0][:, 1:].amax(1) - seen[0][:, 0]).flatten().double()
    with torch.no_grad():
        net.head.classes.bias[0] += float(lead.sort().values[int((1.0 - share) * (len(lead) - 1))])
