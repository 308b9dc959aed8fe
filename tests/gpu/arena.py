"""Tensors that PyTorch and Weft both see: one allocation of PyTorch's, wrapped as a buffer, in which each tensor lies in any way
that strides can say, between bytes that nobody may touch."""
import itertools
import math

import torch

from weft import C, check, ffi, lib

WEFT = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
        torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int8: "I8", torch.int32: "I32",
        torch.uint8: "U8", torch.complex64: "C32", torch.complex128: "C64"}
# Bytes around each tensor.
GUARD = 256


class Arena:
    """Memory for the tensors of one case after another."""

    def __init__(self, session, device, size):
        self.session, self.device = session, device
        self.bytes = torch.zeros(size, dtype=torch.uint8, device=device)
        self.views = {dtype: self.bytes.view(dtype) for dtype in WEFT}
        desc = ffi.new("weft_buffer_desc *", {"struct_size": ffi.sizeof("weft_buffer_desc"),
                                              "address": self.bytes.data_ptr()})
        out = ffi.new("uint64_t *")
        check(lib.weft_buffer_create(session.context, size, desc, out))
        self.buffer, self.used, self.poison = out[0], 0, 0xFF

    def begin(self, poison):
        """Forgets all tensors. `poison` is what stands wherever nothing else does from here on."""
        self.used, self.poison = 0, poison

    def take(self, size):
        """The offset of `size` poisoned bytes and a guard on either side."""
        start, self.used = self.used, -(-(self.used + size + 2 * GUARD) // 256) * 256
        assert self.used <= len(self.bytes), "the arena is too small"
        self.bytes[start:self.used].fill_(self.poison)
        return start + GUARD

    def image(self):
        """A copy of all that is in use."""
        return self.bytes[:self.used].clone()


class Tensor:
    """One of them; without `values` (a function of a shape) it is left poisoned."""

    def __init__(self, arena, dtype, dims, lie, values=None):
        self.arena, self.dtype, self.dims, self.lie = arena, dtype, tuple(dims), lie
        strides = lie.strides(self.dims)
        size, axes = dtype.itemsize, range(len(self.dims))
        own = [1 if strides[a] == 0 else self.dims[a] for a in axes]
        ends = [max(d - 1, 0) * s for d, s in zip(own, strides)]
        extent = sum(abs(end) for end in ends) + 1
        start = arena.take((lie.shift + extent) * size) // size + lie.shift
        memory = arena.views[dtype]
        self.flips = [a for a in axes if strides[a] < 0]
        self.memory = torch.as_strided(memory, own, [abs(s) or 1 for s in strides], start)
        self.offset = (start - sum(min(end, 0) for end in ends)) * size
        self.strides = strides
        if values is not None:
            self.memory.copy_(values(own))

    @property
    def weft(self):
        """The weft_tensor."""
        t = ffi.new("weft_tensor *")
        t.buffer, t.offset, t.rank = self.arena.buffer, self.offset, len(self.dims)
        t.dtype = C["WEFT_" + WEFT[self.dtype]]
        for axis, dim in enumerate(self.dims):
            t.dims[axis] = dim
            if any(self.strides):
                t.strides[axis] = self.strides[axis]
        return t[0]

    def narrow(self):
        """The elements as they are, for operations of their own type."""
        # PyTorch does not turn the order of 8-bit floats, but that of bytes.
        turned = self.memory
        if self.flips:
            turned = turned.view(torch.uint8).flip(self.flips).view(self.dtype) if self.dtype.itemsize == 1 \
                else turned.flip(self.flips)
        return turned.expand(self.dims)

    def wide(self):
        """Their values in the widest type of their kind."""
        return self.narrow().to(wide(self.dtype))

    def __repr__(self):
        return f"{WEFT[self.dtype]}{list(self.dims)}/{list(self.strides)}@{self.offset}"


def wide(dtype):
    """The widest type of its kind."""
    return torch.complex128 if dtype.is_complex else torch.float64 if dtype.is_floating_point else torch.int64


class Lie:
    """How a tensor lies: the order of its axes in memory, the outermost first, gaps, signs and an odd start."""

    def __init__(self, rng, kind="packed", expanded=()):
        self.rng, self.kind, self.expanded = rng, kind, expanded
        self.shift = 0 if kind in ("packed", "turned", "aligned", "aligned turned") else rng.randrange(4)

    def order(self, rank):
        order = list(range(rank))
        if self.kind in ("turned", "padded turned", "aligned turned") and rank > 1:
            order[-2:] = order[:-3:-1]
        if self.kind == "any":
            self.rng.shuffle(order)
        return order

    def strides(self, dims):
        """Strides in elements: none where all are packed; 0 along expanded axes."""
        if self.kind == "packed" and not self.expanded:
            return packed(dims)
        step, strides = 2 if self.kind in ("sparse", "any") and self.rng.random() < 0.5 else 1, [0] * len(dims)
        for number, axis in enumerate(reversed(self.order(len(dims)))):
            if axis in self.expanded:
                continue
            sign = -1 if self.kind in ("negative", "any") and self.rng.random() < 0.5 else 1
            strides[axis], step = sign * step, step * max(dims[axis], 1)
            if self.kind.startswith("aligned"):
                step += -step % 16 + (16 if number == 0 else 0)
            elif self.kind not in ("packed", "turned") and self.rng.random() < 0.5:
                step += self.rng.choice([1, 3, 16])
        return strides


def packed(dims):
    """Row-major strides."""
    return [math.prod(max(d, 1) for d in dims[axis + 1:]) for axis in range(len(dims))]


def subsets(items):
    """All subsets, as tuples."""
    return list(itertools.chain.from_iterable(itertools.combinations(items, n) for n in range(len(items) + 1)))
