"""Cases that are known not to pass, and why. A row that matches a passing case, or none, is stale and fails the run.

Patterns are shell patterns over the case's name; the first that matches counts.
"""
EXCLUSIONS = {
    "cast*FNUZ*": "Weft has no 8-bit floats without negative zero (e4m3fnuz, e5m2fnuz)",
    "cast*E8M0*": "Weft has no 8-bit exponents (e8m0fnu)",
    "cast*FLOAT4E2M1*": "Weft has no 4-bit floats (e2m1fn)",
    "cast*INT4*": "Weft has no 4-bit integers",
    "cast*INT2*": "Weft has no 2-bit integers",
    "scatternd_max*": "weft_scatter_rows replaces or adds: it has no maximum",
    "scatternd_min*": "weft_scatter_rows replaces or adds: it has no minimum",
    "scatternd_multiply": "weft_scatter_rows replaces or adds: it has no product",
    "equal_string*": "strings are no tensor of numbers",
    "identity_sequence": "a sequence is no tensor",
    "identity_opt": "an optional sequence is no tensor",
}
