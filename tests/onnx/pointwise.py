"""Activations, arithmetic, comparisons and logic: one table of weft_elementwise's functions, and what is put together
from several requests."""
import numpy as np
from operators import operator

# Operator -> function.
PLAIN = {
    "Relu": "RELU", "Sigmoid": "SIGMOID", "Tanh": "TANH", "Mish": "MISH", "HardSwish": "HARD_SWISH",
    "Softplus": "SOFTPLUS", "Softsign": "SOFTSIGN", "Erf": "ERF", "PRelu": "PRELU", "Add": "ADD", "Sub": "SUB",
    "Mul": "MUL", "Div": "DIV", "Where": "SELECT", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT",
    "Reciprocal": "RECIPROCAL", "Neg": "NEG", "Abs": "ABS", "Sin": "SIN", "Cos": "COS", "Tan": "TAN", "Sinh": "SINH",
    "Cosh": "COSH", "Asin": "ASIN", "Acos": "ACOS", "Atan": "ATAN", "Asinh": "ASINH", "Acosh": "ACOSH",
    "Atanh": "ATANH", "Floor": "FLOOR", "Ceil": "CEIL", "Round": "ROUND", "Sign": "SIGN", "Equal": "EQUAL",
    "Greater": "GREATER", "Less": "LESS", "GreaterOrEqual": "GREATER_EQUAL", "LessOrEqual": "LESS_EQUAL",
    "And": "AND", "Or": "OR", "Xor": "XOR", "Not": "NOT", "IsNaN": "IS_NAN",
}
# Operator -> function, and the attributes that are its alpha and beta, with ONNX's defaults.
PARAMETERS = {
    "Swish": ("SILU", [("alpha", 1.0)]), "LeakyRelu": ("LEAKY_RELU", [("alpha", 0.01)]),
    "Elu": ("ELU", [("alpha", 1.0)]), "Celu": ("CELU", [("alpha", 1.0)]),
    "Selu": ("SELU", [("alpha", 1.6732631921768188), ("gamma", 1.0507010221481323)]),
    "HardSigmoid": ("HARD_SIGMOID", [("alpha", 0.2), ("beta", 0.5)]),
    "ThresholdedRelu": ("THRESHOLDED_RELU", [("alpha", 1.0)]),
    "Shrink": ("SHRINK", [("lambd", 0.5), ("bias", 0.0)]),
}
# Operators of any number of operands -> function of two.
FOLDED = {"Max": "MAX", "Min": "MIN", "Sum": "ADD", "Mean": "ADD"}


@operator(*PLAIN)
def plain(n):
    return n.device.elementwise(PLAIN[n.op], *n.all())


@operator(*PARAMETERS)
def with_parameters(n):
    function, attributes = PARAMETERS[n.op]
    values = [n.attr(name, default) for name, default in attributes]
    return n.device.elementwise(function, *n.all(), **dict(zip(("alpha", "beta"), values)))


@operator(*FOLDED)
def folded(n):
    operands = n.all()
    y = n.device.cast(operands[0])
    for x in operands[1:]:
        y = n.device.elementwise(FOLDED[n.op], y, x)
    if n.op == "Mean":
        y = n.device.elementwise("DIV", y, n.device.scalar(len(operands), y.dtype))
    return y


@operator("Gelu")
def gelu(n):
    return n.device.elementwise("GELU_TANH" if n.attr("approximate") == "tanh" else "GELU", n["X"])


@operator("SwiGLU")
def swiglu(n):
    alpha = n.attr("alpha", 1.0)
    if alpha == 1.0:
        return n.device.elementwise("SWIGLU", n["A"], n["B"])
    return n.device.elementwise("MUL", n.device.elementwise("SILU", n["A"], alpha=alpha), n["B"])


@operator("Clip")
def clip(n):
    x, low, high = n["input"], n["min"], n["max"]
    if low is not None and high is not None:
        return n.device.elementwise("CLIP", x, low, high)
    if low is not None:
        return n.device.elementwise("MAX", x, low)
    return n.device.cast(x) if high is None else n.device.elementwise("MIN", x, high)


@operator("Pow")
def power(n):
    """Weft's pow is of floats: integers go through f64, and the result has the first operand's dtype."""
    x, y = n["X"], n["Y"]
    dtype = np.float64 if x.dtype.kind in "iu" else x.dtype
    return n.device.cast(n.device.elementwise("POW", n.device.cast(x, dtype), n.device.cast(y, dtype)), x.dtype)


@operator("Mod")
def modulo(n):
    """fmod 1 has the sign of a, as Weft's; fmod 0 that of b: a remainder of the other sign moves by b."""
    a, b, ew = n["A"], n["B"], n.device.elementwise
    m = ew("MOD", a, b)
    if n.attr("fmod") or a.dtype.kind == "u":
        return m
    zero = n.device.scalar(0, a.dtype)
    apart = ew("XOR", ew("LESS", m, zero), ew("LESS", b, zero))
    return ew("SELECT", ew("AND", apart, ew("NOT", ew("EQUAL", m, zero))), ew("ADD", m, b), m)


@operator("IsInf")
def is_inf(n):
    x, ew = n["X"], n.device.elementwise
    y, zero = ew("IS_INF", x), n.device.scalar(0, x.dtype)
    if not n.attr("detect_negative", 1):
        y = ew("AND", y, ew("GREATER", x, zero))
    return y if n.attr("detect_positive", 1) else ew("AND", y, ew("LESS", x, zero))


