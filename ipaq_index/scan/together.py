"""Exact sums of rows, 16 at a time."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ipaq_index.arrays import LINE, zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.scan import emit, emit_row
from ipaq_index.scan.block import row_total
from ipaq_index.scan.emit import BLOCK
from ipaq_index.scan.emit_row import ROWS
from ipaq_index.scan.isa import available
from ipaq_index.scan.packed import Floats, Integers, Meaning, Rows


class At(NamedTuple):
    """Where arrays begin, and how they go on. Taking an address counts a reference in and out: it is done once.

    Attributes
    ----------
    codes : (int, int)
        Addresses of both parts of the codes.
    strides, pairs : (int, int)
        Bytes from block to block in each part, and its pairs.
    arrays : (int, int, int)
        Addresses of `Meaning`'s steps, active and levels.
    room : (int, int, int, int)
        Addresses of `Together`'s starts, states, tile and totals.
    used : int
        Active dimensions that are not there to fill up a quad.
    """

    codes: tuple[int, int]
    strides: tuple[int, int]
    pairs: tuple[int, int]
    arrays: tuple[int, int, int]
    room: tuple[int, int, int, int]
    used: int


class Together(NamedTuple):
    """Room for rows that are scored together.

    Attributes
    ----------
    numbers : (16,) int64
        The rows; to be filled in before `row_totals`.
    starts : (2, 16) int64
        Addresses of their codes in the two parts.
    states : (16,) int32
        First states.
    tile : (pairs, 16) uint8
        Their codes.
    totals : (16,) float32
        Result.
    at : At
        Where all these arrays begin.
    """

    numbers: Integers
    starts: Integers
    states: npt.NDArray[np.int32]
    tile: npt.NDArray[np.uint8]
    totals: Floats
    at: At


@inner
def make_together(rows: Rows, meaning: Meaning) -> Together:
    """Return room for rows of this size; good while ``rows`` and ``meaning`` live."""
    numbers, totals = zeros(ROWS, np.int64), zeros(ROWS, np.float32)
    starts, states = zeros((2, ROWS), np.int64), zeros(ROWS, np.int32)
    pairs = (rows.blocks.shape[1], rows.rest.shape[1])
    tile = zeros((pairs[0] + pairs[1], ROWS), np.uint8)
    used = len(meaning.active)
    while used and meaning.active[used - 1, 0] < 0:
        used -= 1
    at = At(
        (rows.blocks.ctypes.data, rows.rest.ctypes.data),
        (rows.blocks.strides[0], rows.rest.strides[0]),
        pairs,
        (meaning.steps.ctypes.data, meaning.active.ctypes.data, meaning.levels.ctypes.data),
        (starts.ctypes.data, states.ctypes.data, tile.ctypes.data, totals.ctypes.data),
        used,
    )
    return Together(numbers, starts, states, tile, totals, at)


def row_totals(rows: Rows, meaning: Meaning, p: Floats, together: Together) -> None:
    """Fill ``together.totals`` with `row_total` of ``together.numbers``: the same bits, at a tenth of the time."""
    for n in range(ROWS):
        together.totals[n] = row_total(rows, meaning, p, together.numbers[n])


@emitted(row_totals)
def _row_totals(rows: Rows, meaning: Meaning, p: Floats, together: Together) -> Any:
    def emitted(rows: Rows, meaning: Meaning, p: Floats, together: Together) -> None:
        numbers, starts, states, at, side = together.numbers, together.starts, together.states, together.at, rows.side
        low = (1 << meaning.scale_format[0]) - 1
        for n in range(ROWS):
            block, lane = numbers[n] // BLOCK, numbers[n] % BLOCK
            starts[0, n] = at.codes[0] + block * at.strides[0] + lane
            starts[1, n] = at.codes[1] + block * at.strides[1] + lane
            states[n] = np.int64(side[numbers[n]]) & low
        steps, active, levels = at.arrays
        arrays = (p.ctypes.data, steps, active, levels)
        emit_totals(at.room, at.pairs, arrays, at.used, meaning.feedback)

    return emitted


@intrinsic
def emit_totals(_context: Any, room: Any, pairs: Any, arrays: Any, used: Any, feedback: Any) -> Any:
    """`row_totals` with addresses: ``room`` is (starts, states, tile, totals),
    ``arrays`` (p, steps, active, levels)."""
    one, four = types.intp, types.UniTuple(types.intp, 4)
    signature = types.void(four, types.UniTuple(one, 2), four, one, types.UniTuple(one, 3))

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        starts, states, tile, out = cgutils.unpack_tuple(builder, arguments[0])
        first, second = cgutils.unpack_tuple(builder, arguments[1])
        p, steps, active, levels = cgutils.unpack_tuple(builder, arguments[2])
        emit_row.totals(
            builder,
            [(starts, first), (builder.add(starts, ir.Constant(emit_row.I64, 8 * ROWS)), second)],
            states,
            tile,
            p,
            steps,
            (active, arguments[3]),
            levels,
            cgutils.unpack_tuple(builder, arguments[4]),
            out,
            "avx512" in available(),
        )
        return context.get_dummy_value()

    return signature, generate


def fetch(at: At, row: int) -> None:
    """Bring a row's codes into the cache."""


@emitted(fetch)
def _fetch(at: At, row: int) -> Any:
    def emitted(at: At, row: int) -> None:
        for part in range(2):
            start = at.codes[part] + (row // BLOCK) * at.strides[part] + row % BLOCK
            for pair in range(0, at.pairs[part], LINE // BLOCK):
                emit_fetch(start + pair * BLOCK)

    return emitted


@intrinsic
def emit_fetch(_context: Any, address: Any) -> Any:
    """Prefetch the cache line of an address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        emit.fetch(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.intp), generate


def lowest_bit(word: int) -> int:
    """Return the number of the lowest bit that is set in an unsigned word; one is."""
    number = int(word)
    return (number & -number).bit_length() - 1


@emitted(lowest_bit)
def _lowest_bit(word: Any) -> Any:
    def emitted(word: Any) -> int:
        return emit_lowest_bit(word)

    return emitted


@intrinsic
def emit_lowest_bit(_context: Any, word: Any) -> Any:
    """`lowest_bit` as one instruction."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bit = builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))
        return bit if bit.type == emit_row.I64 else builder.zext(bit, emit_row.I64)

    return types.intp(word), generate
