#!/usr/bin/env python3
"""Linear algebra (BLAS) on a CUDA device beside cuBLAS itself, alternated in one process, each on memory of its own.

    tests/bench/blas_cuda.py [--seconds 0.2] [--only TEXT]

Prints microseconds a call, what that is (bandwidth as a share of a device-to-device copy's, or TFLOP/s), cuBLAS' time over
Weft's (above 1: Weft is faster), and how far the results of the first call are apart, relative to the largest element. Calls
are queued one after another on both sides; the least of several turns counts. cuBLAS is the library that PyTorch has loaded,
called by ctypes.
"""
import argparse
import ctypes

import torch

import operations_cuda as operations
from operations_cuda import TURNS, Bench
from weft import C, lib

operations.DTYPES.update({torch.complex64: "complex64", torch.complex128: "complex128"})
F32, F64, C32, C64 = torch.float32, torch.float64, torch.complex64, torch.complex128
LETTER = {F32: "S", F64: "D", C32: "C", C64: "Z"}
NAME = {F32: "f32", F64: "f64", C32: "c32", C64: "c64"}
REAL = {F32: F32, F64: F64, C32: F32, C64: F64}
PART = {F32: ctypes.c_float, F64: ctypes.c_double}
CONJUGATE, UPPER = C["WEFT_BLAS_CONJUGATE"], C["WEFT_BLAS_UPPER"]


class Cublas:
    """cuBLAS on the default stream, with factors on the host, or with results on the device."""

    def __init__(self):
        self.library = self.open()
        self.handles = [self.handle(device) for device in (0, 1)]

    @staticmethod
    def open():
        torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")  # so that it is there
        for name in ("libcublas.so.13", "libcublas.so.12"):
            try:
                return ctypes.CDLL(name)
            except OSError:
                pass
        raise SystemExit("no libcublas.so.13 or .12 in this process")

    def handle(self, device):
        handle = ctypes.c_void_p()
        assert self.library.cublasCreate_v2(ctypes.byref(handle)) == 0
        assert self.library.cublasSetPointerMode_v2(handle, device) == 0
        return handle

    def call(self, name, *arguments, results=False):
        """A function that queues a call. Tensors stand for their addresses, ints for ints."""
        function, handle = getattr(self.library, f"cublas{name}"), self.handles[results]
        given = [ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else a for a in arguments]

        def run():
            status = function(handle, *given)
            assert status == 0, f"{name} answered {status}"
        run.kept = arguments
        return run


def scalar(dtype, value):
    """A factor on the host: one part or two."""
    part = PART[REAL[dtype]]
    return (part * 2)(value, 0.0) if dtype.is_complex else (part * 1)(value)


def normal(*shape, dtype=F32):
    return torch.randn(*shape, device="cuda", dtype=dtype)


def pair(tensor):
    """The tensor and a copy of it, which cuBLAS has."""
    return tensor, tensor.clone()


def updates(b, blas, dtype, n):
    letter, shape, size = LETTER[dtype], f"{NAME[dtype]} {n}", n * torch.empty(0, dtype=dtype).element_size()
    x, x2 = pair(normal(n, dtype=dtype))
    y, y2 = pair(normal(n, dtype=dtype))
    X, Y = b.wrap(x), b.wrap(y)
    factor = scalar(dtype, 0.5)
    b.compare(f"axpy {shape}", "axpy", blas.call(f"{letter}axpy_v2", n, factor, x2, 1, y2, 1), outs=[(y, y2)],
              x=X, y=Y, alpha=0.5, bytes=3 * size)
    one = scalar(dtype, 1.0)
    b.compare(f"scal {shape}", "scal", blas.call(f"{letter}scal_v2", n, one, x2, 1), outs=[(x, x2)], x=X, alpha=1.0, bytes=2 * size)
    b.compare(f"swap {shape}", "swap", blas.call(f"{letter}swap_v2", n, x2, 1, y2, 1), outs=[(x, x2), (y, y2)], x=X, y=Y, bytes=4 * size)
    if not dtype.is_complex:
        c, s = scalar(dtype, 0.6), scalar(dtype, 0.8)
        b.compare(f"rot {shape}", "rot", blas.call(f"{letter}rot_v2", n, x2, 1, y2, 1, c, s), outs=[(x, x2), (y, y2)],
                  x=X, y=Y, c=0.6, s=0.8, bytes=4 * size)


