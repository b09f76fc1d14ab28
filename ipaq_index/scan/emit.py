"""LLVM vector code for the inner loop of the scan, one function an instruction set.

Arrays come as addresses; `ipaq_index.scan.block` says what they hold.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
V16, V32, V64 = (ir.VectorType(I8, lanes) for lanes in (16, 32, 64))
WORDS = ir.VectorType(I16, 16)
INTEGERS, FLOATS, BOOLS = (ir.VectorType(kind, 16) for kind in (I32, ir.FloatType(), ir.IntType(1)))
BLOCK = 32
QUAD = 4  # pairs of nibbles whose tables lie together
QUAD_BYTES = QUAD * BLOCK  # codes of a quad, and also its tables: 4 pairs x 2 nibbles x 16 entries
FLUSH = 256  # pairs whose look-ups fit 16-bit sums: 256 x 255 < 2^16

Builder = Any  # llvmlite ships no types
Value = Any
Halves = list[tuple[Value, Value]]  # each query's sums of rows 0 to 15 and 16 to 31


def scales(builder: Builder, kind: Any, side: Value, scale_format: list[Value]) -> list[Value]:
    """Decode the scales of a block's rows 0 to 15 and 16 to 31."""
    state_bits, base, step = (_spread(builder, INTEGERS, builder.trunc(value, I32)) for value in scale_format)
    decoded = []
    for half in range(2):
        codes = builder.zext(_load(builder, kind, side, half * 2 * kind.element.width), INTEGERS)
        codes = builder.lshr(codes, state_bits)
        bits = builder.add(base, builder.mul(step, codes))
        nothing = _splat(INTEGERS, 0)
        bits = builder.select(builder.icmp_unsigned("==", codes, nothing), nothing, bits)
        decoded.append(builder.bitcast(bits, FLOATS))
    return decoded


def compare(
    builder: Builder,
    halves: Halves,
    floors: Value,
    scales: list[Value],
    bias: tuple[Value, Value] | None,
    out: list[Value],
) -> Value:
    """Compare scaled sums with floors; where one is above, write all sums and bits."""
    sums, above = out
    found = _splat(BOOLS, 0)
    bits: list[list[Value]] = []
    for g, pair in enumerate(halves):
        bits.append([])
        for number, half in enumerate(pair):
            floor = _broadcast(builder, FLOATS, floors, 4 * g)
            if bias is not None:
                row_bias = _load(builder, FLOATS, bias[0], 64 * number)
                floor = builder.fsub(floor, builder.fmul(row_bias, _broadcast(builder, FLOATS, bias[1], 4 * g)))
            scaled = builder.fmul(scales[number], builder.sitofp(half, FLOATS))
            bits[g].append(builder.fcmp_ordered(">", scaled, floor))
            found = builder.or_(found, bits[g][number])
    any_above = builder.icmp_unsigned("!=", builder.bitcast(found, I16), ir.Constant(I16, 0))
    with builder.if_then(any_above, likely=False):
        for g, pair in enumerate(halves):
            for number, half in enumerate(pair):
                builder.store(half, _pointer(builder, INTEGERS, sums, 128 * g + 64 * number), align=4)
            low, high = (builder.zext(builder.bitcast(half, I16), I32) for half in bits[g])
            mask = builder.or_(low, builder.shl(high, ir.Constant(I32, 16)))
            builder.store(mask, _pointer(builder, I32, above, 4 * g), align=4)
    return any_above


def _broadcast(builder: Builder, vector: Any, base: Value, offset: int) -> Value:
    """Load one element into all lanes."""
    return _spread(builder, vector, builder.load(_pointer(builder, vector.element, base, offset), align=4))


