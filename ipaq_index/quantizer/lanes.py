"""LLVM vector code for the inner loops of `ipaq_index.quantizer.viterbi`: 16 vectors side by side.

Plain LLVM without a CPU's own instructions: the code generator makes one AVX-512 register of 16 float32, two of AVX2 or
four of NEON, as the host has them. numba's own loop vectoriser cannot pack comparisons into bits, and those bits are
what keeps the paths of 256 states within the second-level cache.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
SUBSETS = 4
ROW = 4 * LANES  # bytes of 16 float32

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT = ir.FloatType()
FLOATS, INTEGERS, SHORTS, BYTES = (ir.VectorType(kind, LANES) for kind in (FLOAT, I32, I16, I8))
SHORT_ROW = 2 * LANES  # bytes of 16 uint16

Builder = Any  # llvmlite ships no types
Value = Any


@intrinsic
def emit_nearest(
    _context: Any, target: Any, levels: Any, middles: Any, steps: Any, distance: Any, near: Any
) -> tuple[Any, Any]:
    """One dimension of `nearest`, arrays as addresses; ``steps`` counts the middles of one subset."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        target_, levels_, middles_, steps_, distance_, near_ = arguments
        y = load(builder, FLOATS, target_)
        level = [
            cgutils.alloca_once_value(builder, spread(builder, FLOATS, load(builder, FLOAT, levels_, 4 * q)))
            for q in range(SUBSETS)
        ]
        number = [cgutils.alloca_once_value(builder, ir.Constant(INTEGERS, [0] * LANES)) for _ in range(SUBSETS)]
        with cgutils.for_range(builder, steps_, intp=I64) as loop:
            place = builder.mul(loop.index, ir.Constant(I64, 4 * SUBSETS))
            step = spread(builder, INTEGERS, builder.trunc(builder.add(loop.index, ir.Constant(I64, 1)), I32))
            for q in range(SUBSETS):
                middle = spread(builder, FLOATS, load(builder, FLOAT, middles_, place, 4 * q))
                above = spread(builder, FLOATS, load(builder, FLOAT, levels_, place, 4 * (SUBSETS + q)))
                beyond = builder.fcmp_ordered(">", y, middle)
                builder.store(builder.select(beyond, above, builder.load(level[q])), level[q])
                builder.store(builder.select(beyond, step, builder.load(number[q])), number[q])
        for q in range(SUBSETS):
            error = builder.fsub(y, builder.load(level[q]))
            store(builder, builder.fmul(error, error), distance_, ROW * q)
            store(builder, builder.trunc(builder.load(number[q]), BYTES), near_, LANES * q)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), generate


@intrinsic
def emit_beyond(_context: Any, unit: Any, low: Any, high: Any, dims: Any, stretch: Any, result: Any) -> tuple[Any, Any]:
    """One length of `beyond`, arrays as addresses; ``stretch`` is the address of one float32."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        unit_, low_, high_, dims_, stretch_, result_ = arguments
        nothing = ir.Constant(FLOATS, [0.0] * LANES)
        total = cgutils.alloca_once_value(builder, nothing)
        factor = spread(builder, FLOATS, load(builder, FLOAT, stretch_))
        with cgutils.for_range(builder, dims_, intp=I64) as loop:
            value = builder.fmul(factor, load(builder, FLOATS, unit_, builder.mul(loop.index, ir.Constant(I64, ROW))))
            place = builder.mul(loop.index, ir.Constant(I64, 4))
            over = builder.fsub(value, spread(builder, FLOATS, load(builder, FLOAT, high_, place)))
            under = builder.fsub(spread(builder, FLOATS, load(builder, FLOAT, low_, place)), value)
            beyond = builder.select(builder.fcmp_ordered(">", over, under), over, under)
            beyond = builder.select(builder.fcmp_ordered(">", beyond, nothing), beyond, nothing)
            builder.store(builder.fadd(builder.load(total), builder.fmul(beyond, beyond)), total)
        store(builder, builder.load(total), result_)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), generate


@intrinsic
def emit_steps(_context: Any, distance: Any, unit: Any, most: Any, step: Any, base: Any) -> tuple[Any, Any]:
    """`steps`, arrays as addresses; ``unit`` and ``most`` are addresses of a float32 each."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        distance_, unit_, most_, step_, base_ = arguments
        each = [load(builder, FLOATS, distance_, ROW * q) for q in range(SUBSETS)]
        least = each[0]
        for other in each[1:]:
            least = builder.select(builder.fcmp_ordered("<", other, least), other, least)
        store(builder, builder.fadd(load(builder, FLOATS, base_), least), base_)
        factor, limit = (spread(builder, FLOATS, load(builder, FLOAT, one)) for one in (unit_, most_))
        half = ir.Constant(FLOATS, [0.5] * LANES)
        for q, one in enumerate(each):
            value = builder.fadd(builder.fmul(builder.fsub(one, least), factor), half)
            value = builder.select(builder.fcmp_ordered("<", value, limit), value, limit)
            store(builder, builder.trunc(builder.fptosi(value, INTEGERS), SHORTS), step_, SHORT_ROW * q)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), generate


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
                    store(builder, builder.bitcast(turn, I16), turns_, builder.lshr(place, ir.Constant(I64, 4)))
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
    return builder.shuffle_vector(first, first, ir.Constant(INTEGERS, [0] * LANES))
