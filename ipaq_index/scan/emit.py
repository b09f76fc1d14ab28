"""LLVM vector code that all kernels share: loads, scales, and the comparison of sums with floors.

Arrays come as addresses; `ipaq_index.scan.block` says what they hold.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
V16, V32, V64 = (ir.VectorType(I8, lanes) for lanes in (16, 32, 64))
BLOCK = 32

Builder = Any  # llvmlite ships no types
Value = Any


class Bars(NamedTuple):
    """Addresses of what each query's scores are measured by: inverse, shift and floor; see `block.Frame`."""

    inverse: Value
    shift: Value
    floor: Value


def ints(lanes: int) -> Any:
    """Return the type of a vector of 32-bit integers."""
    return ir.VectorType(I32, lanes)


def floats(lanes: int) -> Any:
    """Return the type of a vector of 32-bit floats."""
    return ir.VectorType(ir.FloatType(), lanes)


def scales(builder: Builder, kind: Any, side: Value, lanes: int, scale_format: list[Value], first: int = 0) -> Value:
    """Decode the scales of ``lanes`` rows from the one numbered ``first`` on; ``kind`` is the integer type of side."""
    state_bits, base, step = (spread(builder, ints(lanes), builder.trunc(value, I32)) for value in scale_format)
    codes = load(builder, ir.VectorType(kind, lanes), side, first * kind.width // 8)
    codes = builder.lshr(builder.zext(codes, ints(lanes)), state_bits)
    bits = builder.add(base, builder.mul(step, codes))
    nothing = splat(ints(lanes), 0)
    bits = builder.select(builder.icmp_unsigned("==", codes, nothing), nothing, bits)
    return builder.bitcast(bits, floats(lanes))


def scored(
    builder: Builder, g: int, sums: list[Value], row_scales: list[Value], biases: list[Value] | None, bars: Bars
) -> list[Value]:
    """Turn sums into scores and compare them with the floor.

    Parameters
    ----------
    g : int
        Number of the query.
    sums : list of <lanes x i32>
        Its sums, the rows in a few vectors.
    row_scales, biases : list of <lanes x float>
        Of these rows.
    bars : Bars
        Of the queries.

    Returns
    -------
    list of <lanes x i1>
        Whether a score is not below the floor.
    """
    return [_reached(builder, g, part, bars) for part in _scaled(builder, g, sums, row_scales, biases, bars)]


def any_scored(
    builder: Builder, g: int, sums: list[Value], row_scales: list[Value], biases: list[Value] | None, bars: Bars
) -> Value:
    """Return i1: whether `scored` has any. Which score is largest does not depend on the shift, which all have."""
    first, *others = _scaled(builder, g, sums, row_scales, biases, bars)
    for other in others:
        first = builder.select(builder.fcmp_ordered(">", first, other), first, other)
    mask = ir.IntType(first.type.count)
    return builder.icmp_unsigned("!=", builder.bitcast(_reached(builder, g, first, bars), mask), ir.Constant(mask, 0))


def _scaled(
    builder: Builder, g: int, sums: list[Value], row_scales: list[Value], biases: list[Value] | None, bars: Bars
) -> list[Value]:
    """Return scores without the shift."""
    kind, scores = floats(sums[0].type.count), []
    for number, part in enumerate(sums):
        score = builder.fmul(row_scales[number], builder.sitofp(part, kind))
        if biases is not None:
            score = builder.fadd(score, builder.fmul(biases[number], broadcast(builder, kind, bars.inverse, 4 * g)))
        scores.append(score)
    return scores


def _reached(builder: Builder, g: int, score: Value, bars: Bars) -> Value:
    shift, floor = (broadcast(builder, score.type, base, 4 * g) for base in (bars.shift, bars.floor))
    return builder.fcmp_ordered(">=", builder.fadd(score, shift), floor)


def broadcast(builder: Builder, vector: Any, base: Value, offset: int) -> Value:
    """Load one element into all lanes."""
    return spread(builder, vector, builder.load(pointer(builder, vector.element, base, offset), align=4))


def spread(builder: Builder, vector: Any, element: Value) -> Value:
    """Put one element into all lanes."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), element, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, first, splat(ints(vector.count), 0))


def load(builder: Builder, kind: Any, base: Value, *offsets: Value | int) -> Value:
    """Load a value of type ``kind`` from byte address ``base`` + the sum of ``offsets``."""
    return builder.load(pointer(builder, kind, base, *offsets), align=1)


def store(builder: Builder, value: Value, base: Value, *offsets: Value | int) -> None:
    """Store a value at byte address ``base`` + the sum of ``offsets``."""
    builder.store(value, pointer(builder, value.type, base, *offsets), align=1)


def pointer(builder: Builder, kind: Any, base: Value, *offsets: Value | int) -> Value:
    """Return a pointer to a ``kind`` at byte address ``base`` + the sum of ``offsets``."""
    start = builder.inttoptr(base, I8.as_pointer())
    for offset in offsets:
        start = builder.gep(start, [ir.Constant(I64, offset) if isinstance(offset, int) else offset])
    return builder.bitcast(start, kind.as_pointer())


def fetch(builder: Builder, address: Value) -> None:
    """Bring the cache line of an address into the cache."""
    read, keep, data = (ir.Constant(I32, value) for value in (0, 3, 1))
    call(builder, "llvm.prefetch.p0", ir.VoidType(), builder.inttoptr(address, I8.as_pointer()), read, keep, data)


def shuffle(builder: Builder, first: Value, second: Value, order: list[int]) -> Value:
    """Choose elements of two vectors."""
    return builder.shuffle_vector(first, second, ir.Constant(ints(len(order)), order))


def splat(vector: Any, value: int) -> Value:
    """Return a vector of equal integers."""
    return ir.Constant(vector, [value] * vector.count)


def call(builder: Builder, name: str, result: Any, *arguments: Value) -> Value:
    """Call an LLVM intrinsic."""
    function = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)
