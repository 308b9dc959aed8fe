"""Runs the ONNX project's node cases through Weft and prints what passed, what failed and what is excluded.

    pip install -r tests/onnx/requirements.txt
    cargo build --release
    python tests/onnx/run.py [operator ...]

A result passes by ONNX's own rule (onnx.backend.test.runner): shape and dtype equal, every element within
1e-7 + 1e-3 |expected|, or 2^-6 |expected| for bfloat16; integers, booleans and 8-bit floats exactly. An excluded case
runs too: if it passes, its exclusion is stale, and that is a failure.
"""
import fnmatch
import sys
from collections import Counter, defaultdict

import numpy as np

import attention  # noqa: F401  (these three fill the table of operators)
import layout  # noqa: F401
import pointwise  # noqa: F401
from cases import node_cases
from device import Device
from exclusions import EXCLUSIONS
from operators import OPERATORS, Node

BFLOAT16_RTOL = 2**-6


def main(only):
    cases = list(node_cases())
    chosen = [case for case in cases if case.op in OPERATORS and (not only or case.op in only)]
    device, table, failures, used = Device(), defaultdict(Counter), [], set()
    for case in chosen:
        pattern, error = excluded(case.name), outcome(case, device)
        used.add(pattern)
        verdict = judge(pattern, error)
        table[case.op][verdict] += 1
        if verdict == "failed":
            failures.append(f"{case.name}: {error or f'passes, but is excluded by {pattern!r}'}")
    if not only:
        failures += [f"{pattern}: this exclusion matches no case" for pattern in EXCLUSIONS if pattern not in used]
    report(table, failures, len(cases) - len(chosen))
    device.session.close()
    return 1 if failures else 0


def excluded(name):
    return next((pattern for pattern in EXCLUSIONS if fnmatch.fnmatchcase(name, pattern)), None)


def judge(pattern, error):
    if pattern is None:
        return "failed" if error else "passed"
    return "excluded" if error else "failed"


def outcome(case, device):
    """Why the case fails, or None."""
    try:
        out = OPERATORS[case.op](Node(case, device))
        out = out if isinstance(out, dict) else {next(iter(case.outputs)): out}
        wrong = [difference(name, read(device, out[name]), case.outputs[name], case) for name in case.outputs]
        return next((text for text in wrong if text), None)
    except Exception as error:  # Whatever goes wrong is this case's verdict, and the next one must still run.
        return f"{type(error).__name__}: {error}"


def read(device, array):
    """Brings an array to the host, through a packed copy if it is a view."""
    return (device.cast(array) if array.base is not None else array).numpy()


def difference(name, got, want, case):
    """How `got` differs from `want`, or None."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{name} is {got.dtype} {got.shape}; expected {want.dtype} {want.shape}"
    exact = want.dtype.kind in "iub" or want.dtype.name.startswith("float8")
    rtol = max(case.rtol, BFLOAT16_RTOL) if want.dtype.name == "bfloat16" else case.rtol
    g, w = (got, want) if want.dtype.kind in "iub" else (got.astype(np.float64), want.astype(np.float64))
    close = g == w if exact else np.isclose(g, w, rtol, case.atol)
    bad = np.argwhere(~(close | ((g != g) & (w != w))))
    if len(bad) == 0:
        return None
    at = tuple(bad[0])
    return f"{name}{list(map(int, at))} is {g[at]}; expected {w[at]} ({len(bad)} of {want.size} elements differ)"


def report(table, failures, others):
    print(f"{'operator':28}{'passed':>8}{'failed':>8}{'excluded':>10}")
    for op, row in sorted(table.items()):
        print(f"{op:28}{row['passed']:8}{row['failed']:8}{row['excluded']:10}")
    for pattern, reason in EXCLUSIONS.items():
        print(f"excluded: {pattern}: {reason}")
    for failure in failures:
        print(f"FAILED {failure}")
    total = sum(table.values(), Counter())
    print(f"{others} cases belong to operators that are not run here.")
    failed = len(failures)
    print(f"{total['passed']} passed, {failed} failed, {total['excluded']} skipped")


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
