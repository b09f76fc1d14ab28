"""LLVM vector code for the inner loops of the encoders: 32 vectors side by side.

Plain LLVM without a CPU's own instructions: the code generator makes one AVX-512 register of 32 uint16, two of AVX2 or
four of NEON, as the host has them. numba's own loop vectoriser cannot pack comparisons into bits, and those bits are
what keeps the paths of 256 states within the second-level cache. float32 are taken 16 at a time, so that what a loop
holds fits the registers of AVX2.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 32
HALF = LANES // 2  # float32 taken at a time
SUBSETS = 4
ROW = 4 * LANES  # bytes of 32 float32
SHORT_ROW = 2 * LANES  # bytes of 32 uint16

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT = ir.FloatType()
FLOATS, INTEGERS = (ir.VectorType(kind, HALF) for kind in (FLOAT, I32))
SHORTS = ir.VectorType(I16, LANES)

Builder = Any  # llvmlite ships no types
Value = Any


@intrinsic
def emit_quantize(
    _context: Any, unit: Any, stretch: Any, levels: Any, boundaries: Any, count: Any, rank: Any, sums: Any
) -> tuple[Any, Any]:
    """One dimension of `quantize`, arrays as addresses; ``sums`` is that of (2, 32) float32."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, stretch_, levels_, boundaries_, count_, rank_, sums_ = arguments
        vectors = [load(builder, FLOATS, unit_, at) for at in (0, ROW // 2)]
        values = [builder.fmul(load(builder, FLOATS, stretch_, h * ROW // 2), vectors[h]) for h in range(2)]
        first = spread(builder, FLOATS, load(builder, FLOAT, levels_))
        level = [cgutils.alloca_once_value(builder, first) for _ in range(2)]
        number = [cgutils.alloca_once_value(builder, ir.Constant(INTEGERS, [0] * HALF)) for _ in range(2)]
        with cgutils.for_range(builder, count_, intp=I64) as loop:
            place = builder.mul(loop.index, ir.Constant(I64, 4))
            boundary = spread(builder, FLOATS, load(builder, FLOAT, boundaries_, place))
            above = spread(builder, FLOATS, load(builder, FLOAT, levels_, place, 4))
            for h in range(2):
                beyond = builder.fcmp_ordered(">", values[h], boundary)
                builder.store(builder.select(beyond, above, builder.load(level[h])), level[h])
                _count(builder, beyond, number[h])
        for h in range(2):
            z, at = builder.load(level[h]), h * ROW // 2
            for factor, place in ((vectors[h], at), (z, ROW + at)):
                total = builder.fadd(load(builder, FLOATS, sums_, place), builder.fmul(factor, z))
                store(builder, total, sums_, place)
            store(builder, builder.trunc(builder.load(number[h]), ir.VectorType(I8, HALF)), rank_, h * HALF)
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
    scale: Any,
    rank: Any,
    step: Any,
) -> tuple[Any, Any]:
    """One dimension of `steps`, arrays as addresses; ``quads`` counts the middles of one subset."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, stretch_, levels_, middles_, quads_, scale_, rank_, step_ = arguments
        factor, limit = (spread(builder, FLOATS, load(builder, FLOAT, scale_, at)) for at in (0, 4))
        rounding = ir.Constant(FLOATS, [0.5] * HALF)
        for h in range(2):
            at = h * ROW // 2
            y = builder.fmul(load(builder, FLOATS, stretch_, at), load(builder, FLOATS, unit_, at))
            level = [
                cgutils.alloca_once_value(builder, spread(builder, FLOATS, load(builder, FLOAT, levels_, 4 * q)))
                for q in range(SUBSETS)
            ]
            number = cgutils.alloca_once_value(builder, ir.Constant(INTEGERS, [0] * HALF))
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
                units = builder.trunc(builder.fptosi(value, INTEGERS), ir.VectorType(I16, HALF))
                store(builder, units, step_, SHORT_ROW * q + h * SHORT_ROW // 2)
            passed = builder.trunc(builder.load(number), ir.VectorType(I16, HALF))
            store(builder, passed, rank_, h * SHORT_ROW // 2)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 8), generate


def _count(builder: Builder, held: Value, number: Value) -> None:
    """Add 1 to the counters of lanes in which a comparison held."""
    builder.store(builder.sub(builder.load(number), builder.sext(held, INTEGERS)), number)


@intrinsic
def emit_beyond(_context: Any, unit: Any, low: Any, high: Any, dims: Any, inverse: Any, pull: Any) -> tuple[Any, Any]:
    """`beyond` for half of the lanes, arrays as addresses."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, low_, high_, dims_, inverse_, pull_ = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(FLOATS, [0.0] * HALF))
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
        row = ir.Constant(I64, SHORT_ROW)
        smallest = cgutils.alloca_once_value(builder, load(builder, SHORTS, cost_))
        with cgutils.for_range(builder, states_, intp=I64) as loop:
            here, kept = load(builder, SHORTS, cost_, builder.mul(loop.index, row)), builder.load(smallest)
            builder.store(builder.select(builder.icmp_unsigned("<", here, kept), here, kept), smallest)
        store(builder, builder.load(smallest), least_)
        with cgutils.for_range(builder, states_, intp=I64) as loop:
            place = builder.mul(loop.index, row)
            store(builder, builder.sub(load(builder, SHORTS, cost_, place), builder.load(smallest)), cost_, place)
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
        step = [load(builder, SHORTS, distance_, SHORT_ROW * q) for q in range(SUBSETS)]
        one, row = ir.Constant(I64, 1), ir.Constant(I64, SHORT_ROW)
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
                before = [load(builder, SHORTS, cost_, place, SHORT_ROW * z) for place in doubled]
                for place, (by0, by1) in zip(places, (before, before[::-1]), strict=True):
                    cost0, cost1 = builder.add(by0, step[z]), builder.add(by1, step[2 + z])
                    turn = builder.icmp_unsigned("<", cost1, cost0)
                    store(builder, builder.select(turn, cost1, cost0), other_, place)
                    store(builder, builder.bitcast(turn, I32), turns_, builder.lshr(place, ir.Constant(I64, 4)))
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
