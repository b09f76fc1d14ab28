"""Choosing codes by cosine, and what refitting needs to know of them.

With the scale of `scale_factors` what is left of the error lies across the vector, so the length of the decoded vector
is free: the codes nearest to any multiple of y will do, and the multiple is chosen for each vector. (The codes of the
largest cosine are the nearest to some multiple.) The longer it is, the finer the levels are beside it, until
coordinates leave the range of the levels. That is worth as much as states are: at 4 bits it takes 20 % off the squared
error of GloVe and 15 % off Debian's, as does going from 8 to 256 states.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty, lines, zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.interruptible import slices
from ipaq_index.quantizer.lanes import LANES, ROW, WIDTH, emit_beyond
from ipaq_index.quantizer.scalar import round_nearest
from ipaq_index.quantizer.turn import to_columns, to_rows
from ipaq_index.quantizer.viterbi import Symbols, Tables, best_paths, make_room

# Lengths that are considered, relative to `Lengths.reference`. Those of heavy-tailed vectors, and of vectors
# of very different lengths, reach from end to end, most others from 0.7 to 1.7.
STRETCHES = np.geomspace(0.5, 5.2, 64).astype(np.float32)
HALVINGS = (32, 16, 8, 4, 2, 1)
# Inverse of the length half way between each and the one before.
BETWEEN = np.sqrt(1 / np.square(STRETCHES) * np.float32(STRETCHES[1] / STRETCHES[0]))
TRIED = 1.06  # from one length that is tried to the next

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class Lengths(NamedTuple):
    """How the length of a vector's target is chosen.

    Attributes
    ----------
    low, high : (d,) float32
        Range of each dimension's levels.
    reference : float
        Root mean square length of the vectors.
    floor : float
        Squared error of a vector within the range.
    tries : int
        How many lengths are tried: the one that promises most and its neighbours.
    least, most : float
        Scales that can be told. A vector with one coordinate far out promises most when it is coded short, and then
        asks for a large scale, as a long vector does: the best answers to many queries are both.
    cosine : float
        Typical cosine between vector and decoding; see `ipaq_index.quantizer.scale.scale_factors`.
    """

    low: Floats
    high: Floats
    reference: float
    floor: float
    tries: int
    least: float
    most: float
    cosine: float


class Chosen(NamedTuple):
    """Codes of some vectors.

    Attributes
    ----------
    symbols : (m, d) uint8
    starts : (m,) uint8
        First states.
    sums : (m, 3) float64
        <y, y>, <y, z> and <z, z>, z what the codes stand for.
    """

    symbols: Symbols
    starts: Symbols
    sums: Doubles


def choose_codes(y: Floats, tables: Tables, lengths: Lengths) -> Chosen:
    """Choose the codes whose decoding, times a scale that can be told, comes closest to each vector.

    Where the best scale can be told that is the one that points best the way the vector points.

    Parameters
    ----------
    y : (m, d) float32
        Coordinates.
    tables : Tables
        Of one state: codes of the nearest levels.
    lengths : Lengths
    """
    m, d = y.shape
    chosen = Chosen(np.empty((m, d), dtype=np.uint8), np.zeros(m, dtype=np.uint8), np.empty((m, 3)))
    # A few rows at a time, so that Ctrl-C is heard in between.
    for first, last in slices(m, d * tables.states * lengths.tries, least=LANES):
        part = slice(first, last)
        encode_rows(y[part], tables, lengths, chosen.symbols[part], chosen.starts[part], chosen.sums[part])
    return chosen


@njit(nogil=True, cache=True)
def encode_rows(y: Floats, tables: Tables, lengths: Lengths, symbols: Symbols, starts: Symbols, sums: Doubles) -> None:
    """Fill ``symbols``, ``starts`` and ``sums`` of `Chosen`."""
    m, d = y.shape
    room = make_room(tables)
    unit = lines((d, LANES), np.float32)
    stretch, promising = empty(LANES, np.float32), empty(LANES, np.float32)
    factor, length = empty(LANES, np.float32), empty(LANES, np.float64)
    tried = empty((lengths.tries, d, LANES), np.uint8)
    first, found = zeros(LANES, np.uint8), empty((2, LANES), np.float32)
    smallest, best = empty(LANES, np.float64), zeros(LANES, np.uint8)
    for row in range(0, m, LANES):
        lanes = min(LANES, m - row)
        load(y[row : row + lanes], lengths.reference, unit, factor, length)
        choose(unit, lengths, promising)
        for i in range(LANES):
            # z is about cosine * stretch * factor * |y| long, and the scale is |y| / (cosine |z|).
            longest = 1 / (lengths.least * factor[i] * lengths.cosine**2) if lengths.least > 0 else np.inf
            promising[i] = min(max(promising[i], 1 / (lengths.most * factor[i] * lengths.cosine**2)), longest)
        smallest[:] = np.inf
        for number in range(lengths.tries):
            # the most promising, then one longer, one shorter, two longer …
            multiple = np.float32(TRIED ** ((number + 1) // 2 * (1 if number % 2 else -1)))
            for i in range(LANES):
                stretch[i] = multiple * promising[i]
            if tables.states == 1:
                round_nearest(unit, stretch, tables, tried[number], found)
            else:
                best_paths(unit, stretch, tables, room, tried[number], first, found)
            for i in range(lanes):
                along, energy = np.float64(found[0, i]) / np.float64(factor[i]), np.float64(found[1, i])
                scale = 0.0
                if along > 0:
                    scale = min(max(np.sqrt(length[i] / energy) / lengths.cosine, lengths.least), lengths.most)
                error = scale * (scale * energy - 2 * along)  # beside |y|²
                if error < smallest[i] or number == 0:
                    smallest[i], best[i] = error, number
                    starts[row + i] = first[i]
                    sums[row + i, 1], sums[row + i, 2] = along, energy
        for i in range(lanes):
            sums[row + i, 0] = length[i]
        for number in range(1, lengths.tries):
            for j in range(d):
                for i in range(LANES):
                    if best[i] == number:
                        tried[0, j, i] = tried[number, j, i]
        to_rows(tried[0], symbols[row : row + lanes])


@inner
def load(y: Floats, reference: float, unit: Floats, factor: Floats, energy: Doubles) -> None:
    """Set columns of ``unit`` to rows brought to the reference length, and tell their squared lengths."""
    d = y.shape[1]
    to_columns(y, unit)
    energy[:] = 0
    for j in range(d):
        for i in range(LANES):
            energy[i] += np.float64(unit[j, i]) * np.float64(unit[j, i])
    for i in range(LANES):
        factor[i] = np.float32(reference / np.sqrt(energy[i])) if energy[i] > 0 else np.float32(1)
    for j in range(d):
        for i in range(LANES):
            unit[j, i] *= factor[i]


@inner
def choose(unit: Floats, lengths: Lengths, promising: Floats) -> None:
    """Set ``promising`` (32,) to the length of least error relative to the target.

    Within the range of the levels the error (``floor``) does not depend on the length g; the squared distance to the
    range adds to it. Their sum over g² is convex in 1/g, so its minimum is where it has no slope, found by bisection.
    """
    index, inverse = zeros(LANES, np.int64), empty(LANES, np.float32)
    pull, floor = empty(LANES, np.float32), np.float32(lengths.floor)
    for halving in HALVINGS:
        for i in range(LANES):
            inverse[i] = BETWEEN[index[i] + halving]
        beyond(unit, lengths.low, lengths.high, inverse, pull)
        for i in range(LANES):
            if floor * inverse[i] * inverse[i] > pull[i]:
                index[i] += halving
    for i in range(LANES):
        promising[i] = STRETCHES[index[i]]


def beyond(unit: Floats, low: Floats, high: Floats, inverse: Floats, pull: Floats) -> None:
    """Tell how fast 32 vectors' distance to the range of the levels grows; in a kernel this is vector code.

    Parameters
    ----------
    unit : (d, 32) float32
        Vectors of the reference length, one a column.
    low, high : (d,) float32
        Range of each dimension.
    inverse : (32,) float32
        s, what the range is multiplied by.
    pull : (32,) float32
        Result: -s/2 times the derivative, by s, of the squared distance.
    """
    pull[:] = 0
    for j in range(len(unit)):
        kept = np.minimum(np.maximum(unit[j], low[j] * inverse), high[j] * inverse)
        pull += (unit[j] - kept) * kept


@emitted(beyond)
def _beyond(unit: Floats, low: Floats, high: Floats, inverse: Floats, pull: Floats) -> Any:
    def emitted(unit: Floats, low: Floats, high: Floats, inverse: Floats, pull: Floats) -> None:
        vectors, lows, highs = unit.ctypes.data, low.ctypes.data, high.ctypes.data
        factors, result = inverse.ctypes.data, pull.ctypes.data
        for at in range(0, ROW, 4 * WIDTH):
            emit_beyond(vectors + at, lows, highs, len(unit), factors + at, result + at)

    return emitted


@njit(nogil=True, cache=True)
def gather(
    y: Floats,
    symbols: Symbols,
    starts: Symbols,
    products: Doubles,
    tables: Tables,
    next_state: Symbols,
    sums: Doubles,
    weights: Doubles,
) -> float:
    """Add up what the values coded with each level ask of it; return the squared error of the vectors.

    Row i is decoded to g z with g = <y, z>/<z, z>, the multiple nearest to y, so the level of least squared error is
    the mean of y/g with weights g².

    Parameters
    ----------
    y : (m, d) float32
    symbols, starts, products
        See `Chosen`.
    tables : Tables
    next_state : (states, 2) uint8
    sums, weights : (d, L) float64
        Added to: g y and g².
    """
    error = 0.0
    for i in range(len(y)):
        along, energy = products[i, 1], products[i, 2]
        g = along / energy if energy > 0 else 1.0
        state = np.int64(starts[i])
        for j in range(y.shape[1]):
            symbol = np.int64(symbols[i, j])
            level = symbol
            if tables.states > 1 and tables.bits[j]:
                level = 2 * symbol + (state & 1)
                state = np.int64(next_state[state, symbol & 1])
            sums[j, level] += g * np.float64(y[i, j])
            weights[j, level] += g * g
            error += (np.float64(y[i, j]) - g * np.float64(tables.levels[j, level])) ** 2
    return error
