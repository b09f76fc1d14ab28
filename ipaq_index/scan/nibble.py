"""Tables of nibbles: 16 entries in one vector, as LLVM code for any CPU, and their plain twins.

Each operation on floats is rounded as IEEE says, in the same order everywhere: tables are the same bits on every CPU.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.np.arrayobj import make_array

from ipaq_index.arrays import instructions
from ipaq_index.scan.emit import I8, I64, Builder, Value, floats, ints, load, shuffle, splat, spread, store
from ipaq_index.scan.known import ENTRIES, POINTS, Floats

ROW, BYTES = floats(ENTRIES), 4 * ENTRIES
COPIES = 4  # of a table's bytes: AVX-512 looks up by six bits
SQUARINGS = 8
POWER = 1 << SQUARINGS
MANTISSA = 23  # bits
LOG_2 = np.float32(np.log(2))
SERIES = [np.float32(2 / n) for n in (7, 5, 3, 1)]  # of log((1 + z) / (1 - z)); for |z| <= 0.2 it is off by 1e-7 of z

Bytes = npt.NDArray[np.uint8]
Reals = tuple[np.float32, np.float32, np.float32]


def add_expected(
    table: Floats,
    nibble: int,
    points: Floats,
    number: int,
    weight: np.float32,
    rates: tuple[np.float32, np.float32],
    inverse: np.float32,
) -> None:
    """Add ``log(E[exp((t + u) weight x)] / E[exp(u weight x)]) / t`` to a nibble's table, entry by entry.

    Exponentials, see `power`, are of x less the largest ``weight x``: that point's are 1.

    Parameters
    ----------
    table : (nibbles, 16) float32
    nibble : int
        Which.
    points : (n, 6, 16) float32
        `Meaning.points`.
    number : int
        Which of these.
    weight : float
        A query's coordinate.
    rates : (float, float)
        (t + u) weight / 256 and u weight / 256.
    inverse : float
        1 / t.
    """
    x, shares = points[number, :POINTS], points[number, POINTS:]
    top, *others = (2, 0, 1) if weight > 0 else (0, 1, 2)
    above = under = shares[top]
    for other in others:
        further = x[other] - x[top]
        above = above + shares[other] * power(rates[0] * further)
        under = under + shares[other] * power(rates[1] * further)
    table[nibble] += weight * x[top] + log_ratio(above, under) * inverse


def power(x: Floats) -> Floats:
    """Return (1 + x)^256, about exp(256 x), or 0 where that is below 0: vector units are fast at it."""
    y = np.maximum(np.float32(1) + x, np.float32(0))
    for _ in range(SQUARINGS):
        y = y * y
    return y


def log_ratio(above: Floats, under: Floats) -> Floats:
    """Return the logarithm of ``above / under``, positive numbers: ``k log 2 + log(above / (2^k under))``.

    The difference of floats, taken as whole numbers, is about the logarithm of their ratio.
    """
    bits = under.view(np.int32)
    k = (above.view(np.int32) - bits + (1 << (MANTISSA - 1))) >> MANTISSA
    scaled = (bits + (k << MANTISSA)).view(np.float32)
    z = (above - scaled) / (above + scaled)
    square = z * z
    total = square * SERIES[0] + SERIES[1]
    for factor in SERIES[2:]:
        total = total * square + factor
    return total * z + k.astype(np.float32) * LOG_2


def start_at_zero(table: Floats, nibble: int) -> tuple[np.float32, np.float32]:
    """Take a table's least entry off all of them; return it, and what is the largest then."""
    least = table[nibble].min()
    table[nibble] -= least
    return least, table[nibble].max()


