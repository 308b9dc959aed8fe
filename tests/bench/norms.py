"""Norms, rope, softmax and elementwise functions against PyTorch, alternating in one process, on one thread.

Prints microseconds an operation of both and PyTorch's time over Weft's (above 1: Weft is faster). Weft's time is that of
requests queued one after another, `alone` that of one submitted and waited for.
"""
import os
import sys
import time

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from weft import C, Session, check, ffi, lib  # noqa: E402

torch.set_num_threads(1)
session = Session("cpu", threads=1)
options = ffi.new("weft_submit *", {"struct_size": ffi.sizeof("weft_submit"), "timeout_ns": 2**62})
F = torch.nn.functional


def weft(op, desc, count):
    f = getattr(lib, "weft_" + op)
    start = time.perf_counter()
    for _ in range(count - 1):
        check(f(session.queue, desc, options, ffi.NULL))
    session.wait(lambda out: f(session.queue, desc, options, out))
    return (time.perf_counter() - start) / count * 1e6


def peer(f, count):
    start = time.perf_counter()
    for _ in range(count):
        f()
    return (time.perf_counter() - start) / count * 1e6


def compare(name, op, type_name, torch_f, **fields):
    desc = session.desc(type_name, **fields)
    once = max(peer(torch_f, 3), 1.0)
    count = int(min(max(20000 / once, 5), 300))
    ours, theirs, alone = [], [], []
    for _ in range(7):
        ours.append(weft(op, desc, count))
        theirs.append(peer(torch_f, count))
        alone.append(min(weft(op, desc, 1) for _ in range(5)))
    a, b = min(ours), min(theirs)
    print(f"{name:38} weft {a:9.2f}  torch {b:9.2f}  ratio {b / a:6.2f}  alone {min(alone):8.2f}", flush=True)


def put(t):
    if t.dtype == torch.bfloat16:
        import ml_dtypes
        return session.put(t.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return session.put(t.numpy())


def main():
    torch.manual_seed(1)
    for rows, row in [(1, 256), (1, 4096), (64, 256), (512, 1024), (512, 4096), (4096, 4096)]:
        x, w, b = torch.randn(rows, row), torch.randn(row), torch.randn(row)
        X, W, B, Y = put(x), put(w), put(b), put(x)
        label = f"{rows}x{row}"
        compare(f"rms_norm {label}", "rms_norm", "weft_norm_desc", lambda: F.rms_norm(x, (row,), w), x=X, weight=W, y=Y)
        compare(f"layer_norm {label}", "layer_norm", "weft_norm_desc", lambda: F.layer_norm(x, (row,), w, b), x=X, weight=W, bias=B, y=Y)
        compare(f"softmax {label}", "softmax", "weft_softmax_desc", lambda: torch.softmax(x, -1), x=X, y=Y, axis=-1)
        if rows > 1:
            compare(f"softmax axis 0 {label}", "softmax", "weft_softmax_desc", lambda: torch.softmax(x, 0), x=X, y=Y, axis=0)
    for rows, row in [(1, 4096), (512, 4096)]:
        x, r, w = torch.randn(rows, row).half(), torch.randn(rows, row).half(), torch.randn(row).half()
        X, R, W, Y, S = put(x), put(r), put(w), put(x), put(x)
        compare(f"add+rms_norm f16 {rows}x{row}", "rms_norm", "weft_norm_desc", lambda: F.rms_norm(x + r, (row,), w), x=X, residual=R, weight=W, y=Y, sum=S)
        compare(f"softmax f16 {rows}x{row}", "softmax", "weft_softmax_desc", lambda: torch.softmax(x, -1), x=X, y=Y, axis=-1)
    for shape in [(1, 32, 1, 128), (1, 32, 512, 128)]:
        x = torch.randn(*shape)
        X, Y = put(x), put(x)
        pos = torch.arange(shape[2]).double()
        inv = 1.0 / 10000 ** (torch.arange(0, 128, 2).double() / 128)

        def rope():
            angle = torch.cat([pos[:, None] * inv] * 2, -1)
            c, s = angle.cos().float(), angle.sin().float()
            half = torch.cat([-x[..., 64:], x[..., :64]], -1)
            return x * c + half * s

        for flags in (0, 1):
            compare(f"rope flags {flags} {shape}", "rope", "weft_rope_desc", rope, x=X, y=Y, flags=flags)
    functions = {
        "ADD": lambda a, b: a + b, "MUL": lambda a, b: a * b, "SWIGLU": lambda a, b: F.silu(a) * b,
        "EXP": lambda a, b: a.exp(), "LOG": lambda a, b: a.log(), "TANH": lambda a, b: a.tanh(), "ERF": lambda a, b: a.erf(),
        "GELU": lambda a, b: F.gelu(a), "SIN": lambda a, b: a.sin(), "SIGMOID": lambda a, b: a.sigmoid(), "RELU": lambda a, b: a.relu(),
        "SQRT": lambda a, b: a.sqrt(), "LESS": lambda a, b: a < b, "POW": lambda a, b: a.pow(b), "MISH": lambda a, b: F.mish(a),
    }
    for count in (4096, 1 << 20):
        a, b = torch.rand(count) + 0.1, torch.rand(count)
        A, B, Y, Z = put(a), put(b), put(a), put(a > 0)
        for name, f in functions.items():
            y = Z if name == "LESS" else Y
            two = name in ("ADD", "MUL", "SWIGLU", "LESS", "POW")
            compare(f"{name} {count}", "elementwise", "weft_elementwise_desc", lambda: f(a, b), a=A, b=B if two else None, y=y, function=C["WEFT_EW_" + name])
    a, b, c = torch.rand(1024, 1024), torch.rand(1024), torch.rand(1024, 1)
    A, B, K, Y = put(a), put(b), put(c), put(a)
    compare("ADD row broadcast 1024x1024", "elementwise", "weft_elementwise_desc", lambda: a + b, a=A, b=B, y=Y, function=1)
    compare("ADD column broadcast 1024x1024", "elementwise", "weft_elementwise_desc", lambda: a + c, a=A, b=K, y=Y, function=1)
    compare("ADD in place 1024x1024", "elementwise", "weft_elementwise_desc", lambda: a.add_(b), a=A, b=B, y=A, function=1)
    a, b = torch.rand(300000, 3), torch.rand(3)
    A, B, Y = put(a), put(b), put(a)
    compare("ADD row broadcast 300000x3", "elementwise", "weft_elementwise_desc", lambda: a + b, a=A, b=B, y=Y, function=1)
    a, b = torch.rand(1 << 20).half(), torch.rand(1 << 20).half()
    A, B, Y = put(a), put(b), put(a)
    compare("SWIGLU f16 1M", "elementwise", "weft_elementwise_desc", lambda: F.silu(a) * b, a=A, b=B, y=Y, function=C["WEFT_EW_SWIGLU"])
    a, b = a.bfloat16(), b.bfloat16()


if __name__ == "__main__":
    main()
