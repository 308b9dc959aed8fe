"""Random multiplications for tests/gpu/matmul_torch.py: what weft_matmul_desc can ask for, of tensors that lie in any way."""
import random

import torch

from arena import Lie, Tensor, subsets
from weft import C

F32, F64, F16, BF16 = torch.float32, torch.float64, torch.float16, torch.bfloat16
E4M3, E5M2, I8, I32 = torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.int32
C32, C64 = torch.complex64, torch.complex128
EIGHT = (E4M3, E5M2)
# a, b, and what d may be.
TYPES = [(F32, F32, [F32]), (F16, F16, [F16, F16, F32]), (BF16, BF16, [BF16, BF16, F32]), (F64, F64, [F64]),
         (E4M3, E4M3, [E4M3, E5M2, BF16, F16, F32]), (I8, I8, [I32, I32, F32, F16, BF16]), (C32, C32, [C32]),
         (E4M3, E5M2, [E4M3, E5M2, BF16, F16, F32]), (F32, F16, [F32]), (BF16, BF16, [BF16]), (C64, C64, [C64]),
         (E5M2, E4M3, [E4M3, E5M2, BF16, F16, F32]), (F32, F32, [F32]), (F16, F16, [F16]), (F32, BF16, [F32]),
         (E5M2, E5M2, [E4M3, E5M2, BF16, F16, F32])]
SIZES = [1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 33, 61, 64, 97, 113, 127, 128, 129, 199, 256, 257, 293, 300]
ROUND = [16, 32, 48, 64, 128, 144, 256, 272]
ANYHOW = ["packed", "turned", "padded", "padded turned", "aligned", "aligned turned", "sparse", "negative", "any"]
STRAIGHT = ["packed", "packed", "turned", "aligned", "aligned turned"]
RELU, GELU, GELU_TANH, SILU = 1, 2, 3, 4
RELU_AUX, GELU_AUX, GELU_TANH_AUX, DRELU, DGELU, DGELU_TANH = range(5, 11)
COMPUTES = {F32: ["DEFAULT", "F32", "TF32", "BF16"], C32: ["DEFAULT", "F32", "TF32", "BF16"], F64: ["DEFAULT", "F64"],
            C64: ["DEFAULT", "F64"], I8: ["DEFAULT", "I32"], F16: ["DEFAULT", "F32", "F16"]}


