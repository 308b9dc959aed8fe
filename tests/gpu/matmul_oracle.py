"""What a multiplication should give, by PyTorch in f64 (complex128, int64) on the same memory, how far off each element may be, and
whether it is."""
import torch
import torch.nn.functional as F

from arena import wide
from matmul_cases import (BF16, DGELU, DGELU_TANH, DRELU, E4M3, E5M2, EIGHT, F16, F32, F64, GELU, GELU_AUX, GELU_TANH,
                          GELU_TANH_AUX, I32, RELU, RELU_AUX, SILU)
from weft import C

# The unit of rounding, and half the least step.
ROUNDING = {E4M3: (2**-4, 2**-10), E5M2: (2**-3, 2**-17), F16: (2**-11, 2**-25), BF16: (2**-8, 2**-134), F32: (2**-24, 2**-150),
            torch.complex64: (2**-24, 2**-150), F64: (2**-53, 0), torch.complex128: (2**-53, 0), I32: (0, 0)}
MOST = {E4M3: 448, E5M2: 57344, F16: 65504}
# What a factor may be off by that is rounded on the way, and what 8-bit floats' sums on tensor cores may, of |A| |B|.
CUT = {"TF32": 2**-11, "BF16": 2**-8}
FEW_BITS = 1e-3


def size(x):
    return x.real.abs() + x.imag.abs() if x.is_complex() else x.abs()


def spread(scales, dims, k_axis):
    """Scales for each element of a factor whose matrix is of these dims."""
    if scales.numel() == 1:
        return scales.reshape(())
    for axis in (-2, -1):
        own, whole = scales.shape[axis], dims[axis]
        blocks = own != 1 and own != whole or axis != k_axis and own != whole
        if blocks:
            scales = scales.repeat_interleave(128, axis).narrow(axis, 0, whole)
    return scales


def conjugated(case, name, x):
    return x.conj().resolve_conj() if x.is_complex() and case.flags & C["WEFT_MATMUL_CONJUGATE_" + name] else x


def alpha(case):
    value = complex(case.alpha, case.alpha_imag) if not case.real else case.alpha
    return 1 if value == 0 and not case.flags & C["WEFT_MATMUL_ALPHA"] else value


def epilogue(number, x, aux):
    """PyTorch's operation; `aux` is what it is a gradient at."""
    if number in (RELU, RELU_AUX):
        return torch.relu(x)
    if number in (GELU, GELU_AUX):
        return F.gelu(x)
    if number in (GELU_TANH, GELU_TANH_AUX):
        return F.gelu(x, approximate="tanh")
    if number == SILU:
        return F.silu(x)
    if number in (DRELU, DGELU, DGELU_TANH):
        at = aux.to(x.dtype).requires_grad_()
        act = {DRELU: torch.relu, DGELU: F.gelu, DGELU_TANH: lambda y: F.gelu(y, approximate="tanh")}[number]
        return torch.autograd.grad(act(at), at, x)[0]
    return x


def bits(mask, n):
    """The mask's bits, a row of n of them for each of bytes."""
    each = torch.arange(8, dtype=torch.uint8, device=mask.device)
    return (mask.unsqueeze(-1) >> each & 1).flatten(-2)[..., :n].bool()


class Want:
    """What each element should be: `before` and `after` the epilogue, and how far off either may be."""

    def __init__(self, case):
        self.product, self.products = self.multiply(case)
        scalar = alpha(case)
        self.before, self.sizes = scalar * self.product, size(torch.tensor(scalar)).item() * self.products
        if case.beta or case.beta_imag:
            self.add((complex(case.beta, case.beta_imag) if not case.real else case.beta) * case.c.wide())
        if case.bias:
            self.add(case.bias.wide())
        if case.d_dtype == I32:
            self.before = wrapped(self.before)
        self.error = self.bound(case)
        self.aux = None if case.epilogue < DRELU else case.aux.wide()
        if case.epilogue == DRELU:
            self.aux = torch.where(bits(case.aux.narrow(), case.n), 1.0, -1.0).double()
        self.after = epilogue(case.epilogue, self.before, self.aux)
        if case.epilogue:
            # PyTorch's own slopes in f64 are off by some units where they almost vanish.
            units = 200 if self.unit == 2**-53 else 20
            self.error = 1.13 * self.error + units * self.unit * self.before.abs()

    def add(self, x):
        self.before, self.sizes = self.before + x, self.sizes + size(x).double()

    def multiply(self, case):
        """A B, scaled, and |A| |B|."""
        kind = wide(case.d_dtype)
        if alpha(case) == 0 or case.k == 0:
            zeros = torch.zeros(case.dims, dtype=kind, device=case.arena.device)
            return zeros, zeros.abs().double()
        # Sums of products of bytes are exact in f64, in which PyTorch multiplies on every device.
        up = (lambda x: x) if not case.real else torch.Tensor.double
        a, b = conjugated(case, "A", up(case.a.wide())), conjugated(case, "B", up(case.b.wide()))
        if case.a_scale:
            a = a * spread(case.a_scale.wide(), [case.m, case.k], -1)
        if case.b_scale:
            b = b * spread(case.b_scale.wide(), [case.k, case.n], -2)
        return (a @ b).to(kind).expand(case.dims), (size(a) @ size(b)).expand(case.dims)

    def bound(self, case):
        """As include/weft.h has it."""
        self.unit = 0 if case.d_dtype == I32 else 2**-53 if case.d_dtype in (F64, torch.complex128) else 2**-24
        rounds = (case.k + 4) * (1 if case.real else 2) + 2 * sum(bool(s) for s in (case.a_scale, case.b_scale))
        # The oracle is off as well where it is of the same type.
        error = rounds * self.unit * (2 if self.unit == 2**-53 else 1) * self.sizes
        cut = CUT.get(case.compute, 0)
        if case.a_dtype in (F32, torch.complex64):
            cut = max(cut, CUT["TF32"] if case.flags & C["WEFT_MATMUL_ALLOW_TF32"] else 0)
        loose = 2 * cut + (case.k * 2**-11 if case.compute == "F16" else 0)
        if case.a_dtype in EIGHT and case.arena.device.type == "cuda":
            loose = FEW_BITS
        elif case.d_dtype in (F16, BF16) and (case.c or case.bias) and case.arena.device.type == "cuda":
            loose += ROUNDING[case.d_dtype][0]  # cuBLASLt rounds the product before it adds to it
        return error + loose * size(torch.tensor(alpha(case))).item() * self.products


