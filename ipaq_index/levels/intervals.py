"""What an interval between two nodes costs.

A node is a value and the sums α, β, γ of λ, λw and λw² up to it, each a pair of floats whose low part holds what the
high one has no digits for: so the difference of two sums is right to a float's precision, however large they are. From
there the cost is computed in plain floats, `Nodes`, or, where values lie in narrow clusters far from the origin, in
pairs again, `PreciseNodes`, which takes six times as long.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import overload

from ipaq_index.levels.pairs import plus, times

Floats = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]

ADV, MSE = 0, 1
UNIT = 2.0**-53


class Nodes(NamedTuple):
    """Columns of nodes, ascending in ``w``; each (n,) float64."""

    w: Floats
    a: Floats
    b: Floats
    g: Floats
    a_low: Floats
    b_low: Floats
    g_low: Floats


class PreciseNodes(NamedTuple):
    """The same columns. Another type, so that kernels are compiled for either; one for both was ten times slower."""

    w: Floats
    a: Floats
    b: Floats
    g: Floats
    a_low: Floats
    b_low: Floats
    g_low: Floats


AnyNodes = Nodes | PreciseNodes


def take(nodes: AnyNodes, which: npt.NDArray[Any] | slice) -> AnyNodes:
    """Return some of the nodes."""
    return type(nodes)(*[column[which] for column in nodes])


def interval_cost(left: AnyNodes, i: int, right: AnyNodes, j: int, kind: int) -> float:
    """Return the cost of the interval from node i of ``left`` to node j of ``right``.

    ADV: ``Σ λ (w_j - w)(w - w_i)``. MSE: ``Σ λ (w - mean)²``. Both are Monge, grow with ``j`` and shrink with ``i``.
    """
    return (precise_cost if isinstance(left, PreciseNodes) else plain_cost)(left, i, right, j, kind)


@overload(interval_cost)
def _interval_cost(left: Any, i: int, right: Any, j: int, kind: int) -> Callable[..., float]:  # annotated as they are
    return precise_cost if left.instance_class is PreciseNodes else plain_cost


def plain_cost(left: Any, i: int, right: Any, j: int, kind: int) -> float:
    """Return the cost from sums' differences in plain floats."""
    da = (right.a[j] - left.a[i]) + (right.a_low[j] - left.a_low[i])
    db = (right.b[j] - left.b[i]) + (right.b_low[j] - left.b_low[i])
    dg = (right.g[j] - left.g[i]) + (right.g_low[j] - left.g_low[i])
    if kind == ADV:
        wi, wj = left.w[i], right.w[j]
        cost = (wi + wj) * db - dg - wi * wj * da
    elif da > 0.0:
        cost = dg - db * db / da
    else:
        cost = 0.0
    return cost if cost > 0.0 else 0.0


def precise_cost(left: Any, i: int, right: Any, j: int, kind: int) -> float:
    """Return the cost in pairs of floats.

    The origin is moved to z, which is ``w_i`` for ADV and near the mean for MSE: M = Δβ - z Δα and
    Q = Δγ - z (Δβ + M). ADV is ``(w_j - w_i) M - Q``, where an end of much weight cancels, MSE is ``Q - M² / Δα``.
    """
    da, da_low = plus(right.a[j], right.a_low[j], -left.a[i], -left.a_low[i])
    db, db_low = plus(right.b[j], right.b_low[j], -left.b[i], -left.b_low[i])
    dg, dg_low = plus(right.g[j], right.g_low[j], -left.g[i], -left.g_low[i])
    if kind == ADV:
        z = left.w[i]
    elif da > 0.0:
        z = db / da
    else:
        return 0.0
    p, p_low = times(da, da_low, z)
    m, m_low = plus(db, db_low, -p, -p_low)
    t, t_low = plus(db, db_low, m, m_low)
    p, p_low = times(t, t_low, z)
    q, q_low = plus(dg, dg_low, -p, -p_low)
    if kind == ADV:
        gap, gap_low = plus(right.w[j], 0.0, -z, 0.0)
        p, p_low = times(m, m_low, gap)
        cost, cost_low = plus(p, p_low + m * gap_low, -q, -q_low)
        cost += cost_low
    else:
        cost = q + q_low - m * m / da
    return cost if cost > 0.0 else 0.0


def noise(nodes: AnyNodes, path: Ranks) -> float:
    """Return about how far rounding may put off the cost of a path: errors of intervals add up as in a random walk."""
    return 0.0 if isinstance(nodes, PreciseNodes) else float(plain_noise(nodes, path))


@njit(nogil=True, cache=True)
def plain_noise(nodes: Nodes, path: Ranks) -> float:
    """Return the same for nodes whose costs are plain floats: what terms of an interval's cost cancel down to it."""
    total = 0.0
    for p in range(len(path) - 1):
        i, j = path[p], path[p + 1]
        da, db, dg = nodes.a[j] - nodes.a[i], nodes.b[j] - nodes.b[i], nodes.g[j] - nodes.g[i]
        wi, wj = abs(nodes.w[i]), abs(nodes.w[j])
        total += (UNIT * (abs(dg) + (wi + wj) * abs(db) + wi * wj * abs(da))) ** 2
    return float(np.sqrt(total))
