"""Weft from Python through its C header, for tests and benchmarks.

cffi reads include/weft.h itself, so that the structs here are the ones C sees. `Session` is a context and a queue,
`Array` a tensor in a buffer: its dtype is numpy's, or one that ml_dtypes adds (bfloat16, float8_e4m3fn, float8_e5m2).

    session = Session()
    a, b = session.put(numpy_a), session.put(numpy_b)
    d = session.output((m, n), a.dtype)
    session.run("matmul", a=a, b=b, d=d)
    d.numpy()

WEFT_LIB names the library, target/release/libweft.so unless set; WEFT_DEVICE the device, "auto" unless set.
"""
import os
import re

import cffi
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOREVER = 2**64 - 1
POISON = 0xDB

ffi = cffi.FFI()
with open(os.path.join(ROOT, "include", "weft.h")) as file:
    header = file.read()
text = re.sub(r"#ifdef __cplusplus.*?#endif[^\n]*", "", header, flags=re.S)
ffi.cdef(re.sub(r"/\*.*?\*/|^[ \t]*#[^\n]*$", "", text, flags=re.S | re.M))
lib = ffi.dlopen(os.environ.get("WEFT_LIB", os.path.join(ROOT, "target", "release", "libweft.so")))

# Constants are #defines.
C = {name: int(value, 0)
     for name, value in re.findall(r"^#define (WEFT_\w+) \(?(-?(?:0x)?[0-9a-fA-F]+)\)?$", header, re.M)}

DTYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3",
          "float8_e5m2": "F8_E5M2", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8",
          "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C32", "complex128": "C64"}


class WeftError(Exception):
    def __init__(self, status):
        self.status = status
        self.name = ffi.string(lib.weft_status_name(status)).decode()
        super().__init__(f"{self.name}: {ffi.string(lib.weft_last_error()).decode()}")


def check(status):
    if status != 0:
        raise WeftError(status)


check(lib.weft_abi_check(C["WEFT_ABI_VERSION"]))


def dtype_code(dtype):
    name = np.dtype(dtype).name
    if name not in DTYPES:
        raise TypeError(f"Weft has no dtype {name}")
    return C["WEFT_" + DTYPES[name]]


def packed(shape):
    """Row-major strides without gaps, in elements."""
    strides = [1] * len(shape)
    for axis in reversed(range(len(shape) - 1)):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)


class Array:
    """A numpy-shaped tensor on the device: a buffer and the weft_tensor that describes it."""

    def __init__(self, session, shape, dtype, strides=None, offset=0, buffer=None, nbytes=None, base=None):
        self.session, self.shape, self.dtype = session, tuple(int(d) for d in shape), np.dtype(dtype)
        self.strides, self.offset = strides, offset
        # A view keeps alive what owns its buffer.
        self.base = base
        size = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        self.owner = buffer is None
        self.buffer = session.buffer(nbytes or size) if buffer is None else buffer

    @property
    def rank(self):
        return len(self.shape)

    @property
    def tensor(self):
        t = ffi.new("weft_tensor *")
        t.buffer, t.offset, t.dtype, t.rank = self.buffer, self.offset, dtype_code(self.dtype), self.rank
        for i, d in enumerate(self.shape):
            t.dims[i] = d
            if self.strides:
                t.strides[i] = self.strides[i]
        return t[0]

    def view(self, shape, strides, offset_elements=0):
        """The same buffer under another shape and strides (in elements)."""
        offset = self.offset + offset_elements * self.dtype.itemsize
        return Array(self.session, shape, self.dtype, strides, offset, self.buffer, base=self.base or self)

    def seen(self, function):
        """The view that `function` makes of a numpy array of this layout: seen(lambda a: a.T[::-1]).

        The array has no memory behind it, so `function` must make views alone: reshape with copy=False."""
        ghost = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), self.shape, self.strides or packed(self.shape))
        out = function(ghost)
        start = out.__array_interface__["data"][0] - ghost.__array_interface__["data"][0]
        if out.size > 1 and not any(out.strides):
            raise ValueError("strides of 0 alone mean packed: leave the broadcast to Weft")
        return self.view(out.shape, out.strides, start)

    def reshape(self, *shape):
        return self.seen(lambda a: a.reshape(shape, copy=False))

    def transpose(self, *order):
        return self.seen(lambda a: a.transpose(order))

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        # With an ellipsis, a single element is a view too.
        return self.seen(lambda a: a[index if Ellipsis in index else (*index, ...)])

    def numpy(self):
        """A copy of a packed array."""
        assert self.strides in (None, packed(self.shape)), "only a packed array can be read"
        out = np.empty(self.shape, self.dtype)
        if out.nbytes:
            raw = ffi.from_buffer(out.reshape(-1).view(np.uint8), require_writable=True)
            self.session.wait(lambda r: lib.weft_read(self.session.queue, self.buffer, self.offset, raw, out.nbytes,
                                                      ffi.NULL, r))
        return out

    def __del__(self):
        if getattr(self, "owner", False) and lib is not None:
            lib.weft_buffer_release(self.buffer)


class Session:
    """A context and a queue."""

    def __init__(self, device=None, threads=0):
        device = device or os.environ.get("WEFT_DEVICE", "auto")
        options = ffi.new("weft_context_desc *", {"struct_size": ffi.sizeof("weft_context_desc"), "threads": threads})
        out = ffi.new("uint64_t *")
        check(lib.weft_context_create(device.encode(), options, out))
        self.context = out[0]
        check(lib.weft_queue_create(self.context, ffi.NULL, out))
        self.queue = out[0]

    def buffer(self, size):
        out = ffi.new("uint64_t *")
        check(lib.weft_buffer_create(self.context, size, ffi.NULL, out))
        return out[0]

    def wait(self, submit):
        request = ffi.new("uint64_t *")
        check(submit(request))
        status = lib.weft_request_wait(request, 1, 0, FOREVER, ffi.NULL)
        error = WeftError(status) if status else None
        lib.weft_request_release(request[0])
        if error:
            raise error

    def put(self, array):
        """A packed copy of a numpy array on the device."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        out = Array(self, array.shape, array.dtype)
        if array.nbytes:
            raw = ffi.from_buffer(array.reshape(-1).view(np.uint8))
            self.wait(lambda r: lib.weft_write(self.queue, out.buffer, 0, raw, array.nbytes, ffi.NULL, r))
        return out

    def empty(self, shape, dtype):
        """A packed array, all zero."""
        return Array(self, shape, dtype)

    def output(self, shape, dtype):
        """A packed array of poison: whatever a request leaves unwritten shows."""
        return self.fill(Array(self, shape, dtype), POISON, 1)

    def fill(self, array, pattern, pattern_size):
        """Fills a packed array with the low bytes of an integer."""
        size = int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize
        self.wait(lambda r: lib.weft_fill(self.queue, array.buffer, array.offset, size, pattern, pattern_size,
                                          ffi.NULL, r))
        return array

    def desc(self, type_name, **fields):
        d = ffi.new(type_name + " *")
        d.struct_size = ffi.sizeof(type_name)
        for name, value in fields.items():
            if value is not None:
                setattr(d, name, value.tensor if isinstance(value, Array) else value)
        return d

    def run(self, op, type_name=None, **fields):
        """session.run("matmul", a=..., b=..., d=...): submits weft_<op> and waits."""
        d = self.desc(type_name or f"weft_{op}_desc", **fields)
        self.wait(lambda r: getattr(lib, "weft_" + op)(self.queue, d, ffi.NULL, r))

    def close(self):
        lib.weft_queue_release(self.queue)
        lib.weft_context_release(self.context)
