"""Model files of a given shape: GGUF version 3 with random weights, which cost the same time as real ones."""
import struct

import numpy

U32, F32, STRING = 4, 6, 8
# GGUF's numbers of element types, elements and bytes of a block.
KINDS = dict(f16=(1, 1, 2), q4_1=(3, 32, 20), q8_0=(8, 32, 34))
SMOLLM2 = dict(layers=30, width=576, heads=9, kv_heads=3, ffn=1536, vocab=49152, context=2048)


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key, kind, value):
    packed = text(value) if kind == STRING else struct.pack("<f" if kind == F32 else "<I", value)
    return text(key) + struct.pack("<I", kind) + packed


def metadata(shape):
    head_dim = shape["width"] // shape["heads"]
    return [
        entry("general.architecture", STRING, "llama"),
        entry("llama.context_length", U32, shape["context"]),
        entry("llama.embedding_length", U32, shape["width"]),
        entry("llama.block_count", U32, shape["layers"]),
        entry("llama.feed_forward_length", U32, shape["ffn"]),
        entry("llama.attention.head_count", U32, shape["heads"]),
        entry("llama.attention.head_count_kv", U32, shape["kv_heads"]),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.dimension_count", U32, head_dim),
        entry("llama.vocab_size", U32, shape["vocab"]),
        entry("tokenizer.ggml.model", STRING, "no_vocab"),
    ]


def tensors(shape):
    """(name, rows or 0 for a vector, cols)"""
    width, ffn = shape["width"], shape["ffn"]
    keys = width // shape["heads"] * shape["kv_heads"]
    yield "token_embd.weight", shape["vocab"], width
    yield "output_norm.weight", 0, width
    for i in range(shape["layers"]):
        matrices = dict(attn_q=(width, width), attn_k=(keys, width), attn_v=(keys, width), attn_output=(width, width),
                        ffn_gate=(ffn, width), ffn_up=(ffn, width), ffn_down=(width, ffn))
        for name, (rows, cols) in matrices.items():
            yield f"blk.{i}.{name}.weight", rows, cols
        yield f"blk.{i}.attn_norm.weight", 0, width
        yield f"blk.{i}.ffn_norm.weight", 0, width


def blocks(matrix, kind):
    """The bytes of [rows, cols] as blocks of 32 elements."""
    parts = matrix.reshape(-1, 32)
    if kind == "q8_0":
        scale = (abs(parts).max(1, keepdims=True) / 127).astype(numpy.float16)
        return numpy.hstack([scale.view(numpy.uint8), numpy.rint(parts / scale).astype(numpy.int8).view(numpy.uint8)])
    low = parts.min(1, keepdims=True)
    scale = (parts.max(1, keepdims=True) - low) / 15
    q = numpy.clip(numpy.rint((parts - low) / scale), 0, 15).astype(numpy.uint8)
    ends = [x.astype(numpy.float16).view(numpy.uint8) for x in (scale, low)]
    return numpy.hstack([*ends, q[:, :16] | q[:, 16:] << 4])


def values(random, rows, cols, kind):
    if not rows:
        return numpy.ones(cols, numpy.float32)
    matrix = random.standard_normal((rows, cols), numpy.float32) / numpy.float32(cols**0.5)
    return matrix.astype(numpy.float16) if kind == "f16" else blocks(matrix, kind)


def write_model(path, shape, kind="f16"):
    """GGUF version 3: header, metadata, table of tensors, their bytes aligned to 32. Matrices are of `kind`."""
    number, items, size = KINDS[kind]
    random = numpy.random.default_rng(1)
    table, entries, offset = list(tensors(shape)), metadata(shape), 0
    header = b"GGUF" + struct.pack("<IQQ", 3, len(table), len(entries)) + b"".join(entries)
    for name, rows, cols in table:
        dims = (cols, rows) if rows else (cols,)
        header += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number if rows else 0, offset)
        offset += -(-(rows * cols // items * size if rows else cols * 4) // 32) * 32
    unfinished = path.with_suffix(".part")
    with open(unfinished, "wb") as file:
        file.write(header + bytes(-len(header) % 32))
        for _, rows, cols in table:
            data = values(random, rows, cols, kind).tobytes()
            file.write(data + bytes(-len(data) % 32))
    unfinished.rename(path)
