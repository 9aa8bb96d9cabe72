"""Operators that move, split, join or repeat dimensions."""
import math
from typing import Optional

import numpy as np

from intra_dp_ros.graph.graph import Const
from intra_dp_ros.lop import interval
from intra_dp_ros.lop.rules.rule import REDUCE, Context, Rule, within, wrap


def permute(ctx: Context) -> Optional[Rule]:
    """The axis goes where its dimension goes."""
    tensor = ctx.arg("self")
    ndim = len(ctx.shape(tensor))
    return ctx.same_rows(tensor, [wrap(d, ndim) for d in ctx.arg("dims")].index(ctx.axis(tensor)))


def transpose(ctx: Context) -> Optional[Rule]:
    """``transpose.int`` and ``t``: two dimensions change places."""
    tensor = ctx.arg("self")
    ndim = len(ctx.shape(tensor))
    a, b = wrap(ctx.arg("dim0", 0), ndim), wrap(ctx.arg("dim1", 1), ndim)
    axis = ctx.axis(tensor)
    if ndim < 2:
        return None
    return ctx.same_rows(tensor, {a: b, b: a}.get(axis, axis))


def reshape(ctx: Context) -> Optional[Rule]:
    """reshape, flatten, unflatten, squeeze, unsqueeze: the axis stays, is merged with what follows it, or is divided.

    Elements keep their order, so an output dimension behind as many elements as the axis cuts the same sequence, only
    in rows of another length: output row j begins at element ``j * n_out`` and input row i at ``i * n_in``.
    """
    tensor, out = ctx.arg("self"), ctx.out_shape()
    shape, axis = ctx.shape(tensor), ctx.axis(tensor)
    rows, before, n_in = shape[axis], math.prod(shape[:axis]), math.prod(shape[axis + 1:])
    found = [d for d in range(len(out)) if out[d] > 1 and math.prod(out[:d]) == before]
    if rows <= 1 or n_in * before == 0 or not found:  # with one row nothing tells its dimension from others of size one
        return None
    same = [d for d in found if out[d] == rows]
    place = (same or found)[0]
    n_out = math.prod(out[place + 1:])
    if n_out == 0:
        return None
    if n_in == n_out:
        return ctx.same_rows(tensor, place)
    first = np.arange(out[place]) * n_out
    return ctx.local(place, (tensor, interval.IntervalMap(rows, first // n_in, -(-(first + n_out) // n_in))))


def slicing(ctx: Context) -> Optional[Rule]:
    """``slice.Tensor``: along the axis a strided map, along another dimension nothing changes."""
    tensor = ctx.arg("self")
    axis, rows = ctx.axis(tensor), ctx.rows(tensor)
    if wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))) != axis:
        return ctx.same_rows(tensor)
    start = within(ctx.arg("start") or 0, rows)
    return ctx.local(axis, (tensor, interval.strided(rows, ctx.out_shape()[axis], start, ctx.arg("step", 1))))


def select(ctx: Context) -> Optional[Rule]:
    """``select.int`` of another dimension drops that dimension; of a single row, the row is all that travels."""
    tensor = ctx.arg("self")
    dim, axis = wrap(ctx.arg("dim"), len(ctx.shape(tensor))), ctx.axis(tensor)
    if dim == axis:
        return ctx.everything(REDUCE) if ctx.rows(tensor) == 1 else None
    return ctx.same_rows(tensor, axis - (dim < axis))


def split(ctx: Context) -> Optional[Rule]:
    """split and chunk of another dimension; unbind drops it."""
    tensor = ctx.arg("self")
    dim, axis = wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))), ctx.axis(tensor)
    if dim == axis:
        return None
    return ctx.same_rows(tensor, axis - (ctx.node.name == "unbind" and dim < axis))


