"""Few ranks that stand for all values: the boundaries of cells that cost about the same.

An interval of width h in which values have density ρ costs about ``ρ h³ / 6``, so the cube root of its cost is additive
where the density is smooth, and cells with equal shares of it cost the same. That is what VMIX looks for (the least
largest cost), from one pass over the values and without bisection. A cell that is heavy by itself, as in the tails, is
given all its values as boundaries.
"""

import numpy as np

from ipaq_index.levels.sums import ADV, Floats, Ranks, Sums, interval_cost, njit


def coreset(sums: Sums, cells: int) -> Ranks:
    """Return about ``cells`` sorted ranks of nodes, the first and the last among them.

    Parameters
    ----------
    sums : Sums
        The values; their block should be short against ``n / cells``.
    cells : int
        How many cells to aim at; a few more where the values are heavy-tailed.
    """
    n = len(sums.x)
    if sums.last <= 2 * cells:
        return np.arange(sums.last + 1)
    edges = np.arange(0, n, sums.block)
    if edges[-1] != n - 1:
        edges = np.append(edges, n - 1)
    shares = np.cbrt(neighbour_costs(sums_as(sums, ADV).nodes(edges)))
    if not shares.any():
        return np.unique(np.linspace(0, sums.last, cells + 1).astype(np.int64))
    light = np.minimum(shares, shares.sum() / cells)
    # Twice, as what the heavy cells lose makes the others' share smaller.
    light = np.minimum(light, light.sum() / cells)
    size = light.sum() / cells
    heavy = np.flatnonzero(shares >= size)
    position = np.concatenate([[0.0], np.cumsum(light)])
    chosen = edges[np.searchsorted(position, np.arange(1, cells) * size)]
    inside = (edges[heavy][:, None] + np.arange(sums.block + 1)).ravel()
    return np.unique(np.concatenate([[0, sums.last], chosen, inside[inside <= sums.last]]))


def sums_as(sums: Sums, kind: int) -> Sums:
    """Return the same sums, read as another kind of nodes."""
    return Sums(sums.x, sums.weights, sums.block, sums.centre, sums.prefix, kind)


@njit(nogil=True, cache=True)
def neighbour_costs(nodes: Floats) -> Floats:
    """Return the ADV cost of each interval between neighbouring nodes."""
    out = np.empty(len(nodes) - 1)
    for i in range(len(out)):
        out[i] = interval_cost(nodes, i, nodes, i + 1, ADV)
    return out
