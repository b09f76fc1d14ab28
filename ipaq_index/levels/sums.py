"""Sums of λ, λw and λw² over runs of sorted values: what every interval cost is computed from.

The sums run outwards from the middle value, which is also their origin. So a common offset does not cancel, and the
sums near the middle never contain the tails: an outlier of 1e30 spoils no interval but its own. Sums are kept at every
``BLOCK``-th value only; a solver asks for *nodes*, the sums at the ranks that it is interested in.

Where values lie in narrow clusters far apart, the differences of sums cancel all the same. The solvers notice, by
`noise`, and start again with *precise* sums: pairs of floats (Dekker, 1971), which hold 32 digits.

The differences of two nodes' α, β, γ are the sums over the values between them; an end of an interval may be counted
or not, as it adds nothing to the interval's cost.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.intervals import ADV, Floats, Ranks
from ipaq_index.levels.precise import precise_nodes, precise_prefix

REASSOCIATE = {"reassoc", "contract"}  # lets a sum be vectorised; leaves nan and inf as they are


@dataclass(frozen=True)
class Sums:
    """Sorted values and their sums at block boundaries.

    Attributes
    ----------
    x : (n,) float64
        Sorted values.
    weights : (n,) float64 or (0,)
        Weights; empty for ones.
    block : int
        Values a block; the last one may hold fewer.
    centre : int
        The block boundary, as a block number, that sums run outwards from.
    prefix : (blocks + 1, 3) float64
        Sums from the centre to each boundary, negative on its left.
    kind : int
        `ADV` or `MSE`.
    precise : bool
        Whether sums are pairs of floats; ``prefix`` then has 6 columns, and the origin of sums is 0.
    """

    x: Floats
    weights: Floats
    block: int
    centre: int
    prefix: Floats
    kind: int
    precise: bool = False

    @property
    def last(self) -> int:
        """The largest rank that a node may have: that of the last value, and one more for MSE, whose nodes are cuts."""
        return len(self.x) - 1 if self.kind == ADV else len(self.x)

    def nodes(self, ranks: Ranks) -> Floats:
        """Return the nodes at sorted ranks, (len(ranks), 4)."""
        if self.precise:
            return precise_nodes(self.x, self.weights, self.block, self.centre, self.prefix, ranks, self.kind)
        return nodes_at(self.x, self.weights, self.block, self.centre, self.prefix, ranks, self.kind)


def sums_of(x: Floats, weights: Floats, block: int, kind: int, precise: bool = False) -> Sums:
    """Return the sums of sorted values, in blocks of ``block``."""
    blocks = -(-len(x) // block)
    centre = blocks // 2
    if precise:
        return Sums(x, weights, block, centre, precise_prefix(x, weights, block, centre), kind, True)
    parts = block_sums(x, weights, block, x[centre * block])
    return Sums(x, weights, block, centre, outward(parts, centre), kind)


@njit(nogil=True, cache=True, fastmath=REASSOCIATE)
def block_sums(x: Floats, weights: Floats, block: int, origin: float) -> Floats:
    """Return Σλ, Σλ(w - origin), Σλ(w - origin)² of every block."""
    blocks = (len(x) + block - 1) // block
    out = np.empty((blocks, 3))
    for b in range(blocks):
        start, stop = b * block, min((b + 1) * block, len(x))
        total, first, second = 0.0, 0.0, 0.0
        if len(weights):
            for k in range(start, stop):
                d = x[k] - origin
                total += weights[k]
                first += weights[k] * d
                second += weights[k] * d * d
        else:
            total = float(stop - start)
            for k in range(start, stop):
                d = x[k] - origin
                first += d
                second += d * d
        out[b, 0], out[b, 1], out[b, 2] = total, first, second
    return out


@njit(nogil=True, cache=True)
def outward(parts: Floats, centre: int) -> Floats:
    """Return running sums outwards from a boundary, with the rounding errors carried along (Neumaier, 1974)."""
    blocks = len(parts)
    out = np.zeros((blocks + 1, 3))
    for c in range(3):
        for side in range(2):
            total, lost = 0.0, 0.0
            steps = blocks - centre if side == 0 else centre
            for step in range(steps):
                value = parts[centre + step, c] if side == 0 else -parts[centre - 1 - step, c]
                new = total + value
                lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
                total = new
                out[centre + step + 1 if side == 0 else centre - step - 1, c] = total + lost
    return out


@njit(nogil=True, cache=True)
def nodes_at(x: Floats, weights: Floats, block: int, centre: int, prefix: Floats, ranks: Ranks, kind: int) -> Floats:
    """Return the nodes at sorted ranks; neighbouring ranks share the walk from their block's boundary."""
    n = len(x)
    middle = centre * block
    origin = x[middle]
    out = np.empty((len(ranks), 4))
    weighted = len(weights) > 0
    first_right = np.searchsorted(ranks, middle)
    at, a, b, g = -1, 0.0, 0.0, 0.0
    for r in range(first_right, len(ranks)):  # sums over middle <= k < rank
        rank = ranks[r]
        start = rank // block * block
        if at < start:
            at = start
            a, b, g = prefix[rank // block, 0], prefix[rank // block, 1], prefix[rank // block, 2]
        while at < rank:
            weight = weights[at] if weighted else 1.0
            d = x[at] - origin
            a += weight
            b += weight * d
            g += weight * d * d
            at += 1
        out[r, 0], out[r, 1], out[r, 2], out[r, 3] = x[min(rank, n - 1)] - origin, a, b, g
    # Left of the middle: sums over rank < k < middle for ADV, whose own value adds nothing, over rank <= k for MSE.
    at = n
    for r in range(first_right - 1, -1, -1):
        rank = ranks[r]
        low = rank + 1 if kind == ADV else rank
        stop = (low + block - 1) // block * block
        if at > stop:
            at = stop
            a, b, g = prefix[stop // block, 0], prefix[stop // block, 1], prefix[stop // block, 2]
        while at > low:
            at -= 1
            weight = weights[at] if weighted else 1.0
            d = x[at] - origin
            a -= weight
            b -= weight * d
            g -= weight * d * d
        out[r, 0], out[r, 1], out[r, 2], out[r, 3] = x[rank] - origin, a, b, g
    return out


def union(*parts: npt.ArrayLike) -> Ranks:
    """Return the different ranks of several arrays, ascending.

    Where the arrays are sorted, a stable sort merges them in linear time: `numpy.unique` hashes, and took five times
    as long here.
    """
    ranks = np.sort(np.concatenate([np.ravel(part).astype(np.int64) for part in parts]), kind="stable")
    return ranks[np.append(True, ranks[1:] != ranks[:-1])]
