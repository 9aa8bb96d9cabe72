"""Reductions over the split axis: of every row by itself first, which is local, and then of what is left."""
import math
from dataclasses import replace
from typing import Any, Dict, Tuple

from intra_dp_ros.graph.graph import DType, OpNode, Ref
from intra_dp_ros.lop.rewrites.growing import HALF, Growing, other_dims, shrunk
from intra_dp_ros.lop.rules.pooling import pooled_dims
from intra_dp_ros.lop.rules.rule import Context

PARTIAL = {"mean": "mean.dim", "sum": "sum.dim_IntList", "amax": "amax", "amin": "amin", "max": "amax", "min": "amin",
           "logsumexp": "logsumexp"}
#: Operators that reduce one dimension or all -> their form for one.
FOLDED = {"any": "any.dim", "all": "all.dim", "prod": "prod.dim_int"}


def reduction(ctx: Context, new: Growing) -> bool:
    """mean, sum, amax, amin, logsumexp, and max and min of everything."""
    node, tensor = ctx.node, ctx.arg("self")
    others = other_dims(ctx, ctx.arg("dim"))
    if not others or len(node.outputs) > 1:
        return False
    given, made = new.tensors[tensor.tensor].dtype, new.tensors[node.outputs[0]].dtype
    args: Dict[str, Any] = {"self": tensor, "dim": others, "keepdim": True}
    dtype = given
    if node.name in ("mean", "sum"):
        # Half floats are summed as floats, as within one call, and rounded once in the end; sums of integers are int64.
        dtype = "float32" if made in HALF else made
        if dtype != given:
            args["dtype"] = DType(dtype)
    partial = new.add(node, PARTIAL[node.name], shrunk(ctx.shape(tensor), others), dtype, **args)
    rest = {k: a for k, a in node.args.items() if k not in ("self", "dtype")}
    if dtype == made:
        return new.finish(node, node.op, 0, self=partial, **rest)
    combined = new.add(node, node.op, ctx.out_shape(), dtype, self=partial, **rest)
    return new.finish(node, "to.dtype", 0, self=combined, dtype=DType(made))


def folded(ctx: Context, new: Growing) -> bool:
    """any, all and prod, which reduce one dimension at a time."""
    node, tensor = ctx.node, ctx.arg("self")
    out = new.tensors[node.outputs[0]].dtype
    dims = other_dims(ctx, ctx.arg("dim"))
    if not dims or out in HALF:
        return False
    more = {"dtype": DType(out)} if node.name == "prod" and new.tensors[tensor.tensor].dtype != out else {}
    for dim in dims:
        tensor = new.add(node, FOLDED[node.name], shrunk(ctx.shape(tensor), (dim,)), out, self=tensor, dim=dim,
                         keepdim=True, **more)
        more = {}
    return new.finish(node, node.op, 0, **{**node.args, "self": tensor})


def adaptive(ctx: Context, new: Growing) -> bool:
    """Adaptive pooling to one row: every row by itself, then the mean or the largest of them."""
    node, tensor, out = ctx.node, ctx.arg("self"), ctx.out_shape()
    axis, spec = ctx.axis(tensor), new.tensors[ctx.node.outputs[0]]
    is_max = "max" in node.name
    dims = tuple(range(len(out) - pooled_dims(ctx), len(out)))
    if axis not in dims or out[axis] != 1 or (is_max and node.outputs[1] in new.read):
        return False
    reduce_op = "amax" if is_max else "mean.dim"
    if all(out[d] == 1 for d in dims):
        whole = replace(node, op=reduce_op, args={"self": tensor, "dim": dims, "keepdim": True},
                        outputs=node.outputs[:1])
        return reduction(Context(new, whole, new.axis), new) or new.finish(node, whole.op, 0, **whole.args)
    if spec.dtype in HALF and not is_max:
        return False
    shape = tuple(ctx.rows(tensor) if d == axis else n for d, n in enumerate(out))
    pooled = new.add(node, node.op, shape, spec.dtype, *(["int64"] if is_max else []), self=tensor,
                     output_size=shape[dims[0]:])
    return new.finish(node, reduce_op, 0, self=pooled, dim=(axis,), keepdim=True)


def moments(node: OpNode, new: Growing, x: Ref, at: int, others: Tuple[int, ...]) -> Tuple[Ref, Ref]:
    """Mean and variance (divided by the count) over the axis `at` and the dimensions `others`, all kept."""
    spec = new.tensors[x.tensor]
    rows, one = shrunk(spec.shape, others), shrunk(spec.shape, (*others, at))
    row_mean = new.add(node, "mean.dim", rows, spec.dtype, self=x, dim=others, keepdim=True)
    row_var = new.add(node, "var.correction", rows, spec.dtype, self=x, dim=others, correction=0, keepdim=True)
    mean = new.add(node, "mean.dim", one, spec.dtype, self=row_mean, dim=(at,), keepdim=True)
    within = new.add(node, "mean.dim", one, spec.dtype, self=row_var, dim=(at,), keepdim=True)
    between = new.add(node, "var.correction", one, spec.dtype, self=row_mean, dim=(at,), correction=0, keepdim=True)
    return mean, new.add(node, "add.Tensor", one, spec.dtype, self=within, other=between)


def variance(ctx: Context, new: Growing) -> bool:
    """var and std: from the moments of every row."""
    node, tensor, out = ctx.node, ctx.arg("self"), ctx.out_shape()
    spec, axis = new.tensors[tensor.tensor], ctx.axis(tensor)
    others = other_dims(ctx, ctx.arg("dim"))
    correction = ctx.arg("correction", 1 if ctx.arg("unbiased", True) else 0)
    count = math.prod(spec.shape[d] for d in (*others, axis))
    if not others or spec.dtype in HALF or count <= correction:
        return False
    _, var = moments(node, new, tensor, axis, others)
    one = new.tensors[var.tensor].shape
    var = new.add(node, "mul.Scalar", one, spec.dtype, self=var, other=count / (count - correction))
    if node.name == "std":
        var = new.add(node, "sqrt", one, spec.dtype, self=var)
    return new.finish(node, "reshape", 0, self=var, shape=out)
