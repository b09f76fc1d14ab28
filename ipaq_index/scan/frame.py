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
MARGIN = np.float32(
    5
)  # standard deviations added to estimates: the answer is that of exact scoring but for 1 row in 10^6
FAR = np.float32(1 << 30)
TINY = np.float32(1e-30)  # least step, so that its inverse is finite

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
        Result: sums for the rows of a block.
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

    Parameters
    ----------
    p : (d,) float32
    meaning : Meaning
    lookups : (quads, 2, 4, 16) uint8
    """
    nibbles = 2 * QUAD * len(lookups)
    table = np.zeros((nibbles, 16), dtype=np.float32)
    for n in range(len(meaning.pieces)):
        j, _, width, nibble, position = meaning.pieces[n]
        if nibble < 2 * meaning.first_pairs:
            for value in range(16):
                table[nibble, value] += p[j] * meaning.piece_values[n, (value >> position) & ((1 << width) - 1)]
    base, widest, variance = np.float32(0), np.float32(0), np.float32(0)
    for j in range(len(p)):
        base += p[j] * meaning.fixed[j]
        variance += p[j] * p[j] * meaning.piece_variance[j]
    for pair in range(nibbles // 2):
        together = np.float32(0)
        for nibble in (2 * pair, 2 * pair + 1):
            least, most = table[nibble].min(), table[nibble].max()
            base += least
            table[nibble] -= least
            together += most - least
        widest = max(widest, together)
    step = max(np.float32(widest / (TOP - 1)), TINY)  # two entries may be rounded up
    for nibble in range(nibbles):
        pair, part = nibble // 2, nibble % 2
        for value in range(16):
            lookups[pair // QUAD, part, pair % QUAD, value] = np.int64(table[nibble, value] / step + np.float32(0.5))
    variance += step * step * np.float32(nibbles / 12)  # rounding is uniform in a step
    return as_start((base + MARGIN * np.sqrt(variance)) / step), step


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
