"""LLVM vector code for the inner loops of the encoders: 32 vectors side by side.

Plain LLVM without a CPU's own instructions: the code generator makes one register of AVX2 of 32 bytes or two of NEON,
as the host has them. numba's own loop vectoriser cannot pack comparisons into bits, and those bits are what keeps the
paths of 256 states within the second-level cache. float32 are taken 16 at a time, so that what a loop holds fits the
registers of AVX2.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 32
WIDTH = 16  # float32 taken at a time
SUBSETS = 4
CHOICES = 8  # symbols of four bits, of one low bit
ROW = 4 * LANES  # bytes of a float32 for each lane
SHORT_ROW = 2 * LANES  # bytes of a uint16 for each lane

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT = ir.FloatType()
FLOATS, LONGS, INTEGERS, SHORTS, BYTES = (ir.VectorType(kind, WIDTH) for kind in (FLOAT, I64, I32, I16, I8))
COSTS, MASK = ir.VectorType(I8, LANES), ir.IntType(LANES)

Builder = Any  # llvmlite ships no types
Value = Any


@intrinsic
def emit_quantize(
    _context: Any, unit: Any, stretch: Any, levels: Any, boundaries: Any, count: Any, rank: Any, sums: Any
) -> tuple[Any, Any]:
    """One dimension of `quantize`, arrays as addresses; ``sums`` is that of (2, 32) float32."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, stretch_, levels_, boundaries_, count_, rank_, sums_ = arguments
        parts = range(LANES // WIDTH)
        vectors = [load(builder, FLOATS, unit_, 4 * WIDTH * part) for part in parts]
        values = [builder.fmul(load(builder, FLOATS, stretch_, 4 * WIDTH * part), vectors[part]) for part in parts]
        first = spread(builder, FLOATS, load(builder, FLOAT, levels_))
        level = [cgutils.alloca_once_value(builder, first) for _ in parts]
        number = [cgutils.alloca_once_value(builder, ir.Constant(INTEGERS, [0] * WIDTH)) for _ in parts]
        with cgutils.for_range(builder, count_, intp=I64) as loop:
            place = builder.mul(loop.index, ir.Constant(I64, 4))
            boundary = spread(builder, FLOATS, load(builder, FLOAT, boundaries_, place))
            above = spread(builder, FLOATS, load(builder, FLOAT, levels_, place, 4))
            for part in parts:
                beyond = builder.fcmp_ordered(">", values[part], boundary)
                builder.store(builder.select(beyond, above, builder.load(level[part])), level[part])
                _count(builder, beyond, number[part])
        for part in parts:
            z, at = builder.load(level[part]), 4 * WIDTH * part
            for factor, place in ((vectors[part], at), (z, ROW + at)):
                total = builder.fadd(load(builder, FLOATS, sums_, place), builder.fmul(factor, z))
                store(builder, total, sums_, place)
            store(builder, builder.trunc(builder.load(number[part]), BYTES), rank_, WIDTH * part)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), generate


@intrinsic
def emit_steps(
    _context: Any,
    unit: Any,
    stretch: Any,
    levels: Any,
    middles: Any,
    quads: Any,
    unit_cost: Any,
    most: Any,
    rank: Any,
    step: Any,
) -> tuple[Any, Any]:
    """One dimension of `steps`, arrays as addresses; ``quads`` counts the middles of one subset.

    ``unit_cost`` and ``most`` are the addresses of one float32 each.
    """

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, stretch_, levels_, middles_, quads_, unit_cost_, most_, rank_, step_ = arguments
        factor, limit = (spread(builder, FLOATS, load(builder, FLOAT, one)) for one in (unit_cost_, most_))
        rounding = ir.Constant(FLOATS, [0.5] * WIDTH)
        for part in range(LANES // WIDTH):
            at = 4 * WIDTH * part
            y = builder.fmul(load(builder, FLOATS, stretch_, at), load(builder, FLOATS, unit_, at))
            level = [
                cgutils.alloca_once_value(builder, spread(builder, FLOATS, load(builder, FLOAT, levels_, 4 * q)))
                for q in range(SUBSETS)
            ]
            number = cgutils.alloca_once_value(builder, ir.Constant(INTEGERS, [0] * WIDTH))
            with cgutils.for_range(builder, quads_, intp=I64) as loop:
                place = builder.mul(loop.index, ir.Constant(I64, 4 * SUBSETS))
                for q in range(SUBSETS):
                    middle = spread(builder, FLOATS, load(builder, FLOAT, middles_, place, 4 * q))
                    above = spread(builder, FLOATS, load(builder, FLOAT, levels_, place, 4 * (SUBSETS + q)))
                    beyond = builder.fcmp_ordered(">", y, middle)
                    builder.store(builder.select(beyond, above, builder.load(level[q])), level[q])
                    _count(builder, beyond, number)
            errors = [builder.fsub(y, builder.load(one)) for one in level]
            squares = [builder.fmul(error, error) for error in errors]
            least = squares[0]
            for other in squares[1:]:
                least = builder.select(builder.fcmp_ordered("<", other, least), other, least)
            for q, one in enumerate(squares):
                value = builder.fadd(builder.fmul(builder.fsub(one, least), factor), rounding)
                value = builder.select(builder.fcmp_ordered("<", value, limit), value, limit)
                units = builder.trunc(builder.fptosi(value, INTEGERS), BYTES)
                store(builder, units, step_, LANES * q + WIDTH * part)
            store(builder, builder.trunc(builder.load(number), SHORTS), rank_, 2 * WIDTH * part)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 9), generate


