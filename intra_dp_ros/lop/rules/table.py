"""The one table: operator name (without overload) -> rule function.

What is not in it is global: exact, but never cut.  A function returns None when this particular call is global.
"""
from typing import Callable, Dict, Optional

from intra_dp_ros.lop.rules import contraction, convolution, padding, pooling, resize, rowwise, shape, shuffle
from intra_dp_ros.lop.rules.rule import Context, Rule

POINTWISE = (
    "relu relu6 hardtanh silu sigmoid hardswish hardsigmoid gelu leaky_relu elu selu celu softplus mish tanh "
    "log_sigmoid hardshrink softshrink threshold clamp clamp_min clamp_max exp exp2 expm1 log log1p log2 log10 sqrt "
    "rsqrt square abs neg sign reciprocal floor ceil round trunc frac erf sin cos tan asin acos atan atan2 sinh cosh "
    "add sub rsub mul div pow maximum minimum fmod remainder floor_divide lerp eq ne lt le gt ge isnan isinf isfinite "
    "logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_xor bitwise_not "
    "bitwise_left_shift bitwise_right_shift where masked_fill nan_to_num to clone addcmul addcdiv"
).split()

RESHAPES = ("reshape", "flatten", "unflatten", "squeeze", "unsqueeze")

INTERPOLATIONS = (
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
    "_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d"
).split()

RULES: Dict[str, Callable[[Context], Optional[Rule]]] = {
    **{name: rowwise.pointwise for name in POINTWISE},
    **{"conv{}d".format(n): convolution.convolution for n in (1, 2, 3)},
    **{"conv_transpose{}d".format(n): convolution.transposed_convolution for n in (1, 2, 3)},
    **{"{}_pool{}d".format(kind, n): pooling.pooling for kind in ("max", "avg") for n in (1, 2, 3)},
    **{"max_pool{}d_with_indices".format(n): pooling.pooling for n in (2, 3)},
    **{"adaptive_{}_pool{}d".format(kind, n): pooling.adaptive for kind in ("max", "avg") for n in (1, 2, 3)},
    "_adaptive_avg_pool2d": pooling.adaptive,
    **{name: resize.interpolation for name in INTERPOLATIONS},
    "grid_sampler": resize.sampling,
    "grid_sampler_2d": resize.sampling,
    "constant_pad_nd": padding.constant,
    "pad": padding.other_dims,
    **{"replication_pad{}d".format(n): padding.replicating for n in (1, 2, 3)},
    **{"reflection_pad{}d".format(n): padding.reflecting for n in (1, 2, 3)},
    "pixel_shuffle": shuffle.pixel_shuffle,
    "pixel_unshuffle": shuffle.pixel_unshuffle,
    "channel_shuffle": shuffle.channel_shuffle,
    "unfold": shuffle.unfold,
    "im2col": shuffle.im2col,
    "col2im": shuffle.col2im,
    **{name: rowwise.along_dim for name in ("softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "topk",
                                            "sort", "argsort", "glu")},
    "linear": contraction.linear,
    **{name: contraction.matmul for name in ("matmul", "mm", "bmm")},
    **{name: contraction.added_product for name in ("addmm", "baddbmm")},
    "scaled_dot_product_attention": contraction.attention,
    "einsum": contraction.einsum,
    "layer_norm": rowwise.layer_norm,
    "rms_norm": rowwise.layer_norm,
    "batch_norm": rowwise.batch_norm,
    "prelu": rowwise.prelu,
    **{name: rowwise.reduction for name in ("mean", "sum", "prod", "amax", "amin", "max", "min", "argmax", "argmin",
                                            "any", "all", "logsumexp", "var", "std", "norm", "linalg_vector_norm")},
    "gather": rowwise.gather,
    "take_along_dim": rowwise.gather,
    "embedding": rowwise.embedding,
    "one_hot": rowwise.one_hot,
    "index_select": shape.index_select,
    "index": shape.index,
    "permute": shape.permute,
    "transpose": shape.transpose,
    "t": shape.transpose,
    **{name: shape.reshape for name in RESHAPES},
    "slice": shape.slicing,
    "select": shape.select,
    **{name: shape.split for name in ("split", "split_with_sizes", "chunk", "unbind")},
    "cat": shape.concatenate,
    "stack": shape.stack,
    "expand": shape.expand,
    "repeat": shape.expand,
    "tile": shape.expand,
    "flip": shape.moved,
    "roll": shape.moved,
    "rot90": shape.moved,
    "tril": rowwise.triangle,
    "triu": rowwise.triangle,
    "slice_scatter": shape.scatter,
    "select_scatter": shape.scatter,
}

#: Rules that find out themselves which operand has rows; for the others it is the first one, or the call is global.
ANY_OPERAND = frozenset({
    rowwise.pointwise, rowwise.embedding, contraction.matmul, contraction.added_product, shape.scatter,
    resize.sampling})
