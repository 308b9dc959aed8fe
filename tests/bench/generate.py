#!/usr/bin/env python3
"""Tokens a second of examples-c/build/generate beside llama.cpp (llama-cpp-python), on the same GGUF files.

    tests/bench/generate.py [--rounds 5] [--tokens 128] [--prompt 128] [--threads 1 2] [--models pycode smollm2]
                           (also smollm2-q8_0, smollm2-q4_1)

pycode is the bundled model; smollm2 has SmolLM2-135M's shape and random weights (f16, or quantised as the name says), which
cost the same time as real ones, and is written to the user's cache folder at the first run. Both programs take turns, greedy, with the same prompt;
each turn is a fresh load. llama.cpp's time is that spent in llama_decode alone; Weft's is all of the program's, with
choosing and printing. The ratio is the median over the rounds of Weft's figure by llama.cpp's of the same round.
"""
import argparse
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

import llama_cpp
import numpy

from gguf_model import SMOLLM2, write_model

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "examples-c/build/generate"
BUNDLED = ROOT / "examples-c/models/pycode.gguf"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "weft"

MODELS = ("pycode", "smollm2", "smollm2-q8_0", "smollm2-q4_1")


def model_path(name):
    if name == "pycode":
        return BUNDLED
    kind = name.partition("-")[2] or "f16"
    path = CACHE / f"smollm2-135m-random-{kind}.gguf"
    CACHE.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_model(path, SMOLLM2, kind)
    return path


# ---- The two programs; each answers (prefill, decode) in tokens a second, and the tokens ----


def run_weft(path, prompt, count, threads):
    command = [PROGRAM, "--model", path, "--prompt-tokens", " ".join(map(str, prompt)), "-n", str(count), "--temperature",
               "0", "--tokens", "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    prefill, decode = re.search(r"at ([\d.]+) tok/s.*decode ([\d.]+) tok/s", done.stderr).groups()
    return float(prefill), float(decode), [int(token) for token in done.stdout.split()]


class Llama:
    """llama.cpp's C interface: a model and a context, as long as a turn takes."""

    def __init__(self, path, room, threads):
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_threads, params.n_threads_batch = room, room, threads, threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab = llama_cpp.llama_vocab_n_tokens(vocab)

    def feed(self, tokens):
        """Seconds that the tokens took, and the likeliest next one."""
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(array, len(tokens))
        begin = time.perf_counter()
        status = llama_cpp.llama_decode(self.context, batch)
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        end = time.perf_counter()
        assert status == 0, f"llama_decode: {status}"
        return end - begin, int(numpy.ctypeslib.as_array(logits, (self.vocab,)).argmax())

    def close(self):
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)


def run_llama(path, prompt, count, threads):
    llama = Llama(path, len(prompt) + count, threads)
    prefill, token = llama.feed(prompt)
    tokens, decode = [token], 0.0
    for _ in range(count - 1):
        elapsed, token = llama.feed([token])
        decode += elapsed
        tokens.append(token)
    llama.close()
    return len(prompt) / prefill, (count - 1) / decode, tokens


# ---- Measuring ----


def compare(name, threads, arguments):
    path, random = model_path(name), numpy.random.default_rng(2)
    source = (ROOT / "examples-c/Makefile").read_bytes() if name == "pycode" else None
    prompt = list(source[: arguments.prompt]) if source else random.integers(0, 49152, arguments.prompt).tolist()
    run_weft(path, prompt, 8, threads), run_llama(path, prompt, 8, threads)
    rounds = [(run_weft(path, prompt, arguments.tokens, threads), run_llama(path, prompt, arguments.tokens, threads))
              for _ in range(arguments.rounds)]
    same = sum(a == b for a, b in zip(rounds[0][0][2], rounds[0][1][2]))
    for index, phase in enumerate(("prefill", "decode")):
        ours, theirs = ([pair[side][index] for pair in rounds] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        print(f"| {name} | {threads} | {phase} | {statistics.median(ours):.0f} | {statistics.median(theirs):.0f} "
              f"| {ratio:.2f} | {min(a / b for a, b in zip(ours, theirs)):.2f} |", flush=True)
    print(f"<!-- {name}, {threads} threads: {same} of {arguments.tokens} tokens equal -->", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    arguments = parser.parse_args()
    subprocess.run(["make", "-s", "-C", ROOT / "examples-c"], check=True)
    quiet = llama_cpp.llama_log_callback(lambda level, message, data: None)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    print("| model | threads | phase | weft tok/s | llama.cpp tok/s | median ratio | least ratio |\n|---|---|---|---|---|---|---|")
    for name in arguments.models:
        for threads in arguments.threads:
            compare(name, threads, arguments)


if __name__ == "__main__":
    main()
