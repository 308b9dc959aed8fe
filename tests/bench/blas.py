"""Linear algebra (BLAS) on the CPU against OpenBLAS and MKL: one process, alternating, medians of the ratio of each pair.

    python tests/bench/blas.py [--threads 1,2] [--seconds 0.4] [--only TEXT]

Peers that are not installed are left out; both are called by ctypes. Weft's time is that of submit, wait and release; the
requests of a turn (some 2 ms) are submitted together and waited for once. Each has memory of its own. Before each turn
everybody's threads get the time to fall asleep, and each contender some calls to wake its own.
"""
import argparse
import ctypes
import glob
import os
import statistics
import sys
import time

if "avx512f" in open("/proc/cpuinfo").read():
    # OpenBLAS has no AVX-512 kernels under the names of AMD's processors; an environment that asks for less is overruled.
    os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import weft

venv = os.path.dirname(os.path.dirname(sys.executable))
LIBRARIES = {"OpenBLAS": ["libopenblas.so.0", "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0"],
             "MKL": [os.path.join(venv, "lib", "libmkl_rt.so*")]}
LETTER = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
SHORT = {"float32": "f32", "float64": "f64", "complex64": "c32", "complex128": "c64"}
ROWS, PLAIN, TURNED, LOWER, LEFT, NON_UNIT = 101, 111, 112, 122, 141, 131


def load(names):
    for path in [path for name in names for path in glob.glob(name) or [name]]:
        try:
            return ctypes.CDLL(path)
        except OSError:
            pass
    return None


PEERS = {name: library for name, library in ((name, load(names)) for name, names in LIBRARIES.items()) if library}


def threads(count):
    if "OpenBLAS" in PEERS:
        PEERS["OpenBLAS"].openblas_set_num_threads(count)
    if "MKL" in PEERS:
        PEERS["MKL"].MKL_Set_Num_Threads(count)


def random(shape, dtype):
    rng = np.random.default_rng(1)
    real = rng.standard_normal(shape, np.float32).astype(dtype)
    return real + (1j * rng.standard_normal(shape, np.float32)).astype(dtype) if np.issubdtype(dtype, np.complexfloating) else real


