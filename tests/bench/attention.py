"""Attention against PyTorch's scaled_dot_product_attention on the CPU: both in one process, turn by turn, medians of the
ratios of neighbours. Prints a markdown table. Needs numpy and torch. Requests are submitted one after another and the last
is waited for, as a program would; PyTorch is called in a loop.

    python tests/bench/attention.py [full|decode|all] [--threads 1,2]
"""
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import numpy as np
import torch
import torch.nn.functional as F

import weft

CODES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def put(session, tensor):
    """A weft_tensor with a torch tensor's values."""
    raw = session.put(tensor.contiguous().view(torch.uint8).numpy().reshape(-1))
    t = weft.ffi.new("weft_tensor *")
    t.buffer, t.dtype, t.rank = raw.buffer, weft.C["WEFT_" + CODES[tensor.dtype]], tensor.dim()
    for i, d in enumerate(tensor.shape):
        t.dims[i] = d
    return raw, t[0]


class Attention:
    """One request with its own buffers."""

    def __init__(self, session, q, k, v, causal):
        self.session, self.like = session, q.new_empty(*q.shape[:-1], v.shape[-1])
        pairs = [put(session, x) for x in (q, k, v, self.like)]
        self.keep = [pair[0] for pair in pairs]
        q, k, v, o = (pair[1] for pair in pairs)
        self.desc = session.desc("weft_attention_desc", flags=1 if causal else 0, q=q, k=k, v=v, o=o)

    def __call__(self, times=1):
        """Submits so many requests one after another and waits for the last."""
        for _ in range(times - 1):
            weft.check(weft.lib.weft_attention(self.session.queue, self.desc, weft.ffi.NULL, weft.ffi.NULL))
        self.session.wait(lambda r: weft.lib.weft_attention(self.session.queue, self.desc, weft.ffi.NULL, r))

    def result(self):
        return torch.from_numpy(self.keep[3].numpy()).view(self.like.dtype).reshape(self.like.shape)


def clock(f, times):
    start = time.perf_counter()
    f(times)
    return (time.perf_counter() - start) / times


def compare(ours, theirs, rounds=15, slice_s=0.02):
    """Medians of our time, their time and the ratio of neighbouring measurements."""
    times = [max(1, int(slice_s / clock(f, 2))) for f in (ours, theirs)]
    pairs = [(clock(ours, times[0]), clock(theirs, times[1])) for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*((a, b, b / a) for a, b in pairs))]


def row(threads, dtype, heads, kv_heads, sq, skv, dim, causal):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    session = SESSIONS.setdefault(threads, weft.Session("cpu", threads))
    q = torch.randn(1, heads, sq, dim).to(dtype)
    k, v = (torch.randn(1, kv_heads, skv, dim).to(dtype) for _ in range(2))
    ours = Attention(session, q, k, v, causal)
    gqa = heads != kv_heads

    def theirs(times=1):
        for _ in range(times):
            o = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=gqa)
        return o

    ours()
    error = (ours.result().float() - theirs().float()).abs().max().item()
    assert error < {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}[dtype], error
    a, b, ratio = compare(ours, theirs)
    shape = f"H{heads}{f'/{kv_heads}' if gqa else ''} S{sq}{f'x{skv}' if sq != skv else ''} D{dim}"
    print(f"| {shape} | {CODES[dtype].lower()} | {'causal' if causal else 'full'} | {threads} "
          f"| {a * 1e3:.4g} | {b * 1e3:.4g} | {ratio:.2f}x |", flush=True)
    return ratio


SESSIONS = {}
TYPES = [torch.float32, torch.bfloat16, torch.float16]


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    threads = [1, 2]
    if "--threads" in sys.argv:
        threads = [int(n) for n in sys.argv[sys.argv.index("--threads") + 1].split(",")]
    sizes = [(8, 8, s, s, d) for s in (128, 512, 1024, 2048) for d in (64, 128)]
    decodes = [(32, 32, 1, 4096, 128), (32, 8, 1, 4096, 128), (4, 4, 1, 100, 64), (4, 4, 1, 300, 64), (9, 3, 1, 256, 64)]
    print("| shape | dtype | mask | threads | Weft ms | PyTorch ms | ratio |\n|---|---|---|---|---|---|---|")
    with torch.inference_mode():
        for n in threads:
            if what in ("all", "full"):
                [row(n, dtype, *size, causal) for dtype in TYPES for size in sizes for causal in (False, True)]
            if what in ("all", "decode"):
                [row(n, dtype, *size, False) for dtype in TYPES for size in decodes]


main()
