"""One spelling for operators that have several, so that a graph uses few operators and replays on any memory layout.

`view` needs a memory layout that a replayed (or tiled) tensor may not have, `reshape` does not; `pad` names its mode in
a string; `to` has five overloads of which only the dtype is arithmetic.
"""
from typing import Any, Dict, Optional, Tuple

import torch

Args = Dict[str, Any]

#: Other names of the same operator (in-place operators are looked up without their underscore first).
SYNONYMS = {
    "__and__": "bitwise_and", "__or__": "bitwise_or", "__xor__": "bitwise_xor", "concat": "cat", "concatenate": "cat",
    "clip": "clamp", "divide": "div", "true_divide": "div", "multiply": "mul", "subtract": "sub", "absolute": "abs",
    "negative": "neg", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne",
    "arctan2": "atan2", "arctan": "atan", "swapaxes": "transpose", "swapdims": "transpose", "_reshape_copy": "reshape",
    "unsafe_split": "split", "unsafe_split_with_sizes": "split_with_sizes", "unsafe_chunk": "chunk",
}

#: Results equal to their first argument: nothing is recorded.
IDENTITIES = frozenset({
    "alias", "detach", "detach_", "contiguous", "clone", "lift", "lift_fresh", "lift_fresh_copy", "requires_grad_",
    "resolve_conj", "resolve_neg", "positive", "cpu", "cuda", "_conj", "pin_memory",
})

#: Identities in eval mode.
DROPOUTS = frozenset({
    "dropout", "dropout_", "feature_dropout", "feature_dropout_", "alpha_dropout", "alpha_dropout_",
    "feature_alpha_dropout", "feature_alpha_dropout_", "native_dropout",
})

_BATCH_NORMS = frozenset({"batch_norm", "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit"})

#: Results that depend on the shape and type of their arguments only.
SHAPE_ONLY = frozenset({
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones",
    "new_full", "new_empty", "new_empty_strided",
})

#: Operators that read the values of their first argument only; the other one lends its shape or type.
FIRST_ONLY = frozenset({"expand_as", "view_as", "reshape_as", "type_as", "to.other"})

#: The shape of the result (or a Python value) depends on the values of a tensor: no fixed graph can hold that.
DATA_DEPENDENT = frozenset({
    "_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "nonzero", "nonzero_numpy", "argwhere",
    "masked_select", "unique_dim", "unique_consecutive", "_unique", "_unique2", "unique_dim_consecutive", "bincount",
    "repeat_interleave.Tensor", "torchvision::nms", "_assert_async",
})

#: Operators that only permute the axes of their first argument, without copying.
PERMUTATIONS = frozenset({
    "permute", "transpose", "t", "movedim", "moveaxis", "numpy_T", "mT", "mH", "matrix_H", "adjoint", "swapaxes",
    "swapdims",
})

#: Operators that only change the shape.
RESHAPES = frozenset({
    "view", "_unsafe_view", "reshape", "view_as", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze",
    "_reshape_alias",
})

_PADS = {"reflect": "reflection_pad{}d", "replicate": "replication_pad{}d"}


def op_name(func: Any) -> str:
    """An `OpOverload`'s name as `OpNode.op` spells it."""
    schema = func._schema
    library, _, name = schema.name.partition("::")
    name = name if library == "aten" else schema.name
    return name + ("." + schema.overload_name if schema.overload_name else "")


def bind(func: Any, args: Tuple[Any, ...], kwargs: Args) -> Args:
    """The arguments that were given, by schema name."""
    return {**{a.name: v for a, v in zip(func._schema.arguments, args)}, **kwargs}


def reads(op: str, given: Args) -> Any:
    """Those of the (named) arguments whose values a call reads, not only their shape and type."""
    base = op.split(".")[0].split("::")[-1]
    if base in SHAPE_ONLY:
        return ()
    return given.get("self") if {base, op} & FIRST_ONLY else list(given.values())


def written(func: Any, given: Args) -> Tuple[str, ...]:
    """Names of the arguments a call writes to."""
    return tuple(a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write
                 and isinstance(given.get(a.name), torch.Tensor))


def is_reshape_in_place(base: str) -> bool:
    """Whether an operator changes only how its first argument looks at its memory (``unsqueeze_``)."""
    return base.endswith("_") and (base[:-1] in RESHAPES or base[:-1] in PERMUTATIONS)


