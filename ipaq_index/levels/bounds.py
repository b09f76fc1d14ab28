"""Lower bounds of what all paths cost, from few nodes.

Between two levels somewhere in cells I and J, the cost is at least that from I's upper end to J's lower end.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.intervals import Floats
from ipaq_index.levels.path import potentials


def bound_between(nodes: Floats, between: npt.NDArray[np.bool_], k: int, mu: float, kind: int) -> float:
    """Return a cost that no path of k intervals is below, its inner nodes being anywhere.

    Parameters
    ----------
    nodes : (n, 4) float64
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
    alone = np.ones(len(nodes), dtype=np.bool_)  # nodes that no cell contains, and the ends, are cells by themselves
    alone[cells] = alone[cells + 1] = False
    alone[0] = alone[-1] = True
    points = np.flatnonzero(alone)
    low, high = np.concatenate([points, cells]), np.concatenate([points, cells + 1])
    order = np.lexsort((high, low))
    forward, _ = potentials(nodes[high[order]], nodes[low[order]], mu, kind)
    return max(0.0, float(forward[-1]) - mu * k)


@njit(nogil=True, cache=True)
def through_cells(lower_ends: Floats, upper_ends: Floats, mu: float, kind: int) -> Floats:
    """Return a lower bound of cost + μ·intervals over all paths with a level in each cell."""
    forward, _ = potentials(upper_ends, lower_ends, mu, kind)
    backward, _ = potentials(mirrored(lower_ends), mirrored(upper_ends), mu, kind)
    return forward + backward[::-1]


@njit(nogil=True, cache=True)
def mirrored(nodes: Floats) -> Floats:
    """Return the nodes of the negated values, in ascending order."""
    out = -nodes[::-1]
    for column in range(2, nodes.shape[1], 3):  # β, and its low part
        out[:, column] = nodes[::-1, column]
    return out
