"""Tables of vectors in the files people keep them in, read in pieces so that a table larger than memory works.

====================  =====================================================================================
suffix                layout
====================  =====================================================================================
.npy                  NumPy, (n, d), memory-mapped
.fvecs .bvecs .ivecs  texmex: each row its dimension (int32), then float32 / uint8 / int32 values, memory-mapped
.fbin .f16bin .u8bin  big-ann: n and d (uint32), then float32 / float16 / uint8 / int8 / int32 rows, memory-mapped
.i8bin .ibin
.hdf5 .h5             the data set ``train`` (ann-benchmarks, VIBE), or the one named after a ``#``
.parquet              a column of lists, or all columns of numbers; the column may be named after a ``#``
====================  =====================================================================================
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

BLOCK_ROWS = 16_384  # rows read at a time: 100 MB of float32 at 1,536 dimensions


class VectorFileError(ValueError):
    """A file does not hold a table of vectors; the message names the file and what is wrong."""


class VectorTable(Protocol):
    """What a file of vectors offers: a shape, and rows as arrays on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        """Return rows: a slice or an array of row numbers."""


def open_vectors(path: str | os.PathLike[str]) -> VectorTable:
    """Open a file of vectors without reading it.

    Parameters
    ----------
    path : path-like
        A file with one of the suffixes above; ``#NAME`` behind it picks a data set (HDF5) or column (parquet).

    Returns
    -------
    VectorTable
        (n, d) rows; a `numpy.memmap` where the layout allows it.

    Raises
    ------
    VectorFileError
        If the suffix is unknown or the content is not of the layout the suffix promises.
    OSError
        If the file cannot be read.
    """
    name, _, part = os.fspath(path).partition("#")
    file = Path(name)
    if file.suffix not in _READERS:
        raise VectorFileError(f"{name}: expected a file ending in one of {', '.join(_READERS)}, got {file.suffix!r}")
    table = _READERS[file.suffix](file, part)
    if len(table.shape) != 2 or 0 in table.shape:
        raise VectorFileError(f"{name}: expected a table of shape (n, d) with n and d above 0, got {table.shape}")
    return table


