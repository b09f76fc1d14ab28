"""Matrices for queries in 8 or 16 bits: one query's projection takes as long as reading its matrix.

At 1,536 dimensions the matrix takes 9.4 MB as float32, more than 10,000 vectors' codes at 4 bits, of which a scan reads
half. Rounding it costs nothing but a little of what the axes are good for: where `Transform.dual` is rounded, `forward`
is made its inverse, so that scores are as exact as before. Files hold it as float32. A matrix whose columns turn out to
be whole numbers times powers of two is `Panels`, all others are used as they are; so older files answer what they did.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from ipaq_index.arrays import empty, lines, read_only
from ipaq_index.inner import emitted, inner
from ipaq_index.interruptible import apart
from ipaq_index.quantizer.lanes import FLOAT, FLOATS, I64, WIDTH, Builder, Value, load, spread, store
from ipaq_index.quantizer.product import product
from ipaq_index.quantizer.transform import Transform

PANEL = 64  # columns multiplied together: their sums are eight registers of AVX2
CACHED_DIMS = 256  # below, a matrix is in the second-level cache, or soon read
# From so many on matrices are narrowed, if no training queries shaped the axes. Of Debian (384-d, 1 to 2 bits) narrowed
# ones find 0.003 less of the neighbours, 0.005 with training queries: more than the squared error tells.
LEAST_DIMS = 768
# By how much of itself the squared error of codes may grow. 8 bits throughout would cost 0.01 to 0.13 % (Debian;
# clustered, spectrum, norms: 384-d and 1,536-d; 1 to 8 bits), 0.4 % of heavy tails, whose axes lie near coordinates,
# and 11 % where variances fall as 1 / i²; half to all of it for the first 64 columns, which get 16 bits where need be.
TOLERANCE = 0.002
SAMPLED = 2_048  # rows that variances are taken from
BYTE, WORD = np.dtype(np.int8), np.dtype(np.int16)

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class Panels(NamedTuple):
    """A (d, e) matrix, 64 columns after 64 others.

    Attributes
    ----------
    bytes, words : (m, d, 64) int8, (n, d, 64) int16
        Panels of whole numbers; zeros behind the last column.
    columns : (m + n,) int64
        First column of each, bytes first.
    units : (m + n, 64) float32
        What numbers of a column count: a power of two, so that products are the same bits as those of floats.
    """

    bytes: npt.NDArray[np.int8]
    words: npt.NDArray[np.int16]
    columns: npt.NDArray[np.int64]
    units: Floats


NO_PANELS = Panels(
    np.empty((0, 0, PANEL), dtype=np.int8),
    np.empty((0, 0, PANEL), dtype=np.int16),
    np.empty(0, dtype=np.int64),
    np.empty((0, PANEL), dtype=np.float32),
)


def narrowed(fitted: Transform, x: Floats, code_bits: int) -> Transform:
    """Return a transform whose ``dual`` fits `Panels`, or the one given, if that costs too much or spares nothing.

    Parameters
    ----------
    fitted : Transform
    x : (m, d) float32
        A sample.
    code_bits : int
        Bits of a code.
    """
    d = len(fitted.mean)
    y = product(x[:: -(-len(x) // SAMPLED)] - fitted.mean, fitted.forward)
    variances = np.square(y, dtype=np.float64).mean(0)
    if not variances.any():
        return fitted
    variances /= variances.max()
    eight, sixteen = (_rounded(fitted.dual, dtype) for dtype in (BYTE, WORD))
    firsts = np.arange(0, d, PANEL)
    costs, least = (
        np.add.reduceat(_costs(fitted, rounded - fitted.dual, variances, code_bits), firsts)
        for rounded in (eight, sixteen)
    )
    if least.sum() > TOLERANCE:
        return fitted
    order, in_bytes = np.argsort(costs, kind="stable"), np.zeros(len(firsts), dtype=bool)
    in_bytes[order[np.cumsum(costs[order]) <= TOLERANCE - least.sum()]] = True
    dual = np.where(np.repeat(in_bytes, PANEL)[:d], eight, sixteen)
    try:
        forward = apart(np.linalg.inv, dual.astype(np.float64)).T
    except np.linalg.LinAlgError:
        return fitted
    return Transform(fitted.mean, np.ascontiguousarray(forward, dtype=np.float32), dual)


def _costs(fitted: Transform, change: Floats, variances: Doubles, code_bits: int) -> Doubles:
    """Return what changes of ``dual`` add to the squared error, by column.

    Of the j-th coordinate, G_ij goes into the i-th, with G = forward^T change. It costs what it adds to that one's
    variance, or to what codes leave of it if that is more.
    """
    moved = np.square(apart(np.matmul, np.ascontiguousarray(fitted.forward.T), change))
    weights = 1 / np.maximum(variances, _water_level(variances, code_bits))
    costs: Doubles = variances * (weights.astype(np.float32) @ moved) / len(variances)
    return costs


def _water_level(variances: Doubles, code_bits: int) -> float:
    """Return the error that codes leave of each coordinate where they may, by rate-distortion theory."""
    ordered = np.sort(np.maximum(variances, variances.max() * 1e-12))[::-1]
    logs = (np.cumsum(np.log2(ordered)) - 2 * code_bits) / np.arange(1, len(ordered) + 1)
    return float(2 ** logs.max())


def _units(columns: Floats, dtype: np.dtype[Any]) -> Floats:
    """Return the power of two by which the largest of a column becomes a number of the type, almost: see `_rounded`."""
    units: Floats = np.ldexp(np.float32(1), np.frexp(np.abs(columns).max(0))[1] - (8 * dtype.itemsize - 1))
    return units


def _rounded(matrix: Floats, dtype: np.dtype[Any]) -> Floats:
    units, largest = _units(matrix, dtype), np.iinfo(dtype).max
    rounded: Floats = np.clip(np.rint(matrix / units), -largest, largest) * units
    return rounded


def panels(matrix: Floats) -> Panels | None:
    """Return a matrix as panels, if it is one of `narrowed`: the same numbers."""
    d, width = matrix.shape
    if d < CACHED_DIMS:
        return None
    found: dict[np.dtype[Any], list[tuple[int, Floats, np.ndarray]]] = {BYTE: [], WORD: []}
    for first in range(0, width, PANEL):
        part = np.pad(matrix[:, first : first + PANEL], ((0, 0), (0, max(0, first + PANEL - width))))
        for dtype in (BYTE, WORD):
            units = _units(part, dtype)
            numbers = part / units
            whole = numbers.astype(dtype)
            if np.array_equal(whole, numbers):
                found[dtype].append((first, units, whole))
                break
        else:
            return None

    def stacked(dtype: np.dtype[Any]) -> np.ndarray:
        stack = lines((len(found[dtype]), d, PANEL), dtype)
        for n, (_, _, whole) in enumerate(found[dtype]):
            stack[n] = whole
        return read_only(stack)

    each = found[BYTE] + found[WORD]
    return Panels(
        stacked(BYTE),
        stacked(WORD),
        np.array([first for first, _, _ in each], dtype=np.int64),
        np.array([units for _, units, _ in each], dtype=np.float32),
    )


@inner
def accumulate_panels(x: Floats, matrix: Panels, out: Floats) -> None:
    """Set ``out``, (e,), to ``x @ matrix`` of one row: the same bits as `product`, but for subnormal numbers."""
    sums, of_bytes, of_words = empty(PANEL, np.float32), matrix.bytes, matrix.words
    for n in range(len(matrix.columns)):
        if n < len(of_bytes):
            multiply_panel(x, of_bytes, n, sums)
        else:
            multiply_panel(x, of_words, n - len(of_bytes), sums)
        first = matrix.columns[n]
        for k in range(min(PANEL, len(out) - first)):
            out[first + k] = sums[k] * matrix.units[n, k]


def multiply_panel(x: Floats, stack: npt.NDArray[Any], number: int, sums: Floats) -> None:
    """Set ``sums``, (64,), to ``x @ stack[number]``; in a kernel this is vector code."""
    sums[:] = 0
    for j in range(len(x)):
        sums += x[j] * stack[number, j].astype(np.float32)


@emitted(multiply_panel)
def _multiply_panel(x: Floats, stack: npt.NDArray[Any], number: int, sums: Floats) -> Any:
    def emitted(x: Floats, stack: npt.NDArray[Any], number: int, sums: Floats) -> None:
        emit_panel(x.ctypes.data, len(x), stack, number, sums.ctypes.data)

    return emitted


@intrinsic
def emit_panel(_context: Any, x: Any, dims: Any, stack: Any, number: Any, out: Any) -> tuple[Any, Any]:
    """`multiply_panel`, with ``x`` and ``out`` as addresses."""
    size, element = stack.dtype.bitwidth // 8, ir.IntType(stack.dtype.bitwidth)
    narrow = ir.VectorType(element, WIDTH)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        x_, dims_, stack_, number_, out_ = arguments
        row = ir.Constant(I64, size * PANEL)
        begin = builder.ptrtoint(make_array(signature.args[2])(context, builder, stack_).data, I64)
        begin = builder.add(begin, builder.mul(builder.mul(number_, dims_), row))
        sums = [cgutils.alloca_once_value(builder, ir.Constant(FLOATS, [0.0] * WIDTH)) for _ in range(PANEL // WIDTH)]
        with cgutils.for_range(builder, dims_, intp=I64) as loop:
            factor = spread(builder, FLOATS, load(builder, FLOAT, x_, builder.shl(loop.index, ir.Constant(I64, 2))))
            at = builder.add(begin, builder.mul(loop.index, row))
            for part, total in enumerate(sums):
                numbers = builder.sitofp(load(builder, narrow, at, size * WIDTH * part), FLOATS)
                builder.store(builder.fadd(builder.load(total), builder.fmul(factor, numbers)), total)
        for part, total in enumerate(sums):
            store(builder, builder.load(total), out_, 4 * WIDTH * part)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, stack, types.intp, types.intp), generate
