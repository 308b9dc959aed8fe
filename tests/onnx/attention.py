"""Attention: weft_attention over strided views of Q, K and V, with the cache put together by weft_cast.

The optional fourth output, the scores at some stage, never exists inside weft_attention: it is computed from other
requests (matmul, elementwise, softmax)."""
import math

import numpy as np
from device import C
from layout import part
from operators import operator, split_heads


@operator("Attention")
def attention(n):
    heads = (lambda t, _: t) if n.host("Q").ndim == 4 else lambda t, count: split_heads(t, n.attr(count))
    q, k, v = heads(n["Q"], "q_num_heads"), heads(n["K"], "kv_num_heads"), heads(n["V"], "kv_num_heads")
    k, v = append(n, "past_key", k), append(n, "past_value", v)
    mask = pad_mask(n, k.shape[2])
    y = n.device.output(output_shape(n, q, v), q.dtype)
    keys = reach(n, q.shape[2], k.shape[2])
    n.device.run("attention", q=q, k=part(k, 2, 0, keys), v=part(v, 2, 0, keys), o=heads(y, "q_num_heads"),
                 bias=None if mask is None else part(mask, -1, 0, keys), scale=scale(n, q),
                 softcap=n.attr("softcap", 0.0), kv_lengths=lengths(n), **window(n, q.shape[2], keys))
    out = {"Y": y, "present_key": k, "present_value": v}
    if n.wants("qk_matmul_output"):
        out["qk_matmul_output"] = scores(n, q, k, mask)
    return {name: out[name] for name in n.case.outputs}


def append(n, past, new):
    """The cache's rows followed by the new ones."""
    past = n[past]
    if past is None:
        return new
    held = past.shape[2]
    y = n.device.output(past.shape[:2] + (held + new.shape[2],) + past.shape[3:], new.dtype)
    n.device.copy(past, part(y, 2, 0, held))
    n.device.copy(new, part(y, 2, held, y.shape[2]))
    return y


def pad_mask(n, keys):
    """The mask; one that is shorter than the keys hides the rest."""
    mask = n["attn_mask"]
    if mask is None or mask.shape[-1] == keys:
        return mask
    y = n.device.output(mask.shape[:-1] + (keys,), mask.dtype)
    n.device.copy(n.device.scalar(False if mask.dtype == bool else -np.inf, mask.dtype), y)
    n.device.copy(mask, part(y, -1, 0, mask.shape[-1]))
    return y


def output_shape(n, q, v):
    batch, heads, queries = q.shape[:3]
    flat = n.host("Q").ndim == 3
    return (batch, queries, heads * v.shape[3]) if flat else (batch, heads, queries, v.shape[3])


def scale(n, q):
    return n.attr("scale", 1 / math.sqrt(q.shape[3]))


def lengths(n):
    valid = n.host("nonpad_kv_seqlen")
    return None if valid is None else n.device.put(valid.astype(np.int32))


def reach(n, queries, keys):
    """How many keys there are up to the last that some query may see by causality after a past."""
    past = n.host("past_key")
    return keys if past is None or not n.attr("is_causal") else min(keys, past.shape[2] + queries)


def window(n, queries, keys):
    """Flags and bounds. Without a cache query 0 stands at key 0; with valid lengths the last query stands at the last
    of them, and with a past query 0 stands after it, so that the last query stands at the last key. Where it would
    stand beyond, with fewer new keys than queries, bounds moved as far say the same."""
    left, right = n.attr("left_window_size", -1), n.attr("right_window_size", -1)
    past, causal = n.host("past_key"), n.attr("is_causal", 0)
    moved = 0 if past is None else past.shape[2] - (keys - queries)
    if causal and (moved or right >= 0):
        causal, right = 0, 0
    flags = causal * C["WEFT_ATTENTION_CAUSAL"] | (left >= 0) * C["WEFT_ATTENTION_WINDOW_LEFT"] \
        | (right >= 0) * C["WEFT_ATTENTION_WINDOW_RIGHT"]
    if flags and past is None and n.host("nonpad_kv_seqlen") is None:
        flags |= C["WEFT_ATTENTION_TOP_LEFT"]
    return {"flags": flags, "window_left": left - moved if left >= 0 else 0,
            "window_right": right + moved if right >= 0 else 0}


def scores(n, q, k, mask):
    """[B, Hq, Sq, Skv] scores: 0 scaled products, 1 after the soft cap, 2 with mask, 3 after the softmax."""
    mode, cap, ew = n.attr("qk_matmul_output_mode", 0), n.attr("softcap", 0.0), n.device.elementwise
    x = products(n, q, k)
    if mode >= 1 and cap:
        cap = n.device.scalar(cap, x.dtype)
        x = ew("MUL", ew("TANH", ew("DIV", x, cap)), cap)
    if mode >= 2:
        hidden = bias(n, x, mask)
        x = ew("ADD", x, hidden)
    if mode < 3:
        return x
    seen = ew("GREATER", n.device.reduce("MAX", hidden, [-1]), n.device.scalar(-np.inf, x.dtype))
    return ew("SELECT", seen, n.device.softmax(x), n.device.scalar(0, x.dtype))


def products(n, q, k):
    """scale Q K^T; the query heads of a group share a key head."""
    batch, heads, queries, depth = q.shape
    kv_heads, keys = k.shape[1:3]
    x = n.device.output((batch, heads, queries, keys), q.dtype)
    grouped = (batch, kv_heads, heads // kv_heads)
    n.device.run("matmul", a=q.reshape(*grouped, queries, depth), d=x.reshape(*grouped, queries, keys),
                 b=k.seen(lambda a: a.swapaxes(2, 3)[:, :, None]), alpha=scale(n, q), flags=C["WEFT_MATMUL_ALPHA"])
    return x


def bias(n, x, mask):
    """What is added to the scores x: the mask, and -inf where causality, window or length hide a key."""
    ew, minus = n.device.elementwise, n.device.scalar(-np.inf, x.dtype)
    zero = n.device.scalar(0, x.dtype)
    if mask is None:
        mask = zero
    elif mask.dtype == bool:
        mask = ew("SELECT", mask, zero, minus)
    y = n.device.cast(mask, shape=x.shape)
    for visible in rules(n, x):
        y = ew("SELECT", visible, y, minus)
    return y


def rules(n, x):
    """Which keys each query may see, one WEFT_BOOL array a rule."""
    ew, put = n.device.elementwise, n.device.put
    queries, keys = x.shape[2:]
    valid = n.host("nonpad_kv_seqlen")
    past = n.host("past_key")
    start = np.int64(0 if past is None else past.shape[2]) if valid is None else valid.reshape(-1, 1, 1, 1) - queries
    place, key = start + np.arange(queries)[:, None], put(np.arange(keys))
    left, right = n.attr("left_window_size", -1), n.attr("right_window_size", -1)
    if n.attr("is_causal"):
        yield ew("LESS_EQUAL", key, put(place))
    if left >= 0:
        yield ew("GREATER_EQUAL", key, put(place - left))
    if right >= 0:
        yield ew("LESS_EQUAL", key, put(place + right))
    if valid is not None:
        yield ew("LESS", key, put(valid.reshape(-1, 1, 1, 1)))
