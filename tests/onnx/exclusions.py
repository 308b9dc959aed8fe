"""Cases that are known not to pass, and why. A row that matches a passing case, or none, is stale and fails the run.

Patterns are shell patterns over the case's name.
"""
_NO_DTYPE = "Weft has no {} elements"

EXCLUSIONS = {
    **{f"cast*{name}*": _NO_DTYPE.format(name)
       for name in ("FNUZ", "INT4", "INT2", "FLOAT4E2M1", "E8M0", "e8m0")},
    "equal_string*": "strings are not tensors of numbers",
    "identity_sequence": "a sequence is not a tensor",
    "identity_opt": "an optional sequence is not a tensor",
}
