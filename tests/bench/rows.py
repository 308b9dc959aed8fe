"""Casts, gathers, rankings and reductions against PyTorch on one thread, alternating: python tests/bench/rows.py [part of a name].

Two ratios, above 1 where Weft is faster: of the whole call, and of the time that the device itself worked.
"""
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import weft
from weft import C, ffi, lib

torch.set_num_threads(1)
session = weft.Session("cpu", threads=1)
CODES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.float8_e4m3fn: "F8_E4M3", torch.int32: "I32", torch.int64: "I64"}


def device(array):
    """A tensor on Weft's device with the strides, dtype and elements of this one."""
    base = array.as_strided((array.untyped_storage().nbytes() // array.element_size(),), (1,), 0)
    raw = base.view(torch.uint8).numpy()
    t = ffi.new("weft_tensor *")
    t.buffer, t.dtype, t.rank = session.buffer(max(raw.nbytes, 1)), C["WEFT_" + CODES[array.dtype]], array.dim()
    for i in range(array.dim()):
        t.dims[i], t.strides[i] = array.shape[i], array.stride(i)
    session.wait(lambda r: lib.weft_write(session.queue, t.buffer, 0, ffi.from_buffer(raw), raw.nbytes, ffi.NULL, r))
    return t


def runner(op, desc, **fields):
    d = ffi.new(desc + " *")
    d.struct_size = ffi.sizeof(desc)
    for name, value in fields.items():
        setattr(d, name, device(value)[0] if isinstance(value, torch.Tensor) else value)
    request, record, submit = ffi.new("uint64_t *"), ffi.new("weft_completion *"), getattr(lib, "weft_" + op)

    def run():
        weft.check(submit(session.queue, d, ffi.NULL, request))
        weft.check(lib.weft_request_wait(request, 1, 0, weft.FOREVER, ffi.NULL))
        weft.check(lib.weft_request_completion(request[0], record))
        lib.weft_request_release(request[0])
        return record.device_ns / 1e9
    return run


def compare(name, ours, theirs):
    if len(sys.argv) > 1 and sys.argv[1] not in name:
        return
    best = [1e9] * 3
    for _ in range(20):
        start = time.perf_counter()
        busy = ours()
        middle = time.perf_counter()
        theirs()
        end = time.perf_counter()
        best = [min(a, b) for a, b in zip(best, (middle - start, busy, end - middle))]
    call, busy, peer = best
    print(f"{name:40s} {call * 1e6:9.1f} us {busy * 1e6:9.1f} us  torch {peer * 1e6:9.1f} us  {peer / call:6.2f} {peer / busy:6.2f}")


def cast(name, x, y):
    compare(name, runner("cast", "weft_cast_desc", x=x, y=y), lambda: y.copy_(x))


N = 1 << 22
numbers = torch.randn(N)
f32, bf16, f16 = torch.float32, torch.bfloat16, torch.float16
for a, b in [(f32, f32), (f32, bf16), (bf16, f32), (f32, f16), (f16, f32), (f32, torch.int32), (torch.int32, f32),
             (f32, torch.float8_e4m3fn), (torch.float8_e4m3fn, f32)]:
    cast(f"cast {CODES[a]} to {CODES[b]}", numbers.to(a), torch.empty(N, dtype=b))
for dtype in (f32, bf16):
    for rows, columns in [(2048, 2048), (1000, 3000)]:
        cast(f"transpose {CODES[dtype]} {rows} x {columns}", torch.randn(columns, rows).to(dtype).t(),
             torch.empty(rows, columns, dtype=dtype))
cast("transpose NCHW to NHWC", torch.randn(8, 64, 56, 56).permute(0, 2, 3, 1), torch.empty(8, 56, 56, 64))

for count, width in [(1, 576), (512, 576), (128, 4096)]:
    table, index = torch.zeros(49152, width, dtype=bf16), torch.randint(0, 49152, (count,))
    rows = torch.empty(count, width, dtype=bf16)
    compare(f"gather {count} of 49152 x {width} BF16",
            runner("gather_rows", "weft_rows_desc", table=table, indices=index, rows=rows),
            lambda: torch.index_select(table, 0, index, out=rows))
table, index, rows = torch.zeros(4096, 512), torch.randint(0, 4096, (4096,)), torch.zeros(4096, 512)
compare("scatter and add 4096 x 512", runner("scatter_rows", "weft_rows_desc", table=table, indices=index, rows=rows,
                                             flags=C["WEFT_ROWS_ADD"]), lambda: table.index_add_(0, index, rows))

for shape, axis in [((49152,), 0), ((8, 49152), 1), ((4096, 64), 1), ((128, 4096), 0)]:
    for dtype in (f32, bf16):
        x = torch.randn(*shape).to(dtype)
        out = x.argmax(axis, keepdim=True)
        compare(f"argmax {CODES[dtype]} {shape} axis {axis}",
                runner("arg_reduce", "weft_rank_desc", x=x, indices=out, axis=axis), lambda: x.argmax(axis))
for shape, k in [((49152,), 40), ((64, 1000), 5), ((8, 49152), 1000)]:
    x = torch.randn(*shape)
    values, indices = x.topk(k)
    compare(f"top {k} of {shape}", runner("top_k", "weft_rank_desc", x=x, values=values, indices=indices, axis=-1),
            lambda: x.topk(k))

FUNCTIONS = {"SUM": torch.sum, "MAX": torch.amax, "L2": lambda x, d: torch.linalg.vector_norm(x, 2, d),
             "LOG_SUM_EXP": torch.logsumexp}
for shape, axes in [((1024, 1024), (1,)), ((1024, 1024), (0,)), ((N,), (0,)), ((32, 64, 28, 28), (0, 2, 3)),
                    ((65536, 16), (1,)), ((65536, 16), (0,))]:
    for function, peer in FUNCTIONS.items():
        for dtype in (f32, bf16) if function in ("SUM", "MAX") else (f32,):
            x = torch.randn(*shape).to(dtype)
            y = peer(x, axes).contiguous()
            compare(f"reduce {function} {CODES[dtype]} {shape} {axes}",
                    runner("reduce", "weft_reduce_desc", x=x, y=y, function=C["WEFT_REDUCE_" + function],
                           axes=sum(1 << a for a in axes)), lambda: peer(x, axes))
