"""Scores by finer vectors, four rows at a time: the same bits whatever rows stand together, on every instruction set.

Plain LLVM without a CPU's own instructions: 16 dimensions are added up side by side, then the 16 sums by halves.
Products are rounded before they are added.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ipaq_index.arrays import LINE, zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.scan.emit import I16, I32, I64, Builder, Value, floats, ints, load, shuffle, splat, spread, store
from ipaq_index.scan.together import emit_fetch

TOGETHER = 4  # rows, whose sums hide the latency of each other's additions
WIDTH = 16  # dimensions
HALF_SCALE = 2.0**112  # a half's exponent and mantissa, shifted to where a float has them, are so much too small

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


class Fine(NamedTuple):
    """Finer vectors.

    Attributes
    ----------
    stored : (n, d) uint8 or uint16
        Bytes, or the bits of halves.
    low, step : (d,) float32
    residual : int
        See `FineCodec`.
    """

    stored: npt.NDArray[np.uint8 | np.uint16]
    low: Floats
    step: Floats
    residual: int


class Table(NamedTuple):
    """What a query brings, and room for scores.

    Attributes
    ----------
    factors : (2, 16 c) float32
        For inner products ``q * step``; for distances ``step``, and ``q - low``. 16 dimensions stand together: the last
        16 of all end a row and have zeros in the first row where they were counted before.
    short : (4, 32) uint8
        Rows of less than 16 dimensions are copied there: what follows them may not be ours to read.
    out : (4,) float32
        Result.
    """

    factors: Floats
    short: npt.NDArray[np.uint8]
    out: Floats


@inner
def make_table(d: int) -> Table:
    """Return room for queries of ``d`` dimensions."""
    width = -(-d // WIDTH) * WIDTH
    return Table(zeros((2, width), np.float32), zeros((TOGETHER, 2 * WIDTH), np.uint8), zeros(TOGETHER, np.float32))


@inner
def fill_table(q: Floats, fine: Fine, l2: bool, table: Table) -> np.float32:
    """Bring a query; return what is added to sums."""
    low, step, factors = fine.low, fine.step, table.factors
    d, base = len(q), np.float32(0)
    for chunk in range(0, factors.shape[1], WIDTH):
        begin = min(chunk, max(d - WIDTH, 0))
        for n in range(min(WIDTH, d)):
            j = begin + n
            fresh = j >= chunk
            factors[0, chunk + n] = (step[j] if l2 else q[j] * step[j]) if fresh else np.float32(0)
            factors[1, chunk + n] = q[j] - low[j] if fresh else np.float32(0)
    if not l2:
        for j in range(d):
            base += q[j] * low[j]
    return base


def score_four(stored: np.ndarray, address: int, rows: Integers, first: int, l2: bool, table: Table) -> None:
    """Set ``table.out`` to the sums of `TOGETHER` of ``rows`` from the one numbered ``first`` on.

    Parameters
    ----------
    stored : (n, d) uint8 or uint16
        See `Fine`.
    address : int
        Where it begins.
    rows : (m,) int64
        Rows; where there are fewer, the last one is taken in their place.
    first : int
        Below m.
    l2 : bool
        Whether to add up minus squared differences rather than products.
    table : Table
    """
    d, width = stored.shape[1], table.factors.shape[1]
    j = np.concatenate([min(chunk, max(d - WIDTH, 0)) + np.arange(WIDTH) for chunk in range(0, width, WIDTH)])
    for n in range(TOGETHER):
        row = stored[rows[min(first + n, len(rows) - 1)]]
        values = np.where(j < d, (row.view(np.float16) if row.itemsize == 2 else row)[np.minimum(j, d - 1)], 0)
        products = table.factors[0] * values.astype(np.float32)
        if l2:
            products = -((table.factors[1] - products) ** 2)
        sums = np.zeros(WIDTH, np.float32)
        for chunk in range(0, width, WIDTH):
            sums += products[chunk : chunk + WIDTH]
        while len(sums) > 1:
            sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
        table.out[n] = sums[0]


@emitted(score_four)
def _score_four(stored: Any, address: int, rows: Integers, first: int, l2: bool, table: Table) -> Any:
    emit_sums = emit_sums_of_bytes if stored.dtype == types.uint8 else emit_sums_of_halves

    def emitted(stored: np.ndarray, address: int, rows: Integers, first: int, l2: bool, table: Table) -> None:
        factors, short, out = table.factors, table.short, table.out
        d, size, last = stored.shape[1], stored.itemsize, len(rows) - 1
        a, b, c, e = (
            address + rows[min(first, last)] * d * size,
            address + rows[min(first + 1, last)] * d * size,
            address + rows[min(first + 2, last)] * d * size,
            address + rows[min(first + 3, last)] * d * size,
        )
        if d < WIDTH:
            room = short.ctypes.data
            for n in range(TOGETHER):
                emit_copy(address + rows[min(first + n, last)] * d * size, room + n * 2 * WIDTH, d * size)
            a, b, c, e = room, room + 2 * WIDTH, room + 4 * WIDTH, room + 6 * WIDTH
        emit_sums((a, b, c, e), factors.ctypes.data, factors.shape[1], max(d - WIDTH, 0), l2, out.ctypes.data)

    return emitted


def fetch_row(stored: np.ndarray, address: int, row: int) -> None:
    """Bring a row into the cache."""


@emitted(fetch_row)
def _fetch_row(stored: np.ndarray, address: int, row: int) -> Any:
    def emitted(stored: np.ndarray, address: int, row: int) -> None:
        size = stored.shape[1] * stored.itemsize
        begin = address + row * size
        for line in range(begin // LINE * LINE, begin + size, LINE):
            emit_fetch(line)

    return emitted


@intrinsic
def emit_copy(_context: Any, source: Any, target: Any, size: Any) -> Any:
    """Copy so many bytes from one address to another."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        source, target = (builder.inttoptr(one, ir.IntType(8).as_pointer()) for one in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def emit_sums_of_bytes(
    _context: Any, starts: Any, factors: Any, width: Any, end: Any, l2: Any, out: Any
) -> tuple[Any, Any]:
    """Add up four rows: addresses of these, of ``Table.factors`` and its width, where the last 16 dimensions begin."""
    return _sums(ir.IntType(8))