def round_entries(
    table: Floats, nibble: int, largest: np.float32, step: np.float32, tilt: np.float32, shares: Floats, lookups: Bytes
) -> Reals:
    """Write a table in steps; return what entries lack: sums of weights, of these times it, and times its square.

    Weights are for rows that lie towards the query: how frequent an entry is times ``exp(u entry)``. Narrow tables have
    few entries but zeros: all of them would lack something of the best rows. With 192 tables of decaying widths that
    made one query alone overlook one in fifteen of its neighbours.

    Parameters
    ----------
    table : (nibbles, 16) float32
    nibble : int
        Which.
    largest : float
        Of its entries.
    step, tilt : float
        Of all tables; u / 256.
    shares : (nibbles, 16) float32
        `Meaning.shares`.
    lookups : (nibbles / 2, 2, 64) uint8
        Result, four times the same.
    """
    entries = table[nibble]
    whole = (entries * (np.float32(1) / step) + np.float32(0.5)).astype(np.int32)
    lookups[nibble // 2, nibble % 2] = np.tile(whole.astype(np.uint8), COPIES)
    weights = shares[nibble] * power(tilt * (entries - largest))
    lacking = entries - step * whole.astype(np.float32)
    first = weights * lacking
    total, once, twice = (_total(values) for values in (weights, first, first * lacking))
    return total, once, twice


def _total(values: Floats) -> np.float32:
    while len(values) > 1:
        values = values[: len(values) // 2] + values[len(values) // 2 :]
    return np.float32(values[0])


@instructions(add_expected)
def _add_expected(
    context: Any, table: Any, nibble: Any, points: Any, number: Any, weight: Any, rates: Any, inverse: Any
) -> Any:
    real, index = types.float32, types.intp
    signature = types.void(table, index, points, index, real, types.UniTuple(real, 2), real)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, (weight, rates, inverse) = signature.args, arguments[4:]
        row, record = (_row(context, builder, kinds[n], arguments[n], arguments[n + 1]) for n in (0, 2))
        up = builder.fcmp_ordered(">", weight, ir.Constant(weight.type, 0))
        order = [builder.select(up, *(ir.Constant(I64, BYTES * n) for n in two)) for two in ((2, 0), (0, 1), (1, 2))]
        top, *others = (load(builder, ROW, record, place) for place in order)
        above, *parts = (load(builder, ROW, record, place, BYTES * POINTS) for place in order)
        under = above
        both = [spread(builder, ROW, rate) for rate in cgutils.unpack_tuple(builder, rates)]
        for other, share in zip(others, parts, strict=True):
            further = builder.fsub(other, top)
            more = [builder.fmul(share, _power(builder, builder.fmul(rate, further))) for rate in both]
            above, under = builder.fadd(above, more[0]), builder.fadd(under, more[1])
        ratio = builder.fmul(_log_ratio(builder, above, under), spread(builder, ROW, inverse))
        expected = builder.fadd(builder.fmul(spread(builder, ROW, weight), top), ratio)
        store(builder, builder.fadd(load(builder, ROW, row), expected), row)
        return context.get_dummy_value()

    return signature, generate


@instructions(start_at_zero)
def _start_at_zero(context: Any, table: Any, nibble: Any) -> Any:
    real = types.float32
    signature = types.UniTuple(real, 2)(table, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _row(context, builder, signature.args[0], *arguments)
        entries = load(builder, ROW, row)
        ends = [_folded(builder, entries, order) for order in ("<", ">")]
        store(builder, builder.fsub(entries, spread(builder, ROW, ends[0])), row)
        return context.make_tuple(builder, signature.return_type, [ends[0], builder.fsub(ends[1], ends[0])])

    return signature, generate


@instructions(round_entries)
def _round_entries(
    context: Any, table: Any, nibble: Any, largest: Any, step: Any, tilt: Any, shares: Any, lookups: Any
) -> Any:
    real = types.float32
    signature = types.UniTuple(real, 3)(table, types.intp, real, real, real, shares, lookups)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, nibble = signature.args, arguments[1]
        entries, frequent = (load(builder, ROW, _row(context, builder, kinds[n], arguments[n], nibble)) for n in (0, 5))
        one, half = (ir.Constant(arguments[3].type, value) for value in (1, 0.5))
        largest, inverse, half, step, tilt = (
            spread(builder, ROW, value)
            for value in (arguments[2], builder.fdiv(one, arguments[3]), half, *arguments[3:5])
        )
        whole = builder.fptosi(builder.fadd(builder.fmul(entries, inverse), half), ints(ENTRIES))
        places = [n % ENTRIES for n in range(COPIES * ENTRIES)]
        narrow = builder.trunc(whole, ir.VectorType(I8, ENTRIES))
        start = builder.ptrtoint(make_array(kinds[6])(context, builder, arguments[6]).data, I64)
        store(
            builder,
            shuffle(builder, narrow, narrow, places),
            start,
            builder.mul(nibble, ir.Constant(I64, len(places))),
        )
        weights = builder.fmul(frequent, _power(builder, builder.fmul(tilt, builder.fsub(entries, largest))))
        lacking = builder.fsub(entries, builder.fmul(step, builder.sitofp(whole, ROW)))
        first = builder.fmul(weights, lacking)
        sums = [_folded(builder, values, "+") for values in (weights, first, builder.fmul(first, lacking))]
        return context.make_tuple(builder, signature.return_type, sums)

    return signature, generate


def _row(context: Any, builder: Builder, kind: Any, array: Value, number: Value) -> Value:
    """Return the address of a row of a contiguous array."""
    found = make_array(kind)(context, builder, array)
    row = cgutils.unpack_tuple(builder, found.strides)[0]
    return builder.add(builder.ptrtoint(found.data, I64), builder.mul(number, row))


def _power(builder: Builder, x: Value) -> Value:
    y = builder.fadd(ir.Constant(ROW, [1.0] * ENTRIES), x)
    zero = ir.Constant(ROW, [0.0] * ENTRIES)
    y = builder.select(builder.fcmp_ordered(">", y, zero), y, zero)
    for _ in range(SQUARINGS):
        y = builder.fmul(y, y)
    return y


def _log_ratio(builder: Builder, above: Value, under: Value) -> Value:
    lanes = ints(ENTRIES)
    mantissa, half = splat(lanes, MANTISSA), splat(lanes, 1 << (MANTISSA - 1))
    low = builder.bitcast(under, lanes)
    apart = builder.add(builder.sub(builder.bitcast(above, lanes), low), half)
    k = builder.ashr(apart, mantissa)
    scaled = builder.bitcast(builder.add(low, builder.shl(k, mantissa)), ROW)
    z = builder.fdiv(builder.fsub(above, scaled), builder.fadd(above, scaled))
    square = builder.fmul(z, z)
    total, *factors = (ir.Constant(ROW, [float(factor)] * ENTRIES) for factor in SERIES)
    for factor in factors:
        total = builder.fadd(builder.fmul(total, square), factor)
    log_2 = ir.Constant(ROW, [float(LOG_2)] * ENTRIES)
    return builder.fadd(builder.fmul(total, z), builder.fmul(builder.sitofp(k, ROW), log_2))


def _folded(builder: Builder, values: Value, how: str) -> Value:
    """Return the sum ("+"), the least ("<") or the largest (">") of the elements, halves with halves."""
    lanes = ENTRIES
    while lanes > 1:
        lanes //= 2
        low, high = (shuffle(builder, values, values, list(range(first, first + lanes))) for first in (0, lanes))
        if how == "+":
            values = builder.fadd(low, high)
        else:
            values = builder.select(builder.fcmp_ordered(how, low, high), low, high)
    return builder.extract_element(values, ir.Constant(ir.IntType(32), 0))
