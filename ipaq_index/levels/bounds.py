"""Lower bounds of what all paths cost, from few nodes.

Between two levels somewhere in cells I and J, the cost is at least that from I's upper end to J's lower end.
"""

import numpy as np
import numpy.typing as npt

from ipaq_index.levels.intervals import AnyNodes, Floats, take
from ipaq_index.levels.path import potentials


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
