"""Values put into cells without being sorted: one pass, cells fine at the centre and as wide as they are far away.

A value's cell is read from the bits of the float ``u = 1 + |w - centre| / spread``: its exponent and the first
``precision`` bits of its mantissa. So cells are even near the centre and of constant relative width in the tails,
which a Pareto or Cauchy distribution needs, and the map is monotone. A uniform grid is offered too.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.levels.intervals import Floats

SAMPLE = 1024  # values that centre and spread are read from
CHUNK = 1024  # values whose cells are computed at a time, by vector instructions
MANTISSA = 52

Cells = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Buckets:
    """Non-empty cells, ascending.

    Attributes
    ----------
    cell : (m,) int32
        Number of each value's cell, counted with the empty ones.
    number : (c,) int64
        Number of each non-empty cell, counted with the empty ones.
    size : int
        Cells, counted with the empty ones.
    low, high : (c,) float64
        Least and largest value of each cell.
    sums : (c, 3) float64
        Σλ, Σλ(w - centre), Σλ(w - centre)² of each.
    centre : float
    middle : int
        The first cell of values not below the centre.
    """

    cell: Cells
    number: npt.NDArray[np.int64]
    size: int
    low: Floats
    high: Floats
    sums: Floats
    centre: float
    middle: int


def fill(
    w: Floats, weights: Floats, ends: tuple[float, float], precision: int, uniform: int = 0, summed: bool = True
) -> Buckets | None:
    """Put finite values into cells, or return None where no cells suit them.

    Parameters
    ----------
    w : (m,) float64
        Values in any order.
    weights : (m,) float64 or (0,)
        Weights; empty for ones.
    ends : (float, float)
        The least and the largest value.
    precision : int
        Cells per doubling of the distance from the centre, as a power of two.
    uniform : int
        Number of cells of a uniform grid to be used instead; 0 for none.
    summed : bool
        Whether sums are wanted; they are 0 if not.
    """
    least, largest = ends
    if uniform:
        centre, inverse, below = least, uniform / (largest - least) if largest > least else 0.0, 0
        above = uniform
    else:
        sample = np.sort(w[:: max(1, len(w) // SAMPLE)])
        centre = float(sample[len(sample) // 2])
        spread = float(sample[len(sample) * 3 // 4] - sample[len(sample) // 4]) / 2
        if not spread > 0.0:
            return None
        inverse = 1.0 / spread
        below, above = cell_of(centre - least, inverse, precision) + 1, cell_of(largest - centre, inverse, precision)
    size = below + above + 1
    if not np.isfinite(inverse) or inverse == 0.0 or size > max(len(w), 1 << 12):
        return None
    cell = np.empty(len(w), dtype=np.int32)
    assign(w, centre, inverse, precision, uniform > 0, below, cell)
    if summed:
        sums, low, high = gather(w, weights, cell, size, centre)
    else:
        low, high = gather_ends(w, cell, size)
        sums = np.zeros((size, 3))
    number = np.flatnonzero(high >= low)
    return Buckets(
        cell, number, size, low[number], high[number], sums[number], centre, int(np.searchsorted(number, below))
    )


def cell_of(distance: float, inverse: float, precision: int) -> int:
    """Return the cell, counted from the centre, of a value at a distance from it."""
    u = np.array([1.0, 1.0 + distance * inverse])
    one, bits = u.view(np.int64) >> (MANTISSA - precision)
    return int(bits - one)


@njit(nogil=True, cache=True)
def assign(w: Floats, centre: float, inverse: float, precision: int, uniform: bool, below: int, cell: Cells) -> None:
    """Write each value's cell; ``below`` is the number of cells below the centre.

    The slices of a chunk let the compiler see that indices are in range: ten times as fast as without.
    """
    u = np.empty(CHUNK)
    bits = u.view(np.int64)
    u[0] = 1.0
    shift = np.int64(MANTISSA - precision)
    one = bits[0] >> shift
    for start in range(0, len(w), CHUNK):
        count = min(CHUNK, len(w) - start)
        part, out = w[start : start + count], cell[start : start + count]
        if uniform:
            for i in range(count):
                out[i] = np.int32((part[i] - centre) * inverse)
            continue
        for i in range(count):
            u[i] = 1.0 + abs(part[i] - centre) * inverse
        for i in range(count):
            away = (bits[i] >> shift) - one
            out[i] = below + (away if part[i] >= centre else -1 - away)


@njit(nogil=True, cache=True)
def gather(w: Floats, weights: Floats, cell: Cells, size: int, centre: float) -> tuple[Floats, Floats, Floats]:
    """Return the sums, the least and the largest value of each cell; inf and -inf where it is empty."""
    sums = np.zeros((size, 3))
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    for i in range(len(w)):
        c = np.uint32(cell[i])
        value = w[i]
        weight = weights[i] if len(weights) else 1.0
        d = value - centre
        sums[c, 0] += weight
        sums[c, 1] += weight * d
        sums[c, 2] += weight * d * d
        low[c] = min(low[c], value)
        high[c] = max(high[c], value)
    return sums, low, high


@njit(nogil=True, cache=True)
def gather_ends(w: Floats, cell: Cells, size: int) -> tuple[Floats, Floats]:
    """Return the least and the largest value of each cell; inf and -inf where it is empty."""
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    for i in range(len(w)):
        c = np.uint32(cell[i])
        value = w[i]
        if value < low[c]:
            low[c] = value
        if value > high[c]:
            high[c] = value
    return low, high


@njit(nogil=True, cache=True)
def ranks_in(cell: Cells, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return where the values of wanted cells are. Without a branch, which would be mispredicted."""
    found = np.empty(len(cell) + 1, dtype=np.int64)
    count = 0
    for i in range(len(cell)):
        found[count] = i
        count += wanted[np.uint32(cell[i])]
    return found[:count].copy()
