"""A binding made of include/weft_api.json alone, by ctypes, and a program on it: what makers of bindings can rely on.

    python3 tests/python/binding.py include/weft_api.json target/release/libweft.so
"""
import ctypes
import json
import sys

BASE = {"void": None, "char": ctypes.c_char, "float": ctypes.c_float, "double": ctypes.c_double, "size_t": ctypes.c_size_t}
BASE |= {f"{sign}int{bits}_t": getattr(ctypes, f"c_{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}


class Binding:
    """Functions, structs and constants of the description as attributes, without the prefix."""

    def __init__(self, description, library):
        with open(description) as file:
            api = json.load(file)
        self.types = dict(BASE)
        for row in api["types"]:
            self.types[row["name"]] = getattr(self, "a_" + row["kind"])(row)
        self.values = {row["name"]: row["value"] for row in api["constants"]}
        self.library = ctypes.CDLL(library)
        for row in api["functions"]:
            function = getattr(self.library, row["name"])
            function.restype = self.c_type(row["returns"]["type"])
            function.argtypes = [self.c_type(parameter["type"]) for parameter in row["parameters"]]
            setattr(self, row["name"].removeprefix("weft_"), function)
        self.functions = {row["name"]: row for row in api["functions"]}

    def c_type(self, kind):
        kind = kind.removeprefix("const ")
        if kind == "char *":
            return ctypes.c_char_p
        if kind.endswith("*"):
            pointee = self.c_type(kind[:-1].strip())
            return ctypes.c_void_p if pointee is None else ctypes.POINTER(pointee)
        return self.types[kind]

    def a_integer(self, row):
        return self.c_type(row["type"])

    a_handle = a_integer

    def a_callback(self, row):
        return ctypes.CFUNCTYPE(self.c_type(row["returns"]), *(self.c_type(p["type"]) for p in row["parameters"]))

    def a_struct(self, row):
        def field(entry):
            kind = self.c_type(entry["type"])
            return entry["name"], kind * entry["count"] if "count" in entry else kind

        made = type(row["name"], (ctypes.Structure,), {"_fields_": [field(entry) for entry in row["fields"]]})
        assert ctypes.sizeof(made) == row["size"] and ctypes.alignment(made) == row["align"], row["name"]
        for entry in row["fields"]:
            place = getattr(made, entry["name"])
            assert (place.offset, place.size) == (entry["offset"], entry["size"]), (row["name"], entry["name"])
        return made

    def new(self, name, **fields):
        made = self.types[name]
        if made._fields_[0][0] == "struct_size":
            fields["struct_size"] = ctypes.sizeof(made)
        return made(**fields)

    def check(self, status, function):
        names = {self.values[code]: code for code in self.functions["weft_" + function]["returns"]["codes"]}
        assert status in names, f"weft_{function} answered {status}, which is not listed"
        if status:
            raise RuntimeError(f"weft_{function}: {names[status]}: {self.last_error().decode()}")

    def call(self, function, *arguments):
        self.check(getattr(self, function)(*arguments), function)


def main(description, library):
    weft = Binding(description, library)
    weft.call("abi_check", weft.values["WEFT_ABI_VERSION"])

    def made(function, kind, *arguments):
        handle = weft.types[kind]()
        weft.call(function, *arguments, ctypes.byref(handle))
        return handle

    context = made("context_create", "weft_context", b"cpu", None)
    queue = made("queue_create", "weft_queue", context, None)

    def matrix(rows, columns, values=None):
        buffer = made("buffer_create", "weft_buffer", context, 4 * rows * columns, None)
        if values:
            host = (ctypes.c_float * len(values))(*values)
            options = weft.new("weft_submit", flags=weft.values["WEFT_SUBMIT_COPY_HOST"])
            weft.call("write", queue, buffer, 0, host, ctypes.sizeof(host), ctypes.byref(options), None)
        tensor = weft.new("weft_tensor", buffer=buffer.value, dtype=weft.values["WEFT_F32"], rank=2)
        tensor.dims[0], tensor.dims[1] = rows, columns
        return tensor

    a, b, d = matrix(2, 3, [1, 2, 3, 4, 5, 6]), matrix(3, 2), matrix(2, 2)
    pattern = int.from_bytes(bytes(ctypes.c_float(0.5)), sys.byteorder)
    weft.call("fill", queue, b.buffer, 0, 24, pattern, 4, None, None)
    desc = weft.new("weft_matmul_desc", a=a, b=b, d=d)
    weft.call("matmul", queue, ctypes.byref(desc), None, None)
    host = (ctypes.c_float * 4)()
    request = made("read", "weft_request", queue, d.buffer, 0, host, 16, None)
    weft.call("request_wait", ctypes.byref(request), 1, weft.values["WEFT_WAIT_ALL"], weft.values["WEFT_FOREVER"], None)
    assert list(host) == [3, 3, 7.5, 7.5], list(host)

    # A completion by callback, and an error with its sentence.
    port, seen = made("port_create", "weft_port", context, None), []
    callback = weft.types["weft_complete_fn"](lambda user, record: seen.append((user, record.contents.status)))
    options = weft.new("weft_submit", user_data=42, port=port, callback=callback)
    weft.call("barrier", queue, ctypes.byref(options), None)
    weft.call("queue_drain", queue, weft.values["WEFT_FOREVER"])
    weft.call("port_dispatch", port, 0, None)
    assert seen == [(42, 0)], seen
    try:
        weft.call("buffer_create", context, 2**63, None, None)
    except RuntimeError as error:
        assert "WEFT_ERROR_INVALID_ARGUMENT" in str(error) and "buffer is NULL" in str(error), error
    else:
        raise AssertionError("a NULL place for the handle was taken")

    weft.call("port_release", port)
    weft.call("request_release", request)
    for tensor in (a, b, d):
        weft.call("buffer_release", tensor.buffer)
    weft.call("queue_release", queue)
    weft.call("context_release", context)
    print(f"{len(weft.functions)} functions, {len(weft.types) - len(BASE)} types, {len(weft.values)} constants")


main(*sys.argv[1:])
