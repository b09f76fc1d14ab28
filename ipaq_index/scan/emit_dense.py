"""LLVM vector code for many queries: decode rows to bytes once, then multiply them with every query's weights.

The same code for every instruction set, but for the two operations that `Dense` names.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils

from ipaq_index.scan.emit import (
    BLOCK,
    I8,
    I16,
    I32,
    I64,
    V16,
    V32,
    V64,
    Bars,
    Builder,
    Value,
    any_scored,
    broadcast,
    call,
    floats,
    ints,
    load,
    pointer,
    scales,
    scored,
    shuffle,
    splat,
    spread,
    store,
)
from ipaq_index.scan.packed import QUAD

GROUP = 12  # queries multiplied together: 12 x 2 vectors of sums, 2 of levels and one of weights fit 32 registers
REST = 4  # fewer are multiplied in steps of 4: on average 21 queries a list fill 24 places then instead of 27
STEP_BYTES, ACTIVE_BYTES = 4 * 8, 5 * 8  # a row of `Meaning.steps` and of `Meaning.active`


class Dense(NamedTuple):
    """What an instruction set brings.

    Attributes
    ----------
    decoded : int
        Rows decoded together: 64 (two blocks), 32, or 16.
    entries : int
        Bytes of a table that one look-up serves, 64 or 16.
    lookup : callable
        (builder, table, index) -> bytes; the index is below ``entries`` if that is 16, else only its low 6 bits count.
    lanes, vectors : int
        A product takes ``vectors`` vectors of ``lanes`` rows at a time.
    dot : callable
        (builder, sums, levels, weights) -> sums; levels are 0 ... 127, weights -127 ... 127, four of each to a sum.
    """

    decoded: int
    entries: int
    lookup: Callable[[Builder, Value, Value], Value]
    lanes: int
    vectors: int
    dot: Callable[[Builder, Value, Value, Value], Value]


def _permute(builder: Builder, table: Value, index: Value) -> Value:
    return call(builder, "llvm.x86.avx512.permvar.qi.512", V64, table, index)


def _shuffle32(builder: Builder, table: Value, index: Value) -> Value:
    wide = shuffle(builder, table, table, list(range(16)) * 2)
    return call(builder, "llvm.x86.avx2.pshuf.b", V32, wide, index)


def _table16(builder: Builder, table: Value, index: Value) -> Value:
    return call(builder, "llvm.aarch64.neon.tbl1.v16i8", V16, table, index)


def _dot512(builder: Builder, sums: Value, levels: Value, weights: Value) -> Value:
    return call(builder, "llvm.x86.avx512.vpdpbusd.512", sums.type, sums, levels, weights)


def _dot256(builder: Builder, sums: Value, levels: Value, weights: Value) -> Value:
    words = ir.VectorType(I16, 16)
    levels, weights = builder.bitcast(levels, V32), builder.bitcast(weights, V32)
    twos = call(builder, "llvm.x86.avx2.pmadd.ub.sw", words, levels, weights)
    return builder.add(sums, call(builder, "llvm.x86.avx2.pmadd.wd", sums.type, twos, splat(words, 1)))


def _dot128(builder: Builder, sums: Value, levels: Value, weights: Value) -> Value:
    levels, weights = builder.bitcast(levels, V16), builder.bitcast(weights, V16)
    return call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", sums.type, sums, levels, weights)


AVX512 = Dense(64, 64, _permute, 16, 2, _dot512)
AVX2 = Dense(32, 16, _shuffle32, 8, 1, _dot256)
NEON = Dense(16, 16, _table16, 4, 2, _dot128)


def decode(
    builder: Builder,
    dense: Dense,
    kind: Any,
    blocks: list[tuple[tuple[Value, Value], Value, Value]],
    own: Value,
    steps: Value,
    active: Value,
    tables: tuple[Value, Value],
    quads: Value,
    feedback: list[Value],
    scale_format: list[Value],
) -> None:
    """Decode blocks to levels ``[quad][row][dimension of the quad]`` and scales.

    Parameters
    ----------
    kind : IntType
        Of the side codes.
    blocks : list of (codes, side, levels)
        Addresses: two blocks for instruction sets that decode 64 rows together, else one. Codes have two: of pairs
        below ``own``, and of the others.
    own : int
        Pairs of the first part.
    steps, active, tables, quads, feedback, scale_format
        Of `Meaning`; ``tables`` with its stride.
    """
    for part in range(max(1, BLOCK // dense.decoded)):
        _decode_rows(
            builder, dense, kind, blocks, 16 * part, own, steps, active, tables, quads, feedback, scale_format[0]
        )


def _decode_rows(
    builder: Builder,
    dense: Dense,
    kind: Any,
    blocks: list[tuple[tuple[Value, Value], Value, Value]],
    first: int,
    own: Value,
    steps: Value,
    active: Value,
    tables: tuple[Value, Value],
    quads: Value,
    feedback: list[Value],
    state_bits: Value,
) -> None:
    """Decode ``dense.decoded`` rows of the blocks, from the one numbered ``first`` on; see `decode`."""
    bytes_, words = ir.VectorType(I8, dense.decoded), ir.VectorType(I16, dense.decoded // 2)
    rows = min(dense.decoded, BLOCK)
    one = splat(bytes_, 1)

    def joined(parts: list[Value]) -> Value:
        return parts[0] if len(parts) == 1 else shuffle(builder, parts[0], parts[1], list(range(dense.decoded)))

    def shifted(vector: Value, by: Value, left: bool = False) -> Value:
        amount = spread(builder, words, builder.trunc(by, I16))
        vector = builder.bitcast(vector, words)
        return builder.bitcast(builder.shl(vector, amount) if left else builder.lshr(vector, amount), bytes_)

    def filled(value: Value) -> Value:
        return spread(builder, bytes_, builder.trunc(value, I8))

    def negative(bits: Value) -> Value:
        return builder.sub(splat(bytes_, 0), bits)

    a, b, trellis = (filled(value) for value in feedback)
    nothing = ir.Constant(I64, 0)
    per_segment = ir.Constant(I64, {64: 6, 16: 4}[dense.entries])
    segment_shift = builder.sub(
        per_segment, builder.zext(builder.icmp_unsigned("!=", feedback[2], nothing), I64)
    )  # of a symbol, which stands for one level or two
    in_segment = splat(bytes_, (0xFF << {64: 6, 16: 4}[dense.entries] & 0xFF ^ 0xFF) & 0xFF)
    low_state = builder.sub(builder.shl(ir.Constant(I64, 1), state_bits), ir.Constant(I64, 1))
    sides = [
        builder.trunc(
            load(builder, ir.VectorType(kind, rows), block[1], first * kind.width // 8), ir.VectorType(I8, rows)
        )
        if kind.width > 8
        else load(builder, ir.VectorType(kind, rows), block[1], first)
        for block in blocks
    ]
    state = cgutils.alloca_once(builder, bytes_)
    builder.store(builder.and_(joined(sides), filled(low_state)), state)
    code = cgutils.alloca_once(builder, bytes_)
    value = cgutils.alloca_once(builder, bytes_)

    with cgutils.for_range(builder, quads) as loop:
        levels = []
        for place in range(QUAD):
            number = builder.add(builder.mul(loop.index, ir.Constant(I64, QUAD)), ir.Constant(I64, place))
            record = builder.mul(number, ir.Constant(I64, ACTIVE_BYTES))
            begin, end, count = (load(builder, I64, active, record, 8 * column) for column in (1, 2, 3))
            builder.store(splat(bytes_, 0), code)
            with cgutils.for_range_slice(builder, begin, end, ir.Constant(I64, 1), intp=I64) as (step, _):
                at = builder.mul(step, ir.Constant(I64, STEP_BYTES))
                pair, shift, mask, left = (load(builder, I64, steps, at, 8 * column) for column in range(4))
                offset = builder.mul(pair, ir.Constant(I64, BLOCK))
                here = builder.icmp_unsigned("<", pair, own)
                codes = [builder.select(here, *block[0]) for block in blocks]
                both = joined([load(builder, ir.VectorType(I8, rows), part, offset, first) for part in codes])
                piece = builder.and_(shifted(both, shift), filled(mask))
                builder.store(builder.or_(builder.load(code), shifted(piece, left, left=True)), code)
            symbol, now = builder.load(code), builder.load(state)
            branch = builder.and_(now, one)
            level = builder.add(builder.add(symbol, builder.and_(symbol, trellis)), branch)
            after = builder.and_(shifted(now, ir.Constant(I64, 1)), splat(bytes_, 0x7F))
            after = builder.xor(after, builder.and_(a, negative(branch)))
            after = builder.xor(after, builder.and_(b, negative(builder.and_(symbol, one))))
            used = builder.icmp_unsigned("!=", begin, end)
            builder.store(builder.select(used, after, now), state)
            table = builder.add(tables[0], builder.mul(number, tables[1]))
            index = builder.and_(level, in_segment)
            kind_ = ir.VectorType(I8, dense.entries)
            builder.store(dense.lookup(builder, load(builder, kind_, table), index), value)
            segments = builder.lshr(builder.add(count, ir.Constant(I64, dense.entries - 1)), per_segment)
            with cgutils.for_range_slice(builder, ir.Constant(I64, 1), segments, ir.Constant(I64, 1), intp=I64) as (
                segment,
                _,
            ):
                # Symbols are below 256, whose high bits a shift of words would mix with the next byte's low ones.
                high = builder.and_(
                    shifted(symbol, segment_shift),
                    filled(builder.lshr(ir.Constant(I64, 0xFF), segment_shift)),
                )
                found = dense.lookup(builder, load(builder, kind_, table, builder.shl(segment, per_segment)), index)
                here = builder.icmp_unsigned("==", high, filled(segment))
                builder.store(builder.select(here, found, builder.load(value)), value)
            levels.append(builder.load(value))
        quad_bytes = builder.mul(loop.index, ir.Constant(I64, QUAD * BLOCK))
        for number, part in enumerate(_interleaved(builder, levels)):
            row = number * dense.decoded // QUAD
            block = blocks[row // BLOCK]
            store(builder, part, block[2], quad_bytes, QUAD * (row % BLOCK + first))


def _interleaved(builder: Builder, levels: list[Value]) -> list[Value]:
    """Turn 4 vectors of rows into vectors of 4 bytes a row, in the order of rows."""
    lanes = levels[0].type.count

    def zipped(first: Value, second: Value, size: int) -> list[Value]:
        kind = ir.VectorType(ir.IntType(8 * size), lanes // size)
        first, second = builder.bitcast(first, kind), builder.bitcast(second, kind)
        order = [i + kind.count * which for i in range(kind.count) for which in range(2)]
        return [shuffle(builder, first, second, half) for half in (order[: kind.count], order[kind.count :])]

    low, high = zipped(levels[0], levels[1], 1), zipped(levels[2], levels[3], 1)
    return [part for pair in zip(low, high, strict=True) for part in zipped(*pair, 2)]


def decode_scales(
    builder: Builder, dense: Dense, kind: Any, side: Value, out: Value, scale_format: list[Value]
) -> None:
    """Write the scales of a block's rows."""
    for first in range(0, BLOCK, dense.lanes):
        store(builder, scales(builder, kind, side, dense.lanes, scale_format, first), out, 4 * first)


