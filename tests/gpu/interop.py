#!/usr/bin/env python3
"""Weft beside PyTorch in one process, on the same memory and streams: wraps PyTorch's memory and stream, hands out its own.

    tests/gpu/interop.py

Nothing waits between the two but the stream they share.
"""
import ctypes
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from weft import C, Array, Session, check, ffi, lib  # noqa: E402


def wrap(session, tensor):
    base = tensor.untyped_storage()
    desc = ffi.new("weft_buffer_desc *", {"struct_size": ffi.sizeof("weft_buffer_desc"), "address": base.data_ptr()})
    out = ffi.new("uint64_t *")
    check(lib.weft_buffer_create(session.context, base.nbytes(), desc, out))
    return Array(session, tensor.shape, np.float32, tuple(tensor.stride()), tensor.data_ptr() - base.data_ptr(), out[0])


def current_context():
    context = ctypes.c_void_p()
    assert ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(context)) == 0
    return context.value


def shared_stream(session):
    """PyTorch, Weft and PyTorch again on one stream, many times over."""
    stream = torch.cuda.Stream()
    desc = ffi.new("weft_queue_desc *", {"struct_size": ffi.sizeof("weft_queue_desc"), "stream": stream.cuda_stream})
    out = ffi.new("uint64_t *")
    check(lib.weft_queue_create(session.context, desc, out))
    queue, request = out[0], ffi.new("uint64_t *")
    with torch.cuda.stream(stream):
        a, b = torch.randn(300, 500, device="cuda"), torch.randn(500, 200, device="cuda")
        d = torch.empty(300, 200, device="cuda")
        stream.synchronize()
        A, B, D = wrap(session, a), wrap(session, b), wrap(session, d)
        want = []
        for step in range(20):
            a.mul_(0.9).add_(step)
            want.append(a.double() @ b.double())
            product = session.desc("weft_matmul_desc", a=A, b=B, d=D)
            check(lib.weft_matmul(queue, product, ffi.NULL, request))
            # The launch happens on Weft's thread: before PyTorch goes on, the request must be on the stream.
            check(lib.weft_request_wait(request, 1, 0, 2**64 - 1, ffi.NULL))
            check(lib.weft_request_release(request[0]))
            error = (d.double() - want[-1]).abs().max() / want[-1].abs().max()
            assert error < 1e-5, f"step {step}: {error}"
    lib.weft_queue_release(queue)


def handed_out(session):
    """PyTorch reads what a Weft buffer holds, by its address."""
    import cupy
    x = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    mine = session.put(x)
    info = ffi.new("weft_buffer_info *", {"struct_size": ffi.sizeof("weft_buffer_info")})
    check(lib.weft_buffer_info_get(mine.buffer, info))
    memory = cupy.cuda.UnownedMemory(info.address, x.nbytes, mine)
    theirs = cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0))
    assert (cupy.asnumpy(theirs) == x).all()


def refused(session):
    """Addresses that are no device memory are told."""
    host = np.zeros(4096, np.uint8)
    at = -(-host.ctypes.data // 64) * 64
    whole = torch.empty(1 << 20, dtype=torch.uint8, device="cuda")
    out = ffi.new("uint64_t *")
    for address, size in [(at, 64), (whole.data_ptr(), 1 << 40), (whole.data_ptr() + 1, 8), (64, 64)]:
        desc = ffi.new("weft_buffer_desc *", {"struct_size": ffi.sizeof("weft_buffer_desc"), "address": address})
        status = lib.weft_buffer_create(session.context, size, desc, out)
        assert status == C["WEFT_ERROR_INVALID_ARGUMENT"], (hex(address), size, status)


def main():
    torch.zeros(1, device="cuda")
    before = current_context()
    session = Session("cuda:0")
    shared_stream(session)
    handed_out(session)
    refused(session)
    session.close()
    assert before and current_context() == before, "the caller's context is still current"
    print("interop: PyTorch's memory and stream, our memory in CuPy, the caller's context: all as they should be")


if __name__ == "__main__":
    main()
