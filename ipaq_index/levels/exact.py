"""Exact ADV and MSE: coarse to fine, with a certificate.

A coreset gives a solution, whose cost U bounds the optimum from above, and its multiplier μ. Then cells between the
coreset's ranks take the place of nodes: between two levels somewhere in cells I and J the cost is at least that from
I's upper end to J's lower end. So cheapest paths of cells, forwards to a cell and backwards to it, bound the cost of
every path with a level in that cell from below; where this exceeds U + μ·k, no optimal level lies in the cell. The
remaining cells are refined while this helps; the cheapest path through all values that remain is the optimum.

No reference does this. It makes few levels cheap (2 to 16: most values are never looked at); for many levels nearly
all cells remain, and it is the good first μ that saves the time: one or two passes over all values do.
"""

import numpy as np

from ipaq_index.levels.bounds import bound_between, through_cells
from ipaq_index.levels.coreset import coreset
from ipaq_index.levels.dense import cheapest_dense, cost_table
from ipaq_index.levels.intervals import UNIT, AnyNodes, Floats, Ranks, noise
from ipaq_index.levels.path import Path, cheapest, path_cost
from ipaq_index.levels.sums import Sums, sums_of, union

DENSE = 256  # up to so many values, the table of all costs takes a few milliseconds at most
TABLE = 1024  # where nothing else is precise enough: up to 0.2 s
CERTIFIED_INTERVALS = 8  # above, the certificate keeps too many cells to be worth its time
ENOUGH = 4096  # nodes that need no further pruning
PRECISION = 2.5e-10  # of the cost that rounding may put off
TOLERANCE = 1e-6  # the same where a solution is approximate anyway
ROUNDING = 1e-9  # of U; what bounds may be off by


def exact_path(x: Floats, weights: Floats, k: int, kind: int) -> Path:
    """Return the ranks of the nodes of a cheapest path of k intervals.

    Parameters
    ----------
    x : (n,) float64
        Sorted values.
    weights : (n,) float64 or (0,)
        Weights; empty for ones.
    k : int
        Intervals, fewer than the nodes.
    kind : int
        `ADV` or `MSE`.
    """
    if len(x) <= DENSE:
        return cheapest_dense(cost_table(x, weights, kind), k)
    return coarse_to_fine(sums_of(x, weights, block_for(len(x), cells_for(k)), kind), k)


def cells_for(k: int) -> int:
    """Return the size of the first coreset.

    What can be told from the optimum lies some D/k² above it, so a certificate takes cells in proportion to k². Else
    only a μ is wanted, but a good one: each further guess costs a pass over all values.
    """
    return max(256, 32 * k * k) if k <= CERTIFIED_INTERVALS else max(1024, 16 * k)


def block_for(n: int, cells: int) -> int:
    """Return how many values to keep a sum for, so that a cell has some four blocks, and walks are short."""
    return max(1, min(128, n // (4 * cells)))


def coarse_to_fine(sums: Sums, k: int) -> Path:
    """Return the ranks of a cheapest path of k intervals."""
    cells = cells_for(k)
    # The μ of a coreset that holds a good part of the values, but not all, is not theirs.
    all_ranks = k > CERTIFIED_INTERVALS and sums.last <= 8 * cells
    ranks = np.arange(sums.last + 1) if all_ranks else coreset(sums, cells)
    nodes = sums.nodes(ranks)
    path, mu = cheapest(nodes, k, 0.0, sums.kind)
    if too_noisy(sums, nodes, path, bound_between(nodes, np.diff(ranks) > 1, k, mu, sums.kind)):
        return coarse_to_fine(in_pairs(sums), k)
    if len(ranks) <= sums.last:
        ranks = prune(sums, ranks, k, mu) if k <= CERTIFIED_INTERVALS else np.arange(sums.last + 1)
        nodes = sums.nodes(ranks)
        path, _ = cheapest(nodes, k, mu, sums.kind)
    # Costs of 1e-16 and 1e60 side by side leave no digits of the smaller ones in a potential.
    whole = path_cost(nodes, np.array([0, len(nodes.w) - 1]), sums.kind)
    if len(sums.x) <= TABLE and UNIT * whole > PRECISION * path_cost(nodes, path, sums.kind):
        return cheapest_dense(cost_table(sums.x, sums.weights, sums.kind), k)
    return ranks[path]


def too_noisy(sums: Sums, nodes: AnyNodes, path: Path, bound: float, share: float = PRECISION) -> bool:
    """Return whether rounding could hide which path is the cheapest, to a share of its cost: precise sums are due then.

    Compared with the lower bound, as noise may have led the path astray, to a cost that would hide it. A value of much
    weight may have done so though the path avoids it.
    """
    if sums.precise:
        return False
    away = UNIT * sums.weights.max() * (nodes.w[-1] - nodes.w[0]) ** 2 if len(sums.weights) else 0.0
    return noise(nodes, path) + away > share * bound


def in_pairs(sums: Sums) -> Sums:
    """Return precise sums of the same values."""
    return sums_of(sums.x, sums.weights, sums.block, sums.kind, precise=True)


def prune(sums: Sums, ranks: Ranks, k: int, mu: float) -> Ranks:
    """Return all ranks at which the levels of an optimal path may lie, from a coreset's and a guess of μ."""
    low, high = ranks[:-1], ranks[1:]
    left, cells = sums.last + 1, 2 * len(low)
    while True:
        nodes = sums.nodes(ranks)
        path, mu = cheapest(nodes, k, mu, sums.kind)
        upper = path_cost(nodes, path, sums.kind)
        # The first and the last level are where they must be: cells of one rank each.
        lower_ends, upper_ends = np.append(np.append(0, low), sums.last), np.append(np.append(0, high), sums.last)
        bound = through_cells(sums.nodes(lower_ends), sums.nodes(upper_ends), mu, sums.kind)[1:-1]
        kept = bound <= upper + mu * k + ROUNDING * (upper + mu * k)
        low, high = low[kept], high[kept]
        values = int((high - low).sum())
        if values > left // 2:
            return np.arange(sums.last + 1) if left > sums.last else ranks_within(low, high, sums.last)
        if values <= ENOUGH:
            return ranks_within(low, high, sums.last)
        left = values
        step = max(1, values // cells)
        low, high = refined(low, high, step)
        ranks = union(0, low, high, sums.last)


def refined(low: Ranks, high: Ranks, step: int) -> tuple[Ranks, Ranks]:
    """Cut cells into cells of at most ``step`` ranks."""
    pieces = -(-(high - low) // step)
    offset = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = np.repeat(low, pieces) + offset * step
    return start, np.minimum(start + step, np.repeat(high, pieces))


def ranks_within(low: Ranks, high: Ranks, last: int) -> Ranks:
    """Return the ranks from each ``low`` to its ``high``, both included, and the first and last of all."""
    start, stop = refined(low, high, 1)
    return union(0, start, stop, last)
