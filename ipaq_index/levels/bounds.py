"""Lower bounds of what all paths cost, from few nodes: those that a coreset has.

*Between cells*: from a level in cell I to one in cell J, the cost is at least that from I's upper end to J's lower end.
The loss is in proportion to the cells' width.

*By moving levels*: any path can be moved onto the nodes at little cost, so the best path through nodes is little above
the best of all. A level q in a cell [a, b] moves to a with probability (b - q)/(b - a), else to b. The cost of values
outside the cell is linear in q, so on average it stays; that of the values inside grows, with the neighbouring levels p
and r, by at most ``(r - p) C(a, b) / (b - a)``; and some choice is no dearer than the average. If a cell holds several
levels, a and b take their place for at most C(a, b), which is less. For MSE, a cut between levels p and r that lies in
a cell of n values with squared error E moves to one of its ends for at most ``(r - p) √(n E)``. That is in proportion
to the square of the cells' width. How far apart p and r can be follows from convexity: splitting an interval of the
best path of k intervals saves at most ``D(k) - D(k+1) ≤ D(j) / (k + 1 - j)`` for each j < k, and by the Monge property
an interval saves no less than a part of it, split at the same place.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.intervals import ADV, AnyNodes, Floats, Ranks, interval_cost, take
from ipaq_index.levels.path import cheapest, path_cost, potentials

SLACK = 1e-9  # for rounding


def lower_bound(nodes: AnyNodes, between: npt.NDArray[np.bool_], k: int, mu: float, cost: float, kind: int) -> float:
    """Return a cost that no path of k intervals is below: the better of the two bounds.

    Parameters
    ----------
    nodes, between, k, mu, kind
        As for `bound_between`; ``mu`` is that of the cheapest path.
    cost : float
        What the cheapest path through nodes costs.
    """
    return max(bound_between(nodes, between, k, mu, kind), bound_by_moving(nodes, between, k, mu, cost, kind))


def bound_by_moving(
    nodes: AnyNodes, between: npt.NDArray[np.bool_], k: int, mu: float, cost: float, kind: int
) -> float:
    """Return what is left of the cheapest path's cost when k - 1 levels move where that costs most."""
    j = 2 * k // 3  # D(j) / (k + 1 - j) is least there, if D(j) ~ 1/j²
    if j < 1 or not between.any():
        return 0.0 if between.any() else cost
    fewer, _ = cheapest(nodes, j, mu * (k / j) ** 3, kind)
    saving = path_cost(nodes, fewer, kind) / (k + 1 - j)
    first = first_too_far(nodes, saving * (1 + SLACK), kind)
    cells = np.flatnonzero(between)
    right = nodes.w[np.minimum(first[cells + 1], len(first) - 1)]
    left = nodes.w[np.maximum(np.searchsorted(first, cells, side="right") - 1, 0)]
    moves = (right - left) * moving(nodes, cells, kind)
    dearest = np.partition(moves, max(0, len(moves) - (k - 1)))[max(0, len(moves) - (k - 1)) :]
    return max(0.0, cost - float(dearest.sum()))


@njit(nogil=True, cache=True)
def first_too_far(nodes: AnyNodes, saving: float, kind: int) -> Ranks:
    """Return for each node the first one from which on an interval saves more than ``saving`` when it is split."""
    n = len(nodes.w)
    first = np.empty(n, dtype=np.int64)
    j = 2
    for a in range(n):
        j = max(j, a + 2)
        while j < n:
            m = (a + j) // 2
            whole = interval_cost(nodes, a, nodes, j, kind)
            if whole - interval_cost(nodes, a, nodes, m, kind) - interval_cost(nodes, m, nodes, j, kind) > saving:
                break
            j += 1
        first[a] = min(j, n)
    return first


@njit(nogil=True, cache=True)
def moving(nodes: AnyNodes, cells: Ranks, kind: int) -> Floats:
    """Return what moving a level out of each cell costs, over the distance of the levels around it."""
    out = np.empty(len(cells))
    for position, c in enumerate(cells):
        cost = interval_cost(nodes, c, nodes, c + 1, kind)
        if kind == ADV:
            gap = nodes.w[c + 1] - nodes.w[c]
            out[position] = cost / gap if gap > 0.0 else 0.0  # equal values, where ties are few, are not merged
        else:
            weight = (nodes.a[c + 1] - nodes.a[c]) + (nodes.a_low[c + 1] - nodes.a_low[c])
            out[position] = np.sqrt(max(0.0, weight) * cost)
    return out


def bound_between(nodes: AnyNodes, between: npt.NDArray[np.bool_], k: int, mu: float, kind: int) -> float:
    """Return a cost that no path of k intervals is below, its inner nodes being anywhere.

    Parameters
    ----------
    nodes : Nodes or PreciseNodes
        Some nodes, the first and the last of all among them.
    between : (n - 1,) bool
        Whether there are more nodes between each and the next.
    k : int
        Intervals.
    mu : float
        Any μ gives a bound, that of the cheapest path a good one.
    kind : int
        What intervals cost.
    """
    cells = np.flatnonzero(between)
    alone = np.ones(len(nodes.w), dtype=np.bool_)  # nodes that no cell contains, and the ends, are cells by themselves
    alone[cells] = alone[cells + 1] = False
    alone[0] = alone[-1] = True
    points = np.flatnonzero(alone)
    low, high = np.concatenate([points, cells]), np.concatenate([points, cells + 1])
    order = np.lexsort((high, low))
    forward, _ = potentials(take(nodes, high[order]), take(nodes, low[order]), mu, kind)
    return max(0.0, float(forward[-1]) - mu * k)


def through_cells(lower_ends: AnyNodes, upper_ends: AnyNodes, mu: float, kind: int) -> Floats:
    """Return a lower bound of cost + μ·intervals over all paths with a level in each cell."""
    forward, _ = potentials(upper_ends, lower_ends, mu, kind)
    backward, _ = potentials(mirrored(lower_ends), mirrored(upper_ends), mu, kind)
    return forward + backward[::-1]


def mirrored(nodes: AnyNodes) -> AnyNodes:
    """Return the nodes of the negated values, in ascending order."""
    w, a, b, g, a_low, b_low, g_low = (column[::-1] for column in nodes)
    return type(nodes)(-w, -a, b.copy(), -g, -a_low, b_low.copy(), -g_low)
