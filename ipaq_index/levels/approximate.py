"""Approximate ADV and MSE of sorted values: the exact solver on a coreset, with a bound on what that costs."""

import numpy as np

from ipaq_index.levels.bounds import lower_bound
from ipaq_index.levels.coreset import coreset, denser
from ipaq_index.levels.exact import PRECISION, TOLERANCE, block_for, in_pairs, too_noisy
from ipaq_index.levels.intervals import ADV, AnyNodes, Floats, Ranks, noise
from ipaq_index.levels.path import Path, cheapest, path_cost
from ipaq_index.levels.sums import sums_of, union

CELLS_PER_LEVEL = 16
FEWEST_CELLS = 512
TRUSTED = 2.0  # a cost is taken as good up to so many times its lower bound; 1.0 to 1.1 is usual


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
        self.cells = cells
        self.ranks = self.choose()
        self._last = (0, 0.0)  # intervals and μ of the path before: a guess for the next

    def choose(self) -> Ranks:
        """Return the coreset's ranks."""
        return coreset(self.sums, self.cells)

    def path(self, k: int) -> tuple[Path, float]:
        """Return the ranks of a good path of k intervals, fewer than the nodes, and what none such costs less than."""
        before, mu = self._last
        nodes = self.sums.nodes(self.ranks)
        path, mu = cheapest(nodes, k, mu * (before / k) ** 3, self.sums.kind)
        bound = self.bound(nodes, path, k, mu)
        if too_noisy(self.sums, nodes, path, bound, TOLERANCE):
            self.sums = in_pairs(self.sums)
            self.ranks = self.choose()
            nodes = self.sums.nodes(self.ranks)
            path, mu = cheapest(nodes, k, 0.0, self.sums.kind)
            bound = self.bound(nodes, path, k, mu)
        self._last = (k, mu)
        if len(self.ranks) > self.sums.last:
            return self.ranks[path], path_cost(nodes, path, self.sums.kind)
        # Once more, with more ranks where the levels are: eight times finer there, the excess is some fifty times less.
        finer = denser(self.ranks, path)
        finer_path, _ = cheapest(self.sums.nodes(finer), k, mu, self.sums.kind)
        return finer[finer_path], bound

    def bound(self, nodes: AnyNodes, path: Path, k: int, mu: float) -> float:
        """Return what no path of k intervals costs less than, from the cheapest one through the coreset."""
        cost = path_cost(nodes, path, self.sums.kind)
        return lower_bound(nodes, np.diff(self.ranks) > 1, k, mu, cost, self.sums.kind)

    def levels(self, path: Path) -> tuple[Floats, float | None]:
        """Return the levels of a path of ranks, and their true cost, None where sums are not precise enough for it."""
        nodes, x = self.sums.nodes(path), self.sums.x
        if self.sums.precise:
            return np.empty(0), None
        if self.sums.kind == ADV:
            cost, error = path_cost(nodes, np.arange(len(path)), ADV), noise(nodes, np.arange(len(path)))
            return x[path], cost if error <= PRECISION * cost else None
        total, first = np.diff(nodes.a + nodes.a_low), np.diff(nodes.b) + np.diff(nodes.b_low)
        means = np.unique(first[total > 0] / total[total > 0])
        levels = np.unique(self.sums.origin + means)
        # Nearest rounding cuts half-way between the means, not quite where the path does.
        ranks = union(0, np.searchsorted(x, levels[:-1] / 2 + levels[1:] / 2), self.sums.last)
        if len(levels) < len(means) or len(ranks) != len(levels) + 1:
            return levels, None
        nodes = self.sums.nodes(ranks)
        da, db, dg = (np.diff(high) + np.diff(low) for high, low in zip(nodes[1:4], nodes[4:], strict=True))
        d = levels - self.sums.origin
        cost = float(np.maximum(dg - 2 * d * db + d * d * da, 0).sum())
        return levels, cost if noise(nodes, np.arange(len(ranks))) <= PRECISION * cost else None


class Grid(Coreset):
    """The same on a uniform grid of values: poor where they are heavy-tailed."""

    def choose(self) -> Ranks:
        """Return the ranks next to the grid's lines."""
        x = self.sums.x
        grid = np.searchsorted(x, np.linspace(x[0], x[-1], self.cells + 1))
        # Values that the grid does not separate still leave nodes enough to choose from.
        return union(0, grid, np.linspace(0, self.sums.last, self.cells // 4), self.sums.last)


def cells_for(s: int) -> int:
    """Return how many cells are enough for ``s`` levels."""
    return max(FEWEST_CELLS, CELLS_PER_LEVEL * s)
