"""The part of weft.h that the example needs, for ctypes. Other functions and structs follow the same pattern."""
import ctypes
import os
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

HERE = os.path.dirname(os.path.abspath(__file__))
ABI_VERSION = 1 << 16
OK, INTERRUPTED, OUT_OF_RANGE = 0, 6, -10
F32, I32 = 1, 9
COPY_HOST = 1
FOREVER = 2**64 - 1


class Tensor(ctypes.Structure):
    """weft_tensor: a view of a buffer. Strides left 0 mean packed."""
    _fields_ = [("buffer", c_uint64), ("offset", c_uint64), ("dtype", c_uint32), ("rank", c_uint32),
                ("dims", c_int64 * 8), ("strides", c_int64 * 8)]

    def __init__(self, buffer=0, dtype=0, dims=(), offset=0):
        super().__init__(buffer, offset, dtype, len(dims), (c_int64 * 8)(*dims))


class Sized(ctypes.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class MatmulDesc(Sized):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("a", Tensor), ("b", Tensor), ("c", Tensor),
                ("d", Tensor), ("bias", Tensor), ("alpha", c_double), ("beta", c_double), ("epilogue", c_uint32),
                ("compute", c_uint32), ("a_scale", Tensor), ("b_scale", Tensor), ("d_scale", Tensor), ("aux", Tensor)]


class RowsDesc(Sized):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("table", Tensor), ("indices", Tensor), ("rows", Tensor)]


class PortDesc(Sized):
    _fields_ = [("struct_size", c_uint32), ("capacity", c_uint32)]


class QueueDesc(Sized):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("depth", c_uint32), ("priority", c_uint32)]


class Submit(Sized):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("user_data", c_uint64), ("timeout_ns", c_uint64),
                ("after", c_void_p), ("after_count", c_uint32), ("reserved", c_uint32), ("port", c_uint64),
                ("callback", c_void_p), ("deadline_ns", c_uint64)]


# weft_completion as struct.iter_unpack reads it: user_data, request, status, op, and the time on the device.
COMPLETION = "<QQiI8xQ24x"
COMPLETION_SIZE = 64

# Beside this folder when `make` built the example; any other place by WEFT_LIB.
lib = ctypes.CDLL(os.environ.get("WEFT_LIB", os.path.join(HERE, "..", "build", "libweft.so.1")))


def declare(name, *arguments, result=c_int32):
    function = getattr(lib, name)
    function.argtypes, function.restype = arguments, result


HANDLE = c_uint64
OUT = POINTER(c_uint64)
declare("weft_abi_check", c_uint32)
declare("weft_status_name", c_int32, result=c_char_p)
declare("weft_last_error", result=c_char_p)
declare("weft_context_create", c_char_p, c_void_p, OUT)
declare("weft_queue_create", HANDLE, POINTER(QueueDesc), OUT)
declare("weft_port_create", HANDLE, POINTER(PortDesc), OUT)
declare("weft_buffer_create", HANDLE, c_uint64, c_void_p, OUT)
declare("weft_write", HANDLE, HANDLE, c_uint64, c_void_p, c_uint64, POINTER(Submit), OUT)
declare("weft_read", HANDLE, HANDLE, c_uint64, c_void_p, c_uint64, POINTER(Submit), OUT)
declare("weft_fill", HANDLE, HANDLE, c_uint64, c_uint64, c_uint64, c_uint32, POINTER(Submit), OUT)
declare("weft_barrier", HANDLE, POINTER(Submit), OUT)
declare("weft_matmul", HANDLE, POINTER(MatmulDesc), POINTER(Submit), OUT)
declare("weft_gather_rows", HANDLE, POINTER(RowsDesc), POINTER(Submit), OUT)
declare("weft_queue_drain", HANDLE, c_uint64)
declare("weft_port_poll", HANDLE, c_void_p, c_uint32, POINTER(c_uint32))
declare("weft_port_event_handle", HANDLE, POINTER(c_int64))
declare("weft_request_error", HANDLE, c_char_p, c_size_t, c_void_p)
for kind in "request", "buffer", "port", "queue", "context":
    declare(f"weft_{kind}_release", HANDLE)


class Error(Exception):
    """A status below zero and the sentence that explains it."""

    def __init__(self, status, sentence):
        super().__init__(f"{lib.weft_status_name(status).decode()}: {sentence}")
        self.status = status


def check(status):
    if status < 0:
        raise Error(status, lib.weft_last_error().decode())
    return status


def create(function, *arguments):
    """The handle that function(*arguments, &handle) gives."""
    handle = c_uint64()
    check(function(*arguments, ctypes.byref(handle)))
    return handle.value


def drain(queue):
    """Waits until the queue is empty. A signal ends the C call, so that Ctrl-C works: Python runs its handler then."""
    while check(lib.weft_queue_drain(queue, FOREVER)) == INTERRUPTED:
        pass


check(lib.weft_abi_check(ABI_VERSION))
