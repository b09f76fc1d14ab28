"""LLVM vector code for one query: look up its 8-bit tables by nibble, one function an instruction set.

Arrays come as addresses; tables lie as ``[pair][low, high nibble][four times the same][16]`` bytes. Two blocks are
looked up together, so that tables are loaded for both. Sums are 16-bit: `ipaq_index.scan.frame.fill_lookups` makes
tables whose sums fit.
"""

from collections.abc import Callable
from typing import NamedTuple

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


class Pairs(NamedTuple):
    """Pairs of nibbles of two blocks.

    Attributes
    ----------
    read : callable
        From a pair's number to its bytes, in as many vectors as they fill. Called in order, once for each.
    ahead : callable
        From a pair's number to addresses that are worth fetching some time before.
    count : int
        How many there are.
    """

    read: Callable[[Value], list[Value]]
    ahead: Callable[[Value], list[Value]]
    count: Value


def avx512(builder: Builder, pairs: Pairs, luts: Value) -> Sums:
    """One pair of 64 rows at a time: `vpermb` looks up 64 nibbles.

    It reads six bits of each byte: the table stands there four times, so the two above the nibble need no masking.
    Look-ups of `SHARED` pairs are added up as bytes, then in 16 bits as in `avx2`.
    """
    eight, four = splat(ROWS, 8), splat(ROWS, 4)
    even, odd = (cgutils.alloca_once(builder, ROWS) for _ in range(2))
    for slot in (even, odd):
        builder.store(splat(ROWS, 0), slot)

    def found(pair: Value) -> Value:
        tables = builder.mul(pair, ir.Constant(I64, 2 * TABLE))
        (both,) = pairs.read(pair)
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
    groups = builder.udiv(pairs.count, shared)
    with cgutils.for_range(builder, groups) as loop:
        first = builder.mul(loop.index, shared)
        # A fifth faster from memory: CPUs do not look ahead across pages, where two streams end.
        for address in pairs.ahead(builder.add(first, shared)):
            fetch(builder, address)
        total = found(first)
        for n in range(1, SHARED):
            total = builder.add(total, found(builder.add(first, ir.Constant(I64, n))))
        flush(total)
    begin = builder.mul(groups, shared)
    with cgutils.for_range_slice(builder, begin, pairs.count, ir.Constant(I64, 1), intp=I64) as (pair, _):
        flush(found(pair))
    high = builder.load(odd)
    low = builder.sub(builder.load(even), builder.shl(high, eight))
    return [shuffle(builder, low, high, [32 * n + i for i in range(m, m + 16) for n in range(2)]) for m in (0, 16)]


def avx2(builder: Builder, pairs: Pairs, luts: Value) -> Sums:
    """One pair at a time: `vpshufb` looks up 32 nibbles.

    16-bit sums: one of whole words, where the odd bytes stand 256 times too high, and one of the odd bytes alone, which
    sets the first right at the end. That saves masking the even bytes at every look-up.
    """
    eight, four, nibble = splat(WORDS, 8), splat(WORDS, 4), splat(V32, 15)

    def step(totals: list[Value], both: Value, tables: list[Value]) -> None:
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
    for even, odd in _by_pairs(builder, pairs, luts, (2, 2), step):
        low = builder.sub(even, builder.shl(odd, eight))
        sums.append(shuffle(builder, low, odd, [half * 16 + i for i in range(16) for half in range(2)]))
    return sums


def neon(builder: Builder, pairs: Pairs, luts: Value) -> Sums:
    """One pair at a time: `tbl` looks up 16 rows, `uaddw` adds them to 16-bit sums."""
    nibble, four = splat(V16, 15), splat(V16, 4)

    def step(totals: list[Value], both: Value, tables: list[Value]) -> None:
        low, high = (
            call(builder, "llvm.aarch64.neon.tbl1.v16i8", V16, load(builder, V16, table), index)
            for table, index in zip(tables, (builder.and_(both, nibble), builder.lshr(both, four)), strict=True)
        )
        (slot,) = totals
        builder.store(builder.add(builder.load(slot), builder.zext(builder.add(low, high), WORDS)), slot)

    quarters = [total for (total,) in _by_pairs(builder, pairs, luts, (4, 1), step)]
    return [
        shuffle(builder, low, high, list(range(BLOCK))) for low, high in zip(quarters[::2], quarters[1::2], strict=True)
    ]


def _by_pairs(
    builder: Builder,
    pairs: Pairs,
    luts: Value,
    shape: tuple[int, int],
    step: Callable[[list[Value], Value, list[Value]], None],
) -> list[list[Value]]:
    """Loop over pairs; ``step`` adds look-ups to vectors of sums, which are returned.

    It is given the sums of a vector of bytes, these, and the addresses of the pair's tables. ``shape`` says how many
    vectors there are, and vectors of sums for each.
    """
    totals = [[cgutils.alloca_once(builder, WORDS) for _ in range(shape[1])] for _ in range(shape[0])]
    for slot in (slot for slots in totals for slot in slots):
        builder.store(splat(WORDS, 0), slot)
    with cgutils.for_range(builder, pairs.count) as loop:
        first = builder.mul(loop.index, ir.Constant(I64, 2 * TABLE))
        tables = [builder.add(luts, builder.add(first, ir.Constant(I64, part * TABLE))) for part in range(2)]
        for slots, codes in zip(totals, pairs.read(loop.index), strict=True):
            step(slots, codes, tables)
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
