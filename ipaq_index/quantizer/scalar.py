"""Rounding coordinates to their nearest levels, 32 vectors side by side."""

from typing import Any

import numpy as np

from ipaq_index.inner import emitted, inner
from ipaq_index.quantizer.lanes import LANES, ROW, emit_quantize
from ipaq_index.quantizer.viterbi import Floats, Symbols, Tables


@inner
def round_nearest(unit: Floats, stretch: Floats, tables: Tables, symbols: Symbols, sums: Floats) -> None:
    """Find the nearest codes of multiples of 32 vectors.

    Parameters
    ----------
    unit : (d, 32) float32
        The vectors, one a column.
    stretch : (32,) float32
        The multiples.
    tables : Tables
        Of one state; ``middles[j, i]`` lies between levels i and i + 1.
    symbols : (d, 32) uint8
        Result: codes.
    sums : (2, 32) float32
        Result: <y, z> and <z, z>, y a column of ``unit`` and z what its codes stand for.
    """
    sums[:] = 0
    quantize(unit, stretch, tables, symbols, sums)


def quantize(unit: Floats, stretch: Floats, tables: Tables, symbols: Symbols, sums: Floats) -> None:
    """Do the work of `round_nearest`, ``sums`` zero on entry; in a kernel this is vector code."""
    for j in range(len(unit)):
        boundaries = tables.middles[j, : (1 << int(tables.bits[j])) - 1]
        symbols[j] = (stretch[:, None] * unit[j, :, None] > boundaries).sum(1)
        z = tables.levels[j, symbols[j]]
        sums += np.stack([unit[j] * z, z * z])


@emitted(quantize)
def _quantize(unit: Floats, stretch: Floats, tables: Tables, symbols: Symbols, sums: Floats) -> Any:
    def emitted(unit: Floats, stretch: Floats, tables: Tables, symbols: Symbols, sums: Floats) -> None:
        y, multiple, ranks, totals = unit.ctypes.data, stretch.ctypes.data, symbols.ctypes.data, sums.ctypes.data
        levels, boundaries, width = tables.levels.ctypes.data, tables.middles.ctypes.data, 4 * tables.levels.shape[1]
        for j in range(len(unit)):
            count = (1 << np.int64(tables.bits[j])) - 1
            row = levels + j * width
            emit_quantize(y + j * ROW, multiple, row, boundaries + j * width, count, ranks + j * LANES, totals)

    return emitted
