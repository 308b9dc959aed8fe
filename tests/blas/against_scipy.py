#!/usr/bin/env python3
"""Every BLAS function of Weft against SciPy's, in double precision, on random numbers: each dtype, flag and kind of stride.

    python3 tests/blas/against_scipy.py [--cases 12] [--only TEXT]

WEFT_LIB and WEFT_DEVICE as for tests/python/weft.py. Without numpy, cffi or SciPy it says so and skips.
"""
import argparse
import itertools
import os
import sys

try:
    import cffi  # noqa: F401
    import numpy as np
    from scipy.linalg import blas
except ImportError as error:
    print(f"skipped: BLAS against SciPy ({error})\n0 passed, 0 failed, 1 skipped")
    sys.exit(0)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from weft import C, Session  # noqa: E402

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
CONJUGATE, UPPER, RIGHT, UNIT = (C[f"WEFT_BLAS_{name}"] for name in ("CONJUGATE", "UPPER", "RIGHT", "UNIT"))

# What makes of a larger array one of the wanted shape: its shape, and the view.
VECTORS = [
    (lambda n: (n,), lambda a: a),
    (lambda n: (n + 3,), lambda a: a[1:-2]),
    (lambda n: (2 * n + 1,), lambda a: a[1::2]),
    (lambda n: (n,), lambda a: a[::-1]),
    (lambda n: (3 * n,), lambda a: a[::-3]),
]
MATRICES = [
    (lambda m, n: (m, n), lambda a: a),
    (lambda m, n: (n, m), lambda a: a.T),
    (lambda m, n: (m + 2, n + 5), lambda a: a[1:-1, 2:-3]),
    (lambda m, n: (n + 4, m + 4), lambda a: a[4:, :-4].T),
    (lambda m, n: (m, 2 * n), lambda a: a[:, ::2]),
    (lambda m, n: (m, n), lambda a: a[::-1, ::-1]),
    (lambda m, n: (n, m), lambda a: a[::-1].T),
]


class Operand:
    """An array on the device with what lies around it, and its values."""

    def __init__(self, check, kinds, shape, dtype, value=None):
        self.check, (larger, self.view) = check, check.pick(kinds)
        whole = check.normal(larger(*shape), dtype)
        self.values = self.view(whole)
        if value is not None:
            self.values[...] = value(self.values)
        self.before = whole.copy()
        self.whole = check.session.put(whole)
        self.array = self.whole.seen(self.view)
        self.wide = self.values.astype(np.complex128 if np.iscomplexobj(whole) else np.float64)

    def after(self):
        """What the array holds now; nothing around it may have changed."""
        now = self.whole.numpy()
        result = self.view(now).copy()
        self.view(now)[...] = self.view(self.before)
        assert np.array_equal(now, self.before, equal_nan=True), "memory around the array changed"
        return result


class Check:
    def __init__(self, options):
        self.options, self.session, self.rng = options, Session(), np.random.default_rng(7)
        self.passed, self.failed = 0, 0

    def pick(self, values):
        return values[self.rng.integers(len(values))]

    def normal(self, shape, dtype):
        parts = [self.rng.standard_normal(shape) for _ in range(1 + np.issubdtype(dtype, np.complexfloating))]
        return np.ascontiguousarray(sum(part * unit for part, unit in zip(parts, (1, 1j)))).astype(dtype)

    def size(self):
        return int(self.pick([1, 2, 3, 7, 16, 33, 64, 100, 130]))

    def factor(self, dtype):
        real = self.pick([0.0, 1.0, -1.0, 0.75, 1.5])
        return complex(real, self.pick([0.0, -0.5])) if np.issubdtype(dtype, np.complexfloating) else real

    def close(self, got, want, depth):
        """Within so many roundings of numbers of this size."""
        bound = np.finfo(got.dtype).eps * 8 * (depth + 4) * max(1.0, float(np.abs(want).max(initial=0)))
        apart = float(np.abs(got - want).max(initial=0))
        assert np.isfinite(got).all() and apart <= bound, f"apart by {apart}, more than {bound}"

    def run(self, name, function):
        if self.options.only not in name:
            return
        for dtype, case in itertools.product(DTYPES, range(self.options.cases)):
            try:
                function(self, dtype, np.issubdtype(dtype, np.complexfloating))
                self.passed += 1
            except Exception as error:
                self.failed += 1
                print(f"FAILED {name} {np.dtype(dtype)} case {case}: {error}", flush=True)

    def factors(self, **named):
        """Real and imaginary fields."""
        both = {name: complex(value) for name, value in named.items()}
        return {f"{name}{suffix}": part for name, value in both.items()
                for suffix, part in (("", value.real), ("_imag", value.imag)) if part or not suffix}


