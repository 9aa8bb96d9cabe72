"""TensorFlow operations as torch calls on NHWC tensors: one small function an operation, and the table of them.

Each function `lower(node, args)` looks at one node and its arguments once, when the model is built, and gives
`(run, operands)`: `run(*values of operands)` computes the node, now and on every later image.  Shapes and other static
arguments become Python numbers then, so that `run` never reads the values of a tensor.  An operand is one of `args`,
or a `Held` tensor (a kernel in torch's layout) that the model keeps as a parameter.
"""
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Sequence, Tuple, Union

import torch
import torch.nn.functional as F

from intra_dp_ros.apps.tfjs_file import Node, TfjsError


@dataclass(frozen=True)
class Arg:
    """An argument of a node."""

    name: str  # of the value
    value: torch.Tensor  # static: the value itself; otherwise an example of the right shape and dtype
    is_static: bool  # does not depend on the image


@dataclass(frozen=True)
class Held:
    """A tensor made from static arguments, kept by the model."""

    suffix: str  # "weight" or "bias"
    value: torch.Tensor


Lowered = Tuple[Callable, Tuple[Union[Arg, Held], ...]]

_DTYPES = {"DT_FLOAT": torch.float32, "DT_INT32": torch.int64, "DT_INT64": torch.int64, "DT_BOOL": torch.bool}


