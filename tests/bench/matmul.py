"""weft_matmul against PyTorch (oneDNN), OpenBLAS and MKL: one process, alternating, medians of the ratio of each pair.

    python tests/bench/matmul.py [--threads 1,2] [--seconds 0.6] [--only TEXT]

Peers that are not installed are left out. Weft, OpenBLAS and MKL are called from C loops (calls.c), PyTorch from Python.
Weft's time is that of submit, wait and release for every call; rows marked "pipelined" submit all calls of a turn (2 ms)
and wait once, as a program does that has more than one thing to compute. The ratio is the median over pairs; on a busy machine the ratio of the least times says more. Before each turn everybody's threads
get the time to fall asleep, and each contender some calls to wake its own.
"""
import argparse
import ctypes
import ctypes.util
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import time

if "avx512f" in open("/proc/cpuinfo").read():
    # OpenBLAS has no AVX-512 kernels under the names of AMD's processors; an environment that asks for less is overruled.
    os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
    os.environ.pop("OPENBLAS_L2_SIZE", None)
import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import weft

TORCH = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16, "f16": torch.float16,
         "e4m3": torch.float8_e4m3fn, "i8": torch.int8, "i32": torch.int32}
NAMES = {"e4m3": "F8_E4M3"}
CODE = {name: weft.C["WEFT_" + NAMES.get(name, name.upper())] for name in TORCH}


HERE = os.path.dirname(os.path.abspath(__file__))


def compiled():
    """calls.c, compiled; it finds Weft's functions in the library that the binding has open."""
    root = os.path.join(HERE, "..", "..")
    ctypes.CDLL(os.environ.get("WEFT_LIB", os.path.join(root, "target", "release", "libweft.so")), ctypes.RTLD_GLOBAL)
    out = os.path.join(tempfile.mkdtemp(), "calls.so")
    include = "-I" + os.path.join(root, "include")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", include, "-o", out, os.path.join(HERE, "calls.c")], check=True)
    return out


def load(names):
    for name in names:
        for path in glob.glob(name) or [name]:
            try:
                return ctypes.CDLL(path)
            except OSError:
                pass
    return None


venv = os.path.dirname(os.path.dirname(sys.executable))
OPENBLAS = load(["libopenblas.so.0", "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0"])
MKL = load([os.path.join(venv, "lib", "libmkl_rt.so*")])


CALLS = ctypes.CDLL(compiled())


class Weft:
    def __init__(self, threads):
        self.session = weft.Session("cpu", threads)

    def tensor(self, t):
        """A weft_tensor of a torch tensor's values and strides."""
        kind = next(k for k, v in TORCH.items() if v == t.dtype)
        flat = t.T.contiguous() if t.stride(0) == 1 and t.stride(1) != 1 else t.contiguous()
        raw = flat.reshape(-1).view(torch.uint8).numpy()
        buffer = self.session.buffer(max(raw.nbytes, 64))
        self.session.wait(lambda r: weft.lib.weft_write(self.session.queue, buffer, 0, weft.ffi.from_buffer(raw), raw.nbytes, weft.ffi.NULL, r))
        out = weft.ffi.new("weft_tensor *")
        out.buffer, out.dtype, out.rank = buffer, CODE[kind], 2
        for i in range(2):
            out.dims[i], out.strides[i] = t.shape[i], t.stride(i)
        return out[0]

    def matmul(self, a, b, d):
        desc = self.session.desc("weft_matmul_desc")
        desc.a, desc.b, desc.d = self.tensor(a), self.tensor(b), self.tensor(d)
        at = ctypes.c_void_p(int(weft.ffi.cast("uintptr_t", desc)))
        queue = ctypes.c_uint64(self.session.queue)
        once = lambda count: weft.check(CALLS.weft_calls(queue, at, count, 1))
        pipelined = lambda count: weft.check(CALLS.weft_calls(queue, at, 1, count))
        return once, pipelined, desc


class Gemm(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "layout ta tb m n k lda ldb ldc".split()]
    _fields_ += [(name, ctypes.c_void_p) for name in "abc"]


