"""Exact MDV: the level set with the least largest variance of stochastic rounding.

With a budget v, the level after q is at most ``p + v / (λ (p - q))`` for every value p above q; the least of these is
the furthest that it can be, and going furthest each time is optimal. Without weights the least is at one of the two
values around ``q + √v``, where ``p + v / (p - q)`` has its minimum. The budget is bisected to the last bit.
"""

import numpy as np
from numba import njit

from ipaq_index.levels.intervals import Floats


def exact_mdv(x: Floats, weights: Floats, s: int) -> Floats:
    """Return at most ``s`` optimal levels of sorted different values, s ≥ 2; the first and last value among them."""
    if len(x) <= s:
        return x.copy()
    levels = greedy(x, weights, least_budget(x, weights, s), s)
    levels[-1] = x[-1]
    return levels


@njit(nogil=True, cache=True)
def least_budget(x: Floats, weights: Floats, s: int) -> float:
    """Return the least v, as a float, for which greedy levels reach the last value with ``s`` levels."""
    # Non-negative floats are ordered as their bits are, so bisection of bits is by ratio: 62 steps at most.
    bits = np.empty(2, dtype=np.float64)
    view = bits.view(np.int64)
    largest = weights.max() if len(weights) else 1.0
    bits[0] = 0.0
    bits[1] = 1.01 * largest * ((x[-1] - x[0]) / (2 * (s - 1))) ** 2  # equally spaced levels
    middle = np.empty(1, dtype=np.float64)
    middle_view = middle.view(np.int64)
    while view[1] - view[0] > 1:
        middle_view[0] = view[0] + (view[1] - view[0]) // 2
        if reaches(x, weights, middle[0], s):
            bits[1] = middle[0]
        else:
            bits[0] = middle[0]
    return float(bits[1])


@njit(nogil=True, cache=True)
def reaches(x: Floats, weights: Floats, v: float, s: int) -> bool:
    """Return whether ``s`` greedy levels reach the last value."""
    q, above = x[0], 0
    for _ in range(s - 1):
        q, above = furthest(x, weights, q, above, v)
        if q >= x[-1]:
            return True
    return False


@njit(nogil=True, cache=True)
def greedy(x: Floats, weights: Floats, v: float, s: int) -> Floats:
    """Return the greedy levels for the budget v; the last may be beyond the last value."""
    levels = np.empty(s)
    levels[0] = x[0]
    q, above, count = x[0], 0, 1
    while q < x[-1] and count < s:
        q, above = furthest(x, weights, q, above, v)
        levels[count] = q
        count += 1
    return levels[:count]


@njit(nogil=True, cache=True)
def furthest(x: Floats, weights: Floats, q: float, above: int, v: float) -> tuple[float, int]:
    """Return how far the level after q may be, at most infinity, and a rank that no value above it is below.

    ``above`` is a rank at or before the first value above q.
    """
    n = len(x)
    while above < n and x[above] <= q:
        above += 1
    reach = np.inf
    if len(weights) == 0:
        place = above + np.searchsorted(x[above:], q + np.sqrt(v), side="right")
        if place > above:
            reach = x[place - 1] + v / (x[place - 1] - q)
        if place < n:
            reach = min(reach, x[place] + v / (x[place] - q))
            place += 1
        return reach, max(above, place - 1)
    first = above
    while above < n and x[above] < reach:
        if weights[above] > 0.0:
            reach = min(reach, x[above] + v / (weights[above] * (x[above] - q)))
        above += 1
    return reach, first
