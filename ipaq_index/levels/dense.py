"""Exact level sets of few values, from a table of all interval costs.

The table is filled by adding terms that are never negative, so each cost is right to a few units in the last place
whatever the values' magnitudes: 1, 2 and 1e30 side by side included.
"""

import numpy as np
from numba import njit

from ipaq_index.levels.intervals import ADV, Floats
from ipaq_index.levels.path import Path


@njit(nogil=True, cache=True)
def cost_table(x: Floats, weights: Floats, kind: int) -> Floats:
    """Return the cost of every interval between nodes, (n, n) for ADV and (n + 1, n + 1) for MSE; 0 below the diagonal.

    ADV: with M the sum of ``λ (w - w_i)`` over the values seen, a step from ``w_j`` to ``w_{j+1}`` adds
    ``(w_{j+1} - w_j) M``. MSE: the update of West (1979).
    """
    n = len(x)
    weighted = len(weights) > 0
    if kind == ADV:
        table = np.zeros((n, n))
        for i in range(n):
            moment = 0.0
            for j in range(i + 1, n):
                table[i, j] = table[i, j - 1] + (x[j] - x[j - 1]) * moment
                moment += (weights[j] if weighted else 1.0) * (x[j] - x[i])
    else:
        table = np.zeros((n + 1, n + 1))
        for i in range(n):
            total, mean = 0.0, 0.0  # mean: of w - w_i
            for j in range(i, n):
                weight = weights[j] if weighted else 1.0
                away = x[j] - x[i] - mean
                joint = total + weight
                share = weight / joint if joint > 0.0 else 0.0
                table[i, j + 1] = table[i, j] + total * share * away * away
                mean += share * away
                total = joint
    return table


@njit(nogil=True, cache=True)
def cheapest_dense(table: Floats, k: int) -> Path:
    """Return the cheapest path of k intervals through a table of costs, layer by layer.

    All predecessors are tried. The usual shortcut (Knuth, 1971; Yao, 1980) rests on sums of costs being exact: next to
    a cost of 1e60, one of 1e30 is lost, and it went astray.
    """
    n = len(table)
    best = table[0].copy()
    parent = np.zeros((k + 1, n), dtype=np.int64)
    for layer in range(2, k + 1):
        new = np.full(n, np.inf)
        for j in range(layer, n):
            for i in range(layer - 1, j):
                cost = best[i] + table[i, j]
                if cost < new[j]:
                    new[j] = cost
                    parent[layer, j] = i
        best = new
    path = np.empty(k + 1, dtype=np.int64)
    path[k] = n - 1
    for layer in range(k, 0, -1):
        path[layer - 1] = parent[layer, path[layer]]
    return path
