#!/usr/bin/env python3
"""Operations on a CUDA device beside PyTorch, alternated in one process, on the same memory.

    tests/bench/operations_cuda.py [--seconds 0.3] [--only TEXT]

Prints microseconds an operation, the bandwidth of what it must read and write as a share of a measured device-to-device
copy (memory-bound rows) or TFLOP/s, and PyTorch's time over Weft's (above 1: Weft is faster). Requests are queued one after
another, as PyTorch's are; the least of several turns counts. Weft's buffers wrap PyTorch's memory.
"""
import argparse
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from weft import C, Array, Session, check, ffi, lib  # noqa: E402

F = torch.nn.functional
DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.bfloat16: "bfloat16",
          torch.int32: "int32", torch.int64: "int64", torch.float8_e4m3fn: "float8_e4m3fn", torch.float8_e5m2: "float8_e5m2"}
TURNS = 7


class Bench:
    def __init__(self, options):
        self.options, self.session = options, Session("cuda:0")
        self.submit = ffi.new("weft_submit *", {"struct_size": ffi.sizeof("weft_submit"), "timeout_ns": 2**62})
        self.kept = []
        self.copy = self.copy_bandwidth()

    def copy_bandwidth(self):
        source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
        target = torch.empty_like(source)
        return 2 * source.nbytes / self.least(lambda: self.peer(lambda: target.copy_(source), 10))

    def least(self, turn):
        return min(turn() for _ in range(TURNS))

    def wrap(self, tensor):
        """A Weft array over a PyTorch tensor's memory and strides."""
        import ml_dtypes  # noqa: F401
        import numpy as np
        base = tensor.untyped_storage()
        desc = ffi.new("weft_buffer_desc *", {"struct_size": ffi.sizeof("weft_buffer_desc"), "address": base.data_ptr()})
        out = ffi.new("uint64_t *")
        check(lib.weft_buffer_create(self.session.context, base.nbytes(), desc, out))
        self.kept.append((tensor, out[0]))
        offset = tensor.data_ptr() - base.data_ptr()
        return Array(self.session, tensor.shape, np.dtype(DTYPES[tensor.dtype]), tuple(tensor.stride()), offset, out[0])

    def peer(self, function, count):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            function()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    def ours(self, function, desc, count):
        start = time.perf_counter()
        for _ in range(count - 1):
            check(function(self.session.queue, desc, self.submit, ffi.NULL))
        self.session.wait(lambda out: function(self.session.queue, desc, self.submit, out))
        return (time.perf_counter() - start) / count

    def compare(self, name, op, peer, type_name=None, bytes=0, flops=0, outs=None, **fields):
        """`outs`: pairs of what Weft writes and what the peer does, or a function that says so afterwards: a column more."""
        if self.options.only not in name:
            return
        desc = self.session.desc(type_name or f"weft_{op}_desc", **fields)
        function = getattr(lib, "weft_" + op)
        torch.cuda.synchronize()
        try:
            self.ours(function, desc, 1), peer()  # what is compiled is compiled here
            torch.cuda.synchronize()
            apart = max(distance(*pair) for pair in (outs() if callable(outs) else outs)) if outs else None
            once = max(self.ours(function, desc, 2), self.peer(peer, 2))
        except Exception as error:
            print(f"| {name} | {error} | | | |{' |' if outs else ''}", flush=True)
            return
        count = int(min(max(self.options.seconds / TURNS / 2 / once, 3), 400))
        turns = [(self.ours(function, desc, count), self.peer(peer, count)) for _ in range(TURNS)]
        mine, yours = map(min, zip(*turns))
        share = f"{bytes / mine / 1e9:.0f} GB/s, {bytes / mine / self.copy:.2f} of copy" if bytes else ""
        share = f"{flops / mine / 1e12:.{1 if apart is None else 2}f} TFLOP/s" if flops else share
        last = "" if apart is None else f" {apart:.1e} |"
        print(f"| {name} | {mine * 1e6:.2f} | {yours * 1e6:.2f} | {share} | {yours / mine:.2f} |{last}", flush=True)

    def close(self):
        for _, buffer in self.kept:
            lib.weft_buffer_release(buffer)
        self.session.close()


def distance(ours, theirs):
    """The largest difference, relative to the largest element."""
    ours, theirs = (torch.view_as_real(t) if t.is_complex() else t for t in (ours, theirs))
    most = theirs.abs().max().double()
    return float((ours.double() - theirs.double()).abs().max() / most) if most > 0 else float(ours.abs().max())


def normal(*shape, dtype=torch.bfloat16):
    return torch.randn(*shape, device="cuda", dtype=torch.float32).to(dtype)


