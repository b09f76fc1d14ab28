"""Approximate ADV and MSE of sorted values: the exact solver on a coreset, with a bound on what that costs."""

import numpy as np

from ipaq_index.levels.coreset import coreset, denser
from ipaq_index.levels.exact import block_for
from ipaq_index.levels.path import Path, cheapest, path_cost, potentials
from ipaq_index.levels.sums import Floats, Ranks, Sums, sums_of, union

CELLS_PER_LEVEL = 12
FEWEST_CELLS = 512


class Coreset:
    """A coreset that follows the tails, for several numbers of intervals.

    Parameters
    ----------
    x : (n,) float64
        Sorted values.
    weights : (n,) float64 or (0,)
        Weights; empty for ones.
    kind : int
        `ADV` or `MSE`.
    cells : int
        Size of the coreset.
    """

    def __init__(self, x: Floats, weights: Floats, kind: int, cells: int) -> None:
        self.sums = sums_of(x, weights, block_for(len(x), cells), kind)
        self.ranks = coreset(self.sums, cells)
        self._last = (0, 0.0)  # intervals and μ of the path before: a guess for the next

    def path(self, k: int) -> tuple[Path, float]:
        """Return the ranks of a good path of k intervals, fewer than the nodes, and what none such costs less than."""
        before, mu = self._last
        found, bound, mu = solve_on(self.sums, self.ranks, k, mu * (before / k) ** 3)
        self._last = (k, mu)
        return found, bound


class Grid(Coreset):
    """The same on a uniform grid of values: poor where they are heavy-tailed."""

    def __init__(self, x: Floats, weights: Floats, kind: int, cells: int) -> None:
        self.sums = sums_of(x, weights, block_for(len(x), cells), kind)
        grid = np.searchsorted(x, np.linspace(x[0], x[-1], cells + 1))
        # Values that the grid does not separate still leave nodes enough to choose from.
        spread = np.linspace(0, self.sums.last, cells // 4).astype(np.int64)
        self.ranks = union(0, grid, spread, self.sums.last)
        self._last = (0, 0.0)


def cells_for(s: int) -> int:
    """Return how many cells are enough for ``s`` levels."""
    return max(FEWEST_CELLS, CELLS_PER_LEVEL * s)


def solve_on(sums: Sums, ranks: Ranks, k: int, mu: float) -> tuple[Path, float, float]:
    """Return the ranks of the cheapest path through some ranks, a lower bound for paths through all, and its μ."""
    nodes = sums.nodes(ranks)
    path, mu = cheapest(nodes, k, mu, sums.kind)
    if len(ranks) > sums.last:
        return ranks[path], path_cost(nodes, path, sums.kind), mu
    # Once more, with more ranks where the levels are: eight times finer there, the excess is some fifty times less.
    finer = denser(ranks, path)
    finer_path, _ = cheapest(sums.nodes(finer), k, mu, sums.kind)
    lower_ends, upper_ends = np.vstack([nodes[:1], nodes]), np.vstack([nodes, nodes[-1:]])
    forward, _ = potentials(upper_ends, lower_ends, mu, sums.kind)
    return finer[finer_path], max(0.0, forward[-1] - mu * k), mu