def folds(b, blas, dtype, n):
    letter, shape, size = LETTER[dtype], f"{NAME[dtype]} {n}", n * torch.empty(0, dtype=dtype).element_size()
    x, y = normal(n, dtype=dtype), normal(n, dtype=dtype)
    X, Y = b.wrap(x), b.wrap(y)
    of_two, of_two2 = pair(torch.zeros(1, device="cuda", dtype=dtype))
    dot = f"{letter}dot{'u' if dtype.is_complex else ''}_v2"
    b.compare(f"dot {shape}", "dot", blas.call(dot, n, x, 1, y, 1, of_two2, results=True), outs=[(of_two, of_two2)],
              x=X, y=Y, result=b.wrap(of_two[0]), bytes=2 * size)
    names = {F32: ("Snrm2", "Sasum"), F64: ("Dnrm2", "Dasum"), C32: ("Scnrm2", "Scasum"), C64: ("Dznrm2", "Dzasum")}[dtype]
    for op, name in zip(("nrm2", "asum"), names):
        r, r2 = pair(torch.zeros(1, device="cuda", dtype=REAL[dtype]))
        b.compare(f"{op} {shape}", op, blas.call(f"{name}_v2", n, x, 1, r2, results=True), "weft_vector_desc", outs=[(r, r2)],
                  x=X, result=b.wrap(r[0]), bytes=size)
    r, r2 = pair(torch.ones(1, device="cuda", dtype=torch.int32))
    theirs = blas.call(f"I{letter.lower()}amax_v2", n, x, 1, r2, results=True)
    b.compare(f"iamax {shape}", "iamax", theirs, "weft_vector_desc", outs=lambda: [(r, r2 - 1)], x=X, result=b.wrap(r[0]), bytes=size)


def vectors(b, blas, dtype, m, n, lda=None):
    """gemv along rows and down columns, and ger. Rows of A lie `lda` elements apart."""
    letter, size, lda = LETTER[dtype], torch.empty(0, dtype=dtype).element_size(), lda or n
    a, a2 = (wide[:, :n] for wide in pair(normal(m, lda, dtype=dtype)))
    x, y = normal(n, dtype=dtype), normal(m, dtype=dtype)
    one, zero = scalar(dtype, 1.0), scalar(dtype, 0.0)
    shape = f"{NAME[dtype]} {m}x{n}" + (f" lda {lda}" if lda > n else "")
    r, r2 = pair(torch.zeros_like(y))
    along = blas.call(f"{letter}gemv_v2", 1, n, m, one, a2, lda, x, 1, zero, r2, 1)
    b.compare(f"gemv along rows {shape}", "gemv", along, outs=[(r, r2)], a=b.wrap(a), x=b.wrap(x), y=b.wrap(r), alpha=1.0,
              bytes=m * n * size)
    s, s2 = pair(torch.zeros_like(x))
    down = blas.call(f"{letter}gemv_v2", 0, n, m, one, a2, lda, y, 1, zero, s2, 1)
    b.compare(f"gemv down columns {shape}", "gemv", down, outs=[(s, s2)], a=b.wrap(a.t()), x=b.wrap(y), y=b.wrap(s), alpha=1.0,
              bytes=m * n * size)
    little = scalar(dtype, 0.01)
    outer = blas.call(f"{letter}ger{'u' if dtype.is_complex else ''}_v2", n, m, little, x, 1, y, 1, a2, lda)
    b.compare(f"ger {shape}", "ger", outer, outs=[(a, a2)], a=b.wrap(a), x=b.wrap(y), y=b.wrap(x), alpha=0.01, bytes=2 * m * n * size)


def products(b, blas, dtype, n, k):
    letter, a = LETTER[dtype], normal(n, k, dtype=dtype)
    c, c2 = pair(torch.zeros(n, n, device="cuda", dtype=dtype))
    flops = n * (n + 1) * k * (4 if dtype.is_complex else 1)
    one, zero = scalar(dtype, 1.0), scalar(dtype, 0.0)
    # Lower row by row is upper column by column.
    theirs = blas.call(f"{letter}syrk_v2", 1, 1, n, k, one, a, k, zero, c2, n)
    b.compare(f"syrk {NAME[dtype]} {n}x{k}", "syrk", theirs, outs=[(c, c2)], a=b.wrap(a), c=b.wrap(c), alpha=1.0, flops=flops)
    if dtype.is_complex:
        real = scalar(REAL[dtype], 1.0), scalar(REAL[dtype], 0.0)
        c3, c4 = pair(c)
        theirs = blas.call(f"{letter}herk_v2", 1, 2, n, k, real[0], a, k, real[1], c4, n)
        b.compare(f"herk {NAME[dtype]} {n}x{k}", "syrk", theirs, outs=[(c3, c4)],
                  a=b.wrap(a), c=b.wrap(c3), alpha=1.0, flags=CONJUGATE, flops=flops)


def triangle(*shape, dtype):
    """Lower triangles that keep solutions in bounds."""
    n = shape[-1]
    return torch.eye(n, device="cuda", dtype=dtype) * 2 + normal(*shape, dtype=dtype).tril() / n