def routine(name, is_complex):
    return getattr(blas, ("z" if is_complex else "d") + name)


def axpy(check, dtype, is_complex):
    n, alpha = check.size() * check.pick([1, 40]), check.factor(dtype)
    x, y = (Operand(check, VECTORS, (n,), dtype) for _ in range(2))
    check.session.run("axpy", x=x.array, y=y.array, **check.factors(alpha=alpha))
    check.close(y.after(), routine("axpy", is_complex)(x.wide, y.wide.copy(), a=alpha), 1)


def scal(check, dtype, is_complex):
    alpha = check.factor(dtype)
    x = Operand(check, VECTORS, (check.size(),), dtype)
    check.session.run("scal", x=x.array, **check.factors(alpha=alpha))
    check.close(x.after(), routine("scal", is_complex)(alpha, x.wide.copy()), 1)


def swap(check, dtype, is_complex):
    n = check.size()
    x, y = (Operand(check, VECTORS, (n,), dtype) for _ in range(2))
    check.session.run("swap", x=x.array, y=y.array)
    assert np.array_equal(x.after(), y.values) and np.array_equal(y.after(), x.values)


def rot(check, dtype, is_complex):
    n, c, s = check.size(), 0.6, 0.8
    x, y = (Operand(check, VECTORS, (n,), dtype) for _ in range(2))
    check.session.run("rot", x=x.array, y=y.array, c=c, s=s)
    function = blas.zdrot if is_complex else blas.drot
    for operand, want in zip((x, y), function(x.wide, y.wide, c, s)):
        check.close(operand.after(), want, 2)


def dot(check, dtype, is_complex):
    n, conjugate = check.size() * check.pick([1, 200]), bool(check.pick([0, 1]))
    x, y = (Operand(check, VECTORS, (n,), dtype) for _ in range(2))
    result = check.session.output((), dtype)
    check.session.run("dot", x=x.array, y=y.array, result=result, flags=CONJUGATE * conjugate)
    want = routine("dot" + ("uc"[conjugate] if is_complex else ""), is_complex)(x.wide, y.wide)
    sizes = float(np.sum(np.abs(x.wide) * np.abs(y.wide)))
    assert abs(result.numpy() - want) <= 4 * (np.finfo(dtype).eps * abs(want) + n * np.finfo(np.float64).eps * sizes)


def measures(check, dtype, is_complex):
    n = check.size() * check.pick([1, 200])
    x, real = Operand(check, VECTORS, (n,), dtype), np.zeros(1, dtype).real.dtype
    for name, function in (("nrm2", blas.dznrm2 if is_complex else blas.dnrm2), ("asum", blas.dzasum if is_complex else blas.dasum)):
        result = check.session.output((), real)
        check.session.run(name, "weft_vector_desc", x=x.array, result=result)
        check.close(result.numpy(), function(x.wide), 1)
    result = check.session.output((), check.pick([np.int32, np.int64]))
    check.session.run("iamax", "weft_vector_desc", x=x.array, result=result)
    sizes = np.abs(x.values.real) + np.abs(x.values.imag)
    assert result.numpy() == np.argmax(sizes), (result.numpy(), np.argmax(sizes))


