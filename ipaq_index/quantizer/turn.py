"""Rows to columns and back, for kernels that take 32 vectors side by side.

One element at a time, this took a quarter of the time of scalar encoding; by shuffles of 16 x 16 elements, a tenth of
that.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ipaq_index.inner import emitted
from ipaq_index.quantizer.lanes import BYTES, FLOATS, I32, I64, LANES, ROW, WIDTH, Builder, Value, load, store

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def to_columns(rows: Floats, columns: Floats) -> None:
    """Set the first columns to some rows, at most 32; in a kernel this is vector code.

    Parameters
    ----------
    rows : (m, d) float32
    columns : (d, 32) float32
        Result.
    """
    columns[:, : len(rows)] = rows.T


def to_rows(columns: Bytes, rows: Bytes) -> None:
    """Set rows to as many columns; in a kernel this is vector code.

    Parameters
    ----------
    columns : (d, 32) uint8
    rows : (m, d) uint8
        Result.
    """
    rows[:] = columns.T[: len(rows)]


@emitted(to_columns)
def _to_columns(rows: Floats, columns: Floats) -> Any:
    def emitted(rows: Floats, columns: Floats) -> None:
        d = len(columns)
        whole = d // WIDTH * WIDTH if len(rows) == LANES else 0
        source, target, stride = rows.ctypes.data, columns.ctypes.data, rows.strides[0]
        for j in range(0, whole, WIDTH):
            for i in range(0, LANES, WIDTH):
                emit_turn_floats(source + i * stride + 4 * j, stride, target + j * ROW + 4 * i, ROW)
        for j in range(whole, d):
            for i in range(len(rows)):
                columns[j, i] = rows[i, j]

    return emitted


@emitted(to_rows)
def _to_rows(columns: Bytes, rows: Bytes) -> Any:
    def emitted(columns: Bytes, rows: Bytes) -> None:
        d = len(columns)
        whole = d // WIDTH * WIDTH if len(rows) == LANES else 0
        source, target, stride = columns.ctypes.data, rows.ctypes.data, rows.strides[0]
        for j in range(0, whole, WIDTH):
            for i in range(0, LANES, WIDTH):
                emit_turn_bytes(source + j * LANES + i, LANES, target + i * stride + j, stride)
        for i in range(len(rows)):
            for j in range(whole, d):
                rows[i, j] = columns[j, i]

    return emitted


def _emit(kind: Any) -> Any:
    def generate(context: Any, builder: Builder, _signature: Any, arguments: Any) -> Value:
        source, stride, target, target_stride = arguments
        vectors = [load(builder, kind, source, builder.mul(stride, ir.Constant(I64, i))) for i in range(WIDTH)]
        for i, vector in enumerate(turned(builder, vectors)):
            store(builder, vector, target, builder.mul(target_stride, ir.Constant(I64, i)))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), generate


@intrinsic
def emit_turn_floats(_context: Any, source: Any, stride: Any, target: Any, target_stride: Any) -> tuple[Any, Any]:
    """Turn 16 x 16 float32 on their side; addresses, and bytes from one row to the next."""
    return _emit(FLOATS)


@intrinsic
def emit_turn_bytes(_context: Any, source: Any, stride: Any, target: Any, target_stride: Any) -> tuple[Any, Any]:
    """Turn 16 x 16 bytes on their side; addresses, and bytes from one row to the next."""
    return _emit(BYTES)


def turned(builder: Builder, vectors: list[Value]) -> list[Value]:
    """Return the columns of 16 vectors: blocks of 8, 4, 2, 1 change places across the diagonal."""
    rows = list(vectors)
    block = WIDTH // 2
    while block:
        for i in range(WIDTH):
            if not i & block:
                upper, lower = rows[i], rows[i | block]
                for row, own in ((i, 0), (i | block, block)):
                    places = [(k & ~block | own) + (WIDTH if k & block else 0) for k in range(WIDTH)]
                    mask = ir.Constant(ir.VectorType(I32, WIDTH), places)
                    rows[row] = builder.shuffle_vector(upper, lower, mask)
        block //= 2
    return rows