def pointwise(b, rows=16384, columns=8192):
    x, y, z = (normal(rows, columns) for _ in range(3))
    X, Y, Z = map(b.wrap, (x, y, z))
    size = x.nbytes
    shape = f"bf16 {rows}x{columns}"
    run = lambda name, code, function, n, **fields: b.compare(  # noqa: E731
        f"{name} {shape}", "elementwise", function, bytes=n * size, function=C["WEFT_EW_" + code], **fields)
    run("add", "ADD", lambda: torch.add(x, y, out=z), 3, a=X, b=Y, y=Z)
    run("gelu", "GELU", lambda: F.gelu(x), 2, a=X, y=Z)
    run("silu", "SILU", lambda: F.silu(x), 2, a=X, y=Z)
    run("exp", "EXP", lambda: torch.exp(x, out=z), 2, a=X, y=Z)
    row = normal(columns)
    column = normal(rows, 1)
    run("swiglu", "SWIGLU", lambda: F.silu(x) * y, 3, a=X, b=Y, y=Z)
    run("add a row", "ADD", lambda: torch.add(x, row, out=z), 2, a=X, b=b.wrap(row), y=Z)
    run("add a column", "ADD", lambda: torch.add(x, column, out=z), 2, a=X, b=b.wrap(column), y=Z)
    wide = torch.empty(rows, columns, device="cuda", dtype=torch.float32)
    b.compare(f"cast bf16 to f32 {rows}x{columns}", "cast", lambda: wide.copy_(x), bytes=3 * size, x=X, y=b.wrap(wide))
    b.compare(f"cast f32 to bf16 {rows}x{columns}", "cast", lambda: z.copy_(wide), bytes=3 * size, x=b.wrap(wide), y=Z)
    turned = torch.empty(columns, rows, device="cuda", dtype=torch.bfloat16)
    b.compare(f"transpose {shape}", "cast", lambda: turned.copy_(x.t()), bytes=2 * size, x=X, y=b.wrap(turned.t()))


def norms(b):
    for count, columns, skipped in [(16384, 8192, 0), (32768, 4096, 0), (131072, 1024, 0), (65536, 2048, 0), (8192, 16384, 0),
                                    (16384, 8191, 0), (131072, 1023, 0), (16384, 8192, 1)]:
        # Elements skipped: rows that begin at odd addresses.
        x, y, r, total = (normal(skipped + count * columns)[skipped:].view(count, columns) for _ in range(4))
        w, bias = normal(columns), normal(columns)
        X, Y, R, T, W, B = map(b.wrap, (x, y, r, total, w, bias))
        size, shape = x.nbytes, f"bf16 {count}x{columns}" + (" unaligned" if skipped else "")
        norm = lambda name, function, n, op="rms_norm", **fields: b.compare(  # noqa: E731
            f"{name} {shape}", op, function, "weft_norm_desc", n * size, x=X, y=Y, epsilon=1e-5, **fields)
        norm("rms_norm", lambda: F.rms_norm(x, (columns,), w), 2, weight=W)
        norm("rms_norm of a sum", lambda: F.rms_norm(torch.add(x, r, out=total), (columns,), w), 4, weight=W, residual=R, sum=T)
        norm("layer_norm", lambda: F.layer_norm(x, (columns,), w, bias), 2, "layer_norm", weight=W, bias=B)
        norm("layer_norm of a sum", lambda: F.layer_norm(torch.add(x, r, out=total), (columns,), w, bias), 4, "layer_norm",
             weight=W, bias=B, residual=R, sum=T)
        b.compare(f"softmax {shape}", "softmax", lambda: F.softmax(x, -1), bytes=2 * size, x=X, y=Y, axis=-1)
        b.compare(f"log softmax {shape}", "softmax", lambda: F.log_softmax(x, -1), bytes=2 * size, x=X, y=Y, axis=-1,
                  flags=C["WEFT_SOFTMAX_LOG"])


def ropes(b):
    for batch in (1, 8):
        x, y = (normal(batch, 32, 4096, 128) for _ in range(2))
        angles = torch.outer(torch.arange(4096, device="cuda"), 10000 ** (-torch.arange(64, device="cuda") / 64))
        cos, sin = (function(angles)[:, :, None].expand(4096, 64, 2) for function in (torch.cos, torch.sin))
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        X, Y, COS, SIN = b.wrap(x), b.wrap(y), b.wrap(angles.cos().float()), b.wrap(angles.sin().float())

        def halves():
            both = torch.cat([-x[..., 64:], x[..., :64]], -1)
            return x * cos.transpose(1, 2).reshape(4096, 128) + both * sin.transpose(1, 2).reshape(4096, 128)

        def neighbours():
            pairs = x.view(batch, 32, 4096, 64, 2)
            both = torch.stack([-pairs[..., 1], pairs[..., 0]], -1)
            return (pairs * cos + both * sin).view(x.shape)

        for name, flags, function in [("halves", C["WEFT_ROPE_HALF_SPLIT"], halves), ("neighbours", 0, neighbours)]:
            shape = f"bf16 {batch}x32x4096x128"
            b.compare(f"rope, {name} {shape}", "rope", function, bytes=2 * x.nbytes, x=X, y=Y, flags=flags)
            b.compare(f"rope, {name} by tables {shape}", "rope", function, bytes=2 * x.nbytes, x=X, y=Y, cos=COS, sin=SIN, flags=flags)