def gemv(check, dtype, is_complex):
    m, n, alpha, beta = check.size() * check.pick([1, 9]), check.size() * check.pick([1, 9]), check.factor(dtype), check.factor(dtype)
    trans = int(check.pick([0, 1, 2]))
    a = Operand(check, MATRICES, (m, n), dtype)
    x, y = (Operand(check, VECTORS, (side,), dtype) for side in ((m, n) if trans else (n, m)))
    array = a.array.seen(lambda t: t.T) if trans else a.array
    check.session.run("gemv", a=array, x=x.array, y=y.array, flags=CONJUGATE * (trans == 2), **check.factors(alpha=alpha, beta=beta))
    check.close(y.after(), routine("gemv", is_complex)(alpha, a.wide, x.wide, beta, y.wide, trans=trans), max(m, n))


def ger(check, dtype, is_complex):
    m, n, alpha, conjugate = check.size(), check.size(), check.factor(dtype), bool(check.pick([0, 1]))
    a, x, y = Operand(check, MATRICES, (m, n), dtype), Operand(check, VECTORS, (m,), dtype), Operand(check, VECTORS, (n,), dtype)
    check.session.run("ger", a=a.array, x=x.array, y=y.array, flags=CONJUGATE * conjugate, **check.factors(alpha=alpha))
    function = routine("ger" + ("uc"[conjugate] if is_complex else ""), is_complex)
    check.close(a.after(), function(alpha, x.wide, y.wide, a=a.wide), 4)


def syrk(check, dtype, is_complex):
    n, k, upper, turned = check.pick([5, 64, 130, 300, 600]), check.size(), bool(check.pick([0, 1])), bool(check.pick([0, 1]))
    hermitian = is_complex and bool(check.pick([0, 1]))
    alpha, beta = (check.factor(np.float64 if hermitian else dtype) for _ in range(2))
    a = Operand(check, MATRICES, (k, n) if turned else (n, k), dtype)
    c = Operand(check, MATRICES, (n, n), dtype)
    # A^H A is the product of A^H's rows, whose conjugate is that of A^T's.
    array = a.array.seen(lambda t: t.T) if turned else a.array
    check.session.run("syrk", a=array, c=c.array, flags=UPPER * upper | CONJUGATE * hermitian, **check.factors(alpha=alpha, beta=beta))
    rows = a.wide.T if turned else a.wide
    function = routine("herk" if hermitian else "syrk", is_complex)
    if hermitian:
        np.fill_diagonal(c.wide, c.wide.diagonal().real)  # BLAS leaves it where alpha is 0 and beta 1; Weft does not
    want = function(alpha, rows, beta=beta, c=c.wide, lower=not upper)
    inside = np.tri(n, dtype=bool).T if upper else np.tri(n, dtype=bool)
    got = c.after()
    check.close(got[inside], want[inside], k)
    assert np.array_equal(got[~inside], c.values[~inside]), "the other triangle changed"


def trsm(check, dtype, is_complex):
    n, sides, alpha = check.pick([1, 5, 33, 64, 130, 300]), check.size(), check.factor(dtype)
    right, upper, unit, trans = (int(check.pick(values)) for values in ([0, 1], [0, 1], [0, 1], [0, 1, 2]))
    a = Operand(check, MATRICES, (n, n), dtype, lambda t: t / (2 * n) + np.eye(n) * (1.5 + np.arange(n) % 3))
    b = Operand(check, MATRICES, (sides, n) if right else (n, sides), dtype)
    array = a.array.seen(lambda t: t.T) if trans else a.array
    flags = RIGHT * right | UPPER * (upper ^ (trans > 0)) | UNIT * unit | CONJUGATE * (trans == 2)
    check.session.run("trsm", a=array, b=b.array, flags=flags, **check.factors(alpha=alpha))
    want = routine("trsm", is_complex)(alpha, a.wide, b.wide, side=right, lower=not upper, trans_a=trans, diag=unit)
    check.close(b.after(), want, n)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12, help="of each function and dtype")
    parser.add_argument("--only", default="", help="functions whose name holds this text")
    check = Check(parser.parse_args())
    for function in (axpy, scal, swap, rot, dot, measures, gemv, ger, syrk, trsm):
        check.run(function.__name__, function)
    check.session.close()
    print(f"{check.passed} passed, {check.failed} failed, 0 skipped")
    sys.exit(check.failed > 0)


if __name__ == "__main__":
    main()