class Case:
    """One of them: its tensors, None where there is none, and its numbers."""

    def __init__(self, arena, seed, number, largest):
        self.arena, self.number, self.rng = arena, number, random.Random(f"{seed}/{number}")
        self.values = torch.Generator(arena.device).manual_seed(seed * 1_000_003 + number)
        self.c = self.bias = self.a_scale = self.b_scale = self.d_scale = self.aux = self.bias_grad = self.amax = None
        self.flags, self.beta, self.in_place = 0, 0, False
        self.choose(number, largest)
        self.factors()
        self.numbers()
        self.added()
        if self.a_dtype.itemsize == 1 and self.d_dtype != I32:
            self.scales()
        self.beside()

    def chance(self, n):
        return self.rng.randrange(n) == 0

    def pick(self, values):
        return self.rng.choice(values)

    def choose(self, number, largest):
        """Types, sizes, and whether it is one that vendors' libraries take."""
        self.a_dtype, self.b_dtype, d = TYPES[number % len(TYPES)]
        self.d_dtype, self.large, self.round = self.pick(d), self.chance(50), self.chance(2)
        # A product and no more: what PyTorch has operations for.
        self.plain = self.chance(5)
        self.round |= self.plain and self.a_dtype.itemsize == 1
        sizes = [n for n in [384, 500, 512, 1000, 1024, 1536, 2048] if n <= largest] if self.large else \
            ROUND if self.round else SIZES
        self.m, self.n, self.k = (0 if self.chance(60) else self.pick(sizes) for _ in range(3))
        small = max(self.m, self.n, self.k) <= 130
        self.batch = [] if self.large else self.pick([[], [], [], [2], [3], [2, 3], [1, 2]])
        if self.plain:
            self.batch = self.pick([[], [], [2]])
        elif small and self.chance(20):
            self.batch = self.pick([[0], [2, 1, 2, 2], [17], [2, 2, 3]])
        self.dims = [*self.batch, self.m, self.n]
        self.real = not self.d_dtype.is_complex
        # The types beside d: c and aux, and what bias and bias_grad may be besides.
        self.c_dtype = self.pick([BF16, F16]) if self.d_dtype in EIGHT else self.d_dtype
        self.bias_dtypes = [BF16, F16, F32] if self.d_dtype in EIGHT else \
            [self.d_dtype, F32] if self.d_dtype in (F16, BF16) else [self.d_dtype]

    def lie(self, expanded=()):
        return Lie(self.rng, self.pick(STRAIGHT if self.round or self.large else ANYHOW), expanded)

    def random(self, dtype):
        """A function that makes values of a shape."""
        normal = dict(device=self.arena.device, generator=self.values)
        if dtype == torch.uint8:
            return lambda shape: torch.randint(0, 256, shape, dtype=dtype, **normal)
        if dtype in (I8, I32):
            most = self.pick([128, 128, 1000]) if dtype == I32 else 128
            return lambda shape: torch.randint(-most, most, shape, **normal).to(dtype)
        if dtype in (C64, F64, C32):
            return lambda shape: torch.randn(shape, dtype=dtype, **normal)
        return lambda shape: torch.randn(shape, **normal).to(dtype)

    def tensor(self, dtype, dims, lie=None, values="random"):
        return Tensor(self.arena, dtype, dims, lie or self.lie(), self.random(dtype) if values == "random" else values)

    def some_batch(self):
        """Batch axes that broadcast to d's, and those along which the memory stays where it is."""
        own = self.batch[self.rng.randint(0, len(self.batch)):]
        own = [1 if self.chance(3) else dim for dim in own]
        return own, self.pick(subsets(range(len(own)))) if self.chance(4) else ()

    def factor(self, dtype, matrix):
        batch, expanded = self.some_batch()
        return self.tensor(dtype, batch + matrix, self.lie(expanded))

    def factors(self):
        self.a = self.factor(self.a_dtype, [self.m, self.k])
        self.b = self.factor(self.b_dtype, [self.k, self.n])
        # Every other of those that only contiguous factors are fast for.
        if self.a_dtype.itemsize == 1 and self.round and self.chance(2):
            self.a = self.tensor(self.a_dtype, [*self.batch, self.m, self.k], Lie(self.rng, "packed"))
            self.b = self.tensor(self.b_dtype, [*self.batch, self.k, self.n], Lie(self.rng, "turned"))

    def numbers(self):
        self.alpha = self.pick([0, 0, 0, 1, 2, -3] + ([] if self.d_dtype == I32 else [0.37]))
        if self.d_dtype == I32 and self.chance(8):
            self.alpha = self.pick([2**31 - 1, -2**31])
        if self.chance(8):
            self.flags |= C["WEFT_MATMUL_ALPHA"]
        self.alpha_imag = 0 if self.real else self.pick([0, 0, 0.5])
        for name, odds in [("CONJUGATE_A", 3), ("CONJUGATE_B", 3), ("AUTOTUNE", 12), ("FAST_ACCUMULATION", 8)]:
            self.flags |= C["WEFT_MATMUL_" + name] if self.chance(odds) else 0
        self.flags |= C["WEFT_MATMUL_ALLOW_TF32"] if self.chance(6) else 0
        self.compute = self.pick(["DEFAULT"] * 4 + COMPUTES.get(self.a_dtype, ["DEFAULT", "F32"]))
        most = 0 if not self.real else RELU if self.d_dtype == I32 else DGELU_TANH
        self.epilogue = 0 if self.plain or self.chance(4) else self.rng.randint(0, most)
        if self.plain:
            self.alpha = self.alpha_imag = self.flags = 0
        self.workspace = self.pick([1, 4096, 1 << 20, 64 << 20]) if self.chance(10) else 0

    def added(self):
        """c, apart or in place, and a bias."""
        self.beta_imag = 0
        if not self.plain and self.chance(3):
            batch, expanded = self.some_batch()
            dims = self.pick([self.dims, batch + self.dims[-2:], [self.n], [self.m, 1]])
            # What is not asked for is not read.
            values = "random" if not self.chance(8) else None
            self.beta = self.pick([1, -2, 3]) if values else 0
            self.beta_imag = 0 if self.real or not values else self.pick([0, -0.25])
            self.in_place = values is not None and self.c_dtype == self.d_dtype and self.chance(3)
            if not self.in_place:
                lie = self.lie(expanded) if len(dims) == len(batch) + 2 and dims is not self.dims else self.lie()
                self.c = self.tensor(self.c_dtype, dims, lie, values)
        self.d = self.tensor(self.d_dtype, self.dims, None, "random" if self.in_place else None)
        self.c = self.d if self.in_place else self.c
        if not self.plain and self.chance(2) and self.epilogue < DRELU:
            dims = self.pick([[self.n], [self.n], [self.n], [self.m, 1], [1], self.dims, [*self.batch, 1, self.n]])
            self.bias = self.tensor(self.pick(self.bias_dtypes), dims)

    def scales(self):
        alike, positive = self.rng.randrange(3 if self.plain else 6), lambda shape: torch.rand(
            shape, device=self.arena.device, generator=self.values) + 0.25
        for name, lines in [("a_scale", self.m), ("b_scale", self.n)]:
            kind, blocks = self.rng.randrange(5) if self.chance(3) and not self.plain else alike, -(-self.k // 128)
            if kind == 0 or self.m * self.n * self.k == 0 and kind > 1:
                continue
            own = [[1, 1], [lines, 1], [lines, blocks], [-(-lines // 128), blocks],
                   [lines if name == "a_scale" else -(-lines // 128), blocks]][kind - 1]
            batch = self.batch if kind > 1 and self.chance(3) else []
            dims = self.pick([[], [1], [1, 1]]) if kind == 1 else batch + (own if name == "a_scale" else own[::-1])
            lie = Lie(self.rng, self.pick(["packed", "turned", "padded"]))
            setattr(self, name, self.tensor(F32, dims, lie, positive))
        if self.d_dtype in EIGHT and self.chance(2):
            value = self.pick([0.5, 4.0, 100.0])
            self.d_scale = self.tensor(F32, [1], None, lambda shape: torch.full(shape, value, device=self.arena.device))

    def beside(self):
        """What is read or written besides d."""
        bits = [*self.dims[:-1], -(-self.n // 8)]
        if self.epilogue in (RELU_AUX, DRELU):
            self.aux = self.tensor(torch.uint8, bits, None, None if self.epilogue == RELU_AUX else "random")
        elif self.epilogue >= GELU_AUX:
            read = self.epilogue in (DGELU, DGELU_TANH)
            double = lambda shape: 2 * self.random(F32)(shape)  # noqa: E731
            self.aux = self.tensor(self.c_dtype, self.dims, None, double if read else None)
        if self.chance(3) and self.real and self.d_dtype not in (F64, I32):
            self.amax = self.tensor(F32, [1], None, None)
        of_d, eight = self.epilogue >= DRELU, self.a_dtype.itemsize == 1
        if self.chance(2) and (of_d and self.a_dtype != I8 or not of_d and self.real and not eight):
            side = "D" if of_d else self.pick("AB")
            self.flags |= 0 if of_d else C["WEFT_MATMUL_BIAS_GRAD_" + side]
            own = [*(self.batch if self.chance(2) else []), self.m if side == "A" else self.n]
            self.bias_grad = self.tensor(self.pick(self.bias_dtypes), own, None, None)

    def outputs(self):
        """What is written."""
        aux = self.aux if self.epilogue in (RELU_AUX, GELU_AUX, GELU_TANH_AUX) else None
        return {name: t for name, t in dict(d=self.d, aux=aux, bias_grad=self.bias_grad, amax=self.amax).items() if t}

    def fields(self):
        """Of a weft_matmul_desc."""
        names = ["a", "b", "c", "d", "bias", "a_scale", "b_scale", "d_scale", "aux", "bias_grad", "amax"]
        tensors = {name: getattr(self, name).weft for name in names if getattr(self, name)}
        numbers = ["flags", "alpha", "alpha_imag", "beta", "beta_imag", "epilogue", "workspace"]
        compute = C["WEFT_COMPUTE_" + self.compute]
        return tensors | {name: getattr(self, name) for name in numbers} | dict(compute=compute)

    def __repr__(self):
        shown = {key: value for key, value in vars(self).items() if isinstance(value, Tensor)}
        rest = {key: getattr(self, key) for key in ["alpha", "alpha_imag", "beta", "beta_imag", "flags", "epilogue",
                                                    "compute", "workspace"] if getattr(self, key)}
        return f"case {self.number}: {shown | rest}"
