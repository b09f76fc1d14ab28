"""What queries bring to a scan: tables for look-ups, weights for products, and by what scores are measured.

A row's score is ``step * ((scale * sum + bias * inverse) + shift)``, where the sum begins at ``start`` and adds up
look-ups or products of whole numbers: the same on every instruction set.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import empty, zeros
from ipaq_index.inner import inner
from ipaq_index.scan.layout import BLOCK
from ipaq_index.scan.packed import QUAD, Floats, Meaning

TOP = 255  # largest sum of a pair's two look-ups: they are added as bytes
TOP_WEIGHT = 127
DOUBT = 4.5  # a row's look-ups are below its exact score with probability e^-4.5 at most; see eval/alone.py
MARGIN = np.float32(4)  # standard deviations by which products may be below a row's exact score: 3 in 100,000 are more
FEW_DIMENSIONS = np.float32(3)  # whose errors are no chance: so many may be off by the most there is
FEW_NIBBLES = 16  # tables of so few have their roundings taken at the worst: where values repeat, these are no chance
FAR = np.float32(1 << 30)
TINY = np.float32(1e-22)  # least step, so that biases up to 10^16 times its inverse are finite

Bytes = npt.NDArray[np.uint8]


class Frame(NamedTuple):
    """Input and results of the kernels for a group of queries.

    Attributes
    ----------
    tables : (quads, 2, 4, 16) or (quads, group, 4) uint8
        Look-ups, of which those of a pair add up to `TOP` at the most; or weights, whose bytes are signed.
    start : (group,) int32
        Where sums begin. The margin for errors is in it, so that scores are upper estimates.
    bars : (3, group) float32
        inverse (1 / step), shift and floor, the latter two in units of the step. Rows whose score is not below the
        floor are what a query is interested in.
    sums : (group, 32) int32
        Result of products: sums for the rows of a block. The plain twin of look-ups adds up here.
    above : (group,) uint32
        Result of products: bit i is set where row i's score is not below the floor; zero before and afterwards.
    bits : (1,) int32
        Room for `scale`.
    """

    tables: Bytes
    start: npt.NDArray[np.int32]
    bars: Floats
    sums: npt.NDArray[np.int32]
    above: npt.NDArray[np.uint32]
    bits: npt.NDArray[np.int32]


class Weights(NamedTuple):
    """Weights of all queries of a batch.

    Attributes
    ----------
    values : (nq, 4 quads) int8
    start : (nq,) int32
        Where sums begin.
    inverse : (nq,) float32
        1 / step.
    slack : (nq,) float32
        What to take off a sum for a lower estimate.
    """

    values: npt.NDArray[np.int8]
    start: npt.NDArray[np.int32]
    inverse: Floats
    slack: Floats


@inner
def make_frame(tables: Bytes, group: int) -> Frame:
    """Return a frame whose queries accept nothing yet."""
    bars = zeros((3, group), np.float32)
    bars[2] = np.inf
    start, sums = zeros(group, np.int32), zeros((group, BLOCK), np.int32)
    return Frame(tables, start, bars, sums, zeros(group, np.uint32), empty(1, np.int32))


@inner
def as_start(value: np.float32) -> int:
    """Round up to a whole number that leaves room for the sum."""
    return int(np.ceil(min(max(value, -FAR), FAR)))


@inner
def fill_lookups(p: Floats, meaning: Meaning, far: float, lookups: Bytes) -> tuple[int, np.float32]:
    """Fill one query's tables (zeros on entry); return start and step.

    Each table's minimum goes into the start; all share one step, so that look-ups add up without weights.

    What the first part of a code does not tell is taken for a sum of chances x_j, of variance V in all for a row of
    average levels. By Chernoff's bound it exceeds ``DOUBT / t + sum_j log E[exp(t p_j x_j)] / t`` with probability
    ``exp(-DOUBT)`` at most, for any t; that which is best for V is taken. The logarithms depend on the pieces' values:
    they go into the tables, so rows whose levels stand far apart have a larger margin than others.

    The best rows are not any rows. They lie towards the query, in what is known as in what is not: levels are weighed
    by ``exp(u p_j x_j)``, under which the mean score is ``far`` standard deviations out (exponential tilting).

    Parameters
    ----------
    p : (d,) float32
    meaning : Meaning
    far : float
        How far out the best rows are.
    lookups : (quads, 2, 4, 16) uint8
    """
    nibbles = 2 * QUAD * len(lookups)
    table = zeros((nibbles, 16), np.float32)
    whole, unknown, base = 0.0, 0.0, 0.0
    for j in range(len(p)):
        weight = np.float64(p[j])
        mean, variance, left, unread = meaning.spread[:, j]
        whole += weight * weight * variance
        unknown += weight * weight * left
        base += weight * (meaning.fixed[j] + unread * mean)
    for n in range(len(meaning.pieces)):
        j, _, width, nibble, position = meaning.pieces[n]
        if nibble < 2 * meaning.first_pairs:
            for value in range(16):
                table[nibble, value] += p[j] * meaning.piece_values[n, (value >> position) & ((1 << width) - 1)]
    step = _step(table)
    certain = 0.0
    rounding = np.float64(step) ** 2 * nibbles / 12  # an entry's rounding is uniform in a step
    if nibbles <= FEW_NIBBLES or step == TINY:  # of a query of zeros all rows tie, and their look-ups are exact
        certain, rounding = 0.5 * step * nibbles * (step > TINY), np.float64(0)
    t = np.sqrt(2 * DOUBT / (unknown + rounding)) if unknown + rounding > 0 else 0.0
    if t > 0:
        base += DOUBT / t
        u = far / np.sqrt(whole) if whole > 0 else 0.0
        powers, more = empty((2, meaning.left.shape[2]), np.float32), zeros(16, np.float32)
        for i in range(len(meaning.active)):
            j, n, _, levels = meaning.active[i]
            if j < 0:
                continue
            _, _, width, nibble, position = meaning.pieces[n]
            read = nibble < 2 * meaning.first_pairs
            groups = 1 << width if read else 1
            excess(t, u, np.float64(p[j]), meaning.left[0, j], meaning.left[1, j], levels, groups, powers, more)
            if read:
                for value in range(16):
                    table[nibble, value] += more[(value >> position) & (groups - 1)]
            else:
                base += more[0]
    for nibble in range(nibbles):
        least, _ = _ends(table[nibble])
        base += least
        for value in range(16):
            table[nibble, value] -= least
    step = _step(table)
    for nibble in range(nibbles):
        pair, part = nibble // 2, nibble % 2
        for value in range(16):
            lookups[pair // QUAD, part, pair % QUAD, value] = np.int64(table[nibble, value] / step + np.float32(0.5))
    base += 0.5 * t * rounding + certain
    return as_start(np.float32(base / step)), step


@inner
def excess(
    t: float,
    u: float,
    weight: float,
    left: Floats,
    shares: Floats,
    levels: int,
    groups: int,
    powers: Floats,
    more: Floats,
) -> None:
    """Write ``log E[exp(t weight x)] / t`` of what is left of a dimension's levels into ``more``, group by group.

    Levels are weighed by ``exp(u weight x)``. Exponentials are taken as (1 + x / 256)^256, which vector units are fast
    at, and of x less the largest of the group.

    Parameters
    ----------
    t, u, weight : float
    left, shares : (m,) float32
        Of `Meaning.left`.
    levels, groups : int
        Numbers of them; groups are of equal size.
    powers : (2, m) float32
        Room.
    more : (16,) float32
        Result.
    """
    size, sign = levels // groups, np.float32(1 if weight > 0 else -1)
    with_t, without = powers[0], powers[1]
    for group in range(groups):
        extreme = sign * left[group * size]
        for level in range(group * size, group * size + size):
            extreme = max(extreme, sign * left[level])
        more[group] = sign * extreme
        for level in range(group * size, group * size + size):
            with_t[level] = left[level] - more[group]
    part, own = np.float32((t + u) * weight / 256), np.float32(u * weight / 256)
    for level in range(levels):
        e = max(np.float32(1) + part * with_t[level], np.float32(0))
        f = max(np.float32(1) + own * with_t[level], np.float32(0))
        e, f = e * e, f * f
        e, f = e * e, f * f
        e, f = e * e, f * f
        e, f = e * e, f * f
        e, f = e * e, f * f
        e, f = e * e, f * f
        e, f = e * e, f * f
        with_t[level], without[level] = shares[level] * (e * e), shares[level] * (f * f)
    for group in range(groups):
        above, under = np.float32(0), np.float32(0)
        for level in range(group * size, group * size + size):
            above += with_t[level]
            under += without[level]
        more[group] = np.float32(weight * more[group] + np.log(above / under) / t)


@inner
def _step(table: Floats) -> np.float32:
    """Return the step in which a pair's two tables, less their minima, span at most `TOP`."""
    widest = np.float32(0)
    for pair in range(len(table) // 2):
        (low, top), (other_low, other_top) = _ends(table[2 * pair]), _ends(table[2 * pair + 1])
        widest = max(widest, top - low + other_top - other_low)
    return max(np.float32(widest / (TOP - 1)), TINY)  # two entries may be rounded up


@inner
def _ends(values: Floats) -> tuple[np.float32, np.float32]:
    """Return the least and the largest value."""
    least = largest = values[0]
    for n in range(1, len(values)):
        least, largest = min(least, values[n]), max(largest, values[n])
    return least, largest


@inner
def make_weights(p: Floats, meaning: Meaning, certain: bool) -> Weights:
    """Return the weights of queries: a level is ``low + width u``, so its product with p is ``p low + (p width) u``.

    Parameters
    ----------
    p : (nq, d) float32
    meaning : Meaning
    certain : bool
        Whether scores shall be no less than the exact ones; else, no less but for errors of `MARGIN`, and in a few
        dimensions certainly.
    """
    low, width, square, largest, mean, variance = meaning.grid
    values = zeros((len(p), len(low)), np.int8)
    start, inverse = zeros(len(p), np.int32), zeros(len(p), np.float32)
    slack = zeros(len(p), np.float32)
    for q in range(len(p)):
        step, base, uncertain, bound, most = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for i in range(len(low)):
            j = meaning.active[i, 0]
            step = max(step, abs(p[q, j] * width[i])) if j >= 0 else step
        step = max(step / np.float32(TOP_WEIGHT), TINY)
        for j in range(p.shape[1]):
            base += p[q, j] * meaning.fixed[j]
        for i in range(len(low)):
            j = meaning.active[i, 0]
            if j >= 0:
                exact = p[q, j] * width[i] / step
                weight = np.rint(exact)
                values[q, i] = np.int8(weight)
                error = (exact - weight) * step  # of a unit of u; its mean is known, what is left varies with u
                base += p[q, j] * low[i] + error * mean[i]
                uncertain += error * error * variance[i] + p[q, j] * p[q, j] * square[i]
                off = abs(error) * np.float32(TOP_WEIGHT) + abs(p[q, j]) * largest[i]
                bound, most = bound + off, max(most, off)
        margin = bound if certain else min(bound, max(MARGIN * np.sqrt(uncertain), FEW_DIMENSIONS * most))
        start[q], inverse[q] = as_start((base + margin) / step + np.float32(1)), np.float32(1) / step
        slack[q] = np.float32(2) * margin / step + np.float32(2)  # the start was rounded up by less than 1, and has 1
    return Weights(values, start, inverse, slack)