def products(
    builder: Builder,
    dense: Dense,
    levels: Value,
    weights: Value,
    quads: Value,
    queries: Value,
    start: Value,
    row_scales: Value,
    biases: Value | None,
    bars: Bars,
    out: list[Value],
) -> Value:
    """Multiply a decoded block with a group of queries and compare scores with floors.

    Bits and sums are written of queries with a score that is not below their floor; of these, bits of all rows.

    Parameters
    ----------
    levels, weights : address
        ``[quad][row][4]`` and ``[quad][query][4]`` bytes.
    quads : int
    queries : int
        How many the group has, at most `GROUP`: beyond the next multiple of `REST` none is looked at.
    start : address
        Where each query's sums begin, int32.
    row_scales, biases : address
        Of the block's rows, float32.
    bars : Bars
        Of the queries.
    out : list
        Addresses of sums and bits.

    Returns
    -------
    i64
        Bit g is set where a score of query g is not below its floor.
    """
    found = cgutils.alloca_once_value(builder, ir.Constant(I64, 0))

    def multiply(begin: int, end: int) -> None:
        arrays = levels, weights, start, row_scales, biases
        for first in range(0, BLOCK, dense.lanes * dense.vectors):
            _products(builder, dense, range(begin, end), first, quads, arrays, bars, out, found)

    whole = builder.icmp_signed(">", queries, ir.Constant(I64, GROUP - REST))
    with builder.if_else(whole) as (all_of_them, some):
        with all_of_them:
            multiply(0, GROUP)
        with some:
            for begin in range(0, GROUP - REST, REST):
                with builder.if_then(builder.icmp_signed(">", queries, ir.Constant(I64, begin))):
                    multiply(begin, begin + REST)
    return builder.load(found)