def lower(node: Node, args: Sequence[Arg]) -> Lowered:
    """The torch call of `node`.

    Raises:
        TfjsError: an operation or a variant of it that is not supported; names the node.
    """
    found = LOWER.get(node.op)
    if found is None:
        raise TfjsError("node {!r}: operation {} is not supported (supported: {})".format(
            node.name, node.op, ", ".join(sorted(LOWER))))
    return found(node, list(args))


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Tuple[int, int]:
    """TensorFlow's SAME padding of one axis: (before, after); an odd total puts the larger half after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


# --- static arguments ---------------------------------------------------------------------------------------------

def _ints(node: Node, arg: Arg) -> List[int]:
    if not arg.is_static:
        raise TfjsError("node {!r} ({}): {!r} depends on the image; only fixed shapes are supported".format(
            node.name, node.op, arg.name))
    return [int(v) for v in arg.value.reshape(-1)]


def _int(node: Node, arg: Arg) -> int:
    return _ints(node, arg)[0]


def _pair(node: Node, key: str) -> Tuple[int, int]:
    values = node.attrs.get(key) or [1, 1, 1, 1]
    if values[0] != 1 or values[3] != 1 or node.attrs.get("data_format", "NHWC") != "NHWC":
        raise TfjsError("node {!r} ({}): only NHWC with {} over height and width is supported, got {}".format(
            node.name, node.op, key, values))
    return values[1], values[2]


def _padding(node: Node, shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
             dilation: Sequence[int]) -> Tuple[Tuple[int, int], Tuple[int, int]]:
    kind = node.attrs.get("padding")
    if kind == "VALID":
        return (0, 0), (0, 0)
    if kind != "SAME":
        raise TfjsError("node {!r} ({}): padding {!r} is not supported".format(node.name, node.op, kind))
    rows, columns = [same_padding(shape[1 + i], kernel[i], stride[i], dilation[i]) for i in (0, 1)]
    return rows, columns


# --- convolution and pooling --------------------------------------------------------------------------------------

def _activate(out: torch.Tensor, activation: str) -> torch.Tensor:
    """In place: `out` is fresh, and at these sizes a second tensor costs more than the arithmetic."""
    if activation == "Relu6":
        return F.hardtanh_(out, 0.0, 6.0)
    return F.relu_(out) if activation == "Relu" else out


def _run_conv(x, weight, bias=None, *, pad, stride, padding, dilation, groups, activation):
    if pad:
        x = F.pad(x, pad)
    # A permuted NHWC tensor is torch's channels_last: no copy, and the fast kernels.
    out = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, padding, dilation, groups)
    return _activate(out, activation).permute(0, 2, 3, 1)


def _run_pointwise(x, weight, bias=None, *, activation):
    return _activate(F.linear(x, weight, bias), activation)


def _conv(node: Node, args: List[Arg]) -> Lowered:
    x, kernel = args[0], args[1].value  # kernel: [h, w, in, out], depthwise [h, w, in, multiplier]
    if not all(arg.is_static for arg in args[1:]):
        raise TfjsError("node {!r} ({}): kernels that depend on the image are not supported".format(node.name, node.op))
    fused = list(node.attrs.get("fused_ops") or [])
    bias = args[2].value if fused[:1] == ["BiasAdd"] else None
    rest = fused[1:] if bias is not None else fused
    activation = rest[0] if rest else ""
    if len(rest) > 1 or activation not in ("", "Relu", "Relu6"):
        raise TfjsError("node {!r} ({}): fused operations {} are not supported".format(node.name, node.op, fused))
    stride, dilation, size = _pair(node, "strides"), _pair(node, "dilations"), tuple(kernel.shape[:2])
    groups = x.value.shape[3] if "Depthwise" in node.op else x.value.shape[3] // kernel.shape[2]
    held_bias = () if bias is None else (Held("bias", bias),)
    if size == (1, 1) and stride == (1, 1) and groups == 1:
        # Not conv2d: its 1x1 path of torch 1.13 on one CPU thread copies and is slower.
        weight = kernel[0, 0].t().contiguous()
        return partial(_run_pointwise, activation=activation), (x, Held("weight", weight)) + held_bias
    if "Depthwise" in node.op:
        weight = kernel.permute(2, 3, 0, 1).reshape(-1, 1, *size)
    else:
        weight = kernel.permute(3, 2, 0, 1)
    rows, columns = _padding(node, x.value.shape, size, stride, dilation)
    is_symmetric = rows[0] == rows[1] and columns[0] == columns[1]
    if "Depthwise" in node.op and not is_symmetric and dilation == (1, 1):
        # Zero taps in front of the kernel make the padding even: far cheaper than a padded copy of a wide tensor.
        weight = F.pad(weight, (columns[1] - columns[0], 0, rows[1] - rows[0], 0))
        rows, columns, is_symmetric = (rows[1], rows[1]), (columns[1], columns[1]), True
    run = partial(_run_conv, stride=stride, dilation=dilation, groups=groups, activation=activation,
                  pad=() if is_symmetric else (0, 0) + columns + rows,
                  padding=(rows[0], columns[0]) if is_symmetric else (0, 0))
    return run, (x, Held("weight", weight.contiguous(memory_format=torch.channels_last))) + held_bias


def _run_max_pool(x, *, pad, kernel, stride, padding):
    if pad:
        x = F.pad(x, pad, value=float("-inf"))
    return F.max_pool2d(x.permute(0, 3, 1, 2), kernel, stride, padding).permute(0, 2, 3, 1)


def _max_pool(node: Node, args: List[Arg]) -> Lowered:
    kernel, stride = _pair(node, "ksize"), _pair(node, "strides")
    rows, columns = _padding(node, args[0].value.shape, kernel, stride, (1, 1))
    is_symmetric = rows[0] == rows[1] and columns[0] == columns[1]
    return partial(_run_max_pool, kernel=kernel, stride=stride, pad=() if is_symmetric else (0, 0) + columns + rows,
                   padding=(rows[0], columns[0]) if is_symmetric else (0, 0)), (args[0],)


def _run_resize(x, *, size, align_corners):
    out = F.interpolate(x.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=align_corners)
    return out.permute(0, 2, 3, 1)


def _run_resize_legacy(x, *, factor):
    """Bilinear resize of old TensorFlow: output i reads input i / factor, without the half-pixel shift.

    Resizing with aligned corners maps output i of (n - 1) * factor + 1 to input i / factor exactly; the factor - 1
    outputs after those read the last input row or column.
    """
    height, width = x.shape[1], x.shape[2]
    out = F.interpolate(x.permute(0, 3, 1, 2), ((height - 1) * factor[0] + 1, (width - 1) * factor[1] + 1),
                        mode="bilinear", align_corners=True)
    out = F.pad(out, (0, factor[1] - 1, 0, factor[0] - 1), mode="replicate")
    return out.permute(0, 2, 3, 1)


def _resize(node: Node, args: List[Arg]) -> Lowered:
    size = tuple(_ints(node, args[1]))
    before = tuple(args[0].value.shape[1:3])
    align, half = bool(node.attrs.get("align_corners")), bool(node.attrs.get("half_pixel_centers"))
    if align or half or size == before:
        return partial(_run_resize, size=size, align_corners=align), (args[0],)
    if size[0] % before[0] or size[1] % before[1]:
        raise TfjsError("node {!r}: legacy bilinear resize from {} to {} is supported for whole factors only".format(
            node.name, list(before), list(size)))
    return partial(_run_resize_legacy, factor=(size[0] // before[0], size[1] // before[1])), (args[0],)


# --- elementwise --------------------------------------------------------------------------------------------------

def _clamp_min(x, other):
    return torch.maximum(x, other) if isinstance(other, torch.Tensor) else torch.clamp_min(x, other)


def _clamp_max(x, other):
    return torch.minimum(x, other) if isinstance(other, torch.Tensor) else torch.clamp_max(x, other)


_BINARY: Dict[str, Callable] = {
    "Add": torch.add, "AddV2": torch.add, "Mul": torch.mul, "Sub": torch.sub, "RealDiv": torch.true_divide,
    "FloorDiv": partial(torch.div, rounding_mode="floor"), "FloorMod": torch.remainder, "Maximum": _clamp_min,
    "Minimum": _clamp_max, "Less": torch.lt, "LessEqual": torch.le, "Greater": torch.gt, "GreaterEqual": torch.ge,
    "Equal": torch.eq, "LogicalAnd": torch.logical_and,
    "SquaredDifference": lambda a, b: torch.square(a - b),
}
_COMMUTES = frozenset({"Add", "AddV2", "Mul", "Maximum", "Minimum", "Equal"})
_REVERSED: Dict[str, Callable] = {  # number on the left
    "Sub": torch.rsub, "RealDiv": lambda x, number: torch.mul(torch.reciprocal(x), number)}


def _binary(node: Node, args: List[Arg]) -> Lowered:
    run = _BINARY[node.op]
    a, b = args
    if a.is_static and not b.is_static and _is_number(a, b):
        if node.op in _COMMUTES:
            a, b = b, a
        elif node.op in _REVERSED:
            number, run = a.value.item(), _REVERSED[node.op]
            return lambda x: run(x, number), (b,)
    if b.is_static and not a.is_static and _is_number(b, a) and node.op not in ("LogicalAnd", "SquaredDifference"):
        number = b.value.item()
        return lambda x: run(x, number), (a,)
    return run, (a, b)


def _is_number(arg: Arg, other: Arg) -> bool:
    """One value that may stand as a Python number without a change of the result's shape or type."""
    return arg.value.numel() == 1 and arg.value.dim() <= other.value.dim() and arg.value.dtype == other.value.dtype


