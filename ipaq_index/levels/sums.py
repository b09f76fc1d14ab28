"""Sums of λ, λw and λw² over runs of sorted values: what every interval cost is computed from.

The sums run outwards from the middle value, which is also their origin. So a common offset does not cancel, and the
sums near the middle never contain the tails: an outlier of 1e30 spoils no interval but its own. Sums are kept, as pairs
of floats, at every ``block``-th value only; a solver asks for *nodes*, the sums at the ranks that it is interested in.

Where values lie in narrow clusters far apart, the terms of an interval's cost cancel all the same. The solvers notice,
by `noise`, and start again with *precise* sums and costs: pairs of floats throughout (Dekker, 1971), 32 digits.

The differences of two nodes' α, β, γ are the sums over the values between them; an end of an interval may be counted
or not, as it adds nothing to the interval's cost.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.intervals import ADV, Floats, Nodes, PreciseNodes, Ranks
from ipaq_index.levels.pairs import plus
from ipaq_index.levels.precise import differences_exact, precise_nodes, precise_prefix

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
    prefix : (blocks + 1, 6) float64
        Sums from the centre to each boundary, negative on its left: high parts, then low parts.
    kind : int
        `ADV` or `MSE`.
    precise : bool
        Whether costs are pairs of floats too.
    origin : float
        What values of nodes, and sums, are relative to.
    """

    x: Floats
    weights: Floats
    block: int
    centre: int
    prefix: Floats
    kind: int
    precise: bool
    origin: float

    @property
    def last(self) -> int:
        """The largest rank that a node may have: that of the last value, and one more for MSE, whose nodes are cuts."""
        return len(self.x) - 1 if self.kind == ADV else len(self.x)

    def nodes(self, ranks: Ranks) -> Nodes | PreciseNodes:
        """Return the nodes at sorted ranks."""
        if self.precise:
            columns = precise_nodes(
                self.x, self.weights, self.block, self.centre, self.origin, self.prefix, ranks, self.kind
            )
            return PreciseNodes(*columns)
        return Nodes(*nodes_at(self.x, self.weights, self.block, self.centre, self.prefix, ranks, self.kind))


def sums_of(x: Floats, weights: Floats, block: int, kind: int, precise: bool = False) -> Sums:
    """Return the sums of sorted values, in blocks of ``block``."""
    blocks = -(-len(x) // block)
    centre = blocks // 2
    origin = float(x[centre * block])
    if precise:
        if not differences_exact(x, origin):
            origin = 0.0
        prefix = precise_prefix(x, weights, block, centre, origin)
    else:
        prefix = outward(block_sums(x, weights, block, origin), centre)
    return Sums(x, weights, block, centre, prefix, kind, precise, origin)


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
    """Return running sums outwards from a boundary, (blocks + 1, 6): high parts, then low parts (Neumaier, 1974)."""
    blocks = len(parts)
    out = np.zeros((blocks + 1, 6))
    for c in range(3):
        for side in range(2):
            total, lost = 0.0, 0.0
            steps = blocks - centre if side == 0 else centre
            for step in range(steps):
                value = parts[centre + step, c] if side == 0 else -parts[centre - 1 - step, c]
                new = total + value
                lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
                total = new
                at = centre + step + 1 if side == 0 else centre - step - 1
                out[at, c] = total + lost
                out[at, c + 3] = (total - out[at, c]) + lost
    return out


@njit(nogil=True, cache=True)
def nodes_at(x: Floats, weights: Floats, block: int, centre: int, prefix: Floats, ranks: Ranks, kind: int) -> Floats:
    """Return the columns of nodes at sorted ranks, (7, len(ranks)); neighbours share the walk from their block's end.

    The walk's sums are added to the boundary's in the end, so that they lose no digits to it.
    """
    n = len(x)
    middle = centre * block
    origin = x[middle]
    out = np.empty((7, len(ranks)))
    weighted = len(weights) > 0
    first_right = np.searchsorted(ranks, middle)
    at, a, b, g = -1, 0.0, 0.0, 0.0
    for r in range(first_right, len(ranks)):  # sums over middle <= k < rank
        rank = ranks[r]
        start = rank // block * block
        if at < start:
            at, a, b, g = start, 0.0, 0.0, 0.0
        while at < rank:
            weight = weights[at] if weighted else 1.0
            d = x[at] - origin
            a += weight
            b += weight * d
            g += weight * d * d
            at += 1
        out[0, r] = x[min(rank, n - 1)] - origin
        put(out, r, prefix, rank // block, a, b, g)
    # Left of the middle: sums over rank < k < middle for ADV, whose own value adds nothing, over rank <= k for MSE.
    at = n + block
    for r in range(first_right - 1, -1, -1):
        rank = ranks[r]
        low = rank + 1 if kind == ADV else rank
        stop = (low + block - 1) // block * block
        if at > stop:
            at, a, b, g = stop, 0.0, 0.0, 0.0
        while at > low:
            at -= 1
            weight = weights[at] if weighted else 1.0
            d = x[at] - origin
            a -= weight
            b -= weight * d
            g -= weight * d * d
        out[0, r] = x[rank] - origin
        put(out, r, prefix, stop // block, a, b, g)
    return out


@njit(nogil=True, cache=True)
def put(out: Floats, r: int, prefix: Floats, boundary: int, a: float, b: float, g: float) -> None:
    """Write the sums of one node: a boundary's, and what was walked from there."""
    out[1, r], out[4, r] = plus(prefix[boundary, 0], prefix[boundary, 3], a, 0.0)
    out[2, r], out[5, r] = plus(prefix[boundary, 1], prefix[boundary, 4], b, 0.0)
    out[3, r], out[6, r] = plus(prefix[boundary, 2], prefix[boundary, 5], g, 0.0)


def union(*parts: npt.ArrayLike) -> Ranks:
    """Return the different ranks of several arrays, ascending.

    Where the arrays are sorted, a stable sort merges them in linear time: `numpy.unique` hashes, and took five times
    as long here.
    """
    ranks = np.sort(np.concatenate([np.ravel(part).astype(np.int64) for part in parts]), kind="stable")
    return ranks[np.append(True, ranks[1:] != ranks[:-1])]