def aligned(array):
    """A copy that begins at a multiple of 64 bytes."""
    room = np.empty(array.nbytes + 64, np.uint8)
    copy = room[-room.ctypes.data % 64:][:array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def wrapped(session, array):
    """An array of Weft's over a copy of numpy's, whose pages are as large as those of the peers' copies."""
    copy, out = aligned(array), weft.ffi.new("uint64_t *")
    desc = weft.ffi.new("weft_buffer_desc *", {"struct_size": weft.ffi.sizeof("weft_buffer_desc"), "address": copy.ctypes.data})
    weft.check(weft.lib.weft_buffer_create(session.context, copy.nbytes, desc, out))
    result = weft.Array(session, copy.shape, copy.dtype, None, 0, out[0])
    result.owner, result.memory = True, copy
    return result


class Row:
    """An operation of Weft's and its cblas function, on arrays of their own."""

    def __init__(self, name, op, routine, dtype, work, arguments, type_name=None, result=None, unit="GB/s", **fields):
        self.name, self.op, self.work, self.unit = name, op, work, unit
        self.type_name, self.fields, self.result = type_name or f"weft_{op}_desc", fields, result
        self.routine, self.dtype, self.arguments = routine, np.dtype(dtype), arguments

    def ours(self, session):
        """A function that runs it so many times."""
        given = {name: wrapped(session, value) if isinstance(value, np.ndarray) else value for name, value in self.fields.items()}
        turned = {name[:-2]: given.pop(name).seen(lambda a: a.T) for name in list(given) if name.endswith("_t")}
        if self.result:
            given["result"] = session.output((), self.result)
        given |= turned
        desc, function = session.desc(self.type_name, **given), getattr(weft.lib, "weft_" + self.op)
        patient = weft.ffi.new("weft_submit *", {"struct_size": weft.ffi.sizeof("weft_submit"), "timeout_ns": weft.FOREVER})

        def run(count):
            for _ in range(count - 1):
                weft.check(function(session.queue, desc, patient, weft.ffi.NULL))
            session.wait(lambda out: function(session.queue, desc, patient, out))
        run.kept = given
        return run

    def theirs(self, library):
        function = getattr(library, "cblas_" + self.routine)
        function.restype = ctypes.c_double if self.dtype == np.float64 else ctypes.c_float
        part = ctypes.c_double if self.dtype.itemsize // (1 + (self.dtype.kind == "c")) == 8 else ctypes.c_float
        kept, given = [], []
        for value in self.arguments:
            if isinstance(value, np.ndarray):
                kept.append(aligned(value))
                given.append(ctypes.c_void_p(kept[-1].ctypes.data))
            elif isinstance(value, float) and self.dtype.kind == "c":
                kept.append((part * 2)(value, 0.0))
                given.append(kept[-1])
            else:
                given.append(part(value) if isinstance(value, float) else ctypes.c_int(value))

        def run(count):
            for _ in range(count):
                function(*given)
        run.kept = kept
        return run


def clock(function, calls):
    """Seconds a call, after some to warm up."""
    function(calls // 4 + 1)
    start = time.perf_counter()
    function(calls)
    return (time.perf_counter() - start) / calls


def compare(row, count, seconds):
    threads(count)
    session = weft.Session("cpu", count)
    ours, peers = row.ours(session), {name: row.theirs(library) for name, library in PEERS.items()}
    calls = max(1, min(1000, int(0.002 / max(clock(ours, 1), 1e-7))))
    times = {name: [] for name in ["Weft", *peers]}
    end = time.perf_counter() + seconds * (1 + len(peers))
    while time.perf_counter() < end or len(times["Weft"]) < 5:
        for name, function in {"Weft": ours, **peers}.items():
            if count > 1:
                time.sleep(0.25)  # MKL's threads spin for up to 200 ms
            times[name].append(clock(function, calls))
    session.close()
    medians, least = ({name: of(t) for name, t in times.items()} for of in (statistics.median, min))
    best, fastest = (min(peers, key=lambda name: of[name]) for of in (medians, least))
    ratio = statistics.median(p / w for p, w in zip(times[best], times["Weft"]))
    rate = lambda name: row.work / medians[name] / 1e9  # noqa: E731
    others = ", ".join(f"{name} {rate(name):.1f}" for name in peers if name != best)
    print(f"| {row.name} | {count} | {rate('Weft'):.1f} {row.unit} | {best} {rate(best):.1f} | {ratio:.2f} | "
          f"{least[fastest] / least['Weft']:.2f} | {others} |", flush=True)


def vectors(dtype, n):
    x, y, letter = random(n, dtype), random(n, dtype), LETTER[np.dtype(dtype).name]
    size, shape = x.nbytes, f"{SHORT[np.dtype(dtype).name]} {n}"
    yield Row(f"axpy {shape}", "axpy", letter + "axpy", dtype, 3 * size, (n, 1e-3, x, 1, y, 1), x=x, y=y, alpha=1e-3)
    yield Row(f"scal {shape}", "scal", letter + "scal", dtype, 2 * size, (n, -1.0, x, 1), x=x, alpha=-1.0)
    yield Row(f"swap {shape}", "swap", letter + "swap", dtype, 4 * size, (n, x, 1, y, 1), x=x, y=y)
    if np.dtype(dtype).kind == "c":
        return
    yield Row(f"rot {shape}", "rot", letter + "rot", dtype, 4 * size, (n, x, 1, y, 1, 0.6, 0.8), x=x, y=y, c=0.6, s=0.8)
    yield Row(f"dot {shape}", "dot", letter + "dot", dtype, 2 * size, (n, x, 1, y, 1), result=dtype, x=x, y=y)
    measure = dict(type_name="weft_vector_desc", x=x)
    yield Row(f"nrm2 {shape}", "nrm2", letter + "nrm2", dtype, size, (n, x, 1), result=dtype, **measure)
    yield Row(f"asum {shape}", "asum", letter + "asum", dtype, size, (n, x, 1), result=dtype, **measure)
    yield Row(f"iamax {shape}", "iamax", f"i{letter}amax", dtype, size, (n, x, 1), result=np.int64, **measure)


def matrices(dtype, n):
    a, x, y, letter = random((n, n), dtype), random(n, dtype), random(n, dtype), LETTER[np.dtype(dtype).name]
    shape = f"{SHORT[np.dtype(dtype).name]} {n}x{n}"
    common = (n, n, 1.0, a, n, x, 1, 0.0, y, 1)
    yield Row(f"gemv {shape}", "gemv", letter + "gemv", dtype, a.nbytes, (ROWS, PLAIN, *common), a=a, x=x, y=y, alpha=1.0)
    yield Row(f"gemv {shape} transposed", "gemv", letter + "gemv", dtype, a.nbytes, (ROWS, TURNED, *common), a_t=a, x=x, y=y, alpha=1.0)
    outer = letter + ("geru" if np.dtype(dtype).kind == "c" else "ger")
    yield Row(f"ger {shape}", "ger", outer, dtype, 2 * a.nbytes, (ROWS, n, n, 1e-3, x, 1, y, 1, a, n), a=a, x=x, y=y, alpha=1e-3)


def products(dtype, n):
    a, letter, kind = random((n, n), dtype), LETTER[np.dtype(dtype).name], SHORT[np.dtype(dtype).name]
    flops = n**3 * (4 if np.dtype(dtype).kind == "c" else 1)
    c = np.zeros_like(a)
    yield Row(f"syrk {kind} {n}x{n}", "syrk", letter + "syrk", dtype, flops, (ROWS, LOWER, PLAIN, n, n, 1.0, a, n, 0.0, c, n),
              unit="GF/s", a=a, c=c, alpha=1.0)
    triangle = (np.tril(a) / n + 2 * np.eye(n)).astype(dtype)
    triangle[np.arange(n), np.arange(n)] = np.where(np.arange(n) % 2, 1, -1)  # so that solutions keep their size
    yield Row(f"trsm {kind} {n}x{n}", "trsm", letter + "trsm", dtype, flops, (ROWS, LEFT, LOWER, PLAIN, NON_UNIT, n, n, 1.0, triangle, n, a, n),
              unit="GF/s", a=triangle, b=a, alpha=1.0)


def rows():
    f32, f64, c32 = np.float32, np.float64, np.complex64
    for dtype, n in [(f32, 1 << 23), (f64, 1 << 22), (c32, 1 << 22), (f32, 1 << 12)]:
        yield from vectors(dtype, n)
    for dtype, n in [(f32, 4096), (f64, 2048), (c32, 2048), (f32, 512)]:
        yield from matrices(dtype, n)
    for dtype, n in [(f32, 256), (f32, 1024), (f32, 2048), (f64, 1024), (c32, 512)]:
        yield from products(dtype, n)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=0.4, help="for each contender and row")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    args = parser.parse_args()
    if not PEERS:
        sys.exit("neither OpenBLAS nor MKL is installed")
    print("| operation | threads | Weft | best peer | Weft/peer | of the least times | others |\n|---|---|---|---|---|---|---|")
    for count in map(int, args.threads.split(",")):
        for row in rows():
            if args.only in row.name:
                compare(row, count, args.seconds)


if __name__ == "__main__":
    main()