def concatenate(ctx: Context) -> Optional[Rule]:
    """``cat``: on another dimension row i needs rows i; on the axis the inputs follow one another.

    Operands without rows (constants, results of global operators) are held whole on both sides.
    """
    tensors, ndim = ctx.arg("tensors"), len(ctx.out_shape())
    cut = [t for t in tensors if ctx.is_row_wise(t)]
    if len({ctx.axis(t) for t in cut}) != 1 or any(len(ctx.shape(t)) != ndim for t in tensors):
        return None
    axis = ctx.axis(cut[0])
    if wrap(ctx.arg("dim", 0), ndim) != axis:
        return ctx.local(axis, *((t, interval.identity(ctx.rows(t))) for t in cut))
    if len(set(cut)) != len(cut):
        return None  # one tensor at two places would be read twice, the second time backwards
    maps, offset = [], 0
    for tensor in tensors:
        if tensor in cut:
            maps.append((tensor, interval.shifted(ctx.rows(tensor), ctx.out_shape()[axis], offset)))
        offset += ctx.shape(tensor)[axis]
    return ctx.local(axis, *maps)


def stack(ctx: Context) -> Optional[Rule]:
    """``stack`` puts a new dimension in."""
    cut = [t for t in ctx.arg("tensors") if ctx.is_row_wise(t)]
    if len({ctx.axis(t) for t in cut}) != 1:
        return None
    axis, dim = ctx.axis(cut[0]), wrap(ctx.arg("dim", 0), len(ctx.out_shape()))
    return ctx.local(axis + (dim <= axis), *((t, interval.identity(ctx.rows(t))) for t in cut))


def expand(ctx: Context) -> Optional[Rule]:
    """expand and repeat of other dimensions, new ones in front included."""
    tensor = ctx.arg("self")
    axis = ctx.axis(tensor) + len(ctx.out_shape()) - len(ctx.shape(tensor))
    return ctx.same_rows(tensor, axis) if ctx.out_shape()[axis] == ctx.rows(tensor) > 1 else None


def moved(ctx: Context) -> Optional[Rule]:
    """flip and roll of other dimensions."""
    tensor = ctx.arg("self")
    dims = ctx.arg("dims", ())
    dims = dims if isinstance(dims, tuple) else (dims,)
    ndim = len(ctx.shape(tensor))
    if not dims or ctx.axis(tensor) in {wrap(d, ndim) for d in dims}:
        return None
    return ctx.same_rows(tensor)


def scatter(ctx: Context) -> Optional[Rule]:
    """``slice_scatter`` and ``select_scatter`` into another dimension, also into a constant."""
    tensor, source = ctx.arg("self"), ctx.arg("src")
    if not ctx.is_row_wise(source) or source == tensor:
        return None
    dim, dropped = wrap(ctx.arg("dim", 0), len(ctx.shape(tensor))), ctx.node.name == "select_scatter"
    axis = ctx.axis(source) + (dropped and dim <= ctx.axis(source))
    if dim == axis or (ctx.is_row_wise(tensor) and ctx.axis(tensor) != axis):
        return None
    identity = interval.identity(ctx.rows(source))
    return ctx.local(axis, *((t, identity) for t in (tensor, source) if ctx.is_row_wise(t)))


def index_select(ctx: Context) -> Optional[Rule]:
    """Picking entries of another dimension by constant indices."""
    tensor = ctx.arg("self")
    if wrap(ctx.arg("dim"), len(ctx.shape(tensor))) == ctx.axis(tensor) or not isinstance(ctx.arg("index"), Const):
        return None
    return ctx.same_rows(tensor)


def index(ctx: Context) -> Optional[Rule]:
    """``index.Tensor`` with one constant list of indices, for another dimension."""
    tensor, indices = ctx.arg("self"), ctx.arg("indices")
    given = [(d, i) for d, i in enumerate(indices) if i is not None]
    if len(given) != 1 or not isinstance(given[0][1], Const) or len(ctx.shape(given[0][1])) != 1:
        return None
    return None if given[0][0] == ctx.axis(tensor) else ctx.same_rows(tensor)
