"""What queries bring to a scan: tables for look-ups, weights for products, and by what scores are measured.

A row's score is ``step * ((scale * sum + bias * inverse) + shift)``, where the sum begins at ``start`` and adds up
look-ups or products of whole numbers: the same on every instruction set.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.scan.layout import BLOCK
from ipaq_index.scan.packed import QUAD, Floats, Meaning

TOP = 255  # largest sum of a pair's two look-ups: they are added as bytes
TOP_WEIGHT = 127
DOUBT = np.float32(10)  # a row's look-ups are below its exact score with probability e^-10 at most
MARGIN = np.float32(4)  # standard deviations by which products may be below a row's exact score: 3 in 100,000 are more
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
        Result: sums for the rows of a block; of look-ups, their scores instead, as float32.
    above : (group,) uint32
        Result: bit i is set where row i's score is not below the floor; zero before and afterwards.
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


@njit(nogil=True, cache=True)
def make_frame(tables: Bytes, group: int) -> Frame:
    """Return a frame whose queries accept nothing yet."""
    bars = np.zeros((3, group), dtype=np.float32)
    bars[2] = np.inf
    start, sums = np.zeros(group, dtype=np.int32), np.zeros((group, BLOCK), dtype=np.int32)
    return Frame(tables, start, bars, sums, np.zeros(group, dtype=np.uint32), np.empty(1, dtype=np.int32))


@njit(nogil=True, cache=True)
def as_start(value: np.float32) -> int:
    """Round up to a whole number that leaves room for the sum."""
    return int(np.ceil(min(max(value, -FAR), FAR)))


@njit(nogil=True, cache=True)
def fill_lookups(p: Floats, meaning: Meaning, lookups: Bytes) -> tuple[int, np.float32]:
    """Fill one query's tables (zeros on entry); return start and step.

    Each table's minimum goes into the start; all share one step, so that look-ups add up without weights.

    What a piece does not tell, the exact level less the piece's value, is taken for a chance of known mean square and
    range. By Chernoff's bound the sum of such chances exceeds ``DOUBT / t + sum_j log E[exp(t p_j chance_j)] / t`` with
    probability ``exp(-DOUBT)`` at most, for any t. The logarithms depend on the piece's value: they go into the tables,
    so rows whose levels stand far apart have a larger margin than others.

    Parameters
    ----------
    p : (d,) float32
    meaning : Meaning
    lookups : (quads, 2, 4, 16) uint8
    """
    nibbles = 2 * QUAD * len(lookups)
    table = np.zeros((nibbles, 16), dtype=np.float32)
    base, variance = np.float32(0), np.float32(0)
    for n in range(len(meaning.pieces)):
        j, _, width, nibble, position = meaning.pieces[n]
        if nibble < 2 * meaning.first_pairs:
            for value in range(16):
                table[nibble, value] += p[j] * meaning.piece_values[n, (value >> position) & ((1 << width) - 1)]
            mean = np.float32(0)
            for value in range(1 << width):
                mean += meaning.piece_spread[n, 0, value]
            variance += p[j] * p[j] * mean / np.float32(1 << width)
    for j in range(len(p)):
        base += p[j] * meaning.fixed[j] + p[j] * meaning.unread[0, j]
        variance += p[j] * p[j] * meaning.unread[1, j]
    rounding = np.float32(nibbles / 12)  # mean square, in steps: rounding is uniform in a step
    variance += _step(table) ** 2 * rounding
    t = np.float32(0)
    if variance == np.inf:  # squares of values beyond 1e9 may be: then the margin is what is certain
        for n in range(len(meaning.pieces)):
            j, _, width, nibble, position = meaning.pieces[n]
            if nibble < 2 * meaning.first_pairs:
                for value in range(16):
                    _, low, high = meaning.piece_spread[n, :, (value >> position) & ((1 << width) - 1)]
                    table[nibble, value] += max(p[j] * low, p[j] * high)
        for j in range(len(p)):
            base += max(p[j] * meaning.unread[2, j], p[j] * meaning.unread[3, j])
        base += _step(table) * np.float32(nibbles)
    elif variance > 0:
        t = np.sqrt(np.float32(2) * DOUBT / variance)
        for n in range(len(meaning.pieces)):
            j, _, width, nibble, position = meaning.pieces[n]
            if nibble < 2 * meaning.first_pairs:
                for value in range(16):
                    square, low, high = meaning.piece_spread[n, :, (value >> position) & ((1 << width) - 1)]
                    table[nibble, value] += excess(t, p[j], square, low, high)
        for j in range(len(p)):
            base += excess(t, p[j], meaning.unread[1, j], meaning.unread[2, j], meaning.unread[3, j])
        base += DOUBT / t
    for nibble in range(nibbles):
        least = table[nibble].min()
        base += least
        table[nibble] -= least
    step = _step(table)
    for nibble in range(nibbles):
        pair, part = nibble // 2, nibble % 2
        for value in range(16):
            lookups[pair // QUAD, part, pair % QUAD, value] = np.int64(table[nibble, value] / step + np.float32(0.5))
    base += np.float32(0.5) * t * step * step * rounding
    return as_start(base / step), step


@njit(nogil=True, cache=True)
def excess(t: np.float32, weight: np.float32, square: np.float32, low: np.float32, high: np.float32) -> np.float32:
    """Bound ``log E[exp(t weight x)] / t`` of a chance x of mean 0, given its mean square and its range.

    The lesser of Hoeffding's bound, which knows the range, and Bennett's, which knows the mean square and the largest
    value ("Probability inequalities for the sum of independent random variables", 1962).
    """
    most = high if weight > 0 else -low
    x = t * abs(weight) * most
    # (e^x - 1 - x) / x²; beyond x = 2, where the series would need more terms, Hoeffding's bound is the lesser
    series = np.float32(0.5) + x * (
        np.float32(1 / 6) + x * (np.float32(1 / 24) + x * (np.float32(1 / 120) + x * np.float32(1 / 500)))
    )
    range_ = high - low
    return t * weight * weight * min(square * series, range_ * range_ * np.float32(0.125))


@njit(nogil=True, cache=True)
def _step(table: Floats) -> np.float32:
    """Return the step in which a pair's two tables, less their minima, span at most `TOP`."""
    widest = np.float32(0)
    for pair in range(len(table) // 2):
        low, high = table[2 * pair], table[2 * pair + 1]
        widest = max(widest, low.max() - low.min() + high.max() - high.min())
    return max(np.float32(widest / (TOP - 1)), TINY)  # two entries may be rounded up


@njit(nogil=True, cache=True)
def make_weights(p: Floats, meaning: Meaning, certain: bool) -> Weights:
    """Return the weights of queries: a level is ``low + width u``, so its product with p is ``p low + (p width) u``.

    Parameters
    ----------
    p : (nq, d) float32
    meaning : Meaning
    certain : bool
        Whether scores shall be no less than the exact ones; else, no less but for errors of `MARGIN`.
    """
    low, width, square, largest, mean, variance = meaning.grid
    values = np.zeros((len(p), len(low)), dtype=np.int8)
    start, inverse = np.zeros(len(p), dtype=np.int32), np.zeros(len(p), dtype=np.float32)
    slack = np.zeros(len(p), dtype=np.float32)
    for q in range(len(p)):
        step, base, uncertain, bound = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
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
                bound += abs(error) * np.float32(TOP_WEIGHT) + abs(p[q, j]) * largest[i]
        margin = bound if certain else MARGIN * np.sqrt(uncertain)
        start[q], inverse[q] = as_start((base + margin) / step + np.float32(1)), np.float32(1) / step
        slack[q] = np.float32(2) * margin / step + np.float32(2)  # the start was rounded up by less than 1, and has 1
    return Weights(values, start, inverse, slack)