def blocks(table: VectorTable, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield ``(first row, contiguous float32 rows)`` over a table, ``rows`` at a time."""
    for first in range(0, len(table), rows):
        yield first, np.ascontiguousarray(table[first : first + rows], dtype=np.float32)


def sample(table: VectorTable, count: int, seed: int) -> npt.NDArray[np.float32]:
    """Return ``count`` rows chosen by ``seed`` (all, if there are no more), in their order, as float32."""
    if len(table) <= count:
        return np.ascontiguousarray(table[:], dtype=np.float32)
    chosen = np.sort(np.random.default_rng(seed).choice(len(table), count, replace=False))
    return np.ascontiguousarray(table[chosen], dtype=np.float32)


def _npy(file: Path, _: str) -> VectorTable:
    try:
        table = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise VectorFileError(f"{file}: expected a NumPy array of numbers: {error}") from error
    return table


class VecsTable:
    """A texmex file (.fvecs, .bvecs, .ivecs): every row begins with its dimension, which is checked when it is read."""

    def __init__(self, file: Path, dtype: npt.DTypeLike) -> None:
        self._file, self._dtype = file, np.dtype(dtype)
        size = file.stat().st_size
        dim = int(np.fromfile(file, dtype="<i4", count=1)[0]) if size >= 4 else 0
        row = 4 + dim * self._dtype.itemsize
        if dim < 1 or size % row:
            raise VectorFileError(
                f"{file}: expected rows of 4 + d·{self._dtype.itemsize} bytes that begin with d, got {size} bytes that "
                f"begin with d={dim}"
            )
        self._rows = np.memmap(file, dtype=np.uint8, mode="r", shape=(size // row, row))
        self.shape: tuple[int, ...] = (size // row, dim)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        raw = np.ascontiguousarray(self._rows[rows])
        dims = raw[:, :4].copy().view("<i4")[:, 0]
        if (dims != self.shape[1]).any():
            raise VectorFileError(f"{self._file}: expected every row to have dimension {self.shape[1]}, got {dims}")
        return raw[:, 4:].copy().view(self._dtype)


def _vecs(dtype: str) -> Callable[[Path, str], VectorTable]:
    return lambda file, _: VecsTable(file, dtype)


def _bin(dtype: str) -> Callable[[Path, str], VectorTable]:
    def read(file: Path, _: str) -> VectorTable:
        size, itemsize = file.stat().st_size, np.dtype(dtype).itemsize
        n, dim = (int(v) for v in np.fromfile(file, dtype="<u4", count=2)) if size >= 8 else (0, 0)
        if n * dim == 0 or size != 8 + n * dim * itemsize:
            raise VectorFileError(
                f"{file}: expected 8 + n·d·{itemsize} bytes, got {size} bytes that begin with n={n}, d={dim}"
            )
        return np.memmap(file, dtype=dtype, mode="r", offset=8, shape=(n, dim))

    return read


class Hdf5Table:
    """One data set of an HDF5 file."""

    def __init__(self, file: Path, name: str) -> None:
        import h5py

        try:
            self._data = h5py.File(file, "r")[name]
        except KeyError as error:
            found = ", ".join(h5py.File(file, "r"))
            raise VectorFileError(f"{file}: expected a data set {name!r}, got {found}") from error
        if not isinstance(self._data, h5py.Dataset):
            raise VectorFileError(f"{file}: expected {name!r} to be a data set, got a group")
        self.shape: tuple[int, ...] = tuple(self._data.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        return self._data[rows]


class ParquetTable:
    """Vectors in parquet files, read by row groups.

    Parameters
    ----------
    files : list of path
        Read one after the other, as one table.
    column : str
        A column of lists; empty to take the only such column, or all columns if all are numbers.
    """

    def __init__(self, files: list[Path], column: str = "") -> None:
        import pyarrow.parquet as pq

        self._files = [pq.ParquetFile(file) for file in files]
        self._name = str(files[0])
        self._columns = self._choose(column)
        # Where each row group begins among all rows.
        self._groups = [(file, g) for file in self._files for g in range(file.num_row_groups)]
        lengths = [file.metadata.row_group(g).num_rows for file, g in self._groups]
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self._held: tuple[int, npt.NDArray[Any]] | None = None
        head = self._group(0) if self._groups else np.empty((0, 0), dtype=np.float32)
        self.shape: tuple[int, ...] = (int(self._starts[-1]), head.shape[1])
        self.dtype = head.dtype

    def _choose(self, column: str) -> list[str]:
        import pyarrow as pa

        schema = self._files[0].schema_arrow
        lists = [f.name for f in schema if pa.types.is_list(f.type) or pa.types.is_fixed_size_list(f.type)]
        numbers = [f.name for f in schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]
        if column:
            if column not in lists:
                raise VectorFileError(f"{self._name}: expected a column of lists {column!r}, got {', '.join(lists)}")
            return [column]
        if len(lists) == 1:
            return lists
        if not lists and len(numbers) == len(schema):
            return numbers
        raise VectorFileError(
            f"{self._name}: expected one column of lists, or numbers alone, got {', '.join(schema.names)}; name the "
            "column after a #"
        )

    def _group(self, number: int) -> npt.NDArray[Any]:
        """Return one row group as an array, keeping the last one: blocks ask for rows in order."""
        if self._held is None or self._held[0] != number:
            file, group = self._groups[number]
            table = file.read_row_group(group, columns=self._columns)
            self._held = (number, arrow_rows(table, self._columns, self._name))
        return self._held[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, dtype=np.int64)
        group = np.searchsorted(self._starts, wanted, side="right") - 1
        found = np.empty((len(wanted), self.shape[1]), dtype=self.dtype)
        for g in np.unique(group):
            here = group == g
            found[here] = self._group(int(g))[wanted[here] - self._starts[g]]
        return found


def arrow_rows(table: Any, columns: list[str], name: str) -> npt.NDArray[Any]:
    """Return an arrow table's column of lists, or its columns of numbers, as an (n, d) array.

    Raises
    ------
    VectorFileError
        If a value is missing or lists differ in length.
    """
    import pyarrow as pa

    if any(table[c].null_count for c in columns):
        raise VectorFileError(f"{name}: expected values in every row of {', '.join(columns)}, got missing ones")
    if len(columns) > 1 or not pa.types.is_nested(table[columns[0]].type):
        return np.column_stack([table[c].to_numpy() for c in columns])
    values = table[columns[0]].combine_chunks()
    values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
    flat = values.flatten()
    if flat.null_count or not len(values) or len(flat) % len(values):
        raise VectorFileError(f"{name}: column {columns[0]}: expected lists of one length without missing values")
    if pa.types.is_list(values.type) and len(np.unique(np.diff(values.offsets.to_numpy()))) > 1:
        raise VectorFileError(f"{name}: column {columns[0]}: expected lists of one length")
    return flat.to_numpy(zero_copy_only=False).reshape(len(values), -1)


_READERS: dict[str, Callable[[Path, str], VectorTable]] = {
    ".npy": _npy,
    ".fvecs": _vecs("<f4"),
    ".bvecs": _vecs("u1"),
    ".ivecs": _vecs("<i4"),
    ".fbin": _bin("<f4"),
    ".f16bin": _bin("<f2"),
    ".u8bin": _bin("u1"),
    ".i8bin": _bin("i1"),
    ".ibin": _bin("<i4"),
    ".hdf5": lambda file, part: Hdf5Table(file, part or "train"),
    ".h5": lambda file, part: Hdf5Table(file, part or "train"),
    ".parquet": lambda file, part: ParquetTable([file], part),
}


def write_neighbours(path: str | os.PathLike[str], scores: np.ndarray, ids: np.ndarray) -> None:
    """Write what a search found.

    Parameters
    ----------
    path : path-like
        ``.npy``: a structured array (nq, k) with fields ``id`` and ``score``. ``.csv`` and ``.parquet``: one line for
        each neighbour: query, rank, id, score; empty places (id -1) are left out.
    scores : (nq, k) float32
        As `Index.search` returns them.
    ids : (nq, k) int64
        As `Index.search` returns them.

    Raises
    ------
    VectorFileError
        If the suffix is none of these.
    """
    file = Path(path)
    check_neighbours_path(file)
    if file.suffix == ".npy":
        table = np.empty(ids.shape, dtype=[("id", np.int64), ("score", np.float32)])
        table["id"], table["score"] = ids, scores
        np.save(file, table)
        return
    query, rank = np.nonzero(ids >= 0)
    columns = {"query": query, "rank": rank, "id": ids[query, rank], "score": scores[query, rank]}
    if file.suffix == ".csv":
        with open(file, "w") as out:
            out.write(",".join(columns) + "\n")
            out.writelines(f"{q},{r},{i},{s:.9g}\n" for q, r, i, s in zip(*columns.values(), strict=True))
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), file)


def check_neighbours_path(path: str | os.PathLike[str]) -> None:
    """Raise `VectorFileError` unless `write_neighbours` can write to ``path``: to be called before a long search."""
    file = Path(path)
    if file.suffix not in (".npy", ".csv", ".parquet"):
        raise VectorFileError(f"{file}: expected a file ending in .npy, .csv or .parquet, got {file.suffix!r}")
    if not file.absolute().parent.is_dir():
        raise VectorFileError(f"{file}: the folder {file.absolute().parent} does not exist")
