"""ONNX's operators as Weft requests: products, normalisations, reductions, order and casts.

A function takes a `Node` and returns its output, or a dict of them by their formal names. Python prepares layouts,
lengths and indices; every element of a result is computed by a request. The other modules named below fill the same
table: `pointwise`, `layout` and `attention`.
"""
import numpy as np
import onnx
from device import C

OPERATORS = {}


def operator(*names):
    def enter(function):
        OPERATORS.update((name, function) for name in names)
        return function
    return enter


class Node:
    """A case's inputs and attributes, and the device to run it on."""

    def __init__(self, case, device):
        self.case, self.device, self.op, self.opset = case, device, case.op, case.opset

    def __getitem__(self, name):
        """An input on the device; None where the node has none of this name."""
        value = self.host(name)
        return None if value is None else self.device.put(value)

    def all(self):
        return [self[name] for name in self.case.inputs]

    def host(self, name, default=None):
        """An input that says how (axes, shapes, counts) rather than what to compute."""
        return self.case.inputs.get(name, default)

    def attr(self, name, default=None):
        return self.case.attrs.get(name, default)

    def wants(self, name):
        return name in self.case.outputs


@operator("MatMul")
def matmul(n):
    a, b = n["A"], n["B"]
    row, column = a.rank == 1, b.rank == 1
    d = n.device.matmul(a.reshape(1, *a.shape) if row else a, b.reshape(*b.shape, 1) if column else b)
    if row:
        d = d[..., 0, :]
    return d[..., 0] if column else d


@operator("Gemm")
def gemm(n):
    a, b, c = n["A"], n["B"], n["C"]
    a, b = a.transpose(1, 0) if n.attr("transA") else a, b.transpose(1, 0) if n.attr("transB") else b
    beta = n.attr("beta", 1.0) if c is not None else 0.0
    return n.device.matmul(a, b, c=c, alpha=n.attr("alpha", 1.0), beta=beta, flags=C["WEFT_MATMUL_ALPHA"])


@operator("Softmax", "LogSoftmax")
def softmax(n):
    return n.device.softmax(n["input"], n.attr("axis", -1), log=n.op == "LogSoftmax")


@operator("Hardmax")
def hardmax(n):
    x, axis = n["input"], n.attr("axis", -1)
    best = n.device.arg_reduce(x, axis)
    places = n.device.put(along(np.arange(x.shape[axis]), axis, x.rank))
    return n.device.cast(n.device.elementwise("EQUAL", places, best), x.dtype)


def along(values, axis, rank):
    """A vector as an array of this rank that extends along `axis` alone."""
    return values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


@operator("LayerNormalization", "RMSNormalization")
def normalization(n):
    layer = n.op == "LayerNormalization"
    x = n["X"]
    axes = x.rank - n.attr("axis", -1) % x.rank
    y, kept = n.device.output(x.shape, x.dtype), x.shape[:x.rank - axes] + (1,) * axes
    out = {name: n.device.output(kept, np.float32) for name in ("Mean", "InvStdDev") if n.wants(name)}
    n.device.run("layer_norm" if layer else "rms_norm", "weft_norm_desc", x=x, y=y, axes=axes,
                 weight=n["Scale" if layer else "scale"], bias=n["B"], epsilon=n.attr("epsilon", 1e-5),
                 mean=out.get("Mean"), rstd=out.get("InvStdDev"))
    return {"Y": y, **out}


def normalized(device, x, axes, epsilon):
    """x with mean 0 and variance 1 over its last axes."""
    y = device.output(x.shape, x.dtype)
    device.run("layer_norm", "weft_norm_desc", x=x, y=y, axes=axes, epsilon=epsilon)
    return y


def per_channel(x, vector):
    """A [C] vector laid along axis 1 of x."""
    return vector.reshape(-1, *[1] * (x.rank - 2))


@operator("InstanceNormalization")
def instance_normalization(n):
    x = n["input"]
    y = normalized(n.device, x, x.rank - 2, n.attr("epsilon", 1e-5))
    return n.device.elementwise("FMA", y, per_channel(x, n["scale"]), per_channel(x, n["B"]))


@operator("GroupNormalization")
def group_normalization(n):
    x = n["X"]
    grouped = x.reshape(x.shape[0], n.attr("num_groups"), -1)
    y = normalized(n.device, grouped, 1, n.attr("epsilon", 1e-5)).reshape(*x.shape)
    return n.device.elementwise("FMA", y, per_channel(x, n["scale"]), per_channel(x, n["bias"]))


@operator("MeanVarianceNormalization")
def mean_variance_normalization(n):
    x = n["X"]
    axes = [axis % x.rank for axis in n.attr("axes", [0, 2, 3])]
    order = [i for i in range(x.rank) if i not in axes] + axes
    y = n.device.output(x.shape, x.dtype)
    n.device.run("layer_norm", "weft_norm_desc", x=x.transpose(*order), y=y.transpose(*order), axes=len(axes),
                 epsilon=1e-18)
    return y


