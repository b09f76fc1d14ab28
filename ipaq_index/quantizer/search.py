"""Choosing trellis codes by cosine, and what refitting needs to know of them."""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.quantizer.lanes import LANES
from ipaq_index.quantizer.viterbi import Symbols, Tables, best_paths, make_room

ONCE = np.ones(1, dtype=np.float32)

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@njit(nogil=True, cache=True)
def encode_trellis(
    y: Floats, tables: Tables, next_state: Symbols, stretches: Floats, symbols: Symbols, starts: Symbols
) -> None:
    """Choose the codes whose decoding points best the way ``y`` points.

    With the scale of `scale_factors` what remains of the error lies across y, so the length of the decoded vector is
    free. The path nearest to a multiple of y is sought for several multiples, and the one of largest cosine kept.

    Parameters
    ----------
    y : (m, d) float32
        Coordinates.
    tables : Tables
    next_state : (states, 2) uint8
    stretches : (g,) float32
        The multiples.
    symbols : (m, d) uint8
        Result: codes.
    starts : (m,) uint8
        Result: first states.
    """
    m, d = y.shape
    room = make_room(d, tables.states)
    target = np.zeros((d, LANES), dtype=np.float32)
    found, first = np.empty((LANES, d), dtype=np.uint8), np.empty(LANES, dtype=np.uint8)
    for row in range(0, m, LANES):
        lanes = min(LANES, m - row)
        best = np.full(LANES, -np.inf)
        for g in range(len(stretches)):
            for j in range(d):
                for i in range(lanes):
                    target[j, i] = stretches[g] * y[row + i, j]
            best_paths(target, tables, room, found, first)
            for i in range(lanes):
                cosine = 0.0
                if len(stretches) > 1:
                    along, energy = products(y[row + i], found[i], first[i], tables.bits, tables.levels, next_state)
                    cosine = along / np.sqrt(energy) if energy > 0 else 0.0
                if cosine > best[i]:
                    best[i] = cosine
                    symbols[row + i] = found[i]
                    starts[row + i] = first[i]


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
) -> None:
    """Add up what the values coded with each level ask of it.

    Row i is decoded to g z with g = <y, z>/<z, z>, the multiple nearest to y, so the level of least squared error is
    the mean of y/g with weights g².

    Parameters
    ----------
    y, symbols, starts, bits, levels, next_state
        See `encode_trellis`.
    sums, weights : (d, L) float64
        Added to: g y and g².
    """
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
