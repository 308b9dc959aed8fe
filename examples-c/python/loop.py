"""Completions in asyncio: `await` for each of 1,000 matrix products and one mistake. Needs no packages.

    make -C examples-c run-python                 or, with the library elsewhere: WEFT_LIB=... python3 loop.py
    python3 examples-c/python/loop.py --bench     how many completions a second Python takes

The port's event handle is an eventfd that is readable while completions wait: loop.add_reader is all that it takes. One call
takes a batch of 64-byte records, and struct.iter_unpack reads them where they lie.
"""
import asyncio
import ctypes
import struct
import sys
import time
from ctypes import byref

import weft_ctypes as weft
from weft_ctypes import Error, MatmulDesc, PortDesc, QueueDesc, RowsDesc, Submit, Tensor, check, create, lib

PRODUCTS, ROOM, MOST, SLOT = 1000, 64, 19 * 19, 1024


class Port:
    """A port in the running asyncio loop: its completions become futures' results."""

    def __init__(self, context, loop, capacity):
        self.handle = create(lib.weft_port_create, context, PortDesc(capacity=capacity))
        self.loop, self.pending, self.batches = loop, {}, 0
        self.room = asyncio.Semaphore(capacity)
        self.records, self.count = memoryview(bytearray(64 * capacity)), ctypes.c_uint32()
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.records))
        fd = ctypes.c_int64()
        check(lib.weft_port_event_handle(self.handle, byref(fd)))
        self.fd = fd.value
        loop.add_reader(self.fd, self.take)

    def take(self):
        """Takes the completions that wait. Level-triggered: what does not fit this time comes the next time."""
        check(lib.weft_port_poll(self.handle, self.address, len(self.records) // 64, byref(self.count)))
        self.batches += 1
        for user_data, request, status, op, device_ns in struct.iter_unpack(
                weft.COMPLETION, self.records[:64 * self.count.value]):
            self.complete(self.pending.pop(user_data), request, status)

    def complete(self, future, request, status):
        self.room.release()
        sentence = ctypes.create_string_buffer(1024)
        check(lib.weft_request_error(request, sentence, len(sentence), None))
        check(lib.weft_request_release(request))
        # Who waited may have been cancelled; the work is complete all the same.
        if future.cancelled():
            return
        if status == weft.OK:
            future.set_result(None)
        else:
            future.set_exception(Error(status, sentence.value.decode()))

    async def submit(self, function, queue, desc):
        """Submits an operation and waits until it is complete; raises Error if it was refused or failed."""
        await self.room.acquire()
        future = self.loop.create_future()
        key = id(future)
        self.pending[key] = future
        try:
            create(function, queue, byref(desc), byref(Submit(user_data=key, port=self.handle)))
        except Error:
            del self.pending[key]
            self.room.release()
            raise
        await future

    def close(self):
        self.loop.remove_reader(self.fd)
        check(lib.weft_port_release(self.handle))


def sizes(i):
    """Product i is [rows, inner] x [inner, columns]."""
    return 1 + i % 17, 1 + i % 19, 1 + i % 13


# Small whole numbers, so that results are exact.
A = [j % 7 - 3 for j in range(MOST)]
B = [j % 5 - 2 for j in range(MOST)]


def product(i, a, b, d):
    rows, inner, columns = sizes(i)
    return MatmulDesc(a=Tensor(a, weft.F32, (rows, inner)), b=Tensor(b, weft.F32, (inner, columns)),
                      d=Tensor(d, weft.F32, (rows, columns), offset=i * SLOT))


def right(i, found):
    rows, inner, columns = sizes(i)
    expected = [sum(A[row * inner + k] * B[k * columns + column] for k in range(inner))
                for row in range(rows) for column in range(columns)]
    return list(found[:rows * columns]) == expected


def upload(context, queue, values):
    data = struct.pack(f"{len(values)}f", *values)
    buffer = create(lib.weft_buffer_create, context, len(data), None)
    check(lib.weft_write(queue, buffer, 0, data, len(data), Submit(flags=weft.COPY_HOST), None))
    return buffer


async def mistake(port, queue, a, b, index):
    """Row 99 of a table of one row. The index lies in a buffer, so that only the running request can know."""
    desc = RowsDesc(table=Tensor(a, weft.F32, (1, 1)), indices=Tensor(index, weft.I32, (1,)), rows=Tensor(b, weft.F32, (1, 1)))
    try:
        await port.submit(lib.weft_gather_rows, queue, desc)
    except Error as error:
        print(error)
        return error.status == weft.OUT_OF_RANGE
    return False


async def main():
    context = create(lib.weft_context_create, b"auto", None)
    queue = create(lib.weft_queue_create, context, None)
    port = Port(context, asyncio.get_running_loop(), ROOM)
    a, b = upload(context, queue, A), upload(context, queue, B)
    d = create(lib.weft_buffer_create, context, PRODUCTS * SLOT, None)
    index = create(lib.weft_buffer_create, context, 4, None)
    check(lib.weft_fill(queue, index, 0, 4, 99, 4, None, None))

    products = (port.submit(lib.weft_matmul, queue, product(i, a, b, d)) for i in range(PRODUCTS))
    *_, answered = await asyncio.gather(*products, mistake(port, queue, a, b, index))

    results = (ctypes.c_float * (PRODUCTS * SLOT // 4))()
    check(lib.weft_read(queue, d, 0, results, PRODUCTS * SLOT, None, None))
    weft.drain(queue)
    good = sum(right(i, results[i * SLOT // 4:(i + 1) * SLOT // 4]) for i in range(PRODUCTS))
    print(f"asyncio: {good} of {PRODUCTS} products right, {int(answered)} mistake answered, in {port.batches} batches")
    port.close()
    for buffer in a, b, d, index:
        check(lib.weft_buffer_release(buffer))
    check(lib.weft_queue_release(queue))
    check(lib.weft_context_release(context))
    return 0 if good == PRODUCTS and answered else 1


def bench(total=1 << 18, rounds=5):
    """Takes `total` completions that wait, in batches, and adds up their numbers: the best of some rounds."""
    context = create(lib.weft_context_create, b"auto", None)
    queue = create(lib.weft_queue_create, context, QueueDesc(depth=total))
    port = create(lib.weft_port_create, context, PortDesc(capacity=total))
    records, count = memoryview(bytearray(64 * 4096)), ctypes.c_uint32()
    address, options = ctypes.addressof(ctypes.c_char.from_buffer(records)), Submit(port=port)
    barrier, poll, how, out = lib.weft_barrier, lib.weft_port_poll, byref(options), byref(count)
    taking = both = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for i in range(total):
            options.user_data = i
            check(barrier(queue, how, None))
        weft.drain(queue)
        middle, taken, numbers = time.perf_counter(), 0, 0
        while taken < total:
            check(poll(port, address, 4096, out))
            for user_data, request, status, op, device_ns in struct.iter_unpack(weft.COMPLETION, records[:64 * count.value]):
                numbers += user_data
            taken += count.value
        end = time.perf_counter()
        assert numbers == total * (total - 1) // 2
        taking, both = min(taking, end - middle), min(both, end - begin)
    print(f"{total / taking:,.0f} completions a second taken in batches; {total / both:,.0f} requests a second submitted one "
          "by one, completed and taken")
    for release, handle in ("port", port), ("queue", queue), ("context", context):
        check(getattr(lib, f"weft_{release}_release")(handle))


if __name__ == "__main__":
    sys.exit(bench() if sys.argv[1:] == ["--bench"] else asyncio.run(main()))