def _products(
    builder: Builder,
    dense: Dense,
    group: range,
    first: int,
    quads: Value,
    arrays: tuple[Value, Value, Value, Value, Value | None],
    bars: Bars,
    out: list[Value],
    found: Value,
) -> None:
    """Do it for some queries and for the rows of a block from the one numbered ``first`` on."""
    lanes, vectors = dense.lanes, dense.vectors
    levels, weights, start, row_scales, biases = arrays
    sums = add_products(builder, dense, group, ir.Constant(I64, QUAD * GROUP), first, quads, levels, weights, start)
    rows = [first + lanes * v for v in range(vectors)]
    of_rows = [load(builder, floats(lanes), row_scales, 4 * row) for row in rows]
    added = None if biases is None else [load(builder, floats(lanes), biases, 4 * row) for row in rows]
    for g, query in zip(group, sums, strict=True):
        _compare(builder, g, query, first, of_rows, added, bars, out, found)


def add_products(
    builder: Builder,
    dense: Dense,
    group: range,
    stride: Value,
    first: int,
    quads: Value,
    levels: Value,
    weights: Value,
    start: Value,
) -> list[list[Value]]:
    """Return sums of some queries, as ``dense.vectors`` vectors of rows.

    ``stride`` is the number of bytes from one quad's weights to the next one's, ``first`` that of the first row; the
    others are as in `products`.
    """
    lanes, vectors = dense.lanes, dense.vectors
    slots = [[cgutils.alloca_once(builder, ints(lanes)) for _ in range(vectors)] for _ in group]
    for g, query in zip(group, slots, strict=True):
        for slot in query:
            builder.store(broadcast(builder, ints(lanes), start, 4 * g), slot)
    with cgutils.for_range(builder, quads) as loop:
        at = builder.mul(loop.index, ir.Constant(I64, QUAD * BLOCK))
        own = builder.mul(loop.index, stride)
        parts = [load(builder, ints(lanes), levels, at, QUAD * (first + lanes * v)) for v in range(vectors)]
        for g, query in zip(group, slots, strict=True):
            element = builder.load(pointer(builder, I32, weights, own, QUAD * g), align=4)
            weight = spread(builder, ints(lanes), element)
            for slot, part in zip(query, parts, strict=True):
                builder.store(dense.dot(builder, builder.load(slot), part, weight), slot)
    return [[builder.load(slot) for slot in query] for query in slots]


