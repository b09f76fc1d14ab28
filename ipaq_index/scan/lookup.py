"""Scoring blocks of 32 rows for one query: tables looked up by nibble; rows whose scores reach the floor are collected.

Sums are exact integers, and scores follow from them by the same float operations, on every instruction set.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ipaq_index.arrays import zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.scan import emit, emit_lookups
from ipaq_index.scan.block import address_types, counted, scale
from ipaq_index.scan.frame import Frame
from ipaq_index.scan.isa import Avx2, Avx512, Neon, Portable
from ipaq_index.scan.layout import BLOCK
from ipaq_index.scan.packed import Floats, Integers, Meaning, Rows
from ipaq_index.scan.together import lowest_bit

LOOKUPS = {Avx512: emit_lookups.avx512, Avx2: emit_lookups.avx2, Neon: emit_lookups.neon}
CHUNK = 64


class Candidates(NamedTuple):
    """Rows of one query that wait for their exact scores.

    Attributes
    ----------
    keys : (size,) float32
        Upper estimates.
    rows : (size,) int32
    shifts : (size,) float32
        Added to their exact scores.
    words : (CHUNK // 2,) uint64
        Room: which rows of two blocks, half a chunk apart, may reach the floor. They are looked at when a chunk is
        through. A branch that is taken now and then, and which no CPU foresees, would cost as much as the look-ups.
    places : (CHUNK // 2,) int64
        Room: which of these words name any. A branch for each word would be foreseen as little.
    sums : (CHUNK // 2, 64) uint16
        Room: all sums of look-ups.
    """

    keys: Floats
    rows: npt.NDArray[np.int32]
    shifts: Floats
    words: npt.NDArray[np.uint64]
    places: Integers
    sums: npt.NDArray[np.uint16]


class Places(NamedTuple):
    """Where the arrays begin. Taking an address counts a reference in and out: it is done once.

    Attributes
    ----------
    strides : (int, int, int)
        Bytes from one block's codes, side and bias to the next one's.
    side_zero, bias_zero
        Zeros of the types of side and bias.
    others : int
        Addresses.
    """

    strides: tuple[int, int, int]
    side_zero: Any
    bias_zero: Any
    blocks: int
    side: int
    bias: int
    tables: int
    start: int
    bars: int
    passing: int
    sums: int


@inner
def places(rows: Rows, frame: Frame, candidates: Candidates) -> Places:
    """Return where the arrays begin; good while they live."""
    return Places(
        (rows.blocks.strides[0], BLOCK * rows.side.itemsize, BLOCK * rows.bias.itemsize),
        zeros(1, rows.side.dtype)[0],
        zeros(1, rows.bias.dtype)[0],
        rows.blocks.ctypes.data,
        rows.side.ctypes.data,
        rows.bias.ctypes.data,
        frame.tables.ctypes.data,
        frame.start.ctypes.data,
        frame.bars.ctypes.data,
        frame.passing.ctypes.data,
        candidates.sums.ctypes.data,
    )


def collect(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    span: tuple[int, int],
    frame: Frame,
    at: Places,
    candidates: Candidates,
    count: int,
) -> int:
    """Append rows whose scores are not below the floor; return how many candidates there are then.

    Compiled, it is vector code for ``isa``; the code below is its twin, and the portable form.

    Parameters
    ----------
    isa : Isa
        Instruction set, known by its type.
    rows, meaning : Rows, Meaning
        Packed codes, and what they mean.
    span : (int, int)
        The block to begin with, and the end; `CHUNK` blocks at the most.
    frame : Frame
        Of one query.
    at : Places
        Of the arrays.
    candidates : Candidates
        Its keys and rows are written, from the one numbered ``count`` on.
    count : int
        How many there are.
    """
    inverse, shift, floor = frame.bars
    half = (span[1] - span[0] + 1) // 2
    # Two by two, half a chunk apart: CPUs fetch two streams ahead, but not two that leap by turns.
    for n in range(span[1] - span[0]):
        block = span[0] + n // 2 + n % 2 * half
        word = counted(rows.words, rows.size, block)
        frame.sums[0, :] = frame.start[0]
        for pair in range(meaning.first_pairs):
            tables = frame.tables[pair]
            for i in range(BLOCK):
                code = rows.blocks[block, pair, i]
                frame.sums[0, i] += np.int32(tables[0, code & 15]) + np.int32(tables[1, code >> 4])
        for i in range(BLOCK):
            row = block * BLOCK + i
            score = scale(rows.side[row], meaning.scale_format) * np.float32(frame.sums[0, i])
            if len(rows.bias):
                score += rows.bias[row] * inverse[0]
            score += shift[0]
            if score >= floor[0] and (word >> np.uint32(i)) & np.uint32(1):
                candidates.keys[count], candidates.rows[count] = score, row
                count += 1
    return count


@inner(forceinline=True)
def keep(rows: Rows, meaning: Meaning, span: tuple[int, int], frame: Frame, candidates: Candidates, count: int) -> int:
    """Append rows named by ``candidates.words`` whose scores are not below the floor; return how many there are."""
    inverse, shift, floor, start = frame.bars[0, 0], frame.bars[1, 0], frame.bars[2, 0], frame.start[0]
    half, hopeful = (span[1] - span[0] + 1) // 2, 0
    words, places, sums = candidates.words, candidates.places, candidates.sums
    keys, numbers, side, bias = candidates.keys, candidates.rows, rows.side, rows.bias
    for n in range(half):
        places[hopeful] = n
        hopeful += words[n] > 0
    for place in range(hopeful):
        n = places[place]
        word = words[n]
        while True:  # most words name one row
            i = lowest_bit(word)
            word &= word - np.uint64(1)
            row = (span[0] + n + i // BLOCK * half) * BLOCK + i % BLOCK
            score = scale(side[row], meaning.scale_format) * np.float32(start + sums[n, i])
            if len(bias):
                score += bias[row] * inverse
            score += shift
            keys[count], numbers[count] = score, row
            count += score >= floor
            if not word:
                break
    return count


@emitted(collect, forceinline=True)
def _collect(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    span: tuple[int, int],
    frame: Frame,
    at: Places,
    candidates: Candidates,
    count: int,
) -> Any:
    if isa.instance_class is Portable:
        return collect

    def emitted(
        isa: Any,
        rows: Rows,
        meaning: Meaning,
        span: tuple[int, int],
        frame: Frame,
        at: Places,
        candidates: Candidates,
        count: int,
    ) -> int:
        block_bytes, side_bytes, bias_bytes = at.strides
        query, words, size = (at.tables, at.start, at.bars, at.passing), rows.words, rows.size
        half = (span[1] - span[0] + 1) // 2
        for n in range(half):
            first, second = span[0] + n, span[0] + n + half
            step = half if second < span[1] else 0
            hopeful = emit_lookup(
                isa,
                at.side_zero,
                at.bias_zero,
                (at.blocks + first * block_bytes, at.side + first * side_bytes, at.bias + first * bias_bytes),
                (block_bytes * step, side_bytes * step, bias_bytes * step),
                meaning.first_pairs,
                query,
                meaning.scale_format,
                at.sums + n * (4 * BLOCK),
            )
            word = counted(words, size, second) if step else np.uint32(0)
            hopeful &= np.uint64(counted(words, size, first)) | np.uint64(word) << np.uint64(BLOCK)
            candidates.words[n] = hopeful
        return keep(rows, meaning, span, frame, candidates, count)

    return emitted


@intrinsic
def emit_lookup(
    _context: Any,
    isa: Any,
    side: Any,
    bias: Any,
    rows: Any,
    next_: Any,
    pairs: Any,
    query: Any,
    scale_format: Any,
    out: Any,
) -> Any:
    """Look at two blocks of `collect`; return a bit for each row that may reach the floor.

    ``rows`` is (codes, side, bias) and ``query`` (tables, start, bars, passing), all addresses; ``next_`` the bytes
    from ``rows`` to the second block's; ``side`` and ``bias`` are zeros of their types. Sums are written to ``out``.
    """
    three = address_types(3)
    signature = types.uint64(isa, side, bias, three, three, types.intp, address_types(4), three, types.intp)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind, isa_class = ir.IntType(side.bitwidth), isa.instance_class
        first, steps = (cgutils.unpack_tuple(builder, t) for t in arguments[3:5])
        (tables, start, bars, passing), format_ = (cgutils.unpack_tuple(builder, t) for t in arguments[6:8])
        second = [builder.add(begin, step) for begin, step in zip(first, steps, strict=True)]
        both, words = LOOKUPS[isa_class](builder, [first[0], second[0]], tables, arguments[5]), []
        for number, (sums, (_, sides, biases)) in enumerate(zip(both, (first, second), strict=True)):
            emit.store(builder, sums, arguments[8], number * 2 * BLOCK)
            if isa_class is Avx512 and bias != types.float32:
                above = emit_lookups.reached(builder, sums, kind, sides, passing)
            else:
                added = biases if bias == types.float32 else None
                above = _above(builder, sums, kind, sides, start, bars, format_, added)
            words.append(builder.zext(builder.bitcast(above, emit.I32), emit.I64))
        return builder.or_(words[0], builder.shl(words[1], ir.Constant(emit.I64, BLOCK)))

    return signature, generate


def _above(
    builder: emit.Builder,
    sums: emit.Value,
    kind: ir.IntType,
    sides: emit.Value,
    start: emit.Value,
    bars: emit.Value,
    scale_format: list[emit.Value],
    biases: emit.Value | None,
) -> emit.Value:
    """Return <32 x i1>: whose scores are not below the floor."""
    halves, of_rows, added = [], [], []
    begin = emit.broadcast(builder, emit.ints(16), start, 0)
    for first in (0, 16):
        half = emit.shuffle(builder, sums, sums, list(range(first, first + 16)))
        halves.append(builder.add(builder.zext(half, emit.ints(16)), begin))
        of_rows.append(emit.scales(builder, kind, sides, 16, scale_format, first))
        if biases is not None:
            added.append(emit.load(builder, emit.floats(16), biases, 4 * first))
    places = emit.Bars(*(builder.add(bars, ir.Constant(emit.I64, 4 * n)) for n in range(3)))
    above = emit.scored(builder, 0, halves, of_rows, added or None, places)
    return emit.shuffle(builder, above[0], above[1], list(range(BLOCK)))
