"""LLVM vector code for one query: look up its 8-bit tables by nibble, one function an instruction set.

Arrays come as addresses; tables lie as ``[pair][low, high nibble][four times the same][16]`` bytes. Two blocks are
looked up together, so that tables are loaded for both. Sums are 16-bit: `ipaq_index.scan.frame.fill_lookups` makes
tables whose sums fit.
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
    call,
    fetch,
    load,
    shuffle,
    splat,
    spread,
)

WORDS, ROWS = ir.VectorType(I16, 16), ir.VectorType(I16, 32)
TABLE = 64  # bytes
BAR_BITS = 5  # of side choose a bar
SHARED = 4  # pairs whose look-ups add up as bytes

Sums = list[Value]  # of two blocks, <32 x i16> each


def avx512(builder: Builder, codes: list[Value], luts: Value, pairs: Value) -> Sums:
    """One pair of 64 rows at a time: `vpermb` looks up 64 nibbles.

    It reads six bits of each byte: the table stands there four times, so the two above the nibble need no masking.
    Look-ups of `SHARED` pairs are added up as bytes, then in 16 bits as in `avx2`.
    """
    eight, four = splat(ROWS, 8), splat(ROWS, 4)
    even, odd = (cgutils.alloca_once(builder, ROWS) for _ in range(2))
    for slot in (even, odd):
        builder.store(splat(ROWS, 0), slot)

    def found(pair: Value) -> Value:
        at, tables = (builder.mul(pair, ir.Constant(I64, size)) for size in (BLOCK, 2 * TABLE))
        first, second = (load(builder, V32, block, at) for block in codes)
        both = shuffle(builder, first, second, list(range(64)))
        high = builder.bitcast(builder.lshr(builder.bitcast(both, ROWS), four), V64)
        name, values = "llvm.x86.avx512.permvar.qi.512", []
        for part, index in enumerate((both, high)):
            values.append(call(builder, name, V64, load(builder, V64, luts, tables, part * TABLE), index))
        return builder.add(*values)

    def flush(total: Value) -> None:
        words = builder.bitcast(total, ROWS)
        builder.store(builder.add(builder.load(even), words), even)
        builder.store(builder.add(builder.load(odd), builder.lshr(words, eight)), odd)

    shared = ir.Constant(I64, SHARED)
    groups = builder.udiv(pairs, shared)
    with cgutils.for_range(builder, groups) as loop:
        first = builder.mul(loop.index, shared)
        ahead = builder.mul(builder.add(first, shared), ir.Constant(I64, BLOCK))
        for block in codes:  # a fifth faster from memory: CPUs do not look ahead across pages, where two streams end
            fetch(builder, builder.add(block, ahead))
        total = found(first)
        for n in range(1, SHARED):
            total = builder.add(total, found(builder.add(first, ir.Constant(I64, n))))
        flush(total)
    begin = builder.mul(groups, shared)
    with cgutils.for_range_slice(builder, begin, pairs, ir.Constant(I64, 1), intp=I64) as (pair, _):
        flush(found(pair))
    high = builder.load(odd)
    low = builder.sub(builder.load(even), builder.shl(high, eight))
    return [shuffle(builder, low, high, [32 * n + i for i in range(m, m + 16) for n in range(2)]) for m in (0, 16)]


def avx2(builder: Builder, codes: list[Value], luts: Value, pairs: Value) -> Sums:
    """One pair at a time: `vpshufb` looks up 32 nibbles.

    16-bit sums: one of whole words, where the odd bytes stand 256 times too high, and one of the odd bytes alone, which
    sets the first right at the end. That saves masking the even bytes at every look-up.
    """
    eight, four, nibble = splat(WORDS, 8), splat(WORDS, 4), splat(V32, 15)

    def step(totals: list[Value], code: Value, tables: list[Value]) -> None:
        both = load(builder, V32, code)
        low = builder.and_(both, nibble)
        high = builder.and_(builder.bitcast(builder.lshr(builder.bitcast(both, WORDS), four), V32), nibble)
        found = []
        for table, index in zip(tables, (low, high), strict=True):
            found.append(call(builder, "llvm.x86.avx2.pshuf.b", V32, load(builder, V32, table), index))
        both_found = builder.bitcast(builder.add(*found), WORDS)
        even, odd = totals
        builder.store(builder.add(builder.load(even), both_found), even)
        builder.store(builder.add(builder.load(odd), builder.lshr(both_found, eight)), odd)

    sums = []
    for even, odd in _by_pairs(builder, codes, luts, pairs, step):
        low = builder.sub(even, builder.shl(odd, eight))
        sums.append(shuffle(builder, low, odd, [half * 16 + i for i in range(16) for half in range(2)]))
    return sums


def neon(builder: Builder, codes: list[Value], luts: Value, pairs: Value) -> Sums:
    """One pair at a time: `tbl` looks up 16 rows, `uaddw` adds them to 16-bit sums."""
    nibble, four = splat(V16, 15), splat(V16, 4)

    def step(totals: list[Value], code: Value, tables: list[Value]) -> None:
        for side, slot in enumerate(totals):
            both = load(builder, V16, code, 16 * side)
            low, high = (
                call(builder, "llvm.aarch64.neon.tbl1.v16i8", V16, load(builder, V16, table), index)
                for table, index in zip(tables, (builder.and_(both, nibble), builder.lshr(both, four)), strict=True)
            )
            builder.store(builder.add(builder.load(slot), builder.zext(builder.add(low, high), WORDS)), slot)

    halves = _by_pairs(builder, codes, luts, pairs, step)
    return [shuffle(builder, low, high, list(range(BLOCK))) for low, high in halves]


def _by_pairs(
    builder: Builder,
    codes: list[Value],
    luts: Value,
    pairs: Value,
    step: Callable[[list[Value], Value, list[Value]], None],
) -> list[list[Value]]:
    """Loop over pairs and blocks; ``step`` adds look-ups to the block's two vectors of sums, which are returned.

    It is given these, and the addresses of the pair's codes and tables.
    """
    totals = [[cgutils.alloca_once(builder, WORDS) for _ in range(2)] for _ in codes]
    for slot in (slot for slots in totals for slot in slots):
        builder.store(splat(WORDS, 0), slot)
    with cgutils.for_range(builder, pairs) as loop:
        at, first = (builder.mul(loop.index, ir.Constant(I64, size)) for size in (BLOCK, 2 * TABLE))
        tables = [builder.add(luts, builder.add(first, ir.Constant(I64, part * TABLE))) for part in range(2)]
        for slots, block in zip(totals, codes, strict=True):
            step(slots, builder.add(block, at), tables)
    return [[builder.load(slot) for slot in slots] for slots in totals]


def reached(builder: Builder, sums: Value, kind: ir.IntType, side: Value, bars: Value) -> Value:
    """Return <32 x i1>: for which rows ``sums + (slope * side >> 16)`` is not below the bar of their side; AVX-512.

    Six instructions in place of the thirty that scores take, and nearly all rows fail; see `ipaq_index.scan.bars`.

    Parameters
    ----------
    sums : <32 x i16>
        Of look-ups.
    kind : integer type
        Of side.
    side : address
        Of the rows' sides; they are shifted up to 16 bits.
    bars : address
        Of the bars by the high bits of side, and the slope; 16-bit.
    """
    sides = load(builder, ir.VectorType(kind, BLOCK), side)
    if kind.width < 16:
        sides = builder.shl(builder.zext(sides, ROWS), splat(ROWS, 16 - kind.width))
    place = builder.lshr(sides, splat(ROWS, 16 - BAR_BITS))
    bar = call(builder, "llvm.x86.avx512.permvar.hi.512", ROWS, load(builder, ROWS, bars), place)
    slope = spread(builder, ROWS, load(builder, I16, bars, 2 << BAR_BITS))
    product = call(builder, "llvm.x86.avx512.pmulhu.w.512", ROWS, sides, slope)
    return builder.icmp_unsigned(">=", call(builder, "llvm.uadd.sat.v32i16", ROWS, sums, product), bar)