def plain_sums(
    builder: Builder, dense: Dense, quads: Value, levels: Value, weights: Value, stride: Value, start: Value, out: Value
) -> None:
    """Write sums of `REST` queries for the 32 rows of a block, ``[query][row]`` int32; see `add_products`."""
    lanes = dense.lanes
    for first in range(0, BLOCK, lanes * dense.vectors):
        sums = add_products(builder, dense, range(REST), stride, first, quads, levels, weights, start)
        for g, query in enumerate(sums):
            for v, part in enumerate(query):
                store(builder, part, out, 4 * (BLOCK * g + first + lanes * v))


def _compare(
    builder: Builder,
    g: int,
    sums: list[Value],
    first: int,
    row_scales: list[Value],
    biases: list[Value] | None,
    bars: Bars,
    out: list[Value],
    found: Value,
) -> None:
    """Compare the scores of query ``g`` with its floor.

    Lists bring three promising rows to 384 products: query by query there is less to write, and sums need not stay in
    registers beside scores.
    """
    lanes = sums[0].type.count
    mask = ir.IntType(lanes)
    with builder.if_then(any_scored(builder, g, sums, row_scales, biases, bars), likely=False):
        above = scored(builder, g, sums, row_scales, biases, bars)
        rows = ir.IntType(lanes * len(sums))
        bits = ir.Constant(rows, 0)
        for number, (part, signs) in enumerate(zip(sums, above, strict=True)):
            builder.store(part, pointer(builder, part.type, out[0], 4 * (BLOCK * g + first + lanes * number)), align=4)
            wide = builder.bitcast(signs, mask)
            wide = builder.zext(wide, rows) if len(sums) > 1 else wide
            bits = builder.or_(bits, builder.shl(wide, ir.Constant(rows, lanes * number)))
        builder.store(bits, pointer(builder, rows, out[1], 4 * g + first // 8), align=1)
        builder.store(builder.or_(builder.load(found), ir.Constant(I64, 1 << g)), found)
