"""What a caller may pass: one place where arrays, ids and counts are checked before anything changes."""

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index.index.inputs import as_array

CHUNK_ROWS = 16_384  # rows converted to float32 at a time: 3 MB at 50-d, 100 MB at 1,536-d, so never a second copy of x

LARGEST = 1e15  # of a value: sums of squares and of products then stay in float32, for up to 10^8 dimensions

INT64 = np.iinfo(np.int64)
FLOAT32 = np.dtype(np.float32)  # comparing with a dtype takes a quarter of the time of comparing with a type


def as_vectors(x: Any, dim: int, name: str, *, single: bool = False) -> np.ndarray:
    """Check that ``x`` is a non-empty (n, dim) table of finite real numbers.

    Parameters
    ----------
    x : array_like
        Any real dtype, any memory order, nested lists too; tensors and columns of other libraries (see `inputs`).
    dim : int
        The expected number of columns.
    name : str
        What the caller calls this argument; used in messages.
    single : bool
        Whether a 1-D array of length ``dim`` stands for one row.

    Returns
    -------
    numpy.ndarray
        (n, dim), in the caller's dtype and memory: nothing is copied that was an array already.

    Raises
    ------
    TypeError
        If ``x`` does not hold real numbers.
    ValueError
        If the shape is wrong, ``x`` is empty, or a value is missing, NaN, infinite or so large that scores would be.
    """
    if type(x) is np.ndarray and x.dtype.kind in "fiu":  # as nearly always
        table = x
    else:
        refuse_missing(x, name)
        x = as_array(x, name)
        try:
            table = np.asarray(x)
        except ValueError as error:  # NumPy's own message on ragged lists does not name the argument
            raise ValueError(f"{name}: expected a table of shape (n, {dim}), got rows of different lengths") from error
    if table.dtype.kind not in "fiu":
        raise TypeError(
            f"{name}: expected real numbers (float16, float32, float64 or integers), got dtype {table.dtype}"
        )
    if single and table.ndim == 1:
        table = table[None, :]
    if table.ndim != 2:
        raise ValueError(f"{name}: expected a table of shape (n, {dim}), got shape {table.shape}")
    if table.shape[1] != dim:
        raise ValueError(f"{name}: expected dimension {dim}, got {table.shape[1]}")
    if len(table) == 0:
        raise ValueError(f"{name}: expected at least one vector, got none (shape {table.shape})")
    for first, chunk in chunks(table):
        flat = chunk.ravel()
        if flat.dot(flat) <= LARGEST * LARGEST:  # false if one is NaN; a third of the time of looking at each
            continue
        if not (chunk.min() >= -LARGEST and chunk.max() <= LARGEST):  # both are NaN if a value is
            row, column = np.argwhere(~(np.abs(chunk) <= LARGEST))[0]
            large = np.isfinite(chunk[row, column])
            expected = f"values up to {LARGEST:g}, whose products fit float32" if large else "finite float32 values"
            value = table[first + row, column]
            raise ValueError(f"{name}: expected {expected}, got {value} at row {first + row}, column {column}")
    return table


def plain(x: Any, dim: int) -> npt.NDArray[np.float32] | None:
    """Return one vector as (1, dim), if it comes as kernels take it; its values are not checked. Else None."""
    if type(x) is not np.ndarray or x.dtype != FLOAT32 or not x.flags.c_contiguous:
        return None
    if x.shape == (1, dim):
        return x
    return x[None] if x.shape == (dim,) else None


def chunks(table: np.ndarray) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield ``(first row, contiguous float32 rows)`` over a table, `CHUNK_ROWS` rows at a time."""
    for first in range(0, len(table), CHUNK_ROWS):
        part = table[first : first + CHUNK_ROWS]
        if part.dtype != np.float32:
            with np.errstate(over="ignore"):  # beyond float32 becomes inf, which `as_vectors` reports by row and column
                part = part.astype(np.float32)
        yield first, np.ascontiguousarray(part)


def as_ids(ids: Any, count: int, name: str = "ids") -> npt.NDArray[np.int64]:
    """Check that ``ids`` are ``count`` different non-negative int64 numbers.

    Raises
    ------
    TypeError
        If they are not integers.
    ValueError
        If their number differs from ``count``, one is negative or beyond int64, or two are equal (the message
        lists them).
    """
    table = as_id_array(ids, name)
    if len(table) != count:
        raise ValueError(f"{name}: expected {count} ids, one for each vector, got {len(table)}")
    if count and table.min() < 0:
        raise ValueError(f"{name}: expected ids from 0 upwards (-1 marks an empty place in results), got {table.min()}")
    unique, times = np.unique(table, return_counts=True)
    if len(unique) != count:
        raise ValueError(f"{name}: expected different ids, got repeated ones: {listed(unique[times > 1])}")
    return table


def as_id_array(ids: Any, name: str = "ids") -> npt.NDArray[np.int64]:
    """Check that ``ids`` is a list of integers that fit int64; return it as (n,) int64."""
    refuse_missing(ids, name)
    table = np.asarray(ids)
    if table.size == 0:
        return np.empty(0, dtype=np.int64)
    if table.ndim > 1:
        raise ValueError(f"{name}: expected a flat list of ids, got shape {table.shape}")
    if table.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers that fit int64, got dtype {table.dtype}")
    if table.dtype.kind == "u" and table.max() > INT64.max:
        raise ValueError(f"{name}: expected ids that fit int64, got {table.max()}")
    return np.ascontiguousarray(np.atleast_1d(table), dtype=np.int64)


def refuse_missing(x: Any, name: str) -> None:
    """Refuse masked arrays and Arrow, Polars or pandas columns with missing values: NumPy would put others there."""
    if np.ma.isMaskedArray(x) and np.ma.is_masked(x):
        raise ValueError(f"{name}: expected values in every place, got a masked array with missing ones")
    missing = getattr(x, "null_count", None)
    missing = missing() if callable(missing) else missing  # frames count by column, and are looked at elsewhere
    if isinstance(missing, int) and missing:
        raise ValueError(f"{name}: expected values in every place, got {missing} missing")


def as_count(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """Check that ``value`` is an integer of at least ``least`` and at most ``most``.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is smaller than ``least`` or larger than ``most``.
    """
    if type(value) is int and most is None and value >= least:  # as nearly always
        return value
    if type(value) is not int and (isinstance(value, bool | np.bool_) or not isinstance(value, Integral)):
        raise TypeError(f"{name}: expected an integer, got {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")
    if most is not None and value > most:  # type: ignore[operator]
        raise ValueError(f"{name}: expected at most {most}, got {value}")
    return int(value)


def as_real(value: Any, name: str) -> float:
    """Check that ``value`` is a real number, not NaN.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is NaN.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r} ({type(value).__name__})")
    if value != value:
        raise ValueError(f"{name}: expected a number, got nan")
    return float(value)


def listed(values: np.ndarray, most: int = 10) -> str:
    """Name the first few of ``values`` for a message."""
    head = ", ".join(str(v) for v in values[:most])
    return head if len(values) <= most else f"{head}, … ({len(values)} in all)"
