"""Scoring blocks of 32 rows for many queries: vector code where there is any, its plain twin everywhere.

Rows are decoded once and multiplied with weights. All sums are exact integers, and scores follow from them by the same
float operations, on every instruction set.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ipaq_index.arrays import recast
from ipaq_index.inner import emitted, inner
from ipaq_index.scan import emit, emit_dense
from ipaq_index.scan.emit import BLOCK
from ipaq_index.scan.frame import Frame
from ipaq_index.scan.isa import Avx2, Avx512, Neon, Portable
from ipaq_index.scan.packed import QUAD, Floats, Integers, Meaning, Rows

GROUP, REST = emit_dense.GROUP, emit_dense.REST
DENSE = {Avx512: emit_dense.AVX512, Avx2: emit_dense.AVX2, Neon: emit_dense.NEON}

ALL = np.uint32(0xFFFFFFFF)

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


@inner
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
    weights = recast(frame.tables, np.int8)
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


def plain_products(
    isa: Any,
    levels: npt.NDArray[np.uint8],
    place: int,
    weights: npt.NDArray[np.int8],
    first: int,
    start: npt.NDArray[np.int32],
    sums: npt.NDArray[np.int32],
) -> None:
    """Set ``sums`` of `REST` queries, from the one numbered ``first`` on, for the rows of a block, and do no more.

    Parameters
    ----------
    isa : Isa
    levels : (size, quads, 32, 4) uint8
        Of several blocks; that in ``place`` is meant.
    weights : (quads, nq, 4) int8
    start : (nq,) int32
    sums : (nq, 32) int32
    """
    for g in range(first, first + REST):
        for i in range(BLOCK):
            total = start[g]
            for quad in range(len(weights)):
                for part in range(QUAD):
                    total += np.int32(levels[place, quad, i, part]) * np.int32(weights[quad, g, part])
            sums[g, i] = total


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
            tile.scales[place, i] = scale(rows.side[row], meaning.scale_format)
            if len(rows.bias):
                tile.biases[place, i] = rows.bias[row]
            state = np.int64(rows.side[row]) & ((1 << meaning.scale_format[0]) - 1)
            for n in range(len(meaning.active)):
                _, first, last, _, _ = meaning.active[n]
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
    for j, first, last, _, begin in meaning.active:
        if j >= 0:
            symbol = symbol_of(rows, meaning, row, first, last)
            total += p[j] * meaning.levels[begin + symbol + (symbol & trellis) + (state & 1)]
            state = (state >> 1) ^ (state & 1) * a ^ (symbol & 1) * b
    return total


@inner(forceinline=True)
def counted(words: npt.NDArray[np.uint32], size: int, block: int) -> np.uint32:
    """Return a bit for each row of a block: whether it counts; ``words`` and ``size`` are those of `Rows`."""
    word = words[block] if len(words) else ALL
    left = size - block * BLOCK
    return word & ((np.uint32(1) << np.uint32(left)) - np.uint32(1)) if left < BLOCK else word


@inner
def symbol_of(rows: Rows, meaning: Meaning, row: int, first: int, last: int) -> int:
    """Return the symbol whose pieces are numbered ``first`` to ``last`` - 1."""
    symbol = 0
    for n in range(first, last):
        pair, own = meaning.steps[n, 0], rows.blocks.shape[1]
        part = rows.blocks[row // BLOCK, pair] if pair < own else rows.rest[row // BLOCK, pair - own]
        code = np.int64(part[row % BLOCK])
        symbol |= (code >> meaning.steps[n, 1] & meaning.steps[n, 2]) << meaning.steps[n, 3]
    return symbol


@inner(forceinline=True)
def scale(side: int, scale_format: ScaleFormat) -> np.float32:
    """Return the scale of one row from its side code."""
    state_bits, base, step = scale_format
    code = int(np.int64(side) >> state_bits)
    return as_float(base + step * code if code else 0)


def as_float(bits: int) -> np.float32:
    """Return the float32 of these bits."""
    return np.int32(bits).view(np.float32)


@emitted(as_float)
def _as_float(bits: Any) -> Any:
    def emitted(bits: Any) -> np.float32:
        return emit_float(np.int32(bits))

    return emitted


@intrinsic
def emit_float(_context: Any, bits: Any) -> Any:
    """`as_float` in a register; a view of an array would count references."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@emitted(next_product, forceinline=True)  # called, it takes a fiftieth of a search's time
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


@emitted(plain_products)
def _plain_products(isa: Any, levels: Any, place: Any, weights: Any, first: Any, start: Any, sums: Any) -> Any:
    if isa.instance_class is Portable:
        return plain_products

    def emitted(isa: Any, levels: Any, place: Any, weights: Any, first: Any, start: Any, sums: Any) -> None:
        emit_sums(
            isa,
            levels.ctypes.data + place * levels.strides[0],
            len(weights),
            (weights.ctypes.data + first * QUAD, weights.strides[0]),
            start.ctypes.data + 4 * first,
            sums.ctypes.data + 4 * BLOCK * first,
        )

    return emitted


