"""Few ranks that stand for all values: the boundaries of cells that cost about the same.

An interval of width h in which values have density ρ costs about ``ρ h³ / 6``, so the cube root of its cost is additive
where the density is smooth, and cells with equal shares of it cost the same. That is what VMIX looks for (the least
largest cost), from one pass over the values and without bisection. Blocks that are heavy by themselves, as in the
tails, are looked at value by value: a gap h, of density 1/h, has the share ``(h² / 6)^(1/3)``.
"""

from dataclasses import replace

import numpy as np
from numba import njit

from ipaq_index.levels.intervals import ADV, AnyNodes, Floats, Ranks, interval_cost
from ipaq_index.levels.sums import Sums, union

PER_CELL = 8  # what `denser` cuts a cell into


def coreset(sums: Sums, cells: int) -> Ranks:
    """Return about ``cells`` sorted ranks of nodes, the first and the last among them.

    Parameters
    ----------
    sums : Sums
        The values; their block should be short against ``n / cells``.
    cells : int
        How many cells to aim at.
    """
    n = len(sums.x)
    if sums.last <= 2 * cells:
        return np.arange(sums.last + 1)
    edges = np.append(np.arange(0, n - 1, sums.block), n - 1)
    starts, shares = cost_shares(sums.x, sums.weights, edges, sums_as(sums, ADV).nodes(edges), cells)
    if not shares.any():
        return union(np.linspace(0, sums.last, cells + 1))
    size = cell_size(shares, cells)
    position = np.cumsum(np.minimum(shares, size))
    cuts = np.searchsorted(position, np.arange(1, cells) * (position[-1] / cells)) + 1
    # Both sides of a gap between clusters: a level on either may save all that crossing the gap costs.
    gaps = np.flatnonzero(shares >= size)
    edges = np.append(starts, n - 1)
    # Values of much weight, such as the zeros of sparse data, want a level of their own.
    weighty = np.flatnonzero(sums.weights > sums.weights.sum() / cells)
    after = np.minimum(weighty + 1, sums.last)
    return union(0, edges[cuts], edges[gaps], edges[gaps + 1], weighty, after, sums.last)


def denser(ranks: Ranks, path: Ranks) -> Ranks:
    """Return ranks with more of them on both sides of those that a path goes through.

    Parameters
    ----------
    ranks : (n,) int64
        Sorted ranks.
    path : (k + 1,) int64
        Indices into ``ranks``.
    """
    around = np.concatenate([path[:-1], path[1:] - 1])
    low, high = ranks[around], ranks[around + 1]
    between = low[:, None] + (high - low)[:, None] * np.arange(1, PER_CELL) // PER_CELL
    return union(ranks, between)


def sums_as(sums: Sums, kind: int) -> Sums:
    """Return the same sums, read as another kind of nodes."""
    return replace(sums, kind=kind)


@njit(nogil=True, cache=True)
def cost_shares(x: Floats, weights: Floats, edges: Ranks, nodes: AnyNodes, cells: int) -> tuple[Ranks, Floats]:
    """Return where blocks, or values of heavy blocks, start, and cube roots of what they cost."""
    blocks = len(edges) - 1
    shares = np.empty(blocks)
    for b in range(blocks):
        shares[b] = interval_cost(nodes, b, nodes, b + 1, ADV) ** (1 / 3)
    heavy = cell_size(shares, cells) / 2
    size = 0
    for b in range(blocks):
        size += edges[b + 1] - edges[b] if shares[b] > heavy else 1
    starts, out = np.empty(size, dtype=np.int64), np.empty(size)
    at = 0
    for b in range(blocks):
        if shares[b] <= heavy:
            starts[at], out[at] = edges[b], shares[b]
            at += 1
            continue
        for rank in range(edges[b], edges[b + 1]):
            weight = (weights[rank] + weights[rank + 1]) / 2 if len(weights) else 1.0
            gap = x[rank + 1] - x[rank]
            starts[at], out[at] = rank, (weight * gap * gap / 6) ** (1 / 3)
            at += 1
    return starts, out


@njit(nogil=True, cache=True)
def cell_size(shares: Floats, cells: int) -> float:
    """Return the share of a cell when shares above it count as one cell: a gap between clusters cannot be cut."""
    size = shares.sum() / cells
    for _ in range(30):  # one large gap of any size takes some five rounds
        smaller = np.minimum(shares, size).sum() / cells
        if smaller > 0.9 * size:
            return float(smaller)
        size = smaller
    return float(size)