def systems(b, blas, dtype, n, sides):
    letter, shape, one = LETTER[dtype], f"{NAME[dtype]} {n} x {sides}", scalar(dtype, 1.0)
    flops = n * n * sides * (4 if dtype.is_complex else 1)
    a = triangle(n, n, dtype=dtype)
    x, x2 = pair(normal(n, sides, dtype=dtype))
    theirs = blas.call(f"{letter}trsm_v2", 1, 1, 0, 0, sides, n, one, a, n, x2, sides)
    b.compare(f"trsm {shape}, row by row", "trsm", theirs, outs=[(x, x2)], a=b.wrap(a), b=b.wrap(x), alpha=1.0, flops=flops)
    columns, x, x2 = a.t().contiguous(), *pair(normal(sides, n, dtype=dtype))
    theirs = blas.call(f"{letter}trsm_v2", 0, 0, 0, 0, n, sides, one, columns, n, x2, n)
    b.compare(f"trsm {shape}, column by column", "trsm", theirs, outs=[(x, x2)], a=b.wrap(columns.t()), b=b.wrap(x.t()), alpha=1.0,
              flops=flops)
    x, x2 = pair(normal(sides, n, dtype=dtype))
    theirs = blas.call(f"{letter}trsm_v2", 0, 0, 1, 0, n, sides, one, a.t().contiguous(), n, x2, n)
    b.compare(f"trsm {shape}, transpose, column by column", "trsm", theirs, outs=[(x, x2)],
              a=b.wrap(columns), b=b.wrap(x.t()), alpha=1.0, flags=UPPER, flops=flops)


def batches(b, blas, dtype, count, n, sides):
    letter, one = LETTER[dtype], scalar(dtype, 1.0)
    a = triangle(count, n, n, dtype=dtype)
    x, x2 = pair(normal(count, n, sides, dtype=dtype))
    pointers = lambda t: torch.tensor([each.data_ptr() for each in t], device="cuda")  # noqa: E731
    theirs = blas.call(f"{letter}trsmBatched", 1, 1, 0, 0, sides, n, one, pointers(a), n, pointers(x2), sides, count)
    b.compare(f"trsm {NAME[dtype]} {count} of {n} x {sides}", "trsm", theirs, outs=[(x, x2)], a=b.wrap(a), b=b.wrap(x), alpha=1.0,
              flops=count * n * n * sides * (4 if dtype.is_complex else 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.2, help="a row, about")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    options = parser.parse_args()
    torch.manual_seed(1)
    bench, blas = Bench(options), Cublas()
    print(f"copy on the device: {bench.copy / 1e9:.0f} GB/s\n")
    print("| operation | weft us | cuBLAS us | | ratio | apart |\n|---|---|---|---|---|---|")
    for dtype in (F32, F64, C32, C64):
        for n in ([1000, 1 << 24] if dtype == F32 else [1 << 23]):
            updates(bench, blas, dtype, n)
            folds(bench, blas, dtype, n)
    for dtype, *shape in [(F32, 1000, 1000), (F32, 8192, 8192), (F64, 8192, 4096), (C32, 4096, 8192), (C64, 4096, 4096),
                          (F32, 257, 257), (F32, 1023, 1023), (F32, 1000, 1000, 1001), (F64, 300, 4000), (C64, 4000, 300)]:
        vectors(bench, blas, dtype, *shape)
    for dtype, n, k in [(F32, 2048, 2048), (F32, 4096, 4096), (F64, 2048, 2048), (C32, 2048, 2048), (C64, 1024, 1024),
                        (F32, 257, 257), (F32, 1023, 1023), (F32, 1024, 64), (F64, 1024, 4096)]:
        products(bench, blas, dtype, n, k)
    for dtype, n, sides in [(F32, 2048, 2048), (F32, 4096, 4096), (F32, 2048, 64), (F64, 2048, 2048), (C32, 2048, 2048),
                            (C64, 1024, 1024), (F32, 257, 257), (F64, 1023, 31)]:
        systems(bench, blas, dtype, n, sides)
    for dtype, count, n, sides in [(F32, 64, 512, 512), (F32, 1024, 32, 32), (F64, 64, 256, 256), (C32, 256, 64, 64)]:
        batches(bench, blas, dtype, count, n, sides)
    for n in (4, 8, 16, 24, 32):
        for sides in (1, 4, 16, 64):
            batches(bench, blas, F32, 4096, n, sides)
    for dtype in (F64, C32, C64):
        batches(bench, blas, dtype, 4096, 16, 16)
    bench.close()


if __name__ == "__main__":
    main()
