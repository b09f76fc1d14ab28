"""Scoring blocks of 32 rows: vector code where there is any, its plain twin everywhere.

Two ways: for one query, tables looked up by nibble; for many, rows decoded once and multiplied with weights. All sums
are exact integers, and scores follow from them by the same float operations, on every instruction set.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from ipaq_index.scan import emit, emit_dense, emit_lookups, emit_row
from ipaq_index.scan.emit import BLOCK
from ipaq_index.scan.frame import Frame
from ipaq_index.scan.isa import Avx2, Avx512, Neon, Portable
from ipaq_index.scan.packed import QUAD, Floats, Integers, Meaning, Rows

GROUP = emit_dense.GROUP
LOOKUPS = {Avx512: emit_lookups.avx512, Avx2: emit_lookups.avx2, Neon: emit_lookups.neon}
DENSE = {Avx512: emit_dense.AVX512, Avx2: emit_dense.AVX2, Neon: emit_dense.NEON}

ScaleFormat = tuple[int, int, int]


class Tile(NamedTuple):
    """Decoded blocks.

    Attributes
    ----------
    blocks : (size,) int64
        Their numbers.
    levels : (size + 1, quads, 32, 4) uint8
        Levels; one more, since blocks may be decoded in twos.
    scales, biases : (size + 1, 32) float32
    """

    blocks: Integers
    levels: npt.NDArray[np.uint8]
    scales: Floats
    biases: Floats


class Places(NamedTuple):
    """Where the arrays of rows and of a frame for look-ups begin; see `Addresses`.

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
    scores: int
    above: int


@njit(nogil=True, cache=True)
def places(rows: Rows, frame: Frame) -> Places:
    """Return where the arrays begin; good while ``rows`` and ``frame`` live."""
    return Places(
        (rows.blocks.strides[0], BLOCK * rows.side.itemsize, BLOCK * rows.bias.itemsize),
        np.zeros(1, dtype=rows.side.dtype)[0],
        np.zeros(1, dtype=rows.bias.dtype)[0],
        rows.blocks.ctypes.data,
        rows.side.ctypes.data,
        rows.bias.ctypes.data,
        frame.tables.ctypes.data,
        frame.start.ctypes.data,
        frame.bars.ctypes.data,
        frame.sums.ctypes.data,
        frame.above.ctypes.data,
    )


class Addresses(NamedTuple):
    """Where the arrays of frame and tile begin. Taking an address counts a reference in and out: it is done once."""

    tables: int
    start: int
    bars: int
    sums: int
    above: int
    levels: int
    scales: int
    biases: int


@njit(nogil=True, cache=True)
def addresses(frame: Frame, tile: Tile) -> Addresses:
    """Return where the arrays begin; good while ``frame`` and ``tile`` live."""
    return Addresses(
        frame.tables.ctypes.data,
        frame.start.ctypes.data,
        frame.bars.ctypes.data,
        frame.sums.ctypes.data,
        frame.above.ctypes.data,
        tile.levels.ctypes.data,
        tile.scales.ctypes.data,
        tile.biases.ctypes.data,
    )


def next_lookup(isa: Any, rows: Rows, meaning: Meaning, span: tuple[int, int], frame: Frame, at: Places) -> int:
    """Return the next block with a score not below the floor, its rows' scores in ``frame``; the end if there is none.

    In a kernel this is vector code for ``isa``; the code below is its twin, and the portable form.

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
        Of rows and frame.
    """
    inverse, shift, floor = frame.bars
    scores = frame.sums.view(np.float32)
    for block in range(span[0], span[1]):
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
            scores[0, i] = score
            if score >= floor[0]:
                frame.above[0] |= np.uint32(1) << np.uint32(i)
        if frame.above[0]:
            return block
    return span[1]


