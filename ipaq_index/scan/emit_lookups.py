"""LLVM vector code for one query: look up its 8-bit tables by nibble, one function an instruction set.

Arrays come as addresses; tables lie as ``[quad][low, high nibble][pair of the quad][16]`` bytes.
"""

from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils

from ipaq_index.scan.emit import (
    BLOCK,
    I16,
    I64,
    V16,
    V32,
    V64,
    Builder,
    Value,
    broadcast,
    call,
    ints,
    load,
    shuffle,
    splat,
)
from ipaq_index.scan.packed import QUAD

WORDS, INTEGERS = ir.VectorType(I16, 16), ints(16)
QUAD_BYTES = QUAD * BLOCK  # codes of a quad of pairs, and also its tables: 4 pairs x 2 nibbles x 16 entries
FLUSH = 256  # pairs whose look-ups fit 16-bit sums: 256 x 255 < 2^16

Sums = list[Value]  # of rows 0 to 15 and 16 to 31


def avx512(builder: Builder, codes: Value, luts: Value, pairs: Value, start: Value) -> Sums:
    """Four pairs at a time: `vpermb` looks up 16 rows x 4 pairs in a 64-byte table, `vpdpbusd` adds the four.

    Codes come pair by pair (32 bytes each); two byte shuffles put the four pairs of a row side by side. The pair's
    place is put above its nibble, so that one table serves all four. 64 look-ups take two instructions.
    """
    totals = _starts(builder, start)
    place = ir.Constant(V64, [(lane % QUAD) << 4 for lane in range(64)])
    ones, nibble, four = splat(INTEGERS, 0x01010101), splat(V64, 15), splat(INTEGERS, 4)

    def quad(first: Value, second: Value, offset: Value) -> None:
        tables = [load(builder, V64, luts, offset, 64 * part) for part in range(2)]
        for half, slot in enumerate(totals):
            order = [(lane % QUAD) * BLOCK + 16 * half + lane // QUAD for lane in range(64)]
            rows = shuffle(builder, first, second, order)
            high = builder.bitcast(builder.lshr(builder.bitcast(rows, INTEGERS), four), V64)
            low, high = (
                call(
                    builder,
                    "llvm.x86.avx512.permvar.qi.512",
                    V64,
                    table,
                    builder.or_(builder.and_(part, nibble), place),
                )
                for table, part in zip(tables, (rows, high), strict=True)
            )
            both = builder.bitcast(builder.add(low, high), INTEGERS)
            builder.store(call(builder, "llvm.x86.avx512.vpdpbusd.512", INTEGERS, builder.load(slot), both, ones), slot)

    whole = builder.udiv(pairs, ir.Constant(I64, QUAD))
    with cgutils.for_range(builder, whole) as loop:
        offset = builder.mul(loop.index, ir.Constant(I64, QUAD_BYTES))
        quad(load(builder, V64, codes, offset), load(builder, V64, codes, offset, 64), offset)
    # One to three pairs are left: nothing behind them is read, their missing neighbours are zeros.
    offset = builder.mul(whole, ir.Constant(I64, QUAD_BYTES))
    rest = builder.urem(pairs, ir.Constant(I64, QUAD))
    for left in range(1, QUAD):
        with builder.if_then(builder.icmp_unsigned("==", rest, ir.Constant(I64, left))):
            quad(*_partial(builder, codes, offset, left), offset)
    return [builder.load(slot) for slot in totals]


def _partial(builder: Builder, codes: Value, offset: Value, pairs: int) -> tuple[Value, Value]:
    """Load 1 to 3 pairs of codes into two vectors of two pairs each, zeros where there are none."""

    def one(at: int) -> Value:
        return shuffle(builder, load(builder, V32, codes, offset, at), splat(V32, 0), list(range(64)))

    if pairs == 1:
        return one(0), splat(V64, 0)
    return load(builder, V64, codes, offset), (one(64) if pairs == 3 else splat(V64, 0))


def avx2(builder: Builder, codes: Value, luts: Value, pairs: Value, start: Value) -> Sums:
    """One pair at a time: `vpshufb` looks up 32 rows.

    16-bit sums: one of whole words, where the odd bytes stand 256 times too high, and one of the odd bytes alone, which
    sets the first right at the end. That saves masking the even bytes at every look-up.
    """
    eight, four, nibble = splat(WORDS, 8), splat(WORDS, 4), splat(V32, 15)

    def step(totals: list[Value], offset: Value, table: Callable[[int], Value]) -> None:
        both = load(builder, V32, codes, offset)
        low = builder.and_(both, nibble)
        high = builder.and_(builder.bitcast(builder.lshr(builder.bitcast(both, WORDS), four), V32), nibble)
        found = []
        for part, index in enumerate((low, high)):
            narrow = table(part)
            wide = shuffle(builder, narrow, narrow, list(range(16)) * 2)
            found.append(call(builder, "llvm.x86.avx2.pshuf.b", V32, wide, index))
        both_found = builder.bitcast(builder.add(*found), WORDS)
        even, odd = totals
        builder.store(builder.add(builder.load(even), both_found), even)
        builder.store(builder.add(builder.load(odd), builder.lshr(both_found, eight)), odd)

    def rows(totals: list[Value]) -> Value:
        odd = builder.load(totals[1])
        even = builder.sub(builder.load(totals[0]), builder.shl(odd, eight))
        return shuffle(builder, even, odd, [half * 16 + i for i in range(16) for half in range(2)])

    return _in_words(builder, luts, pairs, start, step, rows)


def neon(builder: Builder, codes: Value, luts: Value, pairs: Value, start: Value) -> Sums:
    """One pair at a time: `tbl` looks up 16 rows, `uaddw` adds them to 16-bit sums."""
    nibble, four = splat(V16, 15), splat(V16, 4)

    def step(totals: list[Value], offset: Value, table: Callable[[int], Value]) -> None:
        for side, slot in enumerate(totals):
            both = load(builder, V16, codes, offset, 16 * side)
            low, high = (
                call(builder, "llvm.aarch64.neon.tbl1.v16i8", V16, table(part), index)
                for part, index in enumerate((builder.and_(both, nibble), builder.lshr(both, four)))
            )
            builder.store(builder.add(builder.load(slot), builder.zext(builder.add(low, high), WORDS)), slot)

    def rows(totals: list[Value]) -> Value:
        return shuffle(builder, builder.load(totals[0]), builder.load(totals[1]), list(range(32)))

    return _in_words(builder, luts, pairs, start, step, rows)


def _in_words(
    builder: Builder,
    luts: Value,
    pairs: Value,
    start: Value,
    step: Callable[[list[Value], Value, Callable[[int], Value]], None],
    rows: Callable[[list[Value]], Value],
) -> Sums:
    """Loop over pairs with 16-bit sums, emptied into 32-bit ones every `FLUSH` pairs.

    ``step`` adds one pair's look-ups to the two vectors of 16-bit sums; ``rows`` returns the 32 sums in order.
    """
    sums = _starts(builder, start)
    totals = [cgutils.alloca_once(builder, WORDS) for _ in range(2)]
    flush = ir.Constant(I64, FLUSH)
    rounds = builder.udiv(builder.add(pairs, ir.Constant(I64, FLUSH - 1)), flush)
    with cgutils.for_range(builder, rounds) as outer:
        for slot in totals:
            builder.store(splat(WORDS, 0), slot)
        first = builder.mul(outer.index, flush)
        left = builder.sub(pairs, first)
        count = builder.select(builder.icmp_unsigned("<", left, flush), left, flush)
        with cgutils.for_range(builder, count) as inner:
            pair = builder.add(first, inner.index)
            quad = builder.udiv(pair, ir.Constant(I64, QUAD))
            place = builder.urem(pair, ir.Constant(I64, QUAD))
            at = builder.add(builder.mul(quad, ir.Constant(I64, QUAD_BYTES)), builder.mul(place, ir.Constant(I64, 16)))

            def table(part: int, at: Value = at) -> Value:
                return load(builder, V16, luts, at, 64 * part)

            step(totals, builder.mul(pair, ir.Constant(I64, BLOCK)), table)
        both = rows(totals)
        for half, slot in enumerate(sums):
            part = builder.zext(shuffle(builder, both, both, list(range(16 * half, 16 * half + 16))), INTEGERS)
            builder.store(builder.add(builder.load(slot), part), slot)
    return [builder.load(slot) for slot in sums]


def _starts(builder: Builder, start: Value) -> list[Value]:
    """Return two slots that hold the start, and which LLVM turns into registers."""
    slots = [cgutils.alloca_once(builder, INTEGERS) for _ in range(2)]
    for slot in slots:
        builder.store(broadcast(builder, INTEGERS, start, 0), slot)
    return slots
