"""LLVM vector code that all kernels share: loads, scales, and the comparison of sums with floors.

Arrays come as addresses; `ipaq_index.scan.block` says what they hold.
"""

from collections.abc import Callable
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


def compare(
    builder: Builder,
    sums: list[list[Value]],
    first: int,
    row_scales: list[Value],
    biases: list[Value] | None,
    bars: Bars,
    out: list[Value],
) -> Value:
    """Compare scores with floors; where one is not below, write all sums and a bit for each row.

    Parameters
    ----------
    sums : list of list of <lanes x i32>
        Sums of each query, the rows in a few vectors.
    first : int
        Number of the first of these rows in its block.
    row_scales, biases : list of <lanes x float>
        Of these rows.
    bars : Bars
        Of the queries.
    out : list
        Addresses of sums and bits.

    Returns
    -------
    i1
        Whether a score is not below a floor.
    """
    lanes = sums[0][0].type.count
    inverse, shift, floor = bars
    below: list[list[Value]] = []
    all_below = splat(ints(lanes), -1)
    for g, parts in enumerate(sums):
        below.append([])
        added, least = (broadcast(builder, floats(lanes), base, 4 * g) for base in (shift, floor))
        for number, part in enumerate(parts):
            score = builder.fmul(row_scales[number], builder.sitofp(part, floats(lanes)))
            if biases is not None:
                factor = broadcast(builder, floats(lanes), inverse, 4 * g)
                score = builder.fadd(score, builder.fmul(biases[number], factor))
            score = builder.fadd(score, added)
            score = builder.fsub(score, least)
            below[g].append(builder.bitcast(score, ints(lanes)))  # its sign bit says: below
            all_below = builder.and_(all_below, below[g][number])
    signs = builder.icmp_signed("<", all_below, splat(ints(lanes), 0))
    mask = ir.IntType(lanes)
    found = builder.icmp_unsigned("!=", builder.bitcast(signs, mask), ir.Constant(mask, -1))
    with builder.if_then(found, likely=False):
        for g, parts in enumerate(sums):
            for number, part in enumerate(parts):
                row = first + lanes * number
                builder.store(part, pointer(builder, ints(lanes), out[0], 4 * (BLOCK * g + row)), align=4)
            store_signs(builder, below[g], first, out[1], g)
    return found


def keep(
    builder: Builder,
    sums: list[Value],
    row_scales: list[Value],
    biases: list[Value] | None,
    bars: Bars,
    out: list[Value],
    state: list[Value],
    append: Callable[[Builder, Value, Value, Value], None],
) -> Value:
    """Append scores that are not below the floor, and their rows; return how many there are then.

    Parameters
    ----------
    sums : list of <lanes x i32>
        Sums of one query, a block's rows in a few vectors.
    row_scales, biases : list of <lanes x float>
        Of these rows.
    bars : Bars
        Of the query.
    out : list
        Addresses of scores, float32, and rows, int32.
    state : list
        Number of the first row, a bit for each row that counts, how many rows there were.
    append : callable
        (builder, values, mask, address) -> None: store the values whose bits are set one behind the other. What is
        behind them may be overwritten.
    """
    lanes = sums[0].type.count
    inverse, shift, floor = bars
    added, least = (broadcast(builder, floats(lanes), base, 0) for base in (shift, floor))
    scores, below, all_below = [], [], splat(ints(lanes), -1)
    for number, part in enumerate(sums):
        score = builder.fmul(row_scales[number], builder.sitofp(part, floats(lanes)))
        if biases is not None:
            factor = broadcast(builder, floats(lanes), inverse, 0)
            score = builder.fadd(score, builder.fmul(biases[number], factor))
        scores.append(builder.fadd(score, added))
        below.append(builder.bitcast(builder.fsub(scores[-1], least), ints(lanes)))  # its sign bit says: below
        all_below = builder.and_(all_below, below[-1])
    signs = builder.icmp_signed("<", all_below, splat(ints(lanes), 0))
    mask = ir.IntType(lanes)
    found = builder.icmp_unsigned("!=", builder.bitcast(signs, mask), ir.Constant(mask, -1))
    first, word, before = state
    count = cgutils.alloca_once(builder, I64)
    builder.store(before, count)
    with builder.if_then(found, likely=False):
        numbers = ir.Constant(ints(lanes), list(range(lanes)))
        for number, (score, sign) in enumerate(zip(scores, below, strict=True)):
            part = builder.trunc(builder.lshr(word, ir.Constant(I32, lanes * number)), mask)
            kept = builder.bitcast(builder.icmp_signed(">=", sign, splat(ints(lanes), 0)), mask)
            kept = builder.and_(kept, part)
            lanes_kept = builder.bitcast(kept, ir.VectorType(ir.IntType(1), lanes))
            row = builder.add(builder.trunc(first, I32), ir.Constant(I32, lanes * number))
            held = builder.load(count)
            for values, base in zip((score, builder.add(spread(builder, ints(lanes), row), numbers)), out, strict=True):
                append(builder, values, lanes_kept, builder.add(base, builder.mul(held, ir.Constant(I64, 4))))
            more = call(builder, f"llvm.ctpop.i{lanes}", mask, kept)
            builder.store(builder.add(held, builder.zext(more, I64)), count)
    return builder.load(count)


def append_masked(builder: Builder, values: Value, mask: Value, address: Value) -> None:
    """`keep`'s ``append``, on every CPU."""
    place = builder.inttoptr(address, values.type.element.as_pointer())
    name = f"llvm.masked.compressstore.v{values.type.count}{_suffix(values)}"
    call(builder, name, ir.VoidType(), values, place, mask)


def append512(builder: Builder, values: Value, mask: Value, address: Value) -> None:
    """`keep`'s ``append`` within registers: on Zen 4 a compressing store takes a hundred cycles."""
    nothing = ir.Constant(values.type, ir.Undefined)
    name = f"llvm.x86.avx512.mask.compress.v{values.type.count}{_suffix(values)}"
    store(builder, call(builder, name, values.type, values, nothing, mask), address)


def _suffix(values: Value) -> str:
    return "f32" if values.type.element == ir.FloatType() else "i32"


def store_signs(builder: Builder, below: list[Value], first: int, above: Value, g: int) -> None:
    """Write a bit for each row whose score is not below, as whole bytes."""
    lanes = below[0].type.count
    kind = ir.IntType(lanes * len(below))
    bits = ir.Constant(kind, 0)
    for number, part in enumerate(below):
        signs = builder.icmp_signed(">=", part, splat(part.type, 0))
        wide = builder.bitcast(signs, ir.IntType(lanes))
        wide = builder.zext(wide, kind) if len(below) > 1 else wide
        bits = builder.or_(bits, builder.shl(wide, ir.Constant(kind, lanes * number)))
    builder.store(bits, pointer(builder, kind, above, 4 * g + first // 8), align=1)


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
