#!/usr/bin/env python3
"""Tokens a second of examples-c's generate on a CUDA device, beside PyTorch eager and the floor that memory sets.

    tests/bench/decode_cuda.py [--generate PROGRAM] [--rounds 3] [--tokens 256] [--models small large]

The floor reads every weight once a token at the bandwidth of a measured copy. PyTorch runs the same architecture with a
static cache in f16, eagerly: every operation a launch, as in Weft. `small` has the shape of SmolLM2-135M, `large` of a 1.1 B
model; weights are random, prompts are 16 tokens.
"""
import argparse
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch

from gguf_model import SMOLLM2, write_model

ROOT = Path(__file__).resolve().parents[2]
F = torch.nn.functional
SHAPES = dict(small=SMOLLM2,
              large=dict(layers=22, width=2048, heads=32, kv_heads=4, ffn=5632, vocab=32000, context=2048))


class Eager:
    """A llama in PyTorch: rotary by a table, a static cache, scaled_dot_product_attention."""

    def __init__(self, shape, room):
        self.shape, self.d = shape, shape["width"] // shape["heads"]
        new = lambda *dims: torch.randn(*dims, device="cuda", dtype=torch.float16) / dims[-1]**0.5  # noqa: E731
        width, ffn, keys = shape["width"], shape["ffn"], self.d * shape["kv_heads"]
        self.embedding, self.norm = new(shape["vocab"], width), torch.ones(width, device="cuda", dtype=torch.float16)
        self.layers = [dict(q=new(width, width), k=new(keys, width), v=new(keys, width), o=new(width, width),
                            gate=new(ffn, width), up=new(ffn, width), down=new(width, ffn)) for _ in range(shape["layers"])]
        self.cache = [[torch.zeros(1, shape["kv_heads"], room, self.d, device="cuda", dtype=torch.float16) for _ in "kv"]
                      for _ in range(shape["layers"])]
        angles = torch.outer(torch.arange(room), 10000**(-torch.arange(0, self.d, 2) / self.d)).cuda()
        self.cos, self.sin = angles.cos().half(), angles.sin().half()

    def turn(self, x, at):
        a, b = x[..., ::2], x[..., 1::2]
        c, s = self.cos[at], self.sin[at]
        return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2)

    def step(self, token, at):
        x = F.embedding(token, self.embedding)
        for layer, (k_cache, v_cache) in zip(self.layers, self.cache):
            h = F.rms_norm(x, (x.shape[-1],), self.norm)
            q, k, v = (F.linear(h, layer[name]).view(1, -1, 1, self.d) for name in "qkv")
            k_cache[:, :, at], v_cache[:, :, at] = self.turn(k, at)[:, :, 0], v[:, :, 0]
            a = F.scaled_dot_product_attention(self.turn(q, at), k_cache[:, :, :at + 1], v_cache[:, :, :at + 1], enable_gqa=True)
            x = x + F.linear(a.reshape(1, -1), layer["o"])
            h = F.rms_norm(x, (x.shape[-1],), self.norm)
            x = x + F.linear(F.silu(F.linear(h, layer["gate"])) * F.linear(h, layer["up"]), layer["down"])
        return F.linear(F.rms_norm(x, (x.shape[-1],), self.norm), self.embedding).argmax(-1)

    @torch.inference_mode()
    def decode(self, count):
        token, begin = torch.zeros(1, dtype=torch.long, device="cuda"), 0
        for at in range(count):
            if at == 16:
                begin = time.perf_counter()
            token = self.step(token, at)
            token.item()  # generate sees each token, too
        return (count - 16) / (time.perf_counter() - begin)


def copy_bandwidth():
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times = []
    for _ in range(7):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(10):
            target.copy_(source)
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) / 10)
    return 2 * source.nbytes / min(times)


def weft(options, path):
    command = [options.generate, "--model", path, "--device", "cuda:0", "--prompt-tokens", " ".join(["7"] * 16), "-n",
               str(options.tokens), "--temperature", "0", "--tokens"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(re.search(r"decode ([\d.]+) tok/s", done.stderr).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generate", default=str(ROOT / "examples-c/build/generate"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--models", nargs="+", default=["small", "large"], choices=list(SHAPES))
    options = parser.parse_args()
    bandwidth = copy_bandwidth()
    print("| model | weft tok/s | PyTorch eager tok/s | ratio | floor tok/s | share of the floor |\n|---|---|---|---|---|---|")
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            write_model(path, SHAPES[name])
            eager, pairs = Eager(SHAPES[name], options.tokens + 16), []
            for _ in range(options.rounds):
                pairs.append((weft(options, path), eager.decode(options.tokens)))
            ours, theirs = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
            floor = bandwidth / path.stat().st_size
        print(f"| {name} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} | {floor:.0f} | {ours / floor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