def _count(builder: Builder, held: Value, number: Value) -> None:
    """Add 1 to the counters of lanes in which a comparison held."""
    builder.store(builder.sub(builder.load(number), builder.sext(held, INTEGERS)), number)


@intrinsic
def emit_read(
    _context: Any, unit: Any, levels: Any, rank: Any, subset: Any, symbols: Any, sums: Any
) -> tuple[Any, Any]:
    """One dimension of `read`, arrays as addresses.

    The levels are gathered by one instruction where there is such a one: loop by loop that takes half the time of what
    numba makes of the twin.
    """

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, levels_, rank_, subset_, symbols_, sums_ = arguments
        pointers = ir.VectorType(FLOAT.as_pointer(), WIDTH)
        held = ir.VectorType(ir.IntType(1), WIDTH)
        kind = ir.FunctionType(FLOATS, (pointers, I32, held, FLOATS))
        gather = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.gather.v{WIDTH}f32.v{WIDTH}p0")
        every, nothing = ir.Constant(held, [1] * WIDTH), ir.Constant(FLOATS, [0.0] * WIDTH)
        one, two, last = (ir.Constant(INTEGERS, [number] * WIDTH) for number in (1, 2, SUBSETS - 1))
        first = spread(builder, LONGS, levels_)
        for part in range(LANES // WIDTH):
            at = 4 * WIDTH * part
            q = load(builder, INTEGERS, subset_, at)
            passed = builder.zext(load(builder, SHORTS, rank_, 2 * WIDTH * part), INTEGERS)
            inner = builder.lshr(builder.sub(builder.add(passed, last), q), two)
            symbol = builder.add(builder.shl(inner, one), builder.lshr(q, one))
            store(builder, builder.trunc(symbol, BYTES), symbols_, WIDTH * part)
            level = builder.shl(builder.add(builder.shl(inner, two), q), two)  # four of a subset, four bytes each
            places = builder.inttoptr(builder.add(builder.zext(level, LONGS), first), pointers)
            z = builder.call(gather, (places, ir.Constant(I32, 4), every, nothing))
            for factor, place in ((load(builder, FLOATS, unit_, at), at), (z, ROW + at)):
                total = builder.fadd(load(builder, FLOATS, sums_, place), builder.fmul(factor, z))
                store(builder, total, sums_, place)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), generate