def blas(lib, kind, a, b, d):
    """cblas_?gemm (or ?gemv) on torch's memory; None where the library has none for this type."""
    names = {"f32": "cblas_sgemm", "f64": "cblas_dgemm"}
    if lib is MKL:
        # The first of the bytes is signed and the other is not, which is all the same to a clock.
        names |= {"bf16": "cblas_gemm_bf16bf16f32", "f16": "cblas_gemm_f16f16f32", "i8": "cblas_gemm_s8u8s32"}
    if lib is None or kind not in names or not hasattr(lib, names[kind]):
        return None
    name = names[kind]
    trans = lambda t: (111, t.stride(0)) if t.stride(1) == 1 else (112, t.stride(1))
    (ta, lda), (tb, ldb) = trans(a), trans(b)
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    out = torch.empty(m, n, dtype=torch.float32 if kind in ("bf16", "f16") else d.dtype)
    args = Gemm(101, ta, tb, m, n, k, max(lda, 1), max(ldb, 1), n, a.data_ptr(), b.data_ptr(), out.data_ptr())
    f = ctypes.cast(getattr(lib, name), ctypes.c_void_p)
    loop = {"f64": CALLS.blas_calls_f64, "i8": CALLS.blas_calls_i8}.get(kind, CALLS.blas_calls_f32)
    run = lambda count: loop(f, ctypes.byref(args), count)
    run.keep = (a, b, out)
    return run


def repeat(f):
    """A function of Python's, called in a loop."""
    def run(count):
        for _ in range(count):
            f()
    return run


def threads(count):
    torch.set_num_threads(count)
    if OPENBLAS is not None:
        OPENBLAS.openblas_set_num_threads(count)
    if MKL is not None:
        MKL.MKL_Set_Num_Threads(count)


