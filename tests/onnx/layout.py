"""Operators that move elements: views of numpy's making, copied by weft_cast; rows by index, by weft_gather_rows and
weft_scatter_rows."""
import math

import numpy as np
from device import C
from operators import along, operator


@operator("Identity", "Flatten", "Squeeze", "Unsqueeze", "Reshape")
def same_order(n):
    x = n[next(iter(n.case.inputs))]
    return n.device.cast(x.reshape(*SHAPES[n.op](n, x.shape)))


def _flatten(n, shape):
    axis = n.attr("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def _squeeze(n, shape):
    axes = n.host("axes")
    return np.squeeze(np.empty(shape, bool), None if axes is None else tuple(int(a) for a in axes)).shape


def _reshape(n, shape):
    wanted = [int(d) for d in n.host("shape")]
    return wanted if n.attr("allowzero") else [shape[i] if d == 0 else d for i, d in enumerate(wanted)]


SHAPES = {"Identity": lambda n, shape: shape, "Flatten": _flatten, "Squeeze": _squeeze, "Reshape": _reshape,
          "Unsqueeze": lambda n, shape: np.expand_dims(np.empty(shape, bool), tuple(n.host("axes"))).shape}


@operator("Transpose")
def transpose(n):
    x = n["data"]
    return n.device.cast(x.transpose(*n.attr("perm", range(x.rank)[::-1])))


@operator("Expand")
def expand(n):
    x = n["input"]
    return n.device.cast(x, shape=np.broadcast_shapes(x.shape, tuple(int(d) for d in n.host("shape"))))


@operator("Tile")
def tile(n):
    x, repeats = n["input"], [int(r) for r in n.host("repeats")]
    y = n.device.output([d * r for d, r in zip(x.shape, repeats)], x.dtype)
    pairs = [d for pair in zip(repeats, x.shape) for d in pair]
    n.device.copy(x.reshape(*[d for size in x.shape for d in (1, size)]), y.reshape(*pairs))
    return y


@operator("Concat")
def concat(n):
    xs, axis = n.all(), n.attr("axis")
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    y = n.device.output(shape, xs[0].dtype)
    start = 0
    for x in xs:
        n.device.copy(x, part(y, axis, start, start + x.shape[axis]))
        start += x.shape[axis]
    return y


def part(x, axis, start, stop):
    """x from `start` to `stop` along `axis`."""
    return x[tuple(slice(start, stop) if i == axis % x.rank else slice(None) for i in range(x.rank))]


@operator("Split")
def split(n):
    x, axis, count = n["input"], n.attr("axis", 0), len(n.case.outputs)
    step = -(-x.shape[axis] // count)
    sizes = n.host("split", [step] * (count - 1) + [x.shape[axis] - step * (count - 1)])
    stops = [int(stop) for stop in np.cumsum(sizes)]
    return {name: n.device.cast(part(x, axis, stop - int(size), stop))
            for name, size, stop in zip(n.case.outputs, sizes, stops)}


@operator("Slice")
def slices(n):
    x, starts = n["data"], n.host("starts")
    index = [slice(None)] * x.rank
    axes, steps = n.host("axes", range(len(starts))), n.host("steps", [1] * len(starts))
    for axis, start, stop, step in zip(axes, starts, n.host("ends"), steps):
        index[axis] = slice(int(start), int(stop), int(step))
    return n.device.cast(x[tuple(index)])


@operator("SpaceToDepth", "DepthToSpace")
def blocks(n):
    x, block, depth_first = n["input"], n.attr("blocksize"), n.attr("mode", "DCR") == "DCR"
    b, c, h, w = x.shape
    if n.op == "SpaceToDepth":
        # [b, c, h, block row, w, block column]
        tiles = x.reshape(b, c, h // block, block, w // block, block)
        moved = tiles.transpose(*((0, 3, 5, 1, 2, 4) if depth_first else (0, 1, 3, 5, 2, 4)))
        return n.device.cast(moved).reshape(b, c * block**2, h // block, w // block)
    deep = c // block**2
    tiles = x.reshape(*((b, block, block, deep) if depth_first else (b, deep, block, block)), h, w)
    moved = tiles.transpose(*((0, 3, 4, 1, 5, 2) if depth_first else (0, 1, 4, 2, 5, 3)))
    return n.device.cast(moved).reshape(b, deep, h * block, w * block)


@operator("Pad")
def pad(n):
    x, pads = n["data"], [int(p) for p in n.host("pads")]
    axes = [int(axis) % x.rank for axis in n.host("axes", range(x.rank))]
    before, after = dict(zip(axes, pads)), dict(zip(axes, pads[len(axes):]))
    around = [(before.get(i, 0), after.get(i, 0)) for i in range(x.rank)]
    if n.attr("mode", "constant") == "constant":
        return _pad_constant(n, x, around)
    for axis, amounts in enumerate(around):
        places = np.pad(np.arange(x.shape[axis]), amounts, mode=n.attr("mode"))
        x = n.device.take(x, n.device.put(places), axis)
    return x


def _pad_constant(n, x, around):
    value = n["constant_value"]
    y = n.device.output([d + sum(amounts) for d, amounts in zip(x.shape, around)], x.dtype)
    n.device.copy(n.device.scalar(0, x.dtype) if value is None else value, y)
    n.device.copy(x, y[tuple(slice(left, left + d) for d, (left, _) in zip(x.shape, around))])
    return y


@operator("Trilu")
def trilu(n):
    """Keeps column j of row i where j - i >= k (upper) or <= k (lower)."""
    x, k = n["input"], int(n.host("k", 0))
    rows, columns = x.shape[-2:]
    diagonal = n.device.put(np.arange(rows)[:, None] + k)
    keep = n.device.elementwise("GREATER_EQUAL" if n.attr("upper", 1) else "LESS_EQUAL",
                                n.device.put(np.arange(columns)), diagonal)
    return n.device.elementwise("SELECT", keep, x, n.device.scalar(0, x.dtype))


@operator("Gather")
def gather(n):
    return n.device.take(n["data"], n["indices"], n.attr("axis", 0))


def row_numbers(shape, indices, batch=0):
    """Which row of a [product of the indexed dims, ...] table each index tuple means, after `batch` equal dims."""
    tuples = [np.where(i < 0, i + d, i) for i, d in zip(np.moveaxis(indices, -1, 0), shape[batch:])]
    return np.ravel_multi_index([*np.indices(indices.shape[:-1])[:batch], *tuples], shape[:batch + len(tuples)])


@operator("GatherND")
def gather_nd(n):
    x, batch = n["data"], n.attr("batch_dims", 0)
    indexed = batch + n.host("indices").shape[-1]
    rows = n.device.put(row_numbers(x.shape, n.host("indices"), batch))
    return n.device.take(x.reshape(-1, *x.shape[indexed:]), rows, 0)


@operator("ScatterND")
def scatter_nd(n):
    x, indices, reduction = n["data"], n.host("indices"), n.attr("reduction", "none")
    if reduction not in ("none", "add"):
        raise ValueError(f"weft_scatter_rows has no {reduction}")
    y = n.device.cast(x)
    n.device.run("scatter_rows", "weft_rows_desc", table=y.reshape(-1, *x.shape[indices.shape[-1]:]),
                 indices=n.device.put(row_numbers(x.shape, indices)), rows=n["updates"],
                 flags=C["WEFT_ROWS_ADD"] if reduction == "add" else 0)
    return y


@operator("OneHot")
def one_hot(n):
    depth, values, ew = int(n.host("depth").item()), n["values"], n.device.elementwise
    hot = n.device.cast(n["indices"], np.int64)
    zero = n.device.scalar(0, np.int64)
    hot = ew("SELECT", ew("LESS", hot, zero), ew("ADD", hot, n.device.scalar(depth, np.int64)), hot)
    axis = n.attr("axis", -1) % (hot.rank + 1)
    places = n.device.put(along(np.arange(depth), axis, hot.rank + 1))
    at = ew("EQUAL", hot.seen(lambda a: np.expand_dims(a, axis)), places)
    return ew("SELECT", at, values[1], values[0])


@operator("TensorScatter")
def tensor_scatter(n):
    """A cache append: row t of each batch entry goes to place start + t, modulo the cache's length if it is a ring."""
    cache, update, axis = n["past_cache"], n["update"], n.attr("axis", -2)
    length, count = cache.shape[axis], update.shape[axis]
    y = n.device.cast(cache)
    for b, start in enumerate(n.host("write_indices", np.zeros(cache.shape[0], np.int64))):
        places = start + np.arange(count)
        places = places % length if n.attr("mode") == "circular" else places
        table, rows = (t.seen(lambda a: np.moveaxis(a, axis, 1)[b]) for t in (y, update))
        n.device.run("scatter_rows", "weft_rows_desc", table=table, indices=n.device.put(places), rows=rows)
    return y


assert C["WEFT_MAX_RANK"] >= 8, "Tile's and the blocks' views have up to 8 axes"
