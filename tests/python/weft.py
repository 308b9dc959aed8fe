"""Weft from Python through its C header, for tests and benchmarks: cffi reads include/weft.h itself."""
import os
import re

import cffi
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOREVER = 2**64 - 1

ffi = cffi.FFI()
header = os.path.join(ROOT, "include", "weft.h")
text = re.sub(r"#ifdef __cplusplus.*?#endif[^\n]*", "", open(header).read(), flags=re.S)
text = re.sub(r"/\*.*?\*/|^[ \t]*#[^\n]*$", "", text, flags=re.S | re.M)
ffi.cdef(text)
lib = ffi.dlopen(os.environ.get("WEFT_LIB", os.path.join(ROOT, "target", "release", "libweft.so")))

# Constants are #defines.
C = {}
for name, value in re.findall(r"^#define (WEFT_\w+) (-?\d+|0x[0-9a-fA-F]+)\b", open(header).read(), re.M):
    C[name] = int(value, 0)

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


def dtype_code(dtype):
    return C["WEFT_" + DTYPES[np.dtype(dtype).name]]


class Array:
    """A numpy-shaped tensor on the device: a buffer and the weft_tensor that describes it."""

    def __init__(self, session, shape, dtype, strides=None, offset=0, buffer=None, nbytes=None):
        self.session, self.shape, self.dtype = session, tuple(int(d) for d in shape), np.dtype(dtype)
        self.strides, self.offset = strides, offset
        size = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        self.owner = buffer is None
        self.buffer = session.buffer(nbytes or size) if buffer is None else buffer

    @property
    def tensor(self):
        t = ffi.new("weft_tensor *")
        t.buffer, t.offset, t.dtype, t.rank = self.buffer, self.offset, dtype_code(self.dtype), len(self.shape)
        for i, d in enumerate(self.shape):
            t.dims[i] = d
            if self.strides:
                t.strides[i] = self.strides[i]
        return t[0]

    def view(self, shape, strides, offset_elements=0):
        """The same buffer under another shape and strides (in elements)."""
        return Array(self.session, shape, self.dtype, strides, self.offset + offset_elements * self.dtype.itemsize, self.buffer)

    def numpy(self):
        """A copy of a packed array."""
        assert self.strides is None
        out = np.empty(self.shape, self.dtype)
        if out.nbytes:
            self.session.wait(lambda r: lib.weft_read(self.session.queue, self.buffer, self.offset,
                                                      ffi.from_buffer(out.view(np.uint8) if out.ndim else out.reshape(1).view(np.uint8)),
                                                      out.nbytes, ffi.NULL, r))
        return out

    def __del__(self):
        if getattr(self, "owner", False) and lib is not None:
            lib.weft_buffer_release(self.buffer)


class Session:
    """A context and a queue."""

    def __init__(self, device="auto", threads=0):
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
            raw = array.reshape(-1).view(np.uint8)
            self.wait(lambda r: lib.weft_write(self.queue, out.buffer, 0, ffi.from_buffer(raw), raw.nbytes, ffi.NULL, r))
        return out

    def empty(self, shape, dtype):
        return Array(self, shape, dtype)

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
