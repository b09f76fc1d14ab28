"""Arithmetic of pairs of floats, the low one below half a unit in the last place of the high one (Dekker, 1971)."""

from numba import njit

SPLITTER = 134217729.0  # 2^27 + 1


@njit(nogil=True, cache=True)
def plus(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """Return the sum of two pairs."""
    s = a + b
    v = s - a
    e = (a - (s - v)) + (b - v) + (a_low + b_low)
    high = s + e
    return high, e - (high - s)


@njit(nogil=True, cache=True)
def product(a: float, b: float) -> tuple[float, float]:
    """Return the product of two floats as a pair, exactly (Veltkamp's split)."""
    p = a * b
    c = SPLITTER * a
    a_high = c - (c - a)
    a_low = a - a_high
    c = SPLITTER * b
    b_high = c - (c - b)
    b_low = b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


@njit(nogil=True, cache=True)
def times(a: float, a_low: float, b: float) -> tuple[float, float]:
    """Return the product of a pair and a float."""
    p, e = product(a, b)
    e += a_low * b
    high = p + e
    return high, e - (high - p)
