"""Weft's requests as functions from arrays to a new array, in whose buffer the request finds poison."""
import os
import sys

import ml_dtypes  # noqa: F401  (registers bfloat16 and the 8-bit floats with numpy)
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))
import weft  # noqa: E402
from weft import C  # noqa: E402

TRUTH = {"EQUAL", "LESS", "GREATER", "LESS_EQUAL", "GREATER_EQUAL", "IS_NAN", "IS_INF"}


class Device:
    """A session, and one method a request."""

    def __init__(self):
        self.session = weft.Session()
        self.put, self.output, self.run = self.session.put, self.session.output, self.session.run

    def scalar(self, value, dtype):
        return self.put(np.array(value, dtype))

    def elementwise(self, function, *operands, alpha=None, beta=None):
        """y = f(a, b, c); alpha and beta as they stand where given."""
        dtype = np.dtype(bool) if function in TRUTH else operands[1 if function == "SELECT" else 0].dtype
        y = self.output(np.broadcast_shapes(*(x.shape for x in operands)), dtype)
        flags = 0 if alpha is None else C["WEFT_EW_PARAMETERS"]
        self.run("elementwise", function=C["WEFT_EW_" + function], flags=flags, alpha=alpha, beta=beta, y=y,
                 **dict(zip("abc", operands)))
        return y

    def cast(self, x, dtype=None, shape=None, saturate=False):
        """A packed copy, converted and broadcast."""
        y = self.output(x.shape if shape is None else shape, dtype or x.dtype)
        return self.copy(x, y, saturate)

    def copy(self, x, y, saturate=False):
        """Copies x to y, which may be a view."""
        self.run("cast", x=x, y=y, flags=C["WEFT_CAST_SATURATE"] if saturate else 0)
        return y

    def matmul(self, a, b, **fields):
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        d = self.output(batch + (a.shape[-2], b.shape[-1]), a.dtype)
        self.run("matmul", a=a, b=b, d=d, **fields)
        return d

    def reduce(self, function, x, axes, keep=True):
        """Over `axes`, none of which leaves every element on its own."""
        axes = {axis % x.rank for axis in axes}
        shape = [1 if i in axes else d for i, d in enumerate(x.shape) if keep or i not in axes]
        y = self.output(shape, x.dtype)
        if not axes:
            # No axis would mean all of them: reduce one of length 1.
            axes, x = {x.rank}, x.reshape(*x.shape, 1)
        self.run("reduce", function=C["WEFT_REDUCE_" + function], axes=sum(1 << i for i in axes), x=x, y=y)
        return y

    def softmax(self, x, axis=-1, log=False):
        y = self.output(x.shape, x.dtype)
        self.run("softmax", x=x, y=y, axis=axis, flags=C["WEFT_SOFTMAX_LOG"] if log else 0)
        return y

    def arg_reduce(self, x, axis, smallest=False, last=False):
        """i64 indices; the axis stays, 1 long."""
        indices = self.output([1 if i == axis % x.rank else d for i, d in enumerate(x.shape)], np.int64)
        flags = smallest * C["WEFT_RANK_SMALLEST"] | last * C["WEFT_RANK_LAST"]
        self.run("arg_reduce", "weft_rank_desc", x=x, indices=indices, axis=axis, flags=flags)
        return indices

    def take(self, x, indices, axis):
        """x's slices along `axis` in the order of `indices`, whose dims take the axis' place."""
        axis, rank = axis % x.rank, indices.rank
        y = self.output(x.shape[:axis] + indices.shape + x.shape[axis + 1:], x.dtype)
        rows = y.seen(lambda a: np.moveaxis(a, range(axis, axis + rank), range(rank)))
        table = x.seen(lambda a: np.moveaxis(a, axis, 0))
        self.run("gather_rows", "weft_rows_desc", table=table, indices=indices, rows=rows,
                 flags=C["WEFT_ROWS_FROM_END"])
        return y