def next_product(
    isa: Any, with_bias: Any, tile: Tile, span: tuple[int, int], frame: Frame, at: Addresses, queries: int
) -> tuple[int, int]:
    """Return the place in the tile of the next block with a score not below a floor, or the end, and whose floors.

    Of query g, where bit g of the second number is set, the sums of rows with such a score are in ``frame``.

    Parameters
    ----------
    isa : Isa
    with_bias : array
        `Rows.bias`: by its type, whether there is one.
    tile : Tile
    span : (int, int)
        The place to begin with, and the end.
    frame : Frame
        Of `GROUP` queries.
    at : Addresses
        Of frame and tile.
    queries : int
        How many there are, at most `GROUP`: the first ones of the frame.
    """
    inverse, shift, floor = frame.bars
    weights = frame.tables.view(np.int8)
    for place in range(span[0], span[1]):
        asked = 0
        for g in range(queries):
            for i in range(BLOCK):
                total = frame.start[g]
                for quad in range(len(weights)):
                    for part in range(QUAD):
                        total += np.int32(tile.levels[place, quad, i, part]) * np.int32(weights[quad, g, part])
                frame.sums[g, i] = total
                score = tile.scales[place, i] * np.float32(total)
                if len(with_bias):
                    score += tile.biases[place, i] * inverse[g]
                if score + shift[g] >= floor[g]:
                    frame.above[g] |= np.uint32(1) << np.uint32(i)
                    asked |= 1 << g
        if asked:
            return place, asked
    return span[1], 0


