"""Level sets and bits for coordinates of known distribution."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index import levels as level_sets
from ipaq_index.quantizer import search
from ipaq_index.quantizer.allocation import MAX_BITS, allocate
from ipaq_index.quantizer.trellis import Trellis
from ipaq_index.quantizer.viterbi import SUBSETS, Tables

FIT_VALUES = 1 << 22  # values that trellis levels are refitted to, at most
ROUNDS = 6  # of refitting

Floats = npt.NDArray[np.float32]


class LevelSets(NamedTuple):
    """Bits and levels of each dimension.

    Attributes
    ----------
    bits : (d,) uint8
    levels : (d, L) float32
        Sorted; the last level is repeated to the end.
    """

    bits: npt.NDArray[np.uint8]
    levels: Floats


def fit_scalar(y: Floats, code_bits: int, threads: int) -> LevelSets:
    """Fit level sets for rounding to nearest.

    Parameters
    ----------
    y : (m, d) float32
        Sample of coordinates.
    code_bits : int
        Bits of all dimensions together.
    threads : int
        Threads to use; the result does not depend on it.
    """
    table = _table(y, threads)
    # The dual coordinates of a query have, by the choice of F, the same mean square in every dimension that errors
    # are weighed with already: F carries the weights, so plain errors add up.
    bits = allocate(table.costs / len(y), code_bits)
    levels = np.empty((y.shape[1], 1 << MAX_BITS), dtype=np.float32)
    for j, sets in enumerate(table.sets):
        _fill(levels[j], sets[bits[j]].levels)
    return LevelSets(bits, levels)


def fit_trellis(y: Floats, code_bits: int, trellis: Trellis, starts: int, threads: int) -> LevelSets:
    """Fit level sets for a trellis: k-means for one bit more, then refitted to the codes they are given.

    Parameters
    ----------
    y, code_bits, threads
        As in `fit_scalar`.
    trellis : Trellis
    starts : int
        See `Tables`.
    """
    table = _table(y, threads)
    bits = allocate(table.costs / len(y), code_bits)
    levels = np.empty((y.shape[1], 2 << MAX_BITS), dtype=np.float32)
    for j, sets in enumerate(table.sets):
        b = int(bits[j])
        _fill(levels[j], _stretched(sets[min(b + 1, MAX_BITS)].levels, 2 << b) if b else sets[0].levels)
    rows = max(1, FIT_VALUES // y.shape[1])
    sample = np.ascontiguousarray(y[:: -(-len(y) // rows)])
    for _ in range(ROUNDS):
        levels = _refitted(sample, bits, levels, trellis, starts)
    return LevelSets(bits, levels)


def _table(y: Floats, threads: int) -> level_sets.LevelTable:
    """Return level sets for rounding to nearest of every dimension at 0 to 8 bits."""
    sizes = [1 << b for b in range(MAX_BITS + 1)]
    return level_sets.solve_many(y, sizes, "mse", method="vmix", threads=threads)


def trellis_tables(sets: LevelSets, trellis: Trellis, starts: int) -> Tables:
    """Return what `ipaq_index.quantizer.viterbi` needs."""
    middles = np.zeros_like(sets.levels)
    middles[:, :-SUBSETS] = np.float32(0.5) * (sets.levels[:, SUBSETS:] + sets.levels[:, :-SUBSETS])
    return Tables(sets.bits, sets.levels, middles, trellis.states, trellis.feedback, trellis.tap, starts)


def _refitted(y: Floats, bits: npt.NDArray[np.uint8], levels: Floats, trellis: Trellis, starts: int) -> Floats:
    """Return each level moved to the centre of the values that are coded with it; one without any stays."""
    tables = trellis_tables(LevelSets(bits, levels), trellis, starts)
    symbols, first = np.empty(y.shape, dtype=np.uint8), np.empty(len(y), dtype=np.uint8)
    search.encode_trellis(y, tables, trellis.next_state, search.ONCE, symbols, first)
    sums, weights = np.zeros(levels.shape), np.zeros(levels.shape)
    search.gather(y, symbols, first, bits, levels, trellis.next_state, sums, weights)
    moved = np.divide(sums, weights, out=levels.astype(np.float64), where=weights > 0)
    for j, b in enumerate(bits):
        count = 2 << int(b) if b else 1
        moved[j, :count].sort()
        moved[j, count:] = moved[j, count - 1]
    return moved.astype(np.float32)


def _fill(row: Floats, chosen: npt.NDArray[np.float64]) -> None:
    row[: len(chosen)], row[len(chosen) :] = chosen, chosen[-1]


def _stretched(chosen: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return ``count`` levels: where k-means gave fewer, some stand twice, side by side, so that any state has them."""
    return chosen[np.arange(count) * len(chosen) // count]
