"""Stochastic rounding: codes whose scores are right on average, for every query.

A coordinate between two levels goes to the upper one with probability (w - lower)/(upper - lower). Its mean over seeds
is then w, and so the mean of every score is the inner product; its variance is (upper - w)(w - lower). For that no
coordinate may lie outside its levels: the scale of a vector, its norm over the norm that levels were fitted for, is
made larger where one would, and is rounded up to its code before coordinates are divided by it. What the side code
cannot tell exactly is therefore no error.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index import levels as level_sets
from ipaq_index.inner import inner
from ipaq_index.interruptible import mapped
from ipaq_index.quantizer.allocation import MAX_BITS, allocate
from ipaq_index.quantizer.codebook import LevelSets, fill
from ipaq_index.quantizer.scale import ScaleFormat

TABLE_ROWS = 1_024  # rows that bits are shared out by: 384 lines take 4 s
FIT_ROWS = 4_096  # rows that level sets are fitted to; their ends are those of all rows
# Scales from 2^-16 to 2^16 of the usual norm in steps of at most 2^-11: levels become coarser by so much, no more.
FORMAT = ScaleFormat(state_bits=0, base=(127 - 16) << 23, step=1 << 12)
SLACK = 1e-3  # of the root mean square: least distance of the outer levels from 0, for coordinates that hardly vary
SHARPNESS = 8  # of the power mean that stands for the largest of all variances

Floats = npt.NDArray[np.float32]
Symbols = npt.NDArray[np.uint8]


def fit_stochastic(y: Floats, code_bits: int, objective: str, threads: int) -> tuple[LevelSets, float]:
    """Fit level sets for stochastic rounding.

    Parameters
    ----------
    y : (m, d) float32
        Sample of coordinates.
    code_bits : int
        Bits of all dimensions together, at least one for each.
    objective : {"adv", "mdv"}
        Least mean variance of the coordinates, or least largest one.
    threads : int
        Threads to use; the result does not depend on it.

    Returns
    -------
    sets : LevelSets
    reference : float
        Norm that the levels are made for.
    """
    norms = np.sqrt(np.square(y, dtype=np.float64).sum(1))
    reference = float(np.sqrt(np.square(norms).mean())) or 1.0
    unit = (y[norms > 0] * (reference / norms[norms > 0])[:, None]).astype(np.float32)
    if not len(unit):
        unit = np.zeros((1, y.shape[1]), dtype=np.float32)
    slack = SLACK * reference / np.sqrt(y.shape[1])
    low, high = np.minimum(unit.min(0), -slack), np.maximum(unit.max(0), slack)

    def rows(most: int) -> npt.NDArray[np.float64]:
        return np.concatenate([unit[:: -(-len(unit) // most)], low[None], high[None]]).astype(np.float64)

    sizes = [1 << b for b in range(1, MAX_BITS + 1)]
    table = level_sets.solve_many(rows(TABLE_ROWS), sizes, objective, method="exact", threads=threads)
    costs = table.costs
    if objective == "mdv":  # the worst query looks along the coordinate of the largest variance
        costs = (costs / (costs.max() or 1.0)) ** SHARPNESS
    # Every coordinate needs two levels to be right on average.
    first = np.full((len(costs), 1), 2 * costs.sum() + 1)
    bits = allocate(np.concatenate([first, costs], axis=1), code_bits)
    levels = np.empty((y.shape[1], 1 << MAX_BITS), dtype=np.float32)
    lines = rows(FIT_ROWS)

    def solve(j: int) -> None:
        found = level_sets.solve(lines[:, j], 1 << int(bits[j]), objective, method="exact")
        fill(levels[j], found.levels.astype(np.float32))

    mapped(solve, range(len(bits)), threads)
    return LevelSets(bits, levels), reference


def scales(y: Floats, sets: LevelSets, reference: float) -> npt.NDArray[np.float64]:
    """Return the least scale, and at least that of the norm, with which each row lies within all levels."""
    norms = np.sqrt(np.einsum("ij,ij->i", y, y, dtype=np.float64))
    low, high = sets.levels[:, 0].astype(np.float64), sets.levels[:, -1].astype(np.float64)
    return np.maximum(norms / reference, np.where(y < 0, y / low, y / high).max(1))


@inner
def mixed(number: np.uint64) -> np.uint64:
    """Return the number scrambled: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@njit(nogil=True, cache=True)
def round_stochastic(
    y: Floats,
    scales: Floats,
    levels: Floats,
    counts: npt.NDArray[np.int64],
    seed: int,
    first_row: int,
    symbols: Symbols,
) -> None:
    """Round each coordinate to one of its two neighbouring levels at random.

    The random number of a coordinate follows from the seed, the row's number and the dimension alone.

    Parameters
    ----------
    y : (m, d) float32
        Coordinates; divided by its scale, each lies within its levels.
    scales : (m,) float32
        Scales as their codes tell them.
    levels : (d, 256) float32
        Level sets, ``counts[j]`` levels valid.
    counts : (d,) int64
        Levels of each dimension, a power of two.
    seed, first_row : int
        What is random follows from them.
    symbols : (m, d) uint8
        Result.
    """
    for i in range(y.shape[0]):
        row = mixed(np.uint64(seed) + mixed(np.uint64(first_row) + np.uint64(i) + np.uint64(1)))
        for j in range(y.shape[1]):
            w = np.float64(y[i, j]) / np.float64(scales[i]) if scales[i] > 0 else 0.0
            below, step = 0, counts[j] >> 1
            while step:
                below += step * (w >= levels[j, below + step])
                step >>= 1
            low = np.float64(levels[j, below])
            above = min(below + 1, counts[j] - 1)
            width = np.float64(levels[j, above]) - low
            draw = mixed(row + np.uint64(j + 1) * np.uint64(0x9E3779B97F4A7C15))
            chance = np.float64(draw >> np.uint64(11)) * 2.0**-53
            symbols[i, j] = above if chance * width < w - low else below