def clock(f, calls):
    """Seconds a call, after some to warm up."""
    f(calls // 4 + 1)
    start = time.perf_counter()
    f(calls)
    return (time.perf_counter() - start) / calls


def rest():
    """Until the contenders' threads sleep: MKL's and PyTorch's spin for up to 200 ms."""
    if torch.get_num_threads() > 1:
        time.sleep(0.25)


def compare(ours, peers, seconds):
    """Median and least seconds of each, and the median of peer / ours over the rounds."""
    calls = max(1, int(0.002 / max(clock(ours, 1), 1e-7)))
    times = {name: [] for name in ["weft", *peers]}
    end = time.perf_counter() + seconds * (1 + len(peers))
    while time.perf_counter() < end or len(times["weft"]) < 7:
        rest()
        times["weft"].append(clock(ours, calls))
        for name, f in peers.items():
            rest()
            times[name].append(clock(f, calls))
    ratios = {name: statistics.median(p / w for p, w in zip(times[name], times["weft"])) for name in peers}
    medians = {name: statistics.median(t) for name, t in times.items()}
    return medians, {name: min(t) for name, t in times.items()}, ratios


CASES = [
    # m, k, n, types of a, b, d, B stored [N, K]
    *[(s, s, s, t, t, t, False) for t in ("f32", "bf16", "f64") for s in (64, 256, 1024, 2048)],
    *[(s, s, s, t, t, d, False) for t, d in (("f16", "f16"), ("e4m3", "bf16"), ("i8", "i32")) for s in (64, 256, 1024, 2048)],
    *[(m, 4096, 4096, t, t, d, True) for t, d in (("e4m3", "bf16"), ("i8", "i32")) for m in (1, 16)],
    *[(1, 4096, 4096, t, t, t, turned) for t in ("f32", "bf16", "f16", "f64") for turned in (False, True)],
    *[(4096, 4096, 1, t, t, t, False) for t in ("f32", "bf16")],
    *[(m, 576, 1536, "f32", t, "f32", True) for t in ("f32", "f16", "bf16") for m in (1, 4, 16, 128)],
    (1, 576, 49152, "f32", "f16", "f32", True),
    (128, 576, 1536, "bf16", "bf16", "bf16", True),
]


# What is measured beside the peers, of types that say less or that the processor has other instructions for.
OTHER_TYPES = ("torch bf16",)


def random(rows, cols, kind):
    """A matrix of numbers that its type can hold."""
    return torch.randint(-127, 128, (rows, cols), dtype=torch.int8) if kind == "i8" else torch.randn(rows, cols).to(TORCH[kind])


def of_bytes(a, b, d, kind):
    """PyTorch's products of 8-bit factors, where it has one."""
    if kind == "i8":
        return {"torch": repeat(lambda: torch._int_mm(a, b))} if a.shape[0] > 16 else {}
    one, turned = torch.ones(()), b if b.stride(0) == 1 else b.T.contiguous().T
    call = lambda: torch._scaled_mm(a, turned, scale_a=one, scale_b=one, out_dtype=d.dtype)
    halves = a.bfloat16(), b.bfloat16()
    return {"torch": repeat(call), "torch bf16": repeat(lambda: torch.matmul(*halves))}


def of_torch(a, b, d, types):
    """What PyTorch has for these types, and for others that do the same work."""
    ta, tb, _ = types
    if ta in ("i8", "e4m3"):
        return of_bytes(a, b, d, ta)
    if ta == tb:
        slow = ta == "f16" and d.numel() > 2**20  # 17 s
        peers = {} if slow else {"torch": repeat(lambda: torch.matmul(a, b, out=d))}
        if ta == "f16":
            halves = a.bfloat16(), b.bfloat16(), d.bfloat16()
            peers["torch bf16"] = repeat(lambda: torch.matmul(halves[0], halves[1], out=halves[2]))
        return peers
    same, half = a.to(TORCH[tb]), torch.empty(d.shape, dtype=TORCH[tb])
    wide = b.T.contiguous().to(TORCH[ta]).T
    return {f"torch {tb} x {tb}": repeat(lambda: torch.matmul(same, b, out=half)),
            "torch f32 x f32": repeat(lambda: torch.matmul(a, wide, out=d))}


def run(case, count, seconds):
    m, k, n, ta, tb, td, turned = case
    torch.manual_seed(0)
    a, b = random(m, k, ta), random(n, k, tb).T if turned else random(k, n, tb)
    d = torch.empty(m, n, dtype=TORCH[td])
    device = Weft(count)
    once, pipelined, desc = device.matmul(a, b, d)
    peers = of_torch(a, b, d, case[3:6])
    for name, lib in (("OpenBLAS", OPENBLAS), ("MKL", MKL)):
        call = blas(lib, ta, a, b, d) if ta == tb else None
        if call:
            peers[name] = call
    for f in (once, *peers.values()):
        clock(f, 2)
    threads(count)
    label = f"{m}x{k}x{n}{' B^T' if turned else ''} | {ta}{'' if ta == tb else ' x ' + tb} | {count}"
    report(label, 2 * m * k * n, *compare(once, peers, seconds))
    if m * n * k <= 300**3:
        report(label + " pipelined", 2 * m * k * n, *compare(pipelined, peers, seconds))
    for t in (desc.a, desc.b, desc.d):
        weft.lib.weft_buffer_release(t.buffer)
    device.session.close()


def report(label, flops, medians, least, ratios):
    same = [name for name in ratios if name not in OTHER_TYPES] or list(ratios)
    best = min(same, key=lambda name: medians[name])
    fastest = min(same, key=lambda name: least[name])
    rate = lambda name: flops / medians[name] / 1e9
    others = ", ".join(f"{name} {rate(name):.1f}" for name in ratios if name != best)
    of_least = f"{least[fastest] / least['weft']:.2f} ({flops / least['weft'] / 1e9:.0f} to {flops / least[fastest] / 1e9:.0f})"
    print(f"| {label} | {rate('weft'):.1f} | {best} {rate(best):.1f} | {ratios[best]:.2f} | {of_least} | {others} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=0.6, help="for each contender and row")
    parser.add_argument("--only", default="", help="rows whose label holds this text")
    parser.add_argument("--quick", action="store_true", help="without the largest sizes")
    args = parser.parse_args()
    print("| M x K x N | types | threads | Weft GF/s | best peer GF/s | Weft/peer | of the least times (GF/s) | others |\n|---|---|---|---|---|---|---|---|")
    for count in map(int, args.threads.split(",")):
        threads(count)
        for case in CASES:
            label = f"{case[0]}x{case[1]}x{case[2]} {case[3]} {case[4]}{' T' if case[6] else ''}"
            if args.only in label and not (args.quick and case[0] * case[1] * case[2] > 2**30):
                run(case, count, args.seconds)


if __name__ == "__main__":
    main()
