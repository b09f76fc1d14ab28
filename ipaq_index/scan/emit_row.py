"""LLVM code for one row: plain instructions, on every CPU. A loop in Python would check each index for a sign."""

from llvmlite import ir
from numba.core import cgutils

from ipaq_index.scan.emit import BLOCK, I8, I64, Builder, Value, load
from ipaq_index.scan.emit_dense import ACTIVE_BYTES, STEP_BYTES

FLOAT = ir.FloatType()


def total(
    builder: Builder,
    codes: Value,
    state: Value,
    p: Value,
    steps: Value,
    active: tuple[Value, Value],
    levels: tuple[Value, Value],
    feedback: list[Value],
) -> Value:
    """Return ``sum_j p_j level_j`` of a row, over dimensions with bits.

    Parameters
    ----------
    codes : address
        Of the row's first byte in its block.
    state : int
        The first state.
    p, steps : address
        Of a query, and of `Meaning`.
    active, levels : (address, int)
        Of `Meaning`, with the number of active dimensions, and the bytes of a level set.
    feedback : list of int
        Of `Meaning`.
    """
    a, b, trellis = feedback
    one = ir.Constant(I64, 1)
    now, symbol = cgutils.alloca_once(builder, I64), cgutils.alloca_once(builder, I64)
    result = cgutils.alloca_once(builder, FLOAT)
    builder.store(state, now)
    builder.store(ir.Constant(FLOAT, 0), result)
    with cgutils.for_range(builder, active[1]) as loop:
        record = builder.mul(loop.index, ir.Constant(I64, ACTIVE_BYTES))
        j, first, last = (load(builder, I64, active[0], record, 8 * column) for column in range(3))
        builder.store(ir.Constant(I64, 0), symbol)
        with cgutils.for_range_slice(builder, first, last, one, intp=I64) as (step, _):
            at = builder.mul(step, ir.Constant(I64, STEP_BYTES))
            pair, shift, mask, left = (load(builder, I64, steps, at, 8 * column) for column in range(4))
            byte = builder.zext(load(builder, I8, codes, builder.mul(pair, ir.Constant(I64, BLOCK))), I64)
            piece = builder.shl(builder.and_(builder.lshr(byte, shift), mask), left)
            builder.store(builder.or_(builder.load(symbol), piece), symbol)
        code, before = builder.load(symbol), builder.load(now)
        branch = builder.and_(before, one)
        level = builder.add(builder.add(code, builder.and_(code, trellis)), branch)
        after = builder.xor(builder.lshr(before, one), builder.mul(branch, a))
        builder.store(builder.xor(after, builder.mul(builder.and_(code, one), b)), now)
        value = load(builder, FLOAT, levels[0], builder.mul(j, levels[1]), builder.shl(level, ir.Constant(I64, 2)))
        weight = load(builder, FLOAT, p, builder.shl(j, ir.Constant(I64, 2)))
        builder.store(builder.fadd(builder.load(result), builder.fmul(value, weight)), result)
    return builder.load(result)
