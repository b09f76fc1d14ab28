"""Approximate ADV and MSE of sorted values: the exact solver on a coreset, with a bound on what that costs."""

import numpy as np

from ipaq_index.levels.coreset import coreset, denser
from ipaq_index.levels.exact import block_for
from ipaq_index.levels.path import Path, cheapest, potentials
from ipaq_index.levels.sums import Floats, Ranks, Sums, sums_of

CELLS_PER_LEVEL = 12
FEWEST_CELLS = 512


def vmix_path(x: Floats, weights: Floats, k: int, kind: int, cells: int = 0) -> tuple[Path, float]:
    """Return the ranks of a good path of k intervals, on a coreset that follows the tails, and a lower bound.

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
    cells : int
        Size of the coreset; 0 for one that suits k.

    Returns
    -------
    path : (k + 1,) int64
    lower_bound : float
        No path of k intervals costs less.
    """
    cells = cells or max(FEWEST_CELLS, CELLS_PER_LEVEL * (k + 1))
    sums = sums_of(x, weights, block_for(len(x), cells), kind)
    return solve_on(sums, coreset(sums, cells), k)


def grid_path(x: Floats, weights: Floats, k: int, kind: int, cells: int = 0) -> tuple[Path, float]:
    """Return the same as `vmix_path` on a uniform grid of values: poor where they are heavy-tailed."""
    cells = cells or max(FEWEST_CELLS, CELLS_PER_LEVEL * (k + 1))
    sums = sums_of(x, weights, block_for(len(x), cells), kind)
    grid = np.searchsorted(x, np.linspace(x[0], x[-1], cells + 1))
    # Values that the grid separates badly still have k + 1 nodes to choose from.
    spread = np.linspace(0, sums.last, k + 1).astype(np.int64)
    return solve_on(sums, np.unique(np.concatenate([[0, sums.last], grid, spread])), k)


def solve_on(sums: Sums, ranks: Ranks, k: int) -> tuple[Path, float]:
    """Return the ranks of the cheapest path through some ranks and a lower bound for paths through all."""
    nodes = sums.nodes(ranks)
    path, mu = cheapest(nodes, k, 0.0, sums.kind)
    if len(ranks) > sums.last:
        lower_ends, upper_ends = nodes, nodes
    else:
        lower_ends, upper_ends = np.vstack([nodes[:1], nodes]), np.vstack([nodes, nodes[-1:]])
    # Once more, with more ranks where the levels are: eight times finer there, the excess is some fifty times less.
    finer = denser(ranks, path)
    finer_path, _ = cheapest(sums.nodes(finer), k, mu, sums.kind)
    forward, _ = potentials(upper_ends, lower_ends, mu, sums.kind)
    return finer[finer_path], max(0.0, forward[-1] - mu * k)