_UNARY: Dict[str, Callable] = {
    "Sigmoid": torch.sigmoid, "Sqrt": torch.sqrt, "Exp": torch.exp, "Abs": torch.abs, "Relu": torch.relu,
    "Relu6": lambda x: F.hardtanh(x, 0.0, 6.0), "Reciprocal": torch.reciprocal, "Identity": lambda x: x,
}


def _unary(node: Node, args: List[Arg]) -> Lowered:
    return _UNARY[node.op], (args[0],)


def _cast(node: Node, args: List[Arg]) -> Lowered:
    dtype = _DTYPES[node.attrs["DstT"]]
    return lambda x: x.to(dtype), (args[0],)


def _select(node: Node, args: List[Arg]) -> Lowered:
    # TensorFlow's Select lines the condition up with the first axes.
    extra = (1,) * (args[1].value.dim() - args[0].value.dim())
    shape = tuple(args[0].value.shape) + extra
    return lambda c, a, b: torch.where(c.reshape(shape) if extra else c, a, b), tuple(args)


def _add_n(node: Node, args: List[Arg]) -> Lowered:
    def run(first, *others):
        for other in others:
            first = first + other
        return first
    return run, tuple(args)


# --- shape --------------------------------------------------------------------------------------------------------

def _reshape(node: Node, args: List[Arg]) -> Lowered:
    shape = _ints(node, args[1])
    return lambda x: x.reshape(shape), (args[0],)


def _squeeze(node: Node, args: List[Arg]) -> Lowered:
    shape = list(args[0].value.shape)
    axes = node.attrs.get("squeeze_dims") or node.attrs.get("axis") or [i for i, n in enumerate(shape) if n == 1]
    dropped = {axis % len(shape) for axis in axes}
    kept = [n for i, n in enumerate(shape) if i not in dropped]
    return lambda x: x.reshape(kept), (args[0],)


def _expand_dims(node: Node, args: List[Arg]) -> Lowered:
    axis = _int(node, args[1])
    return lambda x: x.unsqueeze(axis), (args[0],)


def _pack(node: Node, args: List[Arg]) -> Lowered:
    axis = node.attrs.get("axis", 0)
    return lambda *xs: torch.stack(xs, axis), tuple(args)


def _unpack(node: Node, args: List[Arg]) -> Lowered:
    axis = node.attrs.get("axis", 0)
    return lambda x: torch.unbind(x, axis), (args[0],)


def _concat(node: Node, args: List[Arg]) -> Lowered:
    axis = _int(node, args[-1])
    return lambda *xs: torch.cat(xs, axis), tuple(args[:-1])


def _split(node: Node, args: List[Arg]) -> Lowered:
    axis, parts = _int(node, args[0]), node.attrs["num_split"]
    size = args[1].value.shape[axis] // parts
    return lambda x: torch.split(x, size, axis), (args[1],)


