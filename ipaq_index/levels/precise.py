"""Sums of λ, λw, λw² in pairs of floats: the twin of `ipaq_index.levels.sums` for values in narrow, far clusters."""

import numpy as np
from numba import njit

from ipaq_index.levels.intervals import ADV, Floats, Ranks
from ipaq_index.levels.pairs import plus, product, times


@njit(nogil=True, cache=True)
def differences_exact(x: Floats, origin: float) -> bool:
    """Return whether no value's distance from the origin is rounded: then sums can do without a common offset."""
    for value in x:
        _, low = plus(value, 0.0, -origin, 0.0)
        if low != 0.0:
            return False
    return True


@njit(nogil=True, cache=True)
def add_value(sums: Floats, w: float, weight: float) -> None:
    """Add λ, λw, λw² to three pairs, ``(high, high, high, low, low, low)``."""
    b, b_low = product(weight, w)
    g, g_low = times(b, b_low, w)
    sums[0], sums[3] = plus(sums[0], sums[3], weight, 0.0)
    sums[1], sums[4] = plus(sums[1], sums[4], b, b_low)
    sums[2], sums[5] = plus(sums[2], sums[5], g, g_low)


@njit(nogil=True, cache=True)
def precise_prefix(x: Floats, weights: Floats, block: int, centre: int, origin: float) -> Floats:
    """Return the sums from the centre outwards to each block boundary, negative on its left, (blocks + 1, 6)."""
    n = len(x)
    blocks = (n + block - 1) // block
    out = np.zeros((blocks + 1, 6))
    sums = np.zeros(6)
    for i in range(centre * block, n):
        add_value(sums, x[i] - origin, weights[i] if len(weights) else 1.0)
        if (i + 1) % block == 0 or i == n - 1:
            out[i // block + 1] = sums
    sums[:] = 0.0
    for i in range(centre * block - 1, -1, -1):
        add_value(sums, x[i] - origin, -(weights[i] if len(weights) else 1.0))
        if i % block == 0:
            out[i // block] = sums
    return out


@njit(nogil=True, cache=True)
def precise_nodes(
    x: Floats, weights: Floats, block: int, centre: int, origin: float, prefix: Floats, ranks: Ranks, kind: int
) -> Floats:
    """Return the columns of nodes at sorted ranks, (7, len(ranks)), as `nodes_at` does."""
    n = len(x)
    middle = centre * block
    out = np.empty((7, len(ranks)))
    sums = np.zeros(6)
    first_right = np.searchsorted(ranks, middle)
    at = -1
    for r in range(first_right, len(ranks)):
        rank = ranks[r]
        if at < rank // block * block:
            at = rank // block * block
            sums[:] = prefix[rank // block]
        while at < rank:
            add_value(sums, x[at] - origin, weights[at] if len(weights) else 1.0)
            at += 1
        out[0, r] = x[min(rank, n - 1)] - origin
        out[1:, r] = sums
    at = n + block
    for r in range(first_right - 1, -1, -1):
        rank = ranks[r]
        low = rank + 1 if kind == ADV else rank
        stop = (low + block - 1) // block
        if at > stop * block:
            at = stop * block
            sums[:] = prefix[stop]
        while at > low:
            at -= 1
            add_value(sums, x[at] - origin, -(weights[at] if len(weights) else 1.0))
        out[0, r] = x[rank] - origin
        out[1:, r] = sums
    return out
