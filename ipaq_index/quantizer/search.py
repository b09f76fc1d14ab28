"""Choosing trellis codes by cosine, and what refitting needs to know of them.

With the scale of `scale_factors` what is left of the error lies across the vector, so the length of the decoded vector
is free: the path nearest to any multiple of y will do, and the multiple is chosen for each vector. The longer it is,
the finer the levels are beside it, until coordinates leave the range of the levels. That is worth as much as states
are: at 4 bits it takes 20 % off the squared error of GloVe and 15 % off Debian's, as does going from 8 to 256 states.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import overload

from ipaq_index.interruptible import slices
from ipaq_index.quantizer.lanes import LANES, ROW, emit_beyond
from ipaq_index.quantizer.viterbi import Symbols, Tables, best_paths, make_room

# Lengths that are considered for a vector, relative to `Lengths.reference`: a factor of 1.06 from one to the next.
STRETCHES = np.geomspace(0.5, 2.6, 29).astype(np.float32)

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
    """

    low: Floats
    high: Floats
    reference: float
    floor: float
    tries: int


def choose_codes(
    y: Floats, tables: Tables, next_state: Symbols, lengths: Lengths, symbols: Symbols, starts: Symbols
) -> None:
    """Call `encode_trellis` for a few rows at a time, so that Ctrl-C is heard in between."""
    for first, last in slices(len(y), y.shape[1] * tables.states * lengths.tries, least=LANES):
        part = slice(first, last)
        encode_trellis(y[part], tables, next_state, lengths, symbols[part], starts[part])


@njit(nogil=True, cache=True)
def encode_trellis(
    y: Floats, tables: Tables, next_state: Symbols, lengths: Lengths, symbols: Symbols, starts: Symbols
) -> None:
    """Choose the codes whose decoding points best the way ``y`` points.

    Parameters
    ----------
    y : (m, d) float32
        Coordinates.
    tables : Tables
    next_state : (states, 2) uint8
    lengths : Lengths
    symbols : (m, d) uint8
        Result: codes.
    starts : (m,) uint8
        Result: first states.
    """
    m, d = y.shape
    room = make_room(d, tables.states)
    unit, target = np.zeros((d, LANES), dtype=np.float32), np.zeros((d, LANES), dtype=np.float32)
    outside = np.empty((len(STRETCHES), LANES), dtype=np.float32)
    found, first = np.empty((LANES, d), dtype=np.uint8), np.empty(LANES, dtype=np.uint8)
    errors, best = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    stretch, promising = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.int64)
    for row in range(0, m, LANES):
        lanes = min(LANES, m - row)
        for i in range(lanes):
            energy = 0.0
            for j in range(d):
                energy += np.float64(y[row + i, j]) ** 2
            factor = np.float32(lengths.reference / np.sqrt(energy)) if energy > 0 else np.float32(1)
            for j in range(d):
                unit[j, i] = factor * y[row + i, j]
        beyond(unit, lengths.low, lengths.high, STRETCHES, outside)
        choose(outside, np.float32(lengths.floor), promising)
        best[:] = np.inf
        for number in range(lengths.tries):
            # the most promising, then one shorter, one longer, two shorter …
            step = (number + 1) // 2 * (1 if number % 2 else -1)
            for i in range(LANES):
                stretch[i] = STRETCHES[min(max(promising[i] + step, 0), len(STRETCHES) - 1)]
            for j in range(d):
                for i in range(LANES):
                    target[j, i] = stretch[i] * unit[j, i]
            best_paths(target, tables, room, found, first, errors)
            for i in range(lanes):
                error = errors[i] / (stretch[i] * stretch[i])
                if error < best[i]:
                    best[i] = error
                    symbols[row + i] = found[i]
                    starts[row + i] = first[i]


@njit(nogil=True, cache=True)
def choose(outside: Floats, floor: float, promising: npt.NDArray[np.int64]) -> None:
    """Set ``promising`` (16,) to the number in `STRETCHES` of least error relative to the target.

    Within the range of the levels the error (``floor``) does not depend on the length; ``outside`` adds to it.
    """
    for i in range(LANES):
        least = np.float32(np.inf)
        for g in range(len(STRETCHES)):
            error = (floor + outside[g, i]) / (STRETCHES[g] * STRETCHES[g])
            if error < least:
                least, promising[i] = error, g


def beyond(unit: Floats, low: Floats, high: Floats, stretches: Floats, outside: Floats) -> None:
    """Add up how far multiples of 16 vectors lie outside the range of the levels; in a kernel this is vector code.

    Parameters
    ----------
    unit : (d, 16) float32
        Vectors of the reference length, one a column.
    low, high : (d,) float32
        Range of each dimension.
    stretches : (g,) float32
        The multiples.
    outside : (g, 16) float32
        Result: squared distance to the range.
    """
    for g in range(len(stretches)):
        outside[g] = 0
        for j in range(len(unit)):
            value = stretches[g] * unit[j]
            distance = np.maximum(np.maximum(value - high[j], low[j] - value), np.float32(0))
            outside[g] += distance * distance


@overload(beyond)
def _beyond(unit: Floats, low: Floats, high: Floats, stretches: Floats, outside: Floats) -> Any:
    def emitted(unit: Floats, low: Floats, high: Floats, stretches: Floats, outside: Floats) -> None:
        vectors, lows, highs = unit.ctypes.data, low.ctypes.data, high.ctypes.data
        lengths, result = stretches.ctypes.data, outside.ctypes.data
        for g in range(len(stretches)):
            emit_beyond(vectors, lows, highs, len(unit), lengths + 4 * g, result + g * ROW)

    return emitted


@njit(nogil=True, cache=True)
def products(
    y: Floats, symbols: Symbols, start: int, bits: Symbols, levels: Floats, next_state: Symbols
) -> tuple[float, float]:
    """Return <y, z> and <z, z>, z the decoding of one row's symbols."""
    along, energy = 0.0, 0.0
    state = np.int64(start)
    for j in range(len(y)):
        symbol = np.int64(symbols[j])
        level = symbol
        if len(next_state) > 1 and bits[j]:
            level = 2 * symbol + (state & 1)
            state = np.int64(next_state[state, symbol & 1])
        z = np.float64(levels[j, level])
        along += np.float64(y[j]) * z
        energy += z * z
    return along, energy


@njit(nogil=True, cache=True)
def gather(
    y: Floats,
    symbols: Symbols,
    starts: Symbols,
    bits: Symbols,
    levels: Floats,
    next_state: Symbols,
    sums: Doubles,
    weights: Doubles,
) -> float:
    """Add up what the values coded with each level ask of it; return the squared error of the vectors.

    Row i is decoded to g z with g = <y, z>/<z, z>, the multiple nearest to y, so the level of least squared error is
    the mean of y/g with weights g².

    Parameters
    ----------
    y, symbols, starts, bits, levels, next_state
        See `encode_trellis`.
    sums, weights : (d, L) float64
        Added to: g y and g².
    """
    error = 0.0
    for i in range(len(y)):
        along, energy = products(y[i], symbols[i], starts[i], bits, levels, next_state)
        g = along / energy if energy > 0 else 1.0
        state = np.int64(starts[i])
        for j in range(y.shape[1]):
            symbol = np.int64(symbols[i, j])
            level = symbol
            if len(next_state) > 1 and bits[j]:
                level = 2 * symbol + (state & 1)
                state = np.int64(next_state[state, symbol & 1])
            sums[j, level] += g * np.float64(y[i, j])
            weights[j, level] += g * g
            error += (np.float64(y[i, j]) - g * np.float64(levels[j, level])) ** 2
    return error