@intrinsic
def emit_sums_of_halves(
    _context: Any, starts: Any, factors: Any, width: Any, end: Any, l2: Any, out: Any
) -> tuple[Any, Any]:
    """Do it for bits of halves."""
    return _sums(I16)


def _sums(kind: Any) -> tuple[Any, Any]:
    one = types.intp

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        starts = cgutils.unpack_tuple(builder, arguments[0])
        factors, width, end, l2, out = arguments[1:]
        sums = [cgutils.alloca_once_value(builder, ir.Constant(floats(WIDTH), [0.0] * WIDTH)) for _ in starts]

        def add(distances: bool) -> None:
            with cgutils.for_range_slice(builder, ir.Constant(I64, 0), width, ir.Constant(I64, WIDTH), I64) as (j, _):
                begin = builder.select(builder.icmp_signed("<", j, end), j, end)
                place, at = builder.mul(j, ir.Constant(I64, 4)), builder.mul(begin, ir.Constant(I64, kind.width // 8))
                factor = load(builder, floats(WIDTH), factors, place)
                away = load(builder, floats(WIDTH), factors, place, builder.mul(width, ir.Constant(I64, 4)))
                for start, total in zip(starts, sums, strict=True):
                    bits = builder.zext(load(builder, ir.VectorType(kind, WIDTH), start, at), ints(WIDTH))
                    term = builder.fmul(factor, _value(builder, bits, kind))
                    if distances:
                        rest = builder.fsub(away, term)
                        builder.store(builder.fsub(builder.load(total), builder.fmul(rest, rest)), total)
                    else:
                        builder.store(builder.fadd(builder.load(total), term), total)

        with builder.if_else(l2) as (distances, products):
            with distances:
                add(True)
            with products:
                add(False)
        for n, total in enumerate(sums):
            whole = builder.load(total)
            while whole.type.count > 1:
                half = whole.type.count // 2
                halves = (shuffle(builder, whole, whole, list(range(n, n + half))) for n in (0, half))
                whole = builder.fadd(*halves)
            store(builder, builder.extract_element(whole, ir.Constant(I32, 0)), out, 4 * n)
        return context.get_dummy_value()

    return types.void(types.UniTuple(one, TOGETHER), one, one, one, types.boolean, one), generate


def _value(builder: Builder, bits: Value, kind: Any) -> Value:
    """Return numbers, or what the bits of halves stand for: not every CPU has an instruction for these."""
    if kind != I16:
        return builder.sitofp(bits, floats(WIDTH))
    parts = builder.shl(builder.and_(bits, splat(ints(WIDTH), 0x7FFF)), splat(ints(WIDTH), 13))
    scale = spread(builder, floats(WIDTH), ir.Constant(ir.FloatType(), HALF_SCALE))
    size = builder.bitcast(builder.fmul(builder.bitcast(parts, floats(WIDTH)), scale), ints(WIDTH))
    sign = builder.shl(builder.and_(bits, splat(ints(WIDTH), 0x8000)), splat(ints(WIDTH), 16))
    return builder.bitcast(builder.or_(size, sign), floats(WIDTH))
