#!/usr/bin/env python3
"""Writes quantised.txt: blocks of GGUF's quantised types, and what the `gguf` package (PyPI) makes of them.

    pip install gguf numpy && tests/data/quantised.py

A line a block: the type's name, the block's bytes in hexadecimal, the bits of its elements as binary32 in hexadecimal.
"""
from pathlib import Path

import gguf
import numpy

# Where a block has its binary16 numbers.
SCALES = dict(Q8_0=(0,), Q4_0=(0,), Q4_1=(0, 2), Q4_K=(0, 2), Q6_K=(208,))
# Ordinary ones, negative ones, zeros, the least and the largest, then infinity and NaN.
SPECIAL = (0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00)


def blocks(random, name):
    kind = gguf.GGMLQuantizationType[name]
    size = gguf.GGML_QUANT_SIZES[kind][1]
    for number in range(14):
        block = random.integers(0, 256, size, numpy.uint8)
        for at in SCALES[name]:
            ordinary = numpy.float16(random.standard_normal() / 50).view(numpy.uint16)
            bits = ordinary if number < 4 else random.choice(SPECIAL[: 6 if number < 11 else 9])
            block[at : at + 2] = numpy.array([bits], "<u2").view(numpy.uint8)
        values = gguf.quants.dequantize(block[None, :], kind).reshape(-1)
        yield name, block.tobytes().hex(), values.astype(">f4").tobytes().hex()


def main():
    random = numpy.random.default_rng(7)
    with numpy.errstate(all="ignore"), open(Path(__file__).with_suffix(".txt"), "w") as file:
        for name in SCALES:
            for line in blocks(random, name):
                print(*line, file=file)


if __name__ == "__main__":
    main()
