"""PyTorch's own operations of the very types, where it has them, beside what was computed."""
import collections

import torch

from arena import WEFT
from matmul_cases import BF16, DRELU, EIGHT, F16, F32, I32
from matmul_oracle import FEW_BITS, ROUNDING, alpha, conjugated, epilogue, near


class Peers:
    """Which there are on a device, and how often each was compared."""

    def __init__(self, device):
        self.counts, self.device = collections.Counter(), device
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        bytes32 = torch.zeros(32, 32, dtype=torch.int8, device=device)
        one = torch.ones((), device=device)
        small = bytes32.to(EIGHT[0])
        self.has = {"_int_mm": there(lambda: torch._int_mm(bytes32, bytes32.T)),
                    "_scaled_mm": there(lambda: torch._scaled_mm(small, small.T, one, one, out_dtype=BF16))}
        rows = torch.ones(32, 1, device=device)
        self.has["by rows"] = there(lambda: torch._scaled_mm(small, small.T, rows, rows.T, out_dtype=BF16))

    def __str__(self):
        lacking = [name for name, there in self.has.items() if not there]
        return ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items())) + \
            (f" (it has no {', '.join(lacking)} here)" if lacking else "")

    def compare(self, case, want):
        """What is wrong, beside the operation that computes the same."""
        if case.k == 0 or alpha(case) == 0 or not case.d.memory.numel():
            return []
        if case.a_dtype in EIGHT:
            return self.eight(case, want)
        if case.a_dtype == torch.int8:
            return self.bytes(case)
        if case.a_dtype == case.b_dtype == case.d_dtype and not case.in_place:
            return self.floats(case, want)
        return []

    def floats(self, case, want):
        """matmul, addmm or baddbmm, and relu, gelu or a gradient by autograd."""
        a, b = (conjugated(case, name, x.narrow()) for name, x in (("A", case.a), ("B", case.b)))
        plain = not case.beta and not case.beta_imag and alpha(case) == 1
        name = "matmul" if plain else "addmm" if not case.batch else "baddbmm"
        if plain:
            x = torch.matmul(a, b)
        elif case.batch and not (len(case.batch) == 1 and [*a.shape[:-2]] == [*b.shape[:-2]] == case.batch):
            return []
        else:
            beta = complex(case.beta, case.beta_imag) if not case.real else case.beta
            c = case.c.narrow().expand(case.dims) if beta else torch.zeros_like(case.d.narrow())
            x = getattr(torch, name)(c, a, b, beta=beta, alpha=alpha(case))
        if case.bias:
            x = x + case.bias.narrow().to(x.dtype)
        if case.epilogue:
            aux = None if want.aux is None else want.aux.to(x.dtype)
            self.counts["autograd of " * (case.epilogue >= DRELU) + "relu, gelu or silu"] += 1
            x = epilogue(case.epilogue, x.expand(case.dims), aux)
        self.counts[name] += 1
        # It rounds after each step.
        step = ROUNDING[case.d_dtype][0]
        theirs = (2 * case.k + 12) * want.unit * (2 - case.real) * want.sizes + 8 * step * want.sizes
        return self.told(name, case, x.to(case.d.wide().dtype).expand(case.dims), want.error + theirs)

    def bytes(self, case):
        """_int_mm, which is exact."""
        plain = case.d_dtype == I32 and not case.batch and not case.beta and not case.bias and not case.epilogue
        fits = case.m > 16 and case.k % 8 == 0 and case.n % 8 == 0
        if not self.has["_int_mm"] or not plain or not fits or abs(alpha(case)) > 1000:
            return []
        x = self.tried("_int_mm", lambda: torch._int_mm(case.a.narrow().contiguous(), case.b.narrow().contiguous()))
        if x is None:
            return []
        x = x.long() * alpha(case)
        return self.told("_int_mm", case, x, torch.zeros_like(x))

    def eight(self, case, want):
        """_scaled_mm, of scales for all or for lines."""
        plain = not (case.batch or case.beta or case.bias or case.epilogue) and alpha(case) == 1
        fits = all(x % 16 == 0 for x in (case.m, case.n, case.k)) and case.d_dtype in (F32, F16, BF16)
        scales = [s.narrow() if s else torch.ones((), device=self.device) for s in (case.a_scale, case.b_scale)]
        single = all(s.numel() == 1 for s in scales)
        lines = list(scales[0].shape) == [case.m, 1] and list(scales[1].shape) == [1, case.n] and case.d_dtype == BF16
        known = case.a_dtype != case.b_dtype or case.a_dtype == EIGHT[0]
        if not (self.has["_scaled_mm"] and plain and fits and known) or not (single or lines and self.has["by rows"]):
            return []
        scales = [s.reshape(()) if single else s.reshape(-1).contiguous().view(s.shape) for s in scales]
        a, b = case.a.narrow().contiguous(), bytewise(case.b.narrow(), lambda x: x.T.contiguous()).T
        x = self.tried("_scaled_mm", lambda: torch._scaled_mm(a, b, *scales, out_dtype=case.d_dtype, use_fast_accum=False))
        return [] if x is None else self.told("_scaled_mm", case, x.double(), want.error + FEW_BITS * want.sizes + 2 * near_of(case) * want.sizes)

    def tried(self, name, call):
        """What the operation gives; None where its library has no algorithm for the shape."""
        try:
            x = call()
        except RuntimeError:
            name, x = name + " refused", None
        self.counts[name] += 1
        return x

    def told(self, name, case, x, error):
        wrong = near(case.d.wide(), x, error, case.d_dtype)
        return [f"beside {name} of {WEFT[case.d_dtype]}: {wrong}"] if wrong else []


def near_of(case):
    return ROUNDING[case.d_dtype][0]


def bytewise(x, function):
    """`function` of bytes, which PyTorch can move in every way."""
    return function(x.view(torch.uint8)).view(x.dtype)


def there(call):
    try:
        call()
        return True
    except (AttributeError, RuntimeError, NotImplementedError, ValueError):
        return False