def wrapped(x):
    """As 32 bits have it."""
    return (x + 2**31) % 2**32 - 2**31


def near(got, want, error, dtype, scale=1.0):
    """How far `got` is off, of what it may be, where it is off too far; and where."""
    unit, tiny = ROUNDING[dtype]
    if dtype == I32:
        want = wrapped(want)
    parts = [(torch.view_as_real(got), torch.view_as_real(want), error.unsqueeze(-1))] if got.is_complex() else \
        [(got, want, error)]
    got, want, error = parts[0]
    want, error = want * scale, error * scale
    most = MOST.get(dtype, float("inf"))
    if dtype in EIGHT:
        want = want.clamp(-most, most)
    allowed = error + unit * (want.abs() + error) + tiny
    fits = (got - want).abs() <= allowed
    # What may as well be infinite.
    over = (want.abs() + allowed >= most * (1 - 2**-12)) & (dtype == F16) & (got.abs() >= most * (1 - 2**-10))
    over &= got.sign() == want.sign()
    return None if bool((fits | over).all()) else worst(got, want, allowed, ~(fits | over))


def worst(got, want, allowed, wrong):
    place = wrong.nonzero()[0].tolist()
    at = tuple(place)
    return (f"{int(wrong.sum())} of {wrong.numel()} wrong, the first at {place}: {got[at].item()!r}, expected "
            f"{want[at].item()!r} within {allowed.expand_as(wrong)[at].item():.3g}")


def compare(case, want):
    """What is wrong with the outputs: sentences."""
    scale = case.d_scale.wide().item() if case.d_scale else 1.0
    found = {"d": near(case.d.wide(), want.after, want.error, case.d_dtype, scale)}
    if case.epilogue == RELU_AUX:
        got, sure = bits(case.aux.narrow(), case.n), want.before.abs() > want.error
        wrong = sure & (got != (want.before > 0))
        found["aux"] = f"{int(wrong.sum())} bits are wrong" if wrong.any() else None
    elif case.epilogue in (GELU_AUX, GELU_TANH_AUX):
        found["aux"] = near(case.aux.wide(), want.before, want.error, case.c_dtype)
    if case.amax:
        most = lambda x: x.abs().max() if x.numel() else x.new_zeros(())  # noqa: E731
        found["amax"] = near(case.amax.wide()[0], most(want.after), most(want.error), F32)
    if case.bias_grad:
        found["bias_grad"] = gradient(case, want)
    return [f"{name}: {wrong}" for name, wrong in found.items() if wrong]


def gradient(case, want):
    """bias_grad: sums of d, a or b."""
    if case.flags & C["WEFT_MATMUL_BIAS_GRAD_A"]:
        of, axis, error = case.a.wide().expand(*case.batch, case.m, case.k), -1, 0
    elif case.flags & C["WEFT_MATMUL_BIAS_GRAD_B"]:
        of, axis, error = case.b.wide().expand(*case.batch, case.k, case.n), -2, 0
    else:
        of, axis, error = want.after, -2, want.error
    outer = tuple(range(len(case.batch))) if len(case.bias_grad.dims) == 1 else ()
    add = lambda x: x.sum((*outer, axis)) if x.dim() else x  # noqa: E731
    count = of.numel() / max(case.bias_grad.memory.numel(), 1) + 20
    error = count * want.unit * add(of.abs()) + (add(error) if case.epilogue >= DRELU else 0)
    return near(case.bias_grad.wide(), add(of), error, case.bias_grad.dtype)
