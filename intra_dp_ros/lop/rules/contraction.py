"""Products of tensors: local in rows of one factor, or in a batch dimension that both factors share."""
from typing import Any, Optional

from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import Context, Rule


def linear(ctx: Context) -> Optional[Rule]:
    """``linear`` contracts the last dimension of its input; a weight that is computed is needed whole."""
    tensor = ctx.arg("input")
    if not ctx.is_row_wise(tensor) or ctx.axis(tensor) == len(ctx.shape(tensor)) - 1:
        return None
    return ctx.same_rows(tensor) if ctx.arg("weight") != tensor and ctx.arg("bias") != tensor else None


def matmul(ctx: Context) -> Optional[Rule]:
    """matmul, mm, bmm: rows of the left factor, columns of the right one, or a batch dimension of either."""
    left, right = ctx.arg("self"), ctx.arg("other", ctx.arg("mat2"))
    return None if left == right else _product(ctx, left, right)


def added_product(ctx: Context) -> Optional[Rule]:
    """addmm, baddbmm: as `matmul`, with a summand that is broadcast along the rows."""
    summand, left = ctx.arg("self"), ctx.arg("mat1", ctx.arg("batch1"))
    right = ctx.arg("mat2", ctx.arg("batch2"))
    rule = None if left == right or summand in (left, right) else _product(ctx, left, right)
    if rule is None:
        return None
    place = rule.axes[0] - (len(ctx.out_shape()) - len(ctx.shape(summand)))
    return None if place >= 0 and ctx.shape(summand)[place] > 1 else rule


def _product(ctx: Context, left: Any, right: Any) -> Optional[Rule]:
    a, b, out = ctx.shape(left), ctx.shape(right), ctx.out_shape()
    if len(a) < 2 or len(b) < 2:
        return None
    # factor -> dimension of the output that its axis is; a factor whose axis is summed over is needed whole
    places = {}
    for factor, shape, inner in ((left, a, len(a) - 1), (right, b, len(b) - 2)):
        if ctx.is_row_wise(factor) and ctx.axis(factor) != inner:
            places[factor] = ctx.axis(factor) + len(out) - len(shape)
    if not places:
        return None
    axis = next(iter(places.values()))  # the left factor's where both have one: queries are cut, keys are whole
    cut = {factor for factor, place in places.items() if place == axis}
    # A batch dimension in which one factor has one entry is broadcast; every entry is needed all the time.
    if axis < len(out) - 2:
        for factor, shape in ((left, a), (right, b)):
            place = axis - (len(out) - len(shape))
            if place >= 0 and shape[place] > 1 and factor not in cut and ctx.is_row_wise(factor):
                return None  # it would have to be cut in a dimension that is not where its rows are
    return ctx.local(axis, *((f, interval.identity(ctx.rows(f))) for f in cut if ctx.rows(f) == out[axis]))


def attention(ctx: Context) -> Optional[Rule]:
    """``scaled_dot_product_attention``: local in the queries, global in keys and values; or in a batch dimension."""
    query, key, value, mask = (ctx.arg(name) for name in ("query", "key", "value", "attn_mask"))
    if not ctx.is_row_wise(query) or ctx.arg("is_causal", False) or query in (key, value):
        return None
    axis, ndim = ctx.axis(query), len(ctx.shape(query))
    if axis == ndim - 1 or axis + len(ctx.out_shape()) - ndim != axis:
        return None
    identity = interval.identity(ctx.rows(query))
    cut = {query}
    if mask is not None and ctx.is_row_wise(mask):
        place = axis - (ndim - len(ctx.shape(mask)))
        if place == ctx.axis(mask) and ctx.rows(mask) == ctx.rows(query) and mask not in (query, key, value):
            cut.add(mask)
        elif place >= 0 and ctx.shape(mask)[place] > 1:
            return None
    if axis == ndim - 2:
        return ctx.local(axis, *((t, identity) for t in cut))
    if not all(ctx.is_row_wise(t) and ctx.axis(t) == axis and ctx.rows(t) == ctx.rows(query) for t in (key, value)):
        return None
    return ctx.local(axis, *((t, identity) for t in cut | {key, value}))


def einsum(ctx: Context) -> Optional[Rule]:
    """Local in a letter of the result that is the axis of every operand in which it stands; the first one there is."""
    equation, tensors = ctx.arg("equation").replace(" ", ""), ctx.arg("tensors")
    if "->" not in equation or "." in equation or len(set(tensors)) != len(tensors):
        return None
    terms, result = equation.split("->")
    operands = list(zip(terms.split(","), tensors))
    rows = {t: term[ctx.axis(t)] for term, t in operands if ctx.is_row_wise(t)}
    for letter in dict.fromkeys(rows.values()):
        # operands with rows elsewhere are needed whole, as keys are, and must not be cut along this letter
        if result.count(letter) == 1 and all(
                term.count(letter) == (1 if rows.get(t) == letter else 0) for term, t in operands):
            return ctx.local(result.index(letter), *((t, interval.identity(ctx.rows(t)))
                                                     for t, other in rows.items() if other == letter))
    return None
