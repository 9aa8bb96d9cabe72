"""The allow-list of operators, and the calls of them.

A server runs graphs that it got over the network.  What is not named in `ALLOWED` is never run: operators are looked up
by this table only, there is no code in a graph, and nothing here evaluates or unpickles anything.  Every operator named
here is free of side effects and gives outputs whose shapes follow from the shapes of its inputs.

Names are resolved when they are used, so that one table serves every torch from 1.13 on.
"""
import copy
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import torch

from intra_dp_ros.graph import detection_ops  # noqa: F401  (defines torch.ops.intra_dp_ros)
from intra_dp_ros.graph.graph import ITEMSIZE, Const, DType, GraphError, OpNode, Ref, iter_args

#: The one table between the names in a graph and torch's dtypes.
TORCH_DTYPE: Dict[str, torch.dtype] = {
    "bool": torch.bool, "uint8": torch.uint8, "int8": torch.int8, "int16": torch.int16, "int32": torch.int32,
    "int64": torch.int64, "float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32,
    "float64": torch.float64,
}
DTYPE_NAME: Dict[torch.dtype, str] = {dtype: name for name, dtype in TORCH_DTYPE.items()}

if {name: torch.empty(0, dtype=dtype).element_size() for name, dtype in TORCH_DTYPE.items()} != ITEMSIZE:
    raise ImportError("registry.TORCH_DTYPE and graph.ITEMSIZE disagree: keep both tables alike")

#: Arguments that say where or how memory is laid out, never what is computed: neither recorded nor accepted.
PLACEMENT_ARGS = frozenset({
    "device", "layout", "pin_memory", "memory_format", "non_blocking", "generator", "out", "cudnn_enabled",
})


@dataclass(frozen=True)
class OpInfo:
    """What is known of an allowed operator."""

    family: str  # key of FAMILIES
    namespace: str  # torch.ops.<namespace>


#: Operators that ATen can also run in place (``relu_``), with the same arguments; in this use only, never recorded.
IN_PLACE = frozenset((
    "relu relu6 hardtanh silu sigmoid hardswish hardsigmoid leaky_relu elu selu celu mish tanh gelu clamp clamp_min "
    "clamp_max exp sqrt rsqrt abs neg square add.Tensor add.Scalar sub.Tensor sub.Scalar mul.Tensor mul.Scalar "
    "div.Tensor div.Scalar"
).split())

