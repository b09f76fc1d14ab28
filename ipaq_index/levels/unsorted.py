"""Approximate level sets of values in any order, without sorting them.

The least and the largest value of each cell (`ipaq_index.levels.buckets`) are a coreset. For ADV and MSE the sums of
whole cells make the cost of every path through it exact. For MDV its optimum is a lower bound of the optimum of all
values, and the true cost is looked up in the cells where it can be larger: so the guarantee is checked, not assumed,
and cells are refined until it holds, whatever the tails.
"""

import numpy as np
from numba import njit

from ipaq_index.levels.approximate import TRUSTED
from ipaq_index.levels.bounds import lower_bound
from ipaq_index.levels.buckets import Buckets, fill, ranks_in
from ipaq_index.levels.coreset import cell_size
from ipaq_index.levels.exact import TOLERANCE
from ipaq_index.levels.intervals import ADV, Floats, Nodes, Ranks, noise
from ipaq_index.levels.mdv import exact_mdv
from ipaq_index.levels.path import cheapest, path_cost
from ipaq_index.levels.sums import outward

FINEST = 16  # precision at which sorting is the better choice


def solve_in_cells(
    w: Floats, weights: Floats, ends: tuple[float, float], s: int, kind: int, uniform: int
) -> tuple[Floats, float, float] | None:
    """Return levels, their true cost and a lower bound for ADV or MSE; None where cells are too coarse for the values.

    Parameters
    ----------
    w : (m,) float64
        Finite values in any order.
    weights : (m,) float64 or (0,)
        Weights; empty for ones.
    ends : (float, float)
        The least and the largest value.
    s : int
        Levels, at least 2.
    kind : int
        `ADV` or `MSE`.
    uniform : int
        Cells of a uniform grid; 0 for cells that follow the tails.
    """
    cells = fill(w, weights, ends, int(np.ceil(np.log2(s))) + 3, uniform)
    k = s - 1 if kind == ADV else s
    if cells is None or len(cells.low) <= s:
        return None
    if not uniform and not fine_enough(cells, s):
        return None
    lower, upper = end_nodes(cells)
    if kind == ADV:
        # A value alone in its cell is one node, whose sums leave it out, as it may be a large outlier.
        once = cells.low == cells.high
        left = np.arange(len(once)) < cells.middle
        lower[:, once & left], upper[:, once & ~left] = upper[:, once & left], lower[:, once & ~left]
        kept = np.column_stack([np.ones_like(once), ~once]).ravel()
        nodes = Nodes(*np.stack([lower, upper], axis=2).reshape(7, -1)[:, kept])
        values = np.stack([cells.low, cells.high], axis=1).ravel()[kept]
        between = np.diff(np.repeat(np.arange(len(once)), 1 + ~once)) == 0
    else:
        nodes, between = Nodes(*np.hstack([lower, upper[:, -1:]])), cells.low < cells.high
    path, mu = cheapest(nodes, k, 0.0, kind)
    bound = lower_bound(nodes, between, k, mu, path_cost(nodes, path, kind), kind)
    if noise(nodes, path) > TOLERANCE * bound:
        return None
    if kind == ADV:
        levels = np.unique(values[path])
        cost = adv_cost(cells, levels)
    else:
        cuts = np.unique(path)[:-1]
        total, first, _ = np.add.reduceat(cells.sums, cuts).T
        levels = np.unique(cells.centre + first[total > 0] / total[total > 0])
        cost = mse_cost(w, weights, cells, levels)
    return (levels, cost, bound) if cost <= TRUSTED * bound else None


def fine_enough(cells: Buckets, s: int) -> bool:
    """Return whether no cell holds so much of the cost that a level's place within it matters.

    Measured in cube roots of costs, as coresets are: with six cells an interval the excess is some 0.1 to 0.3 %.
    """
    shares = np.cbrt(spans(cells, cells.low, cells.high))
    gaps = np.cbrt(np.mean(cells.sums[:, 0]) * (cells.low[1:] - cells.high[:-1]) ** 2 / 6)
    total = cell_size(np.concatenate([shares, gaps]), 6 * s)
    return bool(shares.max() <= 1.5 * total)


