"""Matrix products whose rows do not depend on their neighbours."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from ipaq_index.arrays import empty, zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.interruptible import FIRST, slices
from ipaq_index.quantizer.lanes import FLOAT, FLOATS, I64, WIDTH, Builder, Value, load, spread, store

COLUMNS = WIDTH  # of the matrix that are multiplied together
TOGETHER = 6  # rows a kernel holds in registers: 12 sums of 8 float32, two factors and one product fill AVX2's sixteen

Matrix = npt.NDArray[np.float32]


def product(x: Matrix, matrix: Matrix) -> Matrix:
    """Return ``x @ matrix``, each row the same bits whatever rows stand beside it, on every CPU.

    BLAS sums in another order for other numbers of rows, threads and instruction sets; pieces of a table would then get
    other codes than the whole. Every element here is the sum over j = 0, 1, … of rounded products, in that order:
    multiplications and additions are not fused, which costs half of the speed of OpenBLAS.

    Parameters
    ----------
    x : (m, d) float32
    matrix : (d, e) float32

    Returns
    -------
    (m, e) float32
    """
    out = np.zeros((len(x), matrix.shape[1]), dtype=np.float32)
    if len(x) * matrix.size / COLUMNS <= FIRST:  # one query has no microseconds to spare
        accumulate(x, matrix, out)
        return out
    for first, last in slices(len(x), matrix.size / COLUMNS, least=TOGETHER):
        accumulate(x[first:last], matrix, out[first:last])
    return out


@njit(nogil=True, cache=True)
def accumulate(x: Matrix, matrix: Matrix, out: Matrix) -> None:
    """Set ``out``, which holds zeros, to ``x @ matrix``."""
    m = len(x)
    whole = m // TOGETHER * TOGETHER
    multiply(x, matrix, out, whole)
    for i in range(whole, m):
        accumulate_row(x[i], matrix, out[i])


@inner
def accumulate_row(x: Matrix, matrix: Matrix, out: Matrix) -> None:
    """Set ``out``, (e,) zeros, to ``x @ matrix`` of one row."""
    for j in range(len(x)):
        a = x[j]
        for k in range(len(out)):
            out[k] += a * matrix[j, k]


def multiply(x: Matrix, matrix: Matrix, out: Matrix, rows: int) -> None:
    """Do the first ``rows`` rows, a multiple of `TOGETHER`; in a kernel this is vector code."""
    for j in range(x.shape[1]):
        out[:rows] += x[:rows, j, None] * matrix[j]


@emitted(multiply)
def _multiply(x: Matrix, matrix: Matrix, out: Matrix, rows: int) -> Any:
    def emitted(x: Matrix, matrix: Matrix, out: Matrix, rows: int) -> None:
        if rows == 0:
            return
        d, width = matrix.shape
        # 16 columns at a time, copied together: they stay in the first-level cache while all rows pass by.
        panel = zeros((d, COLUMNS), np.float32)
        corner = empty((TOGETHER, COLUMNS), np.float32)
        x_, out_, panel_, corner_ = x.ctypes.data, out.ctypes.data, panel.ctypes.data, corner.ctypes.data
        for first in range(0, width, COLUMNS):
            columns = min(COLUMNS, width - first)
            for j in range(d):
                for k in range(COLUMNS):
                    panel[j, k] = matrix[j, first + k] if k < columns else np.float32(0)
            for i in range(0, rows, TOGETHER):
                here = x_ + 4 * d * i
                if columns == COLUMNS:
                    emit_product(here, 4 * d, panel_, d, out_ + 4 * (width * i + first), 4 * width)
                else:
                    emit_product(here, 4 * d, panel_, d, corner_, 4 * COLUMNS)
                    for r in range(TOGETHER):
                        for k in range(columns):
                            out[i + r, first + k] = corner[r, k]

    return emitted


@intrinsic
def emit_product(
    _context: Any, x: Any, stride: Any, panel: Any, dims: Any, out: Any, out_stride: Any
) -> tuple[Any, Any]:
    """Six rows of ``x`` times a (dims, 16) panel; arrays as addresses, strides in bytes."""

    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        x_, stride_, panel_, dims_, out_, out_stride_ = arguments
        sums = [cgutils.alloca_once_value(builder, ir.Constant(FLOATS, [0.0] * COLUMNS)) for _ in range(TOGETHER)]
        rows = [builder.add(x_, builder.mul(stride_, ir.Constant(I64, r))) for r in range(TOGETHER)]
        with cgutils.for_range(builder, dims_, intp=I64) as loop:
            column = load(builder, FLOATS, panel_, builder.mul(loop.index, ir.Constant(I64, 4 * COLUMNS)))
            place = builder.mul(loop.index, ir.Constant(I64, 4))
            for row, total in zip(rows, sums, strict=True):
                factor = spread(builder, FLOATS, load(builder, FLOAT, row, place))
                builder.store(builder.fadd(builder.load(total), builder.fmul(factor, column)), total)
        for r, total in enumerate(sums):
            store(builder, builder.load(total), out_, builder.mul(out_stride_, ir.Constant(I64, r)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), generate