def permutation(func: Any, source: torch.Tensor, args: Args) -> Tuple[int, ...]:
    """The axes of `source` in the order in which a permuting operator leaves them."""
    sizes = range(2, 2 + source.dim())  # all different, so that the result's shape tells the order
    probe = func(torch.empty(tuple(sizes), device="meta"), **{k: v for k, v in args.items() if k != "self"})
    return tuple(size - 2 for size in probe.shape)


def is_training(base: str, args: Args) -> bool:
    """Whether a call is random, or changes running statistics: what layers do in training mode."""
    if base in DROPOUTS:
        return bool(args.get("train", True)) and args.get("p", 1) > 0
    if base == "scaled_dot_product_attention":
        return args.get("dropout_p", 0.0) > 0
    learns = args.get("use_input_stats" if base == "instance_norm" else "training", False)
    return base in (*_BATCH_NORMS, "instance_norm") and bool(learns) and args.get("running_mean") is not None


def canonical(func: Any, op: str, args: Args, out: Any) -> Tuple[str, Optional[Args]]:
    """The spelling that is recorded for one call, given its real result; ``None`` for arguments: an identity."""
    base, _, overload = op.partition(".")
    source = args.get("self")
    if base in SYNONYMS:
        base = SYNONYMS[base]
        op = base + ("." + overload if overload else "")
    if base in IDENTITIES:
        return op, None
    if base in ("to", "type_as", "_to_copy", "float", "double", "half"):
        return "to.dtype", None if out.dtype == source.dtype else {"self": source, "dtype": out.dtype}
    if base in ("expand", "expand_as"):
        if out.shape == source.shape:
            return op, None
        return "expand", {"self": source, "size": tuple(out.shape)}
    if op == "view.dtype":  # the same bytes as other numbers
        return op, None if out.dtype == source.dtype else args
    if base in RESHAPES:
        if out.shape == source.shape:
            return op, None
        if base in ("flatten", "squeeze", "unsqueeze", "unflatten"):
            return op, args
        return "reshape", {"self": source, "shape": tuple(args.get("size", args.get("shape", out.shape)))}
    if base in PERMUTATIONS:
        dims = permutation(func, source, args)
        if dims == tuple(range(source.dim())):
            return op, None
        if base in ("permute", "transpose", "t"):
            return {"transpose": "transpose.int"}.get(base, base), {
                {"axis0": "dim0", "axis1": "dim1"}.get(k, k): v for k, v in args.items()}
        return "permute", {"self": source, "dims": dims}
    if base in ("slice", "narrow"):
        return _slice(base, args, source, out)
    if base == "pad":
        return _pad(args)
    if base in ("convolution", "_convolution"):
        return _convolution(args)
    return op, args


def _slice(base: str, args: Args, source: torch.Tensor, out: torch.Tensor) -> Tuple[str, Optional[Args]]:
    if out.shape == source.shape:
        return "slice.Tensor", None
    dim = args.get("dim", 0) % source.dim()
    size = source.shape[dim]
    start = min(max(args.get("start") or 0, -size), size) % (size + 1 if (args.get("start") or 0) >= 0 else size)
    step = args.get("step", 1) if base == "slice" else 1
    return "slice.Tensor", {"self": source, "dim": dim, "start": start,
                            "end": min(start + out.shape[dim] * step, size), "step": step}


def _convolution(args: Args) -> Tuple[str, Args]:
    """The named convolution of a general one, as traced models have it."""
    dims = args["input"].dim() - 2
    kept = {k: args.get(k) for k in ("input", "weight", "bias", "stride", "padding", "dilation", "groups")}
    if args["transposed"]:
        return "conv_transpose{}d{}".format(dims, "" if dims == 1 else ".input"), {
            **kept, "output_padding": args["output_padding"]}
    return "conv{}d".format(dims), kept


def _pad(args: Args) -> Tuple[str, Args]:
    mode, pad = args.get("mode", "constant"), tuple(args["pad"])
    if mode == "constant":
        return "constant_pad_nd", {"self": args["self"], "pad": pad, "value": args.get("value") or 0}
    if mode in _PADS:
        return _PADS[mode].format(len(pad) // 2), {"self": args["self"], "padding": pad}
    return "pad", args