@intrinsic
def emit_sums(_context: Any, isa: Any, levels: Any, quads: Any, weights: Any, start: Any, sums: Any) -> Any:
    """`plain_products`; arrays as addresses, of weights with the stride from quad to quad."""
    one = types.intp

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        _, levels_, quads_, weights_, start_, sums_ = arguments
        address, stride = cgutils.unpack_tuple(builder, weights_)
        emit_dense.plain_sums(builder, DENSE[isa.instance_class], quads_, levels_, address, stride, start_, sums_)
        return context.get_dummy_value()

    return types.void(isa, one, one, address_types(2), one, one), generate


@emitted(decode)
def _decode(isa: Any, rows: Rows, meaning: Meaning, tile: Tile, count: int) -> Any:
    if isa.instance_class is Portable:
        return decode
    together = max(1, DENSE[isa.instance_class].decoded // BLOCK)

    def emitted(isa: Any, rows: Rows, meaning: Meaning, tile: Tile, count: int) -> None:
        blocks, rest, side, levels, scales = rows.blocks, rows.rest, rows.side, tile.levels, tile.scales
        own = blocks.shape[1]
        skipped = own * BLOCK  # pieces of the second part count pairs from the first on
        arrays = (meaning.steps.ctypes.data, meaning.active.ctypes.data, meaning.bytes.ctypes.data)
        for place in range(0, count, together):
            first, second = tile.blocks[place], tile.blocks[min(place + together, count) - 1]
            codes = (blocks.ctypes.data + first * blocks.strides[0], blocks.ctypes.data + second * blocks.strides[0])
            behind = (
                rest.ctypes.data + first * rest.strides[0] - skipped,
                rest.ctypes.data + second * rest.strides[0] - skipped,
            )
            sides = (
                side.ctypes.data + first * BLOCK * side.itemsize,
                side.ctypes.data + second * BLOCK * side.itemsize,
            )
            out = (levels.ctypes.data + place * levels.strides[0], scales.ctypes.data + place * 4 * BLOCK)
            emit_decode(
                isa, side, (codes, behind), own, sides, out, levels.strides[0], arrays, meaning.bytes.strides[0],
                levels.shape[1], meaning.feedback, meaning.scale_format,
            )  # fmt: skip
        if len(rows.bias):
            for place in range(count):
                for i in range(BLOCK):
                    tile.biases[place, i] = rows.bias[tile.blocks[place] * BLOCK + i]

    return emitted


def address_types(count: int) -> Any:
    """Return the type of some addresses."""
    return types.UniTuple(types.intp, count)


@intrinsic
def emit_product(_context: Any, isa: Any, bias: Any, rows: Any, quads: Any, query: Any, queries: Any, out: Any) -> Any:
    """One block of `next_product`; ``rows`` is (levels, scales, biases), ``query`` (weights, start, bars)."""
    signature = types.intp(isa, bias, address_types(3), types.intp, address_types(3), types.intp, address_types(2))

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
    own: Any,
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

    ``codes`` are those of the first part, of ``own`` pairs, and those from which pairs of the second part are counted.
    ``out`` is (levels, scales) of the first, ``stride`` from its levels to the next one's; ``arrays`` is (steps,
    active, bytes) of `Meaning`.
    """
    two, three = address_types(2), address_types(3)
    one = types.intp
    signature = types.void(isa, side, types.UniTuple(two, 2), one, two, two, one, three, one, one, three, three)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        parts, sides_, (levels, scales), (steps, active, tables), feedback_, format_ = (
            cgutils.unpack_tuple(builder, arguments[n]) for n in (2, 4, 5, 7, 10, 11)
        )
        codes_ = list(zip(*(cgutils.unpack_tuple(builder, part) for part in parts), strict=True))
        dense = DENSE[isa.instance_class]
        kind = ir.IntType(side.dtype.bitwidth)
        together = max(1, dense.decoded // BLOCK)
        places = [builder.add(levels, builder.mul(arguments[6], ir.Constant(emit.I64, n))) for n in range(together)]
        emit_dense.decode(
            builder,
            dense,
            kind,
            list(zip(codes_, sides_, places, strict=False)),
            arguments[3],
            steps,
            active,
            (tables, arguments[8]),
            arguments[9],
            feedback_,
            format_,
        )
        for n in range(together):
            row = builder.add(scales, ir.Constant(emit.I64, 4 * BLOCK * n))
            emit_dense.decode_scales(builder, dense, kind, sides_[n], row, format_)
        return context.get_dummy_value()

    return signature, generate