@operator("BatchNormalization")
def batch_normalization(n):
    x, mean, variance = n["X"], n["input_mean"], n["input_var"]
    ew, running = n.device.elementwise, {}
    if n.attr("training_mode"):
        axes = [i for i in range(x.rank) if i != 1]
        momentum = n.attr("momentum", 0.9)
        old, new = n.device.scalar(momentum, x.dtype), n.device.scalar(1 - momentum, x.dtype)
        now = n.device.reduce("MEAN", x, axes, keep=False)
        spread = n.device.reduce("MEAN", ew("SQUARE", ew("SUB", x, per_channel(x, now))), axes, keep=False)
        running = {"running_mean": ew("FMA", now, new, ew("MUL", mean, old)),
                   "running_var": ew("FMA", spread, new, ew("MUL", variance, old))}
        mean, variance = now, spread
    rstd = ew("RSQRT", ew("ADD", variance, n.device.scalar(n.attr("epsilon", 1e-5), x.dtype)))
    y = ew("MUL", ew("SUB", x, per_channel(x, mean)), per_channel(x, rstd))
    return {"Y": ew("FMA", y, per_channel(x, n["scale"]), per_channel(x, n["B"])), **running}


@operator("LpNormalization")
def lp_normalization(n):
    x, zero = n["input"], n.device.scalar(0, np.float32)
    norm = n.device.reduce(f"L{n.attr('p', 2)}", x, [n.attr("axis", -1)])
    y = n.device.elementwise("DIV", x, norm)
    return n.device.elementwise("SELECT", n.device.elementwise("EQUAL", norm, zero), zero, y)


REDUCTIONS = {"ReduceSum": "SUM", "ReduceMean": "MEAN", "ReduceMax": "MAX", "ReduceMin": "MIN", "ReduceProd": "PROD",
              "ReduceL1": "L1", "ReduceL2": "L2", "ReduceSumSquare": "SUM_SQUARE", "ReduceLogSum": "LOG_SUM",
              "ReduceLogSumExp": "LOG_SUM_EXP"}


@operator(*REDUCTIONS)
def reduce(n):
    x, axes = n["data"], [int(axis) for axis in n.host("axes", n.attr("axes", []))]
    if not axes and not n.attr("noop_with_empty_axes"):
        axes = range(x.rank)
    # Of booleans, the largest is whether any is true, the smallest whether all are.
    truth = x.dtype == bool
    y = n.device.reduce(REDUCTIONS[n.op], n.device.cast(x, np.uint8) if truth else x, axes,
                        keep=n.attr("keepdims", 1))
    return n.device.cast(y, bool) if truth else y


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(n):
    x = n["X"]
    return n.device.reduce("MAX" if n.op == "GlobalMaxPool" else "MEAN", x, range(2, x.rank))


@operator("ArgMax", "ArgMin")
def arg_reduce(n):
    axis = n.attr("axis", 0)
    y = n.device.arg_reduce(n["data"], axis, smallest=n.op == "ArgMin", last=n.attr("select_last_index", 0))
    return y if n.attr("keepdims", 1) else y.seen(lambda a: a.squeeze(axis))


@operator("TopK")
def top_k(n):
    x, axis, k = n["X"], n.attr("axis", -1), int(n.host("K")[0])
    shape = [k if i == axis % x.rank else d for i, d in enumerate(x.shape)]
    values, indices = n.device.output(shape, x.dtype), n.device.output(shape, np.int64)
    n.device.run("top_k", "weft_rank_desc", x=x, values=values, indices=indices, axis=axis, k=k,
                 flags=0 if n.attr("largest", 1) else C["WEFT_RANK_SMALLEST"])
    return {"Values": values, "Indices": indices}


@operator("Cast", "CastLike")
def cast(n):
    like = n.op == "CastLike"
    dtype = n.host("target_type").dtype if like else onnx.helper.tensor_dtype_to_np_dtype(n.attr("to"))
    # ONNX saturates 8-bit floats alone.
    return n.device.cast(n["input"], dtype, saturate=dtype.name.startswith("float8") and n.attr("saturate", 1))


@operator("RotaryEmbedding")
def rotary_embedding(n):
    x = n["X"]
    y = n.device.output(x.shape, x.dtype)
    heads = (lambda t: t) if x.rank == 4 else lambda t: split_heads(t, n.attr("num_heads"))
    n.device.run("rope", x=heads(x), y=heads(y), cos=n["cos_cache"], sin=n["sin_cache"], positions=n["position_ids"],
                 rotary_dim=n.attr("rotary_embedding_dim", 0),
                 flags=0 if n.attr("interleaved") else C["WEFT_ROPE_HALF_SPLIT"])
    return y


def split_heads(x, heads):
    """[B, S, H D] seen as [B, H, S, D]."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