def _spread(builder: Builder, vector: Any, element: Value) -> Value:
    """Put one element into all lanes."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), element, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, first, _splat(INTEGERS, 0))


def _load(builder: Builder, vector: Any, base: Value, *offsets: Value | int) -> Value:
    """Load a vector from byte address ``base`` + the sum of ``offsets``."""
    return builder.load(_pointer(builder, vector, base, *offsets), align=1)


def _pointer(builder: Builder, vector: Any, base: Value, *offsets: Value | int) -> Value:
    start = builder.inttoptr(base, I8.as_pointer())
    for offset in offsets:
        start = builder.gep(start, [ir.Constant(I64, offset) if isinstance(offset, int) else offset])
    return builder.bitcast(start, vector.as_pointer())


def _splat(vector: Any, value: int) -> Value:
    return ir.Constant(vector, [value] * vector.count)


def _call(builder: Builder, name: str, result: Any, *arguments: Value) -> Value:
    function = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def avx512(
    builder: Builder, queries: int, codes: Value, luts: Value, quads: Value, pairs: Value, start: Value
) -> Halves:
    """Four pairs at a time: `vpermb` looks up 16 rows x 4 pairs in a 64-byte table, `vpdpbusd` adds the four.

    Codes come pair by pair (32 bytes each); two byte shuffles put the four pairs of a row side by side. The pair's
    place is put above its nibble, so that one table serves all four. 64 look-ups take two instructions a query.
    """
    totals = _starts(builder, queries, start)
    place = ir.Constant(V64, [(lane % QUAD) << 4 for lane in range(64)])
    ones, nibble, four = _splat(V64, 1), _splat(V64, 15), _splat(INTEGERS, 4)
    stride = builder.mul(quads, ir.Constant(I64, QUAD_BYTES))

    def quad(first: Value, second: Value, offset: Value) -> None:
        indices = []
        for half in range(2):
            order = [(lane % QUAD) * BLOCK + 16 * half + lane // QUAD for lane in range(64)]
            rows = builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(I32, 64), order))
            high = builder.bitcast(builder.lshr(builder.bitcast(rows, INTEGERS), four), V64)
            indices.append([builder.or_(builder.and_(part, nibble), place) for part in (rows, high)])
        for g in range(queries):
            start = builder.mul(stride, ir.Constant(I64, g))
            tables = [_load(builder, V64, luts, start, offset, 64 * part) for part in range(2)]
            for half in range(2):
                low, high = (
                    _call(builder, "llvm.x86.avx512.permvar.qi.512", V64, table, index)
                    for table, index in zip(tables, indices[half], strict=True)
                )
                slot = totals[2 * g + half]
                builder.store(_dot(builder, builder.load(slot), builder.add(low, high), ones), slot)

    whole = builder.udiv(pairs, ir.Constant(I64, QUAD))
    with cgutils.for_range(builder, whole) as loop:
        offset = builder.mul(loop.index, ir.Constant(I64, QUAD_BYTES))
        quad(_load(builder, V64, codes, offset), _load(builder, V64, codes, offset, 64), offset)
    # One to three pairs are left: nothing behind them is read, their missing neighbours are zeros.
    offset = builder.mul(whole, ir.Constant(I64, QUAD_BYTES))
    rest = builder.urem(pairs, ir.Constant(I64, QUAD))
    for left in range(1, QUAD):
        with builder.if_then(builder.icmp_unsigned("==", rest, ir.Constant(I64, left))):
            quad(*_partial(builder, codes, offset, left), offset)
    return _by_query(builder, totals)


def _dot(builder: Builder, total: Value, found: Value, ones: Value) -> Value:
    """Add four neighbouring unsigned bytes to each 32-bit sum."""
    words = [builder.bitcast(v, total.type) for v in (found, ones)]
    return _call(builder, "llvm.x86.avx512.vpdpbusd.512", total.type, total, *words)


def _partial(builder: Builder, codes: Value, offset: Value, pairs: int) -> tuple[Value, Value]:
    """Load 1 to 3 pairs of codes into two vectors of two pairs each, zeros where there are none."""
    widen = ir.Constant(ir.VectorType(I32, 64), list(range(64)))
    nothing = _splat(V32, 0)

    def one(at: int) -> Value:
        return builder.shuffle_vector(_load(builder, V32, codes, offset, at), nothing, widen)

    if pairs == 1:
        return one(0), _splat(V64, 0)
    return _load(builder, V64, codes, offset), (one(64) if pairs == 3 else _splat(V64, 0))


def avx2(builder: Builder, queries: int, codes: Value, luts: Value, quads: Value, pairs: Value, start: Value) -> Halves:
    """One pair at a time: `vpshufb` looks up 32 rows.

    16-bit sums: one of whole words, where the odd bytes stand 256 times too high, and one of the odd bytes alone, which
    sets the first right at the end. That saves masking the even bytes at every look-up.
    """
    twice = ir.Constant(ir.VectorType(I32, 32), list(range(16)) * 2)
    eight, four, nibble = _splat(WORDS, 8), _splat(WORDS, 4), _splat(V32, 15)

    def step(totals: list[Value], offset: Value, tables: Callable[[int, int], Value]) -> None:
        both = _load(builder, V32, codes, offset)
        low = builder.and_(both, nibble)
        high = builder.and_(builder.bitcast(builder.lshr(builder.bitcast(both, WORDS), four), V32), nibble)
        for g in range(queries):
            found = []
            for part, index in enumerate((low, high)):
                table = tables(g, part)
                wide = builder.shuffle_vector(table, table, twice)
                found.append(_call(builder, "llvm.x86.avx2.pshuf.b", V32, wide, index))
            both_found = builder.bitcast(builder.add(*found), WORDS)
            even, odd = totals[2 * g], totals[2 * g + 1]
            builder.store(builder.add(builder.load(even), both_found), even)
            builder.store(builder.add(builder.load(odd), builder.lshr(both_found, eight)), odd)

    def rows(totals: list[Value], g: int) -> Value:
        odd = builder.load(totals[2 * g + 1])
        even = builder.sub(builder.load(totals[2 * g]), builder.shl(odd, eight))
        order = ir.Constant(ir.VectorType(I32, 32), [half * 16 + i for i in range(16) for half in range(2)])
        return builder.shuffle_vector(even, odd, order)

    return _in_words(builder, queries, (luts, quads, pairs, start), step, rows)


def neon(builder: Builder, queries: int, codes: Value, luts: Value, quads: Value, pairs: Value, start: Value) -> Halves:
    """One pair at a time: `tbl` looks up 16 rows, `uaddw` adds them to 16-bit sums."""
    nibble, four = _splat(V16, 15), _splat(V16, 4)

    def step(totals: list[Value], offset: Value, tables: Callable[[int, int], Value]) -> None:
        for side in range(2):
            both = _load(builder, V16, codes, offset, 16 * side)
            indices = (builder.and_(both, nibble), builder.lshr(both, four))
            for g in range(queries):
                low, high = (
                    _call(builder, "llvm.aarch64.neon.tbl1.v16i8", V16, tables(g, part), index)
                    for part, index in enumerate(indices)
                )
                slot = totals[2 * g + side]
                builder.store(builder.add(builder.load(slot), builder.zext(builder.add(low, high), WORDS)), slot)

    def rows(totals: list[Value], g: int) -> Value:
        order = ir.Constant(ir.VectorType(I32, 32), list(range(32)))
        return builder.shuffle_vector(builder.load(totals[2 * g]), builder.load(totals[2 * g + 1]), order)

    return _in_words(builder, queries, (luts, quads, pairs, start), step, rows)


def _in_words(
    builder: Builder,
    queries: int,
    arguments: tuple[Value, Value, Value, Value],
    step: Callable[[list[Value], Value, Callable[[int, int], Value]], None],
    rows: Callable[[list[Value], int], Value],
) -> Halves:
    """Loop over pairs with 16-bit sums, emptied into 32-bit ones every `FLUSH` pairs.

    Parameters
    ----------
    arguments : tuple
        luts, quads, pairs, start, as in `avx512`.
    step, rows : callables
        Add one pair's look-ups to the 16-bit sums (two vectors a query); return a query's 32 sums in the order of rows.
    """
    luts, quads, pairs, start = arguments
    stride = builder.mul(quads, ir.Constant(I64, QUAD_BYTES))
    sums = _starts(builder, queries, start)
    totals = [cgutils.alloca_once(builder, WORDS) for _ in range(2 * queries)]
    flush = ir.Constant(I64, FLUSH)
    rounds = builder.udiv(builder.add(pairs, ir.Constant(I64, FLUSH - 1)), flush)
    with cgutils.for_range(builder, rounds) as outer:
        for slot in totals:
            builder.store(_splat(WORDS, 0), slot)
        first = builder.mul(outer.index, flush)
        left = builder.sub(pairs, first)
        count = builder.select(builder.icmp_unsigned("<", left, flush), left, flush)
        with cgutils.for_range(builder, count) as inner:
            pair = builder.add(first, inner.index)
            quad = builder.udiv(pair, ir.Constant(I64, QUAD))
            place = builder.urem(pair, ir.Constant(I64, QUAD))
            at = builder.add(builder.mul(quad, ir.Constant(I64, QUAD_BYTES)), builder.mul(place, ir.Constant(I64, 16)))

            def tables(g: int, part: int, at: Value = at) -> Value:
                return _load(builder, V16, luts, builder.mul(stride, ir.Constant(I64, g)), at, 64 * part)

            step(totals, builder.mul(pair, ir.Constant(I64, BLOCK)), tables)
        for g in range(queries):
            both = rows(totals, g)
            for half in range(2):
                order = ir.Constant(INTEGERS, list(range(16 * half, 16 * half + 16)))
                part = builder.zext(builder.shuffle_vector(both, both, order), INTEGERS)
                builder.store(builder.add(builder.load(sums[2 * g + half]), part), sums[2 * g + half])
    return _by_query(builder, sums)


def _starts(builder: Builder, queries: int, start: Value) -> list[Value]:
    """Return two slots a query that hold its start, and which LLVM turns into registers."""
    slots = []
    for g in range(queries):
        value = _broadcast(builder, INTEGERS, start, 4 * g)
        for _ in range(2):
            slot = cgutils.alloca_once(builder, INTEGERS)
            builder.store(value, slot)
            slots.append(slot)
    return slots


def _by_query(builder: Builder, slots: list[Value]) -> Halves:
    """Load the slots, two a query."""
    return [(builder.load(slots[i]), builder.load(slots[i + 1])) for i in range(0, len(slots), 2)]
