"""Symbols of four bits for patterns of several coordinates.

Of a sparse vector most coordinates are zero, and a bit for each tells little else. Sixteen patterns for four of them
are one or two for nothing, and some for each coordinate alone. With levels of their own for either state, and a step of
the register for each coordinate, every pattern has sixteen forms. At a bit a dimension that leaves a third of the error
that a bit for each does (sparse vectors along their own axes; `ipaq_index.quantizer.choice` tells where it pays).
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty, zeros
from ipaq_index.interruptible import mapped
from ipaq_index.quantizer.allocation import NIBBLE
from ipaq_index.quantizer.joint import MOST_TOGETHER

PATTERNS = 1 << NIBBLE
LEAST_STATES = 32  # of a trellis: with 16, five steps with the same bit do not reach every state from every other
LEAST_RATE = NIBBLE / MOST_TOGETHER  # bits a dimension
# Bits a dimension up to which patterns are tried. At 3 they gain 0.027 of recall@10 (sparse, 384-d) and lose 0.005
# (counts): beyond, coordinates do as well alone.
MOST_RATE = 3.0
LEAST_KEPT = 0.75  # share of the coordinates that must get any
ITERATIONS = 15  # of k-means
HALVINGS = 40  # of a range of logarithms
APART = 0.15  # by how much the two levels of a symbol differ from their mean at first, as a share of it

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def sizes(energies: Doubles, code_bits: int) -> list[int] | None:
    """Return how many coordinates, one behind the other, have a symbol together; None where patterns do not suit.

    Bits are shared out as reverse water-filling has it, half the logarithm of the energy beyond a level, and every four
    of them are a symbol. Coordinates that get none are left out; they are the last.

    Parameters
    ----------
    energies : (d,) float64
        Mean squares of the coordinates, falling.
    code_bits : int
        Bits of all coordinates together.
    """
    d, count = len(energies), code_bits // NIBBLE
    kept = min(int(np.count_nonzero(energies)), int(code_bits / LEAST_RATE))
    if kept < LEAST_KEPT * d or code_bits > MOST_RATE * d:
        return None
    logs = 0.5 * np.log2(energies[:kept])
    while logs[kept - 1] - logs[:kept].mean() + code_bits / kept <= 0:
        kept -= 1
    low, high = -logs[0], 2 * NIBBLE - logs[kept - 1]  # of what is added to logarithms, by bisection
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        more = np.clip(logs[:kept] + middle, LEAST_RATE, NIBBLE).sum() < code_bits
        low, high = (middle, high) if more else (low, middle)
    rates = np.clip(logs[:kept] + low, LEAST_RATE, NIBBLE)
    middles = (np.cumsum(rates) - rates / 2) / NIBBLE
    found = np.bincount(np.minimum(middles, count - 1).astype(np.int64), minlength=count)
    return found.tolist() if found.min() > 0 and found.max() <= MOST_TOGETHER else None


def fit_patterns(y: Floats, together: list[int], threads: int) -> Floats:
    """Return sixteen patterns for each group of coordinates, (d, 16) float32, by k-means.

    Parameters
    ----------
    y : (m, d) float32
        Sample of coordinates.
    together : list of int
        `sizes`.
    threads : int
        Threads to use; the result does not depend on it.
    """
    patterns = np.zeros((y.shape[1], PATTERNS), dtype=np.float32)
    ends = np.cumsum(together)

    def part(group: int) -> None:
        own = slice(ends[group] - together[group], ends[group])
        columns = np.ascontiguousarray(y[:, own].T)
        rows = np.flatnonzero(columns.any(0))
        found = zeros((PATTERNS, together[group]), np.float64)
        if len(rows):
            # The first is nothing. The others begin with rows that divide all energy evenly, whatever their order.
            energy = np.cumsum(np.square(columns[:, rows], dtype=np.float64).sum(0))
            places = np.searchsorted(energy, energy[-1] * (np.arange(1, PATTERNS) - 0.5) / (PATTERNS - 1))
            found[1:] = columns[:, rows[np.minimum(places, len(rows) - 1)]].T
            cluster(columns[:, rows], found)
        patterns[own] = found[np.argsort(np.square(found).sum(1), kind="stable")].T

    mapped(part, range(len(together)), threads)
    return patterns


@njit(nogil=True, cache=True)
def cluster(columns: Floats, centres: Doubles) -> None:
    """Move all centres (k, G) but the first, zero, to the means of the columns (G, m) that are nearest to them."""
    size, m = columns.shape
    count = len(centres)
    sums, numbers = empty((count, size), np.float64), empty(count, np.float64)
    for _ in range(ITERATIONS):
        for k in range(count):
            numbers[k] = 0
            for j in range(size):
                sums[k, j] = 0
        for i in range(m):
            best, which = np.inf, 0
            for k in range(count):
                distance = 0.0
                for j in range(size):
                    distance += (columns[j, i] - centres[k, j]) ** 2
                if distance < best:
                    best, which = distance, k
            numbers[which] += 1
            for j in range(size):
                sums[which, j] += columns[j, i]
        for k in range(1, count):
            if numbers[k]:
                for j in range(size):
                    centres[k, j] = sums[k, j] / numbers[k]


def nearest(y: Floats, patterns: Floats, together: list[int]) -> Floats:
    """Return the patterns nearest to some rows, (m, d) float32; zeros for coordinates of no group."""
    found = np.zeros_like(y)
    begin = 0
    for size in together:
        own = slice(begin, begin + size)
        centres = patterns[own]
        distances = np.square(centres).sum(0) - 2 * (y[:, own] @ centres)
        found[:, own] = centres.T[distances.argmin(1)]
        begin += size
    return found


def levels(patterns: Floats) -> Floats:
    """Return the levels to begin with, (d, 32) float32: every pattern's for even and odd states."""
    factors = np.array([1 - APART, 1 + APART], dtype=np.float32)
    return (patterns[:, :, None] * factors).reshape(len(patterns), -1)