def reductions(b, count=16384, columns=8192):
    x = normal(count, columns)
    X, size, shape = b.wrap(x), x.nbytes, f"bf16 {count}x{columns}"
    run = lambda name, code, axes, y, function, bytes=size: b.compare(  # noqa: E731
        f"{name} {shape}", "reduce", function, bytes=bytes, function=C["WEFT_REDUCE_" + code], axes=axes, x=X, y=b.wrap(y))
    empty = lambda *dims: torch.empty(*dims, device="cuda", dtype=torch.bfloat16)  # noqa: E731
    total, across, one = empty(count), empty(columns), empty(1)
    run("sum of rows", "SUM", 2, total, lambda: torch.sum(x, 1, out=total))
    run("sum of columns", "SUM", 1, across, lambda: torch.sum(x, 0, out=across))
    run("max of rows", "MAX", 2, total, lambda: torch.amax(x, 1, out=total))
    run("log-sum-exp of rows", "LOG_SUM_EXP", 2, total, lambda: torch.logsumexp(x, 1, out=total))
    run("mean of all", "MEAN", 3, one[0], lambda: torch.mean(x))


def picks(b, count=16384, columns=8192):
    x, y = normal(count, columns), normal(count, columns)
    X, Y, size, shape = b.wrap(x), b.wrap(y), x.nbytes, f"bf16 {count}x{columns}"
    indices = torch.randperm(count, device="cuda")
    fields = dict(type_name="weft_rows_desc", table=X)
    b.compare(f"gather rows {shape}", "gather_rows", lambda: torch.index_select(x, 0, indices, out=y), bytes=2 * size,
              indices=b.wrap(indices), rows=Y, **fields)
    b.compare(f"scatter rows {shape}", "scatter_rows", lambda: x.index_copy_(0, indices, y), bytes=2 * size,
              indices=b.wrap(indices), rows=Y, **fields)
    b.compare(f"scatter rows adding {shape}", "scatter_rows", lambda: x.index_add_(0, indices, y), bytes=3 * size,
              flags=C["WEFT_ROWS_ADD"], indices=b.wrap(indices), rows=Y, **fields)
    x, y = normal(1 << 20, 128), normal(1 << 20, 128)
    indices = torch.randperm(1 << 20, device="cuda")
    b.compare(f"gather rows bf16 {1 << 20}x128", "gather_rows", lambda: torch.index_select(x, 0, indices, out=y), "weft_rows_desc",
              2 * x.nbytes, table=b.wrap(x), indices=b.wrap(indices), rows=b.wrap(y))
    for few in (1, 64, 1024):
        some, part = indices[:few].contiguous(), y[:few]
        fields = dict(type_name="weft_rows_desc", table=b.wrap(x), indices=b.wrap(some), rows=b.wrap(part))
        b.compare(f"gather {few} of {1 << 20} rows of 128 bf16", "gather_rows", lambda: torch.index_select(x, 0, some, out=part), **fields)
        b.compare(f"scatter {few} of {1 << 20} rows of 128 bf16", "scatter_rows", lambda: x.index_copy_(0, some, part), **fields)


def orders(b, count=16384, columns=8192):
    x = normal(count, columns)
    best = torch.empty(count, device="cuda", dtype=torch.int64)
    b.compare(f"argmax of rows bf16 {count}x{columns}", "arg_reduce", lambda: torch.argmax(x, 1, out=best), "weft_rank_desc", x.nbytes,
              x=b.wrap(x), indices=b.wrap(best), axis=1)
    values, places = torch.topk(x[:1024], 50)
    b.compare(f"top 50 of 1024 rows of {columns} bf16", "top_k", lambda: torch.topk(x[:1024], 50), "weft_rank_desc", 1024 * columns * 2,
              x=b.wrap(x[:1024]), values=b.wrap(values), indices=b.wrap(places), k=50, axis=-1)
    for length in (32000, 151936):
        logits = normal(1, length, dtype=torch.float32)
        one = torch.empty(1, device="cuda", dtype=torch.int64)
        b.compare(f"argmax of {length} f32", "arg_reduce", lambda: torch.argmax(logits, 1, out=one), "weft_rank_desc",
                  x=b.wrap(logits), indices=b.wrap(one), axis=1)
        for k in (1, 50):
            values, places = torch.topk(logits, k)
            b.compare(f"top {k} of {length} f32", "top_k", lambda: torch.topk(logits, k), "weft_rank_desc", x=b.wrap(logits),
                      values=b.wrap(values), indices=b.wrap(places), k=k, axis=-1)


