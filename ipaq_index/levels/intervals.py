"""What an interval between two nodes costs.

A node is a row ``(w, α, β, γ)``: a value and the sums of λ, λw and λw² up to it. Precise nodes have the low parts of
the sums behind (`ipaq_index.levels.precise`).
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.pairs import plus, times

Floats = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]

ADV, MSE = 0, 1
PRECISE_COLUMNS = 7
UNIT = 2.0**-53


@njit(nogil=True, cache=True)
def interval_cost(left: Floats, i: int, right: Floats, j: int, kind: int) -> float:
    """Return the cost of the interval from node ``left[i]`` to node ``right[j]``.

    ADV: ``Σ λ (w_j - w)(w - w_i)``. MSE: ``Σ λ (w - mean)²``. Both are Monge, grow with ``j`` and shrink with ``i``.
    """
    if left.shape[1] == PRECISE_COLUMNS:
        return precise_cost(left, i, right, j, kind)
    da = right[j, 1] - left[i, 1]
    db = right[j, 2] - left[i, 2]
    dg = right[j, 3] - left[i, 3]
    if kind == ADV:
        wi, wj = left[i, 0], right[j, 0]
        cost = (wi + wj) * db - dg - wi * wj * da
    elif da > 0.0:
        cost = dg - db * db / da
    else:
        cost = 0.0
    return cost if cost > 0.0 else 0.0


@njit(nogil=True, cache=True)
def precise_cost(left: Floats, i: int, right: Floats, j: int, kind: int) -> float:
    """Return the same from nodes whose sums are pairs of floats.

    The origin is moved to ``w_i`` in pairs: M = Δβ - w_i Δα and Q = Δγ - w_i (2Δβ - w_i Δα) are of the interval's own
    magnitude, so what follows loses nothing.
    """
    wi = left[i, 0]
    da, da_low = plus(right[j, 1], right[j, 4], -left[i, 1], -left[i, 4])
    db, db_low = plus(right[j, 2], right[j, 5], -left[i, 2], -left[i, 5])
    dg, dg_low = plus(right[j, 3], right[j, 6], -left[i, 3], -left[i, 6])
    p, p_low = times(da, da_low, wi)
    m, m_low = plus(db, db_low, -p, -p_low)
    t, t_low = plus(db, db_low, m, m_low)
    p, p_low = times(t, t_low, wi)
    q, q_low = plus(dg, dg_low, -p, -p_low)
    moment, square = m + m_low, q + q_low
    if kind == ADV:
        cost = (right[j, 0] - wi) * moment - square
    elif da > 0.0:
        cost = square - moment * moment / da
    else:
        cost = 0.0
    return cost if cost > 0.0 else 0.0


@njit(nogil=True, cache=True)
def noise(nodes: Floats, path: Ranks) -> float:
    """Return about how far rounding may put off the cost of a path: errors of intervals add up as in a random walk."""
    if nodes.shape[1] == PRECISE_COLUMNS:
        return 0.0
    total = 0.0
    for p in range(len(path) - 1):
        i, j = path[p], path[p + 1]
        wi, wj = abs(nodes[i, 0]), abs(nodes[j, 0])
        sums = abs(nodes[i, 3]) + abs(nodes[j, 3]) + (wi + wj) * (abs(nodes[i, 2]) + abs(nodes[j, 2]))
        total += (UNIT * (sums + wi * wj * (abs(nodes[i, 1]) + abs(nodes[j, 1])))) ** 2
    return float(np.sqrt(total))
