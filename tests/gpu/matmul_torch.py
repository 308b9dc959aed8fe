#!/usr/bin/env python3
"""weft_matmul beside PyTorch: random cases, each against PyTorch in f64 on the same memory, and against PyTorch's own operation of
that type where it has one, within the bounds that include/weft.h documents.

    tests/gpu/matmul_torch.py [--cases N] [--seed N] [--only NUMBER]

On WEFT_DEVICE ("cpu" unless set; "cuda:0"). Outputs are poisoned first, and so is all that lies between and around elements, which
must be as it was afterwards. One case in four is part of a grouped request. Every case depends on seed and number alone.
"""
import argparse
import collections
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
try:
    import torch
    from weft import C, Session, WeftError, ffi, lib
except ImportError as error:
    print(f"skipped: matmul beside PyTorch ({error})")
    sys.exit(0)
import matmul_oracle  # noqa: E402
from arena import WEFT, Arena  # noqa: E402
from matmul_cases import Case  # noqa: E402
from matmul_peers import Peers  # noqa: E402

# Cases of a turn of so many that are one grouped request.
TURN, GROUPED = 16, 4


class Run:
    """Cases on a device, and what became of them."""

    def __init__(self, options):
        self.options = options
        name = os.environ.get("WEFT_DEVICE", "cpu")
        self.device = torch.device("cuda:0" if name.startswith("cuda") else "cpu")
        self.session = Session(name)
        cuda = self.device.type == "cuda"
        self.arena, self.largest = Arena(self.session, self.device, (1 << 30) >> (0 if cuda else 2)), 2048 if cuda else 512
        self.peers = Peers(self.device)
        self.cases, self.failures = collections.Counter(), collections.Counter()
        self.refused = self.passed_over = 0

    def settle(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def submit(self, cases):
        """Multiplies: None; or why not, which is no sentence where scratch memory or a choice was asked for that does not do."""
        descs = ffi.new("weft_matmul_desc[]", len(cases))
        for desc, case in zip(descs, cases):
            desc.struct_size = ffi.sizeof("weft_matmul_desc")
            for name, value in case.fields().items():
                setattr(desc, name, value)
        queue = self.session.queue
        grouped = len(cases) > 1
        call = (lambda r: lib.weft_matmul_grouped(queue, descs, len(cases), ffi.NULL, r)) if grouped else \
            (lambda r: lib.weft_matmul(queue, descs, ffi.NULL, r))
        try:
            self.session.wait(call)
        except WeftError as error:
            chosen = "WEFT_CHOICE" in str(error)
            fits = error.name == "WEFT_ERROR_UNSUPPORTED" and (chosen or any(case.workspace for case in cases))
            self.refused, self.passed_over = self.refused + (fits and not chosen), self.passed_over + chosen
            return "" if fits else str(error)

    def turn(self, numbers):
        """Cases of one request; what is wrong with each."""
        self.arena.begin(0xFF if numbers[0] % 3 else 0xAA)
        cases = [Case(self.arena, self.options.seed, number, self.largest) for number in numbers]
        wants = [matmul_oracle.Want(case) for case in cases]
        before = self.arena.image()
        self.settle()
        refusal = self.submit(cases)
        found = [[] for _ in cases]
        if refusal:
            found[0].append(refusal)
        elif len(cases) > 1 and refusal is not None:
            # Others of a list may have been written before one ran out of scratch memory.
            for case in cases:
                self.accept(before, case)
        elif refusal is None:
            for case, want, wrong in zip(cases, wants, found):
                wrong += matmul_oracle.compare(case, want)
                wrong += self.peers.compare(case, want)
                self.accept(before, case)
        if not torch.equal(before, self.arena.bytes[:self.arena.used]):
            places = (before != self.arena.bytes[:self.arena.used]).nonzero().flatten()
            found[0].append(f"{len(places)} bytes that are nobody's changed, the first at {places[0].item()}")
        for case, wrong in zip(cases, found):
            self.tell(case, wrong)

    def accept(self, before, case):
        """Takes the elements of outputs over into the image of what was there."""
        for output in case.outputs().values():
            there, here = output.memory, torch.as_strided(
                before.view(output.dtype), output.memory.shape, output.memory.stride(), output.memory.storage_offset())
            here.copy_(there)

    def tell(self, case, wrong):
        name = f"{WEFT[case.a_dtype]} x {WEFT[case.b_dtype]} -> {WEFT[case.d_dtype]}"
        self.cases[name] += 1
        if wrong:
            self.failures[name] += 1
            if sum(self.failures.values()) <= self.options.show:
                print(f"FAILED: {case!r}\n" + "\n".join(f"    {line}" for line in wrong), flush=True)

    def all(self):
        numbers = range(self.options.cases) if self.options.only is None else [self.options.only]
        together = []
        for number in numbers:
            grouped = number % TURN >= TURN - GROUPED
            together.append(number)
            if grouped and number % TURN != TURN - 1 and number != numbers[-1]:
                continue
            self.turn(together)
            together = []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2500 if os.environ.get("WEFT_DEVICE", "cpu") != "cpu" else 500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--show", type=int, default=10)
    options = parser.parse_args()
    os.environ.setdefault("WEFT_DEVICE", "cpu")
    begin, run = time.time(), Run(options)
    run.all()
    run.session.close()
    each = "; ".join(f"{name}: {count}" + (f", {run.failures[name]} FAILED" if run.failures[name] else "")
                     for name, count in sorted(run.cases.items()))
    print(f"matmul beside PyTorch {torch.__version__} on {os.environ['WEFT_DEVICE']}: {sum(run.cases.values())} cases, "
          f"{sum(run.failures.values())} failures, {run.refused} refused for scratch memory, {run.passed_over} for the choice "
          f"(seed {options.seed}, {time.time() - begin:.0f} s); beside PyTorch's own {run.peers}; {each}")
    sys.exit(1 if run.failures else 0)


if __name__ == "__main__":
    main()