def end_nodes(cells: Buckets) -> tuple[Floats, Floats]:
    """Return the columns of nodes, (7, c), of the cells' least values, before the cell, and largest ones, after it."""
    sums = outward(cells.sums, min(cells.middle, len(cells.low))).T
    return np.vstack([cells.low - cells.centre, sums[:, :-1]]), np.vstack([cells.high - cells.centre, sums[:, 1:]])


def spans(cells: Buckets, below: Floats, above: Floats) -> Floats:
    """Return Σ λ (above - w)(w - below) over each cell, from its own sums."""
    a, b = below - cells.centre, above - cells.centre
    return np.maximum(0.0, (a + b) * cells.sums[:, 1] - cells.sums[:, 2] - a * b * cells.sums[:, 0])


def adv_cost(cells: Buckets, levels: Floats) -> float:
    """Return the true cost of levels that are ends of cells: a sum over cells, which hold no more than their digits."""
    above = np.minimum(np.maximum(1, np.searchsorted(levels, cells.high)), len(levels) - 1)
    return float(spans(cells, levels[above - 1], levels[above]).sum())


def mse_cost(w: Floats, weights: Floats, cells: Buckets, levels: Floats) -> float:
    """Return the true cost of rounding to the nearest level: cells by their sums, value by value where one is cut."""
    middles = levels[:-1] / 2 + levels[1:] / 2
    first, last = np.searchsorted(middles, cells.low), np.searchsorted(middles, cells.high)
    whole = first == last
    d = levels[first] - cells.centre
    costs = cells.sums[:, 2] - 2 * d * cells.sums[:, 1] + d * d * cells.sums[:, 0]
    cut = np.zeros(cells.size, dtype=np.bool_)
    cut[cells.number[~whole]] = True
    return float(np.maximum(costs[whole], 0.0).sum()) + squares_in(
        w, weights, ranks_in(cells.cell, cut), levels, middles
    )


def mdv_in_cells(w: Floats, ends: tuple[float, float], s: int, eps: float) -> tuple[Floats, float, float] | None:
    """Return levels, their true largest variance, and a lower bound that it is at most 1 + eps times above.

    Parameters
    ----------
    w : (m,) float64
        Finite values in any order.
    ends : (float, float)
        The least and the largest value.
    s : int
        Levels, at least 2.
    eps : float
        At a skipped value within a span δ the variance is at most δ²/4 larger than at the span's ends.
    """
    precision = int(np.ceil(np.log2(s))) + 3  # one pass mostly does
    while precision <= FINEST:
        cells = fill(w, np.empty(0), ends, precision, summed=False)
        if cells is None:
            return None
        few = np.unique(np.concatenate([cells.low, cells.high]))
        if len(few) > s:
            levels = exact_mdv(few, np.empty(0), s)
            bound = largest_in(few, np.arange(len(few)), levels)
            cost = mdv_cost(w, cells, levels, bound)
            if cost <= (1 + eps) * bound:
                return np.unique(levels), cost, bound
        precision += 2
    return None


def mdv_cost(w: Floats, cells: Buckets, levels: Floats, at_ends: float) -> float:
    """Return the largest variance of all values, of which only those that can exceed that of cells' ends are looked at.

    Between two levels the variance grows up to the middle and falls from there, so that only in a cell that a middle
    lies in, others can have a larger one than the ends.
    """
    middles = levels[:-1] / 2 + levels[1:] / 2
    within = np.searchsorted(middles, cells.high) > np.searchsorted(middles, cells.low)
    wanted = np.zeros(cells.size, dtype=np.bool_)
    wanted[cells.number[within]] = True
    return max(at_ends, largest_in(w, ranks_in(cells.cell, wanted), levels))


@njit(nogil=True, cache=True)
def squares_in(w: Floats, weights: Floats, chosen: Ranks, levels: Floats, middles: Floats) -> float:
    """Return Σ λ (w - nearest level)² over chosen values."""
    total = 0.0
    for i in chosen:
        d = w[i] - levels[np.searchsorted(middles, w[i])]
        total += d * d * (weights[i] if len(weights) else 1.0)
    return total


@njit(nogil=True, cache=True)
def largest_in(w: Floats, chosen: Ranks, levels: Floats) -> float:
    """Return the largest variance of stochastic rounding among chosen values."""
    most = 0.0
    for i in chosen:
        above = min(max(1, np.searchsorted(levels, w[i])), len(levels) - 1)
        most = max(most, (levels[above] - w[i]) * (w[i] - levels[above - 1]))
    return most