def decode(isa: Any, rows: Rows, meaning: Meaning, tile: Tile, count: int) -> None:
    """Decode the first ``count`` blocks of a tile: levels and scales; biases are copied.

    Parameters
    ----------
    isa : Isa
    rows, meaning : Rows, Meaning
    tile : Tile
    count : int
    """
    a, b, trellis = meaning.feedback
    for place in range(count):
        for i in range(BLOCK):
            row = tile.blocks[place] * BLOCK + i
            tile.scales[place, i] = scale_of(rows.side[row], meaning.scale_format)
            if len(rows.bias):
                tile.biases[place, i] = rows.bias[row]
            state = np.int64(rows.side[row]) & ((1 << meaning.scale_format[0]) - 1)
            for n in range(len(meaning.active)):
                _, first, last, _ = meaning.active[n]
                symbol = symbol_of(rows, meaning, row, first, last)
                level = symbol + (symbol & trellis) + (state & 1)
                if first < last:
                    state = (state >> 1) ^ (state & 1) * a ^ (symbol & 1) * b
                tile.levels[place, n // QUAD, i, n % QUAD] = meaning.bytes[n, level]


def row_total(rows: Rows, meaning: Meaning, p: Floats, row: int) -> np.float32:
    """Return ``sum_j p_j level_j`` of a row, over dimensions with bits, walking the trellis where there is one."""
    a, b, trellis = meaning.feedback
    state = np.int64(rows.side[row]) & ((1 << meaning.scale_format[0]) - 1)
    total = np.float32(0)
    for j, first, last, _ in meaning.active:
        if j >= 0:
            symbol = symbol_of(rows, meaning, row, first, last)
            total += p[j] * meaning.levels[j, symbol + (symbol & trellis) + (state & 1)]
            state = (state >> 1) ^ (state & 1) * a ^ (symbol & 1) * b
    return total


@njit(nogil=True, cache=True)
def symbol_of(rows: Rows, meaning: Meaning, row: int, first: int, last: int) -> int:
    """Return the symbol whose pieces are numbered ``first`` to ``last`` - 1."""
    symbol = 0
    for n in range(first, last):
        code = np.int64(rows.blocks[row // BLOCK, meaning.steps[n, 0], row % BLOCK])
        symbol |= (code >> meaning.steps[n, 1] & meaning.steps[n, 2]) << meaning.steps[n, 3]
    return symbol


@njit(nogil=True, cache=True)
def scale(side: int, scale_format: ScaleFormat, bits: npt.NDArray[np.int32]) -> np.float32:
    """Return the scale of one row from its side code; ``bits`` is room for one int32."""
    state_bits, base, step = scale_format
    code = np.int64(side) >> state_bits
    bits[0] = base + step * code if code else 0
    return bits.view(np.float32)[0]


@njit(nogil=True, cache=True)
def scale_of(side: int, scale_format: ScaleFormat) -> np.float32:
    """Return the scale of one row; slower than `scale`."""
    return scale(side, scale_format, np.empty(1, dtype=np.int32))


@overload(next_lookup)
def _next_lookup(isa: Any, rows: Rows, meaning: Meaning, span: tuple[int, int], frame: Frame, at: Places) -> Any:
    if isa.instance_class is Portable:
        return next_lookup

    def emitted(isa: Any, rows: Rows, meaning: Meaning, span: tuple[int, int], frame: Frame, at: Places) -> int:
        block_bytes, side_bytes, bias_bytes = at.strides
        codes = at.blocks + span[0] * block_bytes
        sides = at.side + span[0] * side_bytes
        biases = at.bias + span[0] * bias_bytes
        query, out = (at.tables, at.start, at.bars), (at.scores, at.above)
        for block in range(span[0], span[1]):
            if emit_lookup(
                isa,
                at.side_zero,
                at.bias_zero,
                (codes, sides, biases),
                meaning.first_pairs,
                query,
                meaning.scale_format,
                out,
            ):
                return block
            codes += block_bytes
            sides += side_bytes
            biases += bias_bytes
        return span[1]

    return emitted


@overload(next_product)
def _next_product(
    isa: Any, with_bias: Any, tile: Tile, span: tuple[int, int], frame: Frame, at: Addresses, queries: int
) -> Any:
    if isa.instance_class is Portable:
        return next_product

    def emitted(
        isa: Any, with_bias: Any, tile: Tile, span: tuple[int, int], frame: Frame, at: Addresses, queries: int
    ) -> tuple[int, int]:
        quads, some = len(frame.tables), (1 << queries) - 1
        levels = at.levels + span[0] * tile.levels.strides[0]
        scales = at.scales + span[0] * 4 * BLOCK
        biases = at.biases + span[0] * 4 * BLOCK
        query, out = (at.tables, at.start, at.bars), (at.sums, at.above)
        for place in range(span[0], span[1]):
            asked = emit_product(isa, with_bias, (levels, scales, biases), quads, query, queries, out) & some
            if asked:
                return place, asked
            levels += tile.levels.strides[0]
            scales += 4 * BLOCK
            biases += 4 * BLOCK
        return span[1], 0

    return emitted


@overload(decode)
def _decode(isa: Any, rows: Rows, meaning: Meaning, tile: Tile, count: int) -> Any:
    if isa.instance_class is Portable:
        return decode
    together = max(1, DENSE[isa.instance_class].decoded // BLOCK)

    def emitted(isa: Any, rows: Rows, meaning: Meaning, tile: Tile, count: int) -> None:
        blocks, side, levels, scales = rows.blocks, rows.side, tile.levels, tile.scales
        arrays = (meaning.steps.ctypes.data, meaning.active.ctypes.data, meaning.bytes.ctypes.data)
        for place in range(0, count, together):
            first, second = tile.blocks[place], tile.blocks[min(place + together, count) - 1]
            codes = (blocks.ctypes.data + first * blocks.strides[0], blocks.ctypes.data + second * blocks.strides[0])
            sides = (
                side.ctypes.data + first * BLOCK * side.itemsize,
                side.ctypes.data + second * BLOCK * side.itemsize,
            )
            out = (levels.ctypes.data + place * levels.strides[0], scales.ctypes.data + place * 4 * BLOCK)
            emit_decode(
                isa, side, codes, sides, out, levels.strides[0], arrays, meaning.bytes.strides[0], levels.shape[1],
                meaning.feedback, meaning.scale_format,
            )  # fmt: skip
        if len(rows.bias):
            for place in range(count):
                for i in range(BLOCK):
                    tile.biases[place, i] = rows.bias[tile.blocks[place] * BLOCK + i]

    return emitted


@overload(row_total)
def _row_total(rows: Rows, meaning: Meaning, p: Floats, row: int) -> Any:
    def emitted(rows: Rows, meaning: Meaning, p: Floats, row: int) -> np.float32:
        state = np.int64(rows.side[row]) & ((1 << meaning.scale_format[0]) - 1)
        codes = rows.blocks.ctypes.data + (row // BLOCK) * rows.blocks.strides[0] + row % BLOCK
        arrays = (p.ctypes.data, meaning.steps.ctypes.data, meaning.active.ctypes.data, meaning.levels.ctypes.data)
        used = len(meaning.active)
        while used and meaning.active[used - 1, 0] < 0:
            used -= 1
        return emit_row_total(codes, state, arrays, used, meaning.levels.strides[0], meaning.feedback)

    return emitted


@intrinsic
def emit_row_total(_context: Any, codes: Any, state: Any, arrays: Any, used: Any, stride: Any, feedback: Any) -> Any:
    """`row_total` with addresses: ``arrays`` is (p, steps, active, levels)."""
    one = types.intp
    signature = types.float32(one, one, _addresses(4), one, one, _addresses(3))

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        p, steps, active, levels = cgutils.unpack_tuple(builder, arguments[2])
        feedback_ = cgutils.unpack_tuple(builder, arguments[5])
        codes_, state_ = arguments[:2]
        return emit_row.total(
            builder, codes_, state_, p, steps, (active, arguments[3]), (levels, arguments[4]), feedback_
        )

    return signature, generate


def _addresses(count: int) -> Any:
    return types.UniTuple(types.intp, count)


@intrinsic
def emit_lookup(
    _context: Any, isa: Any, side: Any, bias: Any, rows: Any, pairs: Any, query: Any, scale_format: Any, out: Any
) -> Any:
    """One block of `next_lookup` in vector instructions; returns whether a score is not below the floor.

    ``rows`` is (codes, side, bias) and ``query`` (tables, start, bars), all addresses; ``side`` and ``bias`` are zeros
    of their types; ``out`` (scores, above) is written only where a score is not below.
    """
    signature = types.boolean(isa, side, bias, *map(_addresses, (3,)), types.intp, *map(_addresses, (3, 3, 2)))

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        codes, sides, biases = cgutils.unpack_tuple(builder, arguments[3])
        tables, start, bars = cgutils.unpack_tuple(builder, arguments[5])
        format_, out_ = (cgutils.unpack_tuple(builder, t) for t in arguments[6:])
        sums = LOOKUPS[isa.instance_class](builder, codes, tables, arguments[4], start)
        kind = ir.IntType(side.bitwidth)
        of_rows = [emit.scales(builder, kind, sides, 16, format_, first) for first in (0, 16)]
        added = None
        if bias == types.float32:
            added = [emit.load(builder, emit.floats(16), biases, 4 * first) for first in (0, 16)]
        return emit.compare(builder, [sums], 0, of_rows, added, _bars(builder, bars, 1), out_, True)

    return signature, generate


@intrinsic
def emit_product(_context: Any, isa: Any, bias: Any, rows: Any, quads: Any, query: Any, queries: Any, out: Any) -> Any:
    """One block of `next_product`; ``rows`` is (levels, scales, biases), ``query`` (weights, start, bars)."""
    signature = types.intp(isa, bias, _addresses(3), types.intp, _addresses(3), types.intp, _addresses(2))

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        levels, scales, biases = cgutils.unpack_tuple(builder, arguments[2])
        weights, start, bars = cgutils.unpack_tuple(builder, arguments[4])
        return emit_dense.products(
            builder,
            DENSE[isa.instance_class],
            levels,
            weights,
            arguments[3],
            arguments[5],
            start,
            scales,
            biases if bias.dtype == types.float32 else None,
            _bars(builder, bars, GROUP),
            cgutils.unpack_tuple(builder, arguments[6]),
        )

    return signature, generate


def _bars(builder: Any, address: Any, group: int) -> emit.Bars:
    return emit.Bars(*(builder.add(address, ir.Constant(emit.I64, 4 * group * n)) for n in range(3)))


@intrinsic
def emit_decode(
    _context: Any,
    isa: Any,
    side: Any,
    codes: Any,
    sides: Any,
    out: Any,
    stride: Any,
    arrays: Any,
    table_stride: Any,
    quads: Any,
    feedback: Any,
    scale_format: Any,
) -> Any:
    """One block of `decode`, or two neighbours in the tile, whose codes and sides are two addresses each.

    ``out`` is (levels, scales) of the first, ``stride`` from its levels to the next one's; ``arrays`` is (steps,
    active, bytes) of `Meaning`.
    """
    two, three = _addresses(2), _addresses(3)
    one = types.intp
    signature = types.void(isa, side, two, two, two, one, three, one, one, three, three)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        codes_, sides_, (levels, scales), (steps, active, tables), feedback_, format_ = (
            cgutils.unpack_tuple(builder, arguments[n]) for n in (2, 3, 4, 6, 9, 10)
        )
        dense = DENSE[isa.instance_class]
        kind = ir.IntType(side.dtype.bitwidth)
        together = max(1, dense.decoded // BLOCK)
        places = [builder.add(levels, builder.mul(arguments[5], ir.Constant(emit.I64, n))) for n in range(together)]
        emit_dense.decode(
            builder,
            dense,
            kind,
            list(zip(codes_, sides_, places, strict=False)),
            steps,
            active,
            (tables, arguments[7]),
            arguments[8],
            feedback_,
            format_,
        )
        for n in range(together):
            row = builder.add(scales, ir.Constant(emit.I64, 4 * BLOCK * n))
            emit_dense.decode_scales(builder, dense, kind, sides_[n], row, format_)
        return context.get_dummy_value()

    return signature, generate
