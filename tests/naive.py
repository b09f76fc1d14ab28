"""Oracles of level sets: the definitions in exact rational arithmetic and brute force. Never imports the package.

White and Singal, Inner Product Aware Quantization, arXiv:2606.00289.
"""

from fractions import Fraction

import numpy as np


def merge(w, weights=None):
    """Return the different values, ascending, and their summed weights, as fractions."""
    total = {}
    for value, weight in zip(w, np.ones(len(w)) if weights is None else weights, strict=True):
        total[Fraction(float(value))] = total.get(Fraction(float(value)), 0) + Fraction(float(weight))
    values = sorted(total)
    return values, [total[v] for v in values]


def adv_interval(x, lam, i, j):
    """Σ λ (x_j - w)(w - x_i) over the values between."""
    return sum((lam[k] * (x[j] - x[k]) * (x[k] - x[i]) for k in range(i + 1, j)), Fraction(0))


def mse_interval(x, lam, i, j):
    """Σ λ (w - mean)² over the values i <= k < j."""
    total = sum(lam[i:j])
    if total == 0:
        return Fraction(0)
    mean = sum(a * b for a, b in zip(lam[i:j], x[i:j], strict=True)) / total
    return sum((lam[k] * (x[k] - mean) ** 2 for k in range(i, j)), Fraction(0))


def least_cost(w, s, objective, weights=None):
    """Return the least cost of at most s levels by dynamic programming over all intervals, as a fraction.

    ADV has its levels at values: between two of them the cost is linear in a level.
    """
    x, lam = merge(w, weights)
    n = len(x) - 1 if objective == "adv" else len(x)
    k = s - 1 if objective == "adv" else s
    if n <= k:
        return Fraction(0)
    interval = adv_interval if objective == "adv" else mse_interval
    table = {(i, j): interval(x, lam, i, j) for i in range(n) for j in range(i + 1, n + 1)}
    best = [Fraction(0)] + [None] * n
    for _ in range(k):
        # best[0] stays 0, as if an interval could be skipped: at most k intervals.
        best = [Fraction(0)] + [
            min([best[i] + table[i, j] for i in range(j) if best[i] is not None]) for j in range(1, n + 1)
        ]
    return best[n]


def cost(w, levels, objective, weights=None):
    """Return the cost of levels by definition, as a fraction."""
    q = sorted({Fraction(float(level)) for level in levels})
    each = []
    for value, weight in zip(w, np.ones(len(w)) if weights is None else weights, strict=True):
        v = Fraction(float(value))
        if objective == "mse":
            each.append(Fraction(float(weight)) * min((v - level) ** 2 for level in q))
            continue
        below, above = max(level for level in q if level <= v), min(level for level in q if level >= v)
        each.append(Fraction(float(weight)) * (above - v) * (v - below))
    return max(each) if objective == "mdv" else sum(each)


def least_mdv(w, s, weights=None):
    """Return the least largest variance of s levels: bisection over budgets, every value looked at for every level."""
    w = np.asarray(w, dtype=np.float64)
    x, lam = np.unique(w), np.ones(len(np.unique(w)))
    if weights is not None:
        x, inverse = np.unique(w, return_inverse=True)
        lam = np.zeros(len(x))
        np.maximum.at(lam, inverse, weights)
    if len(x) <= s:
        return 0.0

    def reaches(v):
        q = x[0]
        for _ in range(s - 1):
            beyond = (x > q) & (lam > 0)
            with np.errstate(over="ignore"):
                q = np.min(x[beyond] + v / lam[beyond] / (x[beyond] - q), initial=np.inf)
            if q >= x[-1]:
                return True
        return False

    low, high = 0.0, lam.max() * (x[-1] - x[0]) ** 2
    for _ in range(3000):
        middle = np.sqrt(low * high) if low > 0 and low < high / 2 else (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
