"""Rows that change places along the split axis: slices of them, joined."""
from intra_dp_ros.graph.graph import Ref
from intra_dp_ros.lop.rewrites.growing import Growing
from intra_dp_ros.lop.rules.padding import pad_amounts
from intra_dp_ros.lop.rules.rule import Context, within, wrap


def roll(ctx: Context, new: Growing) -> bool:
    """A roll along the axis: the two parts that change places."""
    node, tensor = ctx.node, ctx.arg("self")
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    dims, shifts = ctx.arg("dims", ()), ctx.arg("shifts")
    if axis not in [wrap(d, len(shape)) for d in dims]:
        return False
    by = sum(s for s, d in zip(shifts, dims) if wrap(d, len(shape)) == axis) % shape[axis]
    rest = [(s, d) for s, d in zip(shifts, dims) if wrap(d, len(shape)) != axis]
    dtype = new.tensors[tensor.tensor].dtype
    if rest:
        tensor = new.add(node, "roll", shape, dtype, self=tensor, shifts=tuple(s for s, _ in rest),
                         dims=tuple(d for _, d in rest))
    if by == 0:
        return new.finish(node, "clone", 0, self=tensor)
    parts = [cut(ctx, new, tensor, axis, shape[axis] - by, shape[axis]),
             cut(ctx, new, tensor, axis, 0, shape[axis] - by)]
    return new.finish(node, "cat", 0, tensors=tuple(parts), dim=axis)


def circular(ctx: Context, new: Growing) -> bool:
    """Circular padding along the axis: the last rows, all of them, the first rows; negative amounts cut off first."""
    node, tensor = ctx.node, ctx.arg("self")
    axis, (before, after) = ctx.axis(tensor), pad_amounts(ctx, tensor)
    if ctx.arg("mode") != "circular":
        return False
    pad, place = list(ctx.arg("pad")), len(ctx.shape(tensor)) - 1 - axis
    pad[2 * place:2 * place + 2] = [0, 0]
    rest, dtype = tuple(pad), new.tensors[tensor.tensor].dtype
    begin, end = max(0, -before), ctx.rows(tensor) - max(0, -after)
    if max(before, after) > end - begin:
        return False
    if any(rest):
        shape = tuple(n + rest[2 * (len(ctx.out_shape()) - 1 - d)] + rest[2 * (len(ctx.out_shape()) - 1 - d) + 1]
                      if len(rest) > 2 * (len(ctx.out_shape()) - 1 - d) else n
                      for d, n in enumerate(ctx.shape(tensor)))
        tensor = new.add(node, "pad", shape, dtype, self=tensor, pad=rest, mode="circular")
    parts = [cut(ctx, new, tensor, axis, start, stop) for start, stop in (
        (end - max(0, before), end), (begin, end), (begin, begin + max(0, after))) if start < stop]
    return new.finish(node, "cat", 0, tensors=tuple(parts), dim=axis)


def select(ctx: Context, new: Growing) -> bool:
    """One row: a slice of one row, which is local, and of that the row, which is all that has to travel."""
    tensor, axis = ctx.arg("self"), ctx.axis(ctx.arg("self"))
    if wrap(ctx.arg("dim"), len(ctx.shape(tensor))) != axis:
        return False
    return _row(ctx, new, 0, wrap(ctx.arg("index"), ctx.rows(tensor)))


def unbind(ctx: Context, new: Growing) -> bool:
    """unbind along the axis: every row as `select` has it."""
    tensor, axis = ctx.arg("self"), ctx.axis(ctx.arg("self"))
    if wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))) != axis:
        return False
    return all([_row(ctx, new, output, output) for output in range(ctx.rows(tensor))])


def _row(ctx: Context, new: Growing, output: int, row: int) -> bool:
    tensor, axis = ctx.arg("self"), ctx.axis(ctx.arg("self"))
    if ctx.rows(tensor) > 1:
        tensor = cut(ctx, new, tensor, axis, row, row + 1)
    return new.finish(ctx.node, "select.int", output, self=tensor, dim=axis, index=0)


def cut(ctx: Context, new: Growing, tensor: Ref, axis: int, start: int, stop: int) -> Ref:
    spec = new.tensors[tensor.tensor]
    shape = (*spec.shape[:axis], stop - start, *spec.shape[axis + 1:])
    return new.add(ctx.node, "slice.Tensor", shape, spec.dtype, self=tensor, dim=axis, start=start, end=stop)


def split(ctx: Context, new: Growing) -> bool:
    """split and chunk along the axis: a slice for every part."""
    tensor, start = ctx.arg("self"), 0
    axis = ctx.axis(tensor)
    if wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))) != axis:
        return False
    for index in range(len(ctx.node.outputs)):
        stop = start + ctx.out_shape(index)[axis]
        new.finish(ctx.node, "slice.Tensor", index, self=tensor, dim=axis, start=start, end=stop)
        start = stop
    return True


def repeated_cat(ctx: Context, new: Growing) -> bool:
    """A tensor that is joined to itself along the axis: copies, each read once and forwards."""
    tensors, seen = list(ctx.arg("tensors")), set()
    if not all(ctx.is_row_wise(t) for t in tensors) or len(set(tensors)) == len(tensors):
        return False
    for place, tensor in enumerate(tensors):
        if tensor in seen:
            spec = new.tensors[tensor.tensor]
            tensors[place] = new.add(ctx.node, "clone", spec.shape, spec.dtype, self=tensor)
        seen.add(tensor)
    return new.finish(ctx.node, ctx.node.op, 0, tensors=tuple(tensors), dim=ctx.arg("dim", 0))


def overwrite(ctx: Context, new: Growing) -> bool:
    """A slice along the axis that is written over: what is before it, the source, and what is behind it."""
    tensor, source, rows = ctx.arg("self"), ctx.arg("src"), ctx.shape(ctx.arg("self"))
    axis = wrap(ctx.arg("dim", 0), len(rows))
    start, end = within(ctx.arg("start") or 0, rows[axis]), ctx.arg("end")
    end = rows[axis] if end is None else max(start, within(end, rows[axis]))
    if ctx.axis(source) != axis or ctx.arg("step", 1) != 1:
        return False
    if (start, end) == (0, rows[axis]):
        return new.finish(ctx.node, "clone", 0, self=source)
    if not ctx.is_row_wise(tensor) or ctx.axis(tensor) != axis:
        return False
    parts = [cut(ctx, new, tensor, axis, 0, start)] if start else []
    parts.append(source)
    if end < rows[axis]:
        parts.append(cut(ctx, new, tensor, axis, end, rows[axis]))
    return new.finish(ctx.node, "cat", 0, tensors=tuple(parts), dim=axis)
