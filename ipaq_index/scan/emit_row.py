"""LLVM code for exact sums of 16 rows: plain instructions, on every CPU; levels may be looked up within registers."""

from llvmlite import ir
from numba.core import cgutils

from ipaq_index.scan.emit import BLOCK, I8, I32, I64, Builder, Value, call, floats, ints, load, splat, spread, store
from ipaq_index.scan.emit_dense import ACTIVE_BYTES, STEP_BYTES

FLOAT = ir.FloatType()
TABLE = 32  # levels in two registers
ROWS = 16  # scored together by `totals`


def totals(
    builder: Builder,
    parts: list[tuple[Value, Value]],
    states: Value,
    tile: Value,
    p: Value,
    steps: Value,
    active: tuple[Value, Value],
    levels: Value,
    feedback: list[Value],
    out: Value,
    permuted: bool,
) -> None:
    """Write ``sum_j p_j level_j`` of `ROWS` rows, over dimensions with bits, in their order, a row a lane.

    Their codes are gathered first, so that the misses of all rows overlap, and pieces are cut out of vectors.

    Parameters
    ----------
    parts : list of (address, int)
        Of the rows' first bytes in each part, int64, and the pairs of it.
    states : address
        First states, int32.
    tile : address
        Room for the bytes of all pairs of `ROWS` rows.
    p, steps : address
        Of a query, and of `Meaning`.
    active : (address, int)
        Of `Meaning`, and how many of these there are to read.
    levels : address
        Of `Meaning`.
    feedback : list of int
        Of `Meaning`.
    out : address
        Of the totals, float32.
    permuted : bool
        Whether to look up up to 64 levels in vector registers, as AVX-512 can: 16 loads take five times as long.
    """
    lanes, bytes_ = ints(ROWS), ir.VectorType(I8, ROWS)
    one = ir.Constant(I64, 1)
    place = tile
    for begins, pairs in parts:
        starts = [load(builder, I64, begins, 8 * row) for row in range(ROWS)]
        with cgutils.for_range(builder, pairs) as loop:
            offset, at = (builder.mul(loop.index, ir.Constant(I64, size)) for size in (BLOCK, ROWS))
            for row, begin in enumerate(starts):
                store(builder, load(builder, I8, begin, offset), place, at, row)
        place = builder.add(place, builder.mul(pairs, ir.Constant(I64, ROWS)))

    def filled(value: Value) -> Value:
        return spread(builder, lanes, builder.trunc(value, I32))

    def negative(bits: Value) -> Value:
        return builder.sub(splat(lanes, 0), bits)

    a, b, trellis = (filled(value) for value in feedback)
    now, symbol = cgutils.alloca_once(builder, lanes), cgutils.alloca_once(builder, lanes)
    result = cgutils.alloca_once(builder, floats(ROWS))
    builder.store(load(builder, lanes, states), now)
    builder.store(ir.Constant(floats(ROWS), [0.0] * ROWS), result)
    with cgutils.for_range(builder, active[1]) as loop:
        record = builder.mul(loop.index, ir.Constant(I64, ACTIVE_BYTES))
        j, first, last = (load(builder, I64, active[0], record, 8 * column) for column in range(3))
        builder.store(splat(lanes, 0), symbol)
        with cgutils.for_range_slice(builder, first, last, one, intp=I64) as (step, _):
            at = builder.mul(step, ir.Constant(I64, STEP_BYTES))
            pair, shift, mask, left = (load(builder, I64, steps, at, 8 * column) for column in range(4))
            codes = builder.zext(load(builder, bytes_, tile, builder.mul(pair, ir.Constant(I64, ROWS))), lanes)
            piece = builder.shl(builder.and_(builder.lshr(codes, filled(shift)), filled(mask)), filled(left))
            builder.store(builder.or_(builder.load(symbol), piece), symbol)
        code, before = builder.load(symbol), builder.load(now)
        branch = builder.and_(before, splat(lanes, 1))
        level = builder.add(builder.add(code, builder.and_(code, trellis)), branch)
        after = builder.xor(builder.lshr(before, splat(lanes, 1)), builder.and_(a, negative(branch)))
        fed = builder.and_(b, negative(builder.and_(code, splat(lanes, 1))))
        builder.store(builder.xor(after, fed), now)
        count, begin = (load(builder, I64, active[0], record, 8 * column) for column in (3, 4))
        table = builder.add(levels, builder.shl(begin, ir.Constant(I64, 2)))
        values = cgutils.alloca_once(builder, floats(ROWS))
        if permuted:
            few, more = (builder.icmp_unsigned("<=", count, ir.Constant(I64, n * TABLE)) for n in (1, 2))
            with builder.if_else(more) as (small, large):
                with small:
                    found = _permuted(builder, table, level, 0)
                    builder.store(found, values)
                    with builder.if_then(builder.not_(few)):
                        high = builder.icmp_unsigned(">=", level, splat(lanes, TABLE))
                        builder.store(builder.select(high, _permuted(builder, table, level, TABLE), found), values)
                with large:
                    builder.store(_gathered(builder, table, level), values)
        else:
            builder.store(_gathered(builder, table, level), values)
        weight = spread(builder, floats(ROWS), load(builder, FLOAT, p, builder.shl(j, ir.Constant(I64, 2))))
        builder.store(builder.fadd(builder.load(result), builder.fmul(builder.load(values), weight)), result)
    store(builder, builder.load(result), out)


def _gathered(builder: Builder, table: Value, level: Value) -> Value:
    values = ir.Constant(floats(ROWS), ir.Undefined)
    for row in range(ROWS):
        number = builder.zext(builder.extract_element(level, ir.Constant(I32, row)), I64)
        value = load(builder, FLOAT, table, builder.shl(number, ir.Constant(I64, 2)))
        values = builder.insert_element(values, value, ir.Constant(I32, row))
    return values


def _permuted(builder: Builder, table: Value, level: Value, first: int) -> Value:
    """Look up levels in the 32 from the one numbered ``first`` on; `vpermi2ps` reads five bits of each."""
    halves = [load(builder, floats(ROWS), table, 4 * (first + n)) for n in (0, ROWS)]
    name = "llvm.x86.avx512.vpermi2var.ps.512"
    return call(builder, name, floats(ROWS), halves[0], level, halves[1])