@intrinsic
def emit_beyond(_context: Any, unit: Any, low: Any, high: Any, dims: Any, inverse: Any, pull: Any) -> tuple[Any, Any]:
    """`beyond` for half of the lanes, arrays as addresses."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, low_, high_, dims_, inverse_, pull_ = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(FLOATS, [0.0] * WIDTH))
        factor = load(builder, FLOATS, inverse_)
        with cgutils.for_range(builder, dims_, intp=I64) as loop:
            value = load(builder, FLOATS, unit_, builder.mul(loop.index, ir.Constant(I64, ROW)))
            place = builder.mul(loop.index, ir.Constant(I64, 4))
            least = builder.fmul(spread(builder, FLOATS, load(builder, FLOAT, low_, place)), factor)
            most = builder.fmul(spread(builder, FLOATS, load(builder, FLOAT, high_, place)), factor)
            kept = builder.select(builder.fcmp_ordered(">", value, least), value, least)
            kept = builder.select(builder.fcmp_ordered("<", kept, most), kept, most)
            pull = builder.fmul(builder.fsub(value, kept), kept)
            builder.store(builder.fadd(builder.load(total), pull), total)
        store(builder, builder.load(total), pull_)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), generate


@intrinsic
def emit_lower(_context: Any, cost: Any, states: Any, least: Any) -> tuple[Any, Any]:
    """`lower`, arrays as addresses."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        cost_, states_, least_ = arguments
        row = ir.Constant(I64, LANES)
        smallest = cgutils.alloca_once_value(builder, load(builder, COSTS, cost_))
        with cgutils.for_range(builder, states_, intp=I64) as loop:
            here, kept = load(builder, COSTS, cost_, builder.mul(loop.index, row)), builder.load(smallest)
            builder.store(builder.select(builder.icmp_unsigned("<", here, kept), here, kept), smallest)
        store(builder, builder.load(smallest), least_)
        with cgutils.for_range(builder, states_, intp=I64) as loop:
            place = builder.mul(loop.index, row)
            store(builder, builder.sub(load(builder, COSTS, cost_, place), builder.load(smallest)), cost_, place)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 3), generate


