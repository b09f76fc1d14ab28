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
from ipaq_index.scan.layout import BLOCK, QUAD
from ipaq_index.scan.packed import Floats, Meaning, Rows

LOOKUPS = {Avx512: emit_lookups.avx512, Avx2: emit_lookups.avx2, Neon: emit_lookups.neon}
APPEND = {Avx512: emit.append512, Avx2: emit.append_masked, Neon: emit.append_masked}


class Candidates(NamedTuple):
    """Rows of one query that wait for their exact scores.

    Attributes
    ----------
    keys : (size,) float32
        Upper estimates.
    rows : (size,) int32
    shifts : (size,) float32
        Added to their exact scores.
    """

    keys: Floats
    rows: npt.NDArray[np.int32]
    shifts: Floats


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
    keys: int
    rows: int


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
        candidates.keys.ctypes.data,
        candidates.rows.ctypes.data,
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
    most: int,
) -> tuple[int, int]:
    """Append rows whose scores are not below the floor; return the next block and how many candidates there are then.

    Compiled, it is vector code for ``isa``; the code below is its twin, and the portable form.

    Parameters
    ----------
    isa : Isa
        Instruction set, known by its type.
    rows, meaning : Rows, Meaning
        Packed codes, and what they mean.
    span : (int, int)
        The block to begin with, and the end.
    frame : Frame
        Of one query.
    at : Places
        Of the arrays.
    candidates : Candidates
        Its keys and rows are written, from the one numbered ``count`` on.
    count, most : int
        How many there are; no block is looked at while there are more than ``most``.
    """
    inverse, shift, floor = frame.bars
    for block in range(span[0], span[1]):
        if count > most:
            return block, count
        word = counted(rows.words, rows.size, block)
        if not word:
            continue
        frame.sums[0, :] = frame.start[0]
        for pair in range(meaning.first_pairs):
            tables = frame.tables[pair // QUAD, :, pair % QUAD]
            for i in range(BLOCK):
                code = rows.blocks[block, pair, i]
                frame.sums[0, i] += np.int32(tables[0, code & 15]) + np.int32(tables[1, code >> 4])
        for i in range(BLOCK):
            row = block * BLOCK + i
            score = scale(rows.side[row], meaning.scale_format, frame.bits) * np.float32(frame.sums[0, i])
            if len(rows.bias):
                score += rows.bias[row] * inverse[0]
            score += shift[0]
            if score >= floor[0] and (word >> np.uint32(i)) & np.uint32(1):
                candidates.keys[count], candidates.rows[count] = score, row
                count += 1
    return span[1], count


@emitted(collect)
def _collect(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    span: tuple[int, int],
    frame: Frame,
    at: Places,
    candidates: Candidates,
    count: int,
    most: int,
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
        most: int,
    ) -> tuple[int, int]:
        block_bytes, side_bytes, bias_bytes = at.strides
        query, out = (at.tables, at.start, at.bars), (at.keys, at.rows)
        words, size = rows.words, rows.size
        for block in range(span[0], span[1]):
            if count > most:
                return block, count
            word = counted(words, size, block)
            if not word:
                continue
            codes = at.blocks + block * block_bytes
            sides = at.side + block * side_bytes
            biases = at.bias + block * bias_bytes
            count = emit_lookup(
                isa,
                at.side_zero,
                at.bias_zero,
                (codes, sides, biases),
                meaning.first_pairs,
                query,
                meaning.scale_format,
                out,
                (block * BLOCK, word, count),
            )
        return span[1], count

    return emitted


@intrinsic
def emit_lookup(
    _context: Any,
    isa: Any,
    side: Any,
    bias: Any,
    rows: Any,
    pairs: Any,
    query: Any,
    scale_format: Any,
    out: Any,
    state: Any,
) -> Any:
    """One block of `collect` in vector instructions; returns how many candidates there are then.

    ``rows`` is (codes, side, bias), ``query`` (tables, start, bars) and ``out`` (keys, rows), all addresses; ``side``
    and ``bias`` are zeros of their types; ``state`` is the first row's number, the rows that count, and the count.
    """
    one, three = types.intp, address_types(3)
    last = types.Tuple((one, types.uint32, one))
    signature = one(isa, side, bias, three, one, three, three, address_types(2), last)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        codes, sides, biases = cgutils.unpack_tuple(builder, arguments[3])
        tables, start, bars = cgutils.unpack_tuple(builder, arguments[5])
        format_, out_, state_ = (cgutils.unpack_tuple(builder, t) for t in arguments[6:])
        sums = LOOKUPS[isa.instance_class](builder, codes, tables, arguments[4], start)
        kind = ir.IntType(side.bitwidth)
        of_rows = [emit.scales(builder, kind, sides, 16, format_, first) for first in (0, 16)]
        added = None
        if bias == types.float32:
            added = [emit.load(builder, emit.floats(16), biases, 4 * first) for first in (0, 16)]
        bars_ = emit.Bars(*(builder.add(bars, ir.Constant(emit.I64, 4 * n)) for n in range(3)))
        return emit.keep(builder, sums, of_rows, added, bars_, out_, state_, APPEND[isa.instance_class])

    return signature, generate