#: Allowed operators by family; ATen unless written "library::operator".
FAMILIES: Dict[str, Tuple[str, ...]] = {
    "convolution": (
        "conv1d", "conv2d", "conv3d", "conv1d.padding", "conv2d.padding", "conv3d.padding", "convolution",
        "conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input",
    ),
    "norm": (
        "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm",
        "_native_batch_norm_legit_no_training", "native_layer_norm", "native_group_norm",
    ),
    "matmul": ("linear", "addmm", "matmul", "mm", "bmm", "baddbmm", "einsum", "scaled_dot_product_attention", "outer",
               "bilinear", "dot", "mv", "addcmul", "addcdiv", "_native_multi_head_attention",
               "_transformer_encoder_layer_fwd"),
    "activation": (
        "relu", "relu6", "hardtanh", "silu", "sigmoid", "hardswish", "hardsigmoid", "gelu", "leaky_relu", "elu", "selu",
        "celu", "softplus", "mish", "tanh", "prelu", "log_sigmoid", "hardshrink", "softshrink", "threshold", "glu",
        "softmax.int", "log_softmax.int", "_softmax", "_log_softmax",
    ),
    "elementwise": (
        "clamp", "clamp.Tensor", "clamp_min", "clamp_min.Tensor", "clamp_max", "clamp_max.Tensor",
        "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "square", "abs", "neg", "sign",
        "reciprocal", "floor", "ceil", "round", "round.decimals", "trunc", "frac", "erf", "sin", "cos", "tan", "asin",
        "acos", "atan", "atan2", "sinh", "cosh",
        "add.Tensor", "add.Scalar", "sub.Tensor", "sub.Scalar", "rsub.Tensor", "rsub.Scalar", "mul.Tensor",
        "mul.Scalar",
        "div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode", "pow.Tensor_Tensor", "pow.Tensor_Scalar",
        "pow.Scalar", "maximum", "minimum", "fmod.Tensor", "fmod.Scalar", "remainder.Tensor", "remainder.Scalar",
        "floor_divide", "floor_divide.Scalar", "lerp.Scalar", "lerp.Tensor",
        "eq.Tensor", "eq.Scalar", "ne.Tensor", "ne.Scalar", "lt.Tensor", "lt.Scalar", "le.Tensor", "le.Scalar",
        "gt.Tensor", "gt.Scalar", "ge.Tensor", "ge.Scalar", "isnan", "isinf", "isfinite",
        "logical_and", "logical_or", "logical_not", "logical_xor",
        "bitwise_and.Tensor", "bitwise_and.Scalar", "bitwise_or.Tensor", "bitwise_or.Scalar", "bitwise_xor.Tensor",
        "bitwise_xor.Scalar", "bitwise_not", "bitwise_left_shift.Tensor", "bitwise_left_shift.Tensor_Scalar",
        "bitwise_right_shift.Tensor", "bitwise_right_shift.Tensor_Scalar",
        "where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar", "masked_fill.Scalar",
        "masked_fill.Tensor", "nan_to_num", "to.dtype", "clone",
    ),
    "pool": (
        "max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d",
        "avg_pool2d", "avg_pool3d",
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
        "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    ),
    "resize": (
        "upsample_nearest1d", "upsample_nearest1d.vec", "upsample_nearest2d", "upsample_nearest2d.vec",
        "upsample_nearest3d", "upsample_nearest3d.vec", "_upsample_nearest_exact1d", "_upsample_nearest_exact1d.vec",
        "_upsample_nearest_exact2d", "_upsample_nearest_exact2d.vec", "_upsample_nearest_exact3d",
        "_upsample_nearest_exact3d.vec", "upsample_linear1d", "upsample_linear1d.vec", "upsample_bilinear2d",
        "upsample_bilinear2d.vec", "upsample_trilinear3d", "upsample_trilinear3d.vec", "upsample_bicubic2d",
        "upsample_bicubic2d.vec", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "grid_sampler",
        "grid_sampler_2d", "affine_grid_generator",
    ),
    "shape": (
        "cat", "stack", "split.Tensor", "split.sizes", "split_with_sizes", "chunk", "unbind.int", "slice.Tensor",
        "select.int", "squeeze", "squeeze.dim", "squeeze.dims", "unsqueeze", "reshape", "flatten.using_ints",
        "unflatten.int", "permute", "transpose.int", "t", "expand", "repeat", "tile", "rot90", "diff",
        "constant_pad_nd", "pad",
        "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
        "replication_pad3d", "roll", "flip", "slice_scatter", "select_scatter", "unfold", "im2col", "col2im", "tril",
        "triu",
    ),
    "reduce": (
        "mean", "mean.dim", "sum", "sum.dim_IntList", "prod", "prod.dim_int", "amax", "amin", "max", "max.dim",
        "min", "min.dim", "argmax", "argmin", "any", "any.dim", "any.dims", "all", "all.dim",
        "all.dims", "var.dim", "var.correction",
        "std.dim", "std.correction", "var", "std", "norm.ScalarOpt_dim", "norm.Scalar", "linalg_vector_norm",
        "logsumexp", "cumsum", "topk", "sort", "sort.stable", "argsort",
    ),
    "index": (
        "gather", "index.Tensor", "index_select", "scatter.src", "scatter.value", "scatter_add", "index_put",
        "index_add", "index_copy", "index_fill.int_Scalar", "masked_scatter", "embedding", "one_hot", "take_along_dim",
        "take", "cdist", "torchvision::roi_align", "intra_dp_ros::nms",
    ),
    "detection": ("intra_dp_ros::topk_above", "intra_dp_ros::batched_nms", "intra_dp_ros::multiscale_roi_align",
                  "intra_dp_ros::heatmap_keypoints", "intra_dp_ros::linear_rows", "intra_dp_ros::conv2d_rows",
                  "intra_dp_ros::conv_transpose2d_rows"),
}

#: Operators of this package that call one of torchvision's.
_ON_TORCHVISION = frozenset({"intra_dp_ros::multiscale_roi_align"})

ALLOWED: Dict[str, OpInfo] = {
    op: OpInfo(family, op.split("::")[0] if "::" in op else "aten") for family, ops in FAMILIES.items() for op in ops
}

_resolved: Dict[str, Callable] = {}  # op -> OpOverload; entries are only ever added, with equal values


def resolve(op: str) -> Callable:
    """The callable `OpOverload` of an allowed operator.

    Raises:
        GraphError: not in the allow-list, or not in the torch installed here.
    """
    found = _resolved.get(op)
    if found is not None:
        return found
    info = ALLOWED.get(op)
    if info is None:
        raise GraphError("operator {!r} is not allowed: only operators of the registry are run".format(op))
    name, _, overload = op.split("::")[-1].partition(".")
    if info.namespace == "torchvision" or op in _ON_TORCHVISION:
        try:
            import torchvision  # noqa: F401  (registers its operators)
        except ImportError as error:
            raise GraphError("operator {!r} needs torchvision, which is not installed: {}".format(op, error)) from None
    try:
        found = getattr(getattr(getattr(torch.ops, info.namespace), name), overload or "default")
    except (AttributeError, RuntimeError):
        raise GraphError("operator {!r} does not exist in the installed torch {}: use the torch version that recorded "
                         "the graph".format(op, torch.__version__)) from None
    _resolved[op] = found
    return found


def normal(value: Any) -> Any:
    """A schema value as the graph holds it: lists as tuples."""
    return tuple(normal(v) for v in value) if isinstance(value, (list, tuple)) else value


def is_default(argument: Any, value: Any) -> bool:
    """Whether `value` is what the schema's `argument` takes when it is left out (1 and True differ)."""
    if not argument.has_default_value():
        return False
    default = normal(argument.default_value)
    return type(default) is type(value) and default == value


class Call:
    """One node, checked once against the operator's schema and bound to its weights.

    Args:
        node: a call of an allowed operator.
        weights: constant name -> tensor; those the node names are moved to `device`.
        device: where the call runs.

    Raises:
        GraphError: operator not allowed, unknown or missing arguments, a missing weight.
    """

    __slots__ = ("node", "_op", "_args", "_kwargs", "_tensors", "_lists", "_keyword_tensors", "_position", "_defaults",
                 "_names", "_is_single")

    def __init__(self, node: OpNode, weights: Mapping[str, torch.Tensor], device: Any = "cpu") -> None:
        self.node = node
        self._op = resolve(node.op)
        schema = self._op._schema
        self._check(schema.arguments)
        self._names = frozenset(a.name for a in schema.arguments)
        self._is_single = len(schema.returns) == 1 and str(schema.returns[0].type) == "Tensor"
        self._args: List[Any] = []
        self._kwargs: Dict[str, Any] = {}
        self._tensors: List[Tuple[int, int]] = []  # position, tensor
        self._lists: List[Tuple[int, Tuple[Any, ...]]] = []  # position, items: Ref or value
        self._keyword_tensors: List[Tuple[str, int]] = []  # name, tensor
        self._position: Dict[str, int] = {}
        self._defaults: List[Any] = []  # of the positional arguments that follow the last one given
        given = [i for i, a in enumerate(schema.arguments) if a.name in node.args and not a.kwarg_only]
        for index, argument in enumerate(schema.arguments):
            value = self._bind(node.args.get(argument.name, argument.default_value), weights, device)
            if argument.name == "cudnn_enabled":
                value = torch.backends.cudnn.enabled
            if argument.kwarg_only:
                if argument.name not in node.args:
                    continue
                if isinstance(value, Ref):
                    self._keyword_tensors.append((argument.name, value.tensor))
                elif any(isinstance(leaf, Ref) for leaf in iter_args(value)):
                    raise self._error("a list of tensors in the keyword argument {!r} is not supported", argument.name)
                self._kwargs[argument.name] = value
                continue
            self._position[argument.name] = index
            if index > max(given, default=-1) and argument.has_default_value():
                self._defaults.append(value)
                continue
            if isinstance(value, Ref):
                self._tensors.append((index, value.tensor))
            elif isinstance(value, tuple) and any(isinstance(v, Ref) for v in value):
                self._lists.append((index, value))
            self._args.append(value)

    def __call__(self, values: Mapping[int, torch.Tensor]) -> Tuple[torch.Tensor, ...]:
        """Run on `values` (tensor of the graph -> its value); the output tensors in schema order."""
        args, kwargs = self._fill(values)
        out = self._op(*args, **kwargs)
        return (out,) if self._is_single else tuple(out)

    def with_args(self, values: Mapping[int, torch.Tensor], /, **override: Any) -> Tuple[torch.Tensor, ...]:
        """As `__call__`, with the arguments named in `override` (by schema name) replaced by tensors or plain values.

        `values` need not hold tensors that only overridden arguments read.

        Raises:
            GraphError: the operator has no such argument.
        """
        args, kwargs = self._fill(values, override)
        for name, value in override.items():
            if name not in self._names:
                raise self._error("no argument {!r}", name)
            position = self._position.get(name)
            if position is None:
                kwargs[name] = value
                continue
            if position >= len(args):
                args.extend(self._defaults[len(args) - len(self._args):])
            args[position] = value
        out = self._op(*args, **kwargs)
        return (out,) if self._is_single else tuple(out)

    def overwriting(self, tensor: int) -> Optional["Call"]:
        """The same call, writing its result over `tensor` of the same shape and type; None where ATen has none."""
        places = [position for position, t in self._tensors if t == tensor]
        is_second = places == [1] and self.node.op in ("add.Tensor", "mul.Tensor") and "alpha" not in self.node.args
        if self.node.op not in IN_PLACE or not (places == [0] or (is_second and isinstance(self._args[0], Ref))):
            return None
        call = copy.copy(self)
        if is_second:  # the operands change places: the first one is written to
            call._tensors = [(1 - position, t) for position, t in self._tensors]
        name, _, overload = self.node.op.partition(".")
        call._op = getattr(getattr(torch.ops.aten, name + "_"), overload or "default")
        return call

    def _fill(self, values: Mapping[int, torch.Tensor], skip: Any = ()) -> Tuple[List[Any], Dict[str, Any]]:
        args, kwargs = self._args[:], self._kwargs
        if skip:
            skipped = {self._position.get(name, name) for name in skip}
            tensors = [(i, t) for i, t in self._tensors if i not in skipped]
            lists = [(i, items) for i, items in self._lists if i not in skipped]
            keyword_tensors = [(k, t) for k, t in self._keyword_tensors if k not in skipped]
            kwargs = dict(kwargs)
        else:
            tensors, lists, keyword_tensors = self._tensors, self._lists, self._keyword_tensors
        for index, tensor in tensors:
            args[index] = values[tensor]
        for index, items in lists:
            args[index] = [values[v.tensor] if isinstance(v, Ref) else v for v in items]
        if keyword_tensors:
            kwargs = {**kwargs, **{name: values[tensor] for name, tensor in keyword_tensors}}
        return args, kwargs

    def _check(self, arguments: Any) -> None:
        known = {a.name: a for a in arguments}
        for name, value in self.node.args.items():
            if name not in known:
                raise self._error("no argument {!r} in the installed torch", name)
            if name in PLACEMENT_ARGS:
                raise self._error("the argument {!r} may not be set", name)
            holds_tensor = any(isinstance(leaf, (Ref, Const)) for leaf in iter_args(value))
            if holds_tensor and "Tensor" not in str(known[name].type):
                raise self._error("the argument {!r} cannot be a tensor", name)
            if isinstance(value, Mapping) or any(isinstance(v, (tuple, list)) for v in iter_args(value)):
                raise self._error("the argument {!r} is nested too deeply", name)
            if isinstance(value, tuple) and any(isinstance(v, tuple) for v in value):
                raise self._error("the argument {!r} is nested too deeply", name)
        for name, argument in known.items():
            if name not in self.node.args and not argument.has_default_value() and name not in PLACEMENT_ARGS:
                raise self._error("the argument {!r} is missing", name)

    def _bind(self, value: Any, weights: Mapping[str, torch.Tensor], device: Any) -> Any:
        if isinstance(value, Const):
            if value.name not in weights:
                raise self._error("the weight {!r} is missing", value.name)
            return weights[value.name].to(device)
        if isinstance(value, DType):
            return TORCH_DTYPE[value.name]
        if isinstance(value, (tuple, list)):
            bound = tuple(self._bind(v, weights, device) for v in value)
            return bound if any(isinstance(v, Ref) for v in bound) else list(bound)
        return value

    def _error(self, text: str, *values: Any) -> GraphError:
        where = " ({})".format(self.node.source) if self.node.source else ""
        return GraphError("operator {!r}{}: ".format(self.node.op, where) + text.format(*values))