def products(b):
    bf16, f16, f32, f64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
    for size in (1024, 2048, 4096, 8192):
        product(b, size, size, size, bf16)
    product(b, 16384, 16384, 8192, bf16)
    product(b, 4096, 4096, 4096, bf16, turned=False)
    product(b, 4096, 4096, 4096, f16)
    product(b, 4096, 4096, 4096, f32)
    product(b, 4096, 4096, 4096, f32, tf32=True)
    product(b, 2048, 2048, 2048, f64)
    for m, n, k, dtype in [(64, 8192, 8192, bf16), (16, 4096, 4096, bf16), (16, 8192, 8192, bf16), (8, 8192, 8192, bf16), (4, 8192, 8192, bf16),
                           (1, 4096, 4096, bf16), (1, 8192, 8192, bf16), (1, 28672, 8192, bf16), (1, 8192, 28672, bf16),
                           (1, 4096, 4096, f32), (1, 8192, 8192, f32)]:
        product(b, m, n, k, dtype)
    for m in (1, 4):
        product(b, m, 8192, 8192, bf16, turned=False)
    product(b, 256, 256, 256, f32)
    product(b, 256, 256, 256, bf16)
    for size in (1024, 2048, 4096, 8192):
        for fast in (True, False):
            small_product(b, size, size, size, "tensor", fast)
    for scales, fast in [("rows", True), ("rows", False), ("blocks", False)]:
        for size in (4096, 8192):
            small_product(b, size, size, size, scales, fast)
    small_product(b, 16, 8192, 8192, "tensor", True)
    small_product(b, 64, 8192, 8192, "tensor", True)


def product(b, m, n, k, dtype, turned=True, tf32=False):
    """x y^T, as weights [n, k] are multiplied, or x y."""
    x, z = normal(m, k, dtype=dtype), torch.empty(m, n, device="cuda", dtype=dtype)
    y = normal(n, k, dtype=dtype).t() if turned else normal(k, n, dtype=dtype)
    work = dict(bytes=x.nbytes + y.nbytes + z.nbytes) if m < 128 else dict(flops=2 * m * n * k)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    flags = C["WEFT_MATMUL_ALLOW_TF32"] if tf32 else 0
    name = f"matmul {'tf32' if tf32 else DTYPES[dtype]} {m}x{n}x{k}{'' if turned else ' straight'}"
    b.compare(name, "matmul", lambda: torch.matmul(x, y, out=z), a=b.wrap(x), b=b.wrap(y), d=b.wrap(z), flags=flags, **work)


def small_product(b, m, n, k, scales, fast):
    """x y^T of 8-bit floats with scales: one each, of rows, or of 1 x 128 and 128 x 128."""
    x, y = normal(m, k).to(torch.float8_e4m3fn), normal(n, k).to(torch.float8_e4m3fn).t()
    z = torch.empty(m, n, device="cuda", dtype=torch.bfloat16)
    one = lambda *shape: torch.rand(*shape, device="cuda") + 0.5
    if scales == "blocks":
        scale_x, scale_y = one(k // 128, m).t(), one(n // 128, k // 128).t()
    else:
        scale_x, scale_y = (one(1, 1), one(1, 1)) if scales == "tensor" else (one(m, 1), one(1, n))
    work = dict(bytes=x.nbytes + y.nbytes + z.nbytes) if m < 128 else dict(flops=2 * m * n * k)
    name = f"matmul e4m3 {m}x{n}x{k} scales of {scales}{' fast' if fast else ''}"
    peer = lambda: torch._scaled_mm(x, y, scale_x, scale_y, out_dtype=z.dtype, use_fast_accum=fast, out=z)
    b.compare(name, "matmul", peer, a=b.wrap(x), b=b.wrap(y), d=b.wrap(z), a_scale=b.wrap(scale_x), b_scale=b.wrap(scale_y),
              flags=C["WEFT_MATMUL_FAST_ACCUMULATION"] if fast else 0, **work)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="a row, about")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    options = parser.parse_args()
    torch.manual_seed(1)
    bench = Bench(options)
    print(f"copy on the device: {bench.copy / 1e9:.0f} GB/s\n")
    print("| operation | weft us | PyTorch us | | ratio |\n|---|---|---|---|---|")
    for table in (pointwise, norms, ropes, reductions, picks, orders, products):
        table(bench)
    bench.close()


if __name__ == "__main__":
    main()
