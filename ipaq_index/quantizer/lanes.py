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
def emit_extend_both(
    _context: Any, cost: Any, other: Any, first: Any, second: Any, joint: Any, turns: Any, states: Any, double: Any
) -> tuple[Any, Any]:
    """Two dimensions of `extend_both`, arrays as addresses."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        cost_, other_, first_, second_, joint_, turns_, states_, double_ = arguments
        kind = ir.FunctionType(COSTS, (COSTS, COSTS))
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.uadd.sat.v{LANES}i8")
        for number in range(2 * SUBSETS):
            u, p, q = number >> 2, number >> 1 & 1, number & 1
            steps = (
                load(builder, COSTS, first_, LANES * (2 * u + p)),
                load(builder, COSTS, second_, LANES * (2 * u + q)),
            )
            store(builder, builder.call(add, steps), joint_, LANES * number)
        row = ir.Constant(I64, LANES)
        with cgutils.for_range(builder, states_, intp=I64) as loop:
            record = builder.mul(loop.index, ir.Constant(I64, 32))
            costs = []
            for u in range(2):
                before, pair = (load(builder, I64, double_, record, 16 * u + 8 * part) for part in range(2))
                steps = load(builder, COSTS, joint_, builder.mul(pair, row))
                costs.append(builder.call(add, (load(builder, COSTS, cost_, builder.mul(before, row)), steps)))
            turn = builder.icmp_unsigned("<", costs[1], costs[0])
            store(builder, builder.select(turn, costs[1], costs[0]), other_, builder.mul(loop.index, row))
            store(builder, builder.bitcast(turn, MASK), turns_, builder.mul(loop.index, ir.Constant(I64, LANES // 8)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 8), generate


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