@intrinsic
def emit_extend(
    _context: Any, cost: Any, other: Any, distance: Any, turns: Any, states: Any, feedback: Any, tap: Any, split: Any
) -> tuple[Any, Any]:
    """One dimension of `extend`, arrays as addresses; ``split`` is the highest bit of ``tap``.

    States a and a ^ tap (of one ``z``) have the same two predecessors, so both are done at once: two loads of costs,
    four sums, two comparisons.
    """

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        cost_, other_, distance_, turns_, states_, feedback_, tap_, split_ = arguments
        kind = ir.FunctionType(COSTS, (COSTS, COSTS))
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.uadd.sat.v{LANES}i8")
        step = [load(builder, COSTS, distance_, LANES * q) for q in range(SUBSETS)]
        one, row = ir.Constant(I64, 1), ir.Constant(I64, LANES)
        quarter = builder.lshr(states_, ir.Constant(I64, 2))
        below = builder.sub(split_, one)
        # Places of states in bytes, so that little is left to do beside the vectors: with 256 states half of the time
        # went into addresses.
        tap, feedback = builder.mul(tap_, row), builder.mul(feedback_, row)
        with cgutils.for_range(builder, quarter, intp=I64) as loop:
            # Half the states but the bit `split`: a is always without it, its twin with it.
            low = builder.and_(loop.index, below)
            a = builder.mul(builder.or_(low, builder.shl(builder.xor(loop.index, low), one)), row)
            pair = (a, builder.xor(a, tap))
            doubled = [builder.shl(place, one) for place in pair]
            for z in range(2):
                places = [builder.xor(place, feedback) if z else place for place in pair]
                before = [load(builder, COSTS, cost_, place, LANES * z) for place in doubled]
                for place, (by0, by1) in zip(places, (before, before[::-1]), strict=True):
                    cost0, cost1 = builder.call(add, (by0, step[z])), builder.call(add, (by1, step[2 + z]))
                    turn = builder.icmp_unsigned("<", cost1, cost0)
                    store(builder, builder.select(turn, cost1, cost0), other_, place)
                    store(builder, builder.bitcast(turn, MASK), turns_, builder.lshr(place, ir.Constant(I64, 3)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 8), generate


@intrinsic
def emit_joint(
    _context: Any,
    unit: Any,
    stretch: Any,
    levels: Any,
    width: Any,
    size: Any,
    bits: Any,
    limits: Any,
    sums: Any,
    best: Any,
    costs: Any,
    picks: Any,
) -> tuple[Any, Any]:
    """The work of `joint_costs`, arrays as addresses; ``width`` is the bytes of a level set.

    Squared distances are not negative, so their order is that of their bits.
    """

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, stretch_, levels_, width_, size_, bits_, limits_, sums_, best_, costs_, picks_ = arguments
        zero, one, row = (ir.Constant(I64, number) for number in (0, 1, ROW))
        mask = ir.Constant(INTEGERS, [-CHOICES] * WIDTH)
        lowest, rounding = ir.Constant(INTEGERS, [CHOICES - 1] * WIDTH), ir.Constant(FLOATS, [0.5] * WIDTH)
        # Sums of the first half of the dimensions and of the others, by symbol and parities: together they fit the
        # first-level cache. Each kind is then done with at once.
        others = builder.lshr(size_, one)
        sides = [builder.sub(size_, others), others]
        ways = [builder.shl(one, side) for side in sides]
        half = builder.shl(one, size_)
        kinds, count = builder.shl(half, one), builder.shl(one, bits_)
        unit_cost, most = (spread(builder, FLOATS, load(builder, FLOAT, limits_, 4 * number)) for number in (0, 1))
        far = ir.Constant(INTEGERS, [(1 << 31) - 1] * WIDTH)
        begins = [sums_, builder.add(sums_, builder.mul(builder.mul(ways[0], count), ir.Constant(I64, 4 * WIDTH)))]
        strides = [builder.mul(way, ir.Constant(I64, 4 * WIDTH)) for way in ways]
        small = builder.icmp_unsigned("==", bits_, one)
        for part in range(LANES // WIDTH):
            at = 4 * WIDTH * part
            factor = load(builder, FLOATS, stretch_, at)
            with cgutils.for_range(builder, count, intp=I64) as symbol:
                first = zero
                for begin, stride, side in zip(begins, strides, sides, strict=True):
                    table = builder.add(begin, builder.mul(symbol.index, stride))
                    _parities(builder, unit_, levels_, width_, symbol.index, first, side, factor, at, table)
                    first = side
            for branch in (0, 1):
                with builder.if_else(small) as (one_symbol, eight):
                    for choices, case in ((1, one_symbol), (CHOICES, eight)):
                        with case:
                            _least(builder, begins, strides, ways, branch, choices, mask, best_, at, half)
            smallest = cgutils.alloca_once_value(builder, far)
            with cgutils.for_range(builder, kinds, intp=I64) as loop:
                found, known = load(builder, INTEGERS, best_, builder.mul(loop.index, row), at), builder.load(smallest)
                builder.store(builder.select(builder.icmp_signed("<", found, known), found, known), smallest)
            least = builder.bitcast(builder.and_(builder.load(smallest), mask), FLOATS)
            with cgutils.for_range(builder, kinds, intp=I64) as loop:
                found = load(builder, INTEGERS, best_, builder.mul(loop.index, row), at)
                error = builder.bitcast(builder.and_(found, mask), FLOATS)
                value = builder.fadd(builder.fmul(builder.fsub(error, least), unit_cost), rounding)
                value = builder.select(builder.fcmp_ordered("<", value, most), value, most)
                place = builder.add(builder.mul(loop.index, ir.Constant(I64, LANES)), ir.Constant(I64, WIDTH * part))
                store(builder, builder.trunc(builder.fptosi(value, INTEGERS), BYTES), costs_, place)
                branch = builder.select(builder.icmp_unsigned(">=", loop.index, half), one, zero)
                twice = builder.shl(builder.and_(found, lowest), ir.Constant(INTEGERS, [1] * WIDTH))
                symbols = builder.or_(twice, spread(builder, INTEGERS, builder.trunc(branch, I32)))
                store(builder, builder.trunc(symbols, BYTES), picks_, place)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 11), generate


def _parities(
    builder: Builder,
    unit: Value,
    levels: Value,
    width: Value,
    symbol: Value,
    first: Value,
    size: Value,
    factor: Value,
    at: int,
    table: Value,
) -> None:
    """Fill ``table`` with squared distances to a symbol, by parities, over ``size`` dimensions from ``first`` on."""
    one, entry = ir.Constant(I64, 1), ir.Constant(I64, 4 * WIDTH)
    store(builder, ir.Constant(FLOATS, [0.0] * WIDTH), table)
    with cgutils.for_range(builder, size, intp=I64) as member:
        j = builder.add(first, member.index)
        y = builder.fmul(factor, load(builder, FLOATS, unit, builder.mul(j, ir.Constant(I64, ROW)), at))
        place, squares = builder.add(builder.mul(j, width), builder.shl(symbol, ir.Constant(I64, 3))), []
        for parity in (0, 1):
            error = builder.fsub(y, spread(builder, FLOATS, load(builder, FLOAT, levels, place, 4 * parity)))
            squares.append(builder.fmul(error, error))
        count = builder.shl(one, member.index)
        with cgutils.for_range(builder, count, intp=I64) as loop:
            # From the last on, so that none is lost.
            here = builder.mul(builder.sub(builder.sub(count, one), loop.index), entry)
            before, twice = load(builder, FLOATS, table, here), builder.shl(here, one)
            store(builder, builder.fadd(before, squares[1]), table, twice, 4 * WIDTH)
            store(builder, builder.fadd(before, squares[0]), table, twice)


def _least(
    builder: Builder,
    tables: list[Value],
    strides: list[Value],
    ways: list[Value],
    branch: int,
    choices: int,
    mask: Value,
    best: Value,
    at: int,
    half: Value,
) -> None:
    """Fill ``best`` for one low bit, with the least over as many symbols."""
    entry, row = ir.Constant(I64, 4 * WIDTH), ir.Constant(I64, ROW)
    places = [
        [builder.add(table, builder.mul(stride, ir.Constant(I64, 2 * h + branch))) for h in range(choices)]
        for table, stride in zip(tables, strides, strict=True)
    ]
    with cgutils.for_range(builder, ways[0], intp=I64) as outer:
        firsts = [load(builder, FLOATS, place, builder.mul(outer.index, entry)) for place in places[0]]
        begin = builder.mul(outer.index, ways[1])
        begin = builder.add(begin, half) if branch else begin
        with cgutils.for_range(builder, ways[1], intp=I64) as loop:
            here, least = builder.mul(loop.index, entry), None
            for h, (first, place) in enumerate(zip(firsts, places[1], strict=True)):
                total = builder.bitcast(builder.fadd(first, load(builder, FLOATS, place, here)), INTEGERS)
                found = builder.or_(builder.and_(total, mask), ir.Constant(INTEGERS, [h] * WIDTH))
                less = None if least is None else builder.icmp_signed("<", found, least)
                least = found if less is None else builder.select(less, found, least)
            store(builder, least, best, builder.mul(builder.add(begin, loop.index), row), at)


@intrinsic
def emit_extend_joint(
    _context: Any, cost: Any, other: Any, joint: Any, turns: Any, states: Any, ways: Any
) -> tuple[Any, Any]:
    """One step of `extend_joint`, arrays as addresses."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        cost_, other_, joint_, turns_, states_, ways_ = arguments
        kind = ir.FunctionType(COSTS, (COSTS, COSTS))
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.uadd.sat.v{LANES}i8")
        row = ir.Constant(I64, LANES)
        with cgutils.for_range(builder, states_, intp=I64) as loop:
            record = builder.mul(loop.index, ir.Constant(I64, 32))
            costs = []
            for u in range(2):
                before, number = (load(builder, I64, ways_, record, 16 * u + 8 * part) for part in range(2))
                step = load(builder, COSTS, joint_, builder.mul(number, row))
                costs.append(builder.call(add, (load(builder, COSTS, cost_, builder.mul(before, row)), step)))
            turn = builder.icmp_unsigned("<", costs[1], costs[0])
            store(builder, builder.select(turn, costs[1], costs[0]), other_, builder.mul(loop.index, row))
            store(builder, builder.bitcast(turn, MASK), turns_, builder.mul(loop.index, ir.Constant(I64, LANES // 8)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), generate


def _pointer(builder: Builder, kind: Any, base: Value, *offsets: Value | int) -> Value:
    start = builder.inttoptr(base, I8.as_pointer())
    for offset in offsets:
        start = builder.gep(start, [ir.Constant(I64, offset) if isinstance(offset, int) else offset])
    return builder.bitcast(start, kind.as_pointer())


def load(builder: Builder, kind: Any, base: Value, *offsets: Value | int) -> Value:
    return builder.load(_pointer(builder, kind, base, *offsets), align=1)


def store(builder: Builder, value: Value, base: Value, *offsets: Value | int) -> None:
    builder.store(value, _pointer(builder, value.type, base, *offsets), align=1)


def spread(builder: Builder, vector: Any, element: Value) -> Value:
    """Put one element into all lanes."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), element, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count))