def _tile(node: Node, args: List[Arg]) -> Lowered:
    times = _ints(node, args[1])
    return lambda x: x.repeat(times), (args[0],)


def _strided_slice(node: Node, args: List[Arg]) -> Lowered:
    begin, end, step = [_ints(node, arg) for arg in args[1:]]
    masks = {key: node.attrs.get(key + "_mask") or 0 for key in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")}
    index: List[Any] = []
    for i in range(len(begin)):
        bit = 1 << i
        if masks["ellipsis"] & bit:
            index.append(Ellipsis)
        elif masks["new_axis"] & bit:
            index.append(None)
        elif masks["shrink_axis"] & bit:
            index.append(begin[i])
        elif step[i] < 1:
            raise TfjsError("node {!r}: slices with negative steps are not supported".format(node.name))
        else:
            index.append(slice(None if masks["begin"] & bit else begin[i], None if masks["end"] & bit else end[i],
                               step[i]))
    key = tuple(index)
    return lambda x: x[key], (args[0],)


# --- shapes as values: always static, evaluated when the model is built -------------------------------------------

def _shape(node: Node, args: List[Arg]) -> Lowered:
    return lambda x: torch.tensor(x.shape), (args[0],)


def _size(node: Node, args: List[Arg]) -> Lowered:
    return lambda x: torch.tensor(x.numel()), (args[0],)


def _zeros_like(node: Node, args: List[Arg]) -> Lowered:
    return torch.zeros_like, (args[0],)


def _fill(node: Node, args: List[Arg]) -> Lowered:
    shape = _ints(node, args[0])
    return lambda value: value.expand(shape).clone(), (args[1],)


def _range(node: Node, args: List[Arg]) -> Lowered:
    if not all(arg.is_static for arg in args):
        raise TfjsError("node {!r}: a Range that depends on the image is not supported".format(node.name))
    return lambda start, stop, step: torch.arange(start.item(), stop.item(), step.item(), dtype=start.dtype), \
        tuple(args)


# --- reduce and index ---------------------------------------------------------------------------------------------

def _reduce(node: Node, args: List[Arg]) -> Lowered:
    run = {"Mean": torch.mean, "Sum": torch.sum, "Max": torch.amax}[node.op]
    axes, keep = _ints(node, args[1]), bool(node.attrs.get("keep_dims"))
    return lambda x: run(x, axes, keepdim=keep), (args[0],)


def _arg_max(node: Node, args: List[Arg]) -> Lowered:
    axis = _int(node, args[1])
    return lambda x: x.argmax(axis), (args[0],)


def _top_k(node: Node, args: List[Arg]) -> Lowered:
    count = _int(node, args[1])
    return lambda x: torch.topk(x, count), (args[0],)


def _gather(node: Node, args: List[Arg]) -> Lowered:
    if node.attrs.get("batch_dims"):
        raise TfjsError("node {!r}: gather with batch_dims is not supported".format(node.name))
    axis, shape = _int(node, args[2]), tuple(args[1].value.shape)
    before, after = tuple(args[0].value.shape[:axis]), tuple(args[0].value.shape[axis + 1:])
    return lambda x, i: x.index_select(axis, i.reshape(-1)).reshape(before + shape + after), (args[0], args[1])


def _gather_nd(node: Node, args: List[Arg]) -> Lowered:
    return lambda x, index: x[torch.unbind(index, -1)], tuple(args)


LOWER: Dict[str, Callable[[Node, List[Arg]], Lowered]] = {
    "_FusedConv2D": _conv, "Conv2D": _conv, "FusedDepthwiseConv2dNative": _conv, "DepthwiseConv2dNative": _conv,
    "MaxPool": _max_pool, "ResizeBilinear": _resize, "Cast": _cast, "Select": _select, "AddN": _add_n,
    "Reshape": _reshape, "Squeeze": _squeeze, "ExpandDims": _expand_dims, "Pack": _pack, "Unpack": _unpack,
    "ConcatV2": _concat, "Split": _split, "Tile": _tile, "StridedSlice": _strided_slice, "Shape": _shape,
    "Size": _size, "ZerosLike": _zeros_like, "Fill": _fill, "Range": _range, "Mean": _reduce, "Sum": _reduce,
    "Max": _reduce, "ArgMax": _arg_max, "TopKV2": _top_k, "GatherV2": _gather, "GatherNd": _gather_nd,
}
LOWER.update({op: _binary for op in _BINARY})
LOWER.update({op: _unary for op in _UNARY})

#: Their results do not depend on the image, only on its (fixed) shape.
SHAPE_OPS = frozenset({"Shape", "Size", "ZerosLike"})
