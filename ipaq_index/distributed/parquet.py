"""Vectors in Parquet files: pieces of even size, and their columns as arrays."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

PIECE_ROWS = 1 << 20  # a piece is as many row groups of one file as have this many rows, one at least


@dataclass(frozen=True)
class Piece:
    """Row groups of one file: the unit that is read by one task.

    Attributes
    ----------
    number : int
        Of the piece.
    file : str
        The Parquet file.
    groups : tuple of int
        Its row groups.
    first_row : int
        Number of the first row among those of all files: its id, where there is no column of ids.
    rows : int
        How many rows.
    """

    number: int
    file: str
    groups: tuple[int, ...]
    first_row: int
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict with lists, as Ray Data wants a row."""
        return {**asdict(self), "groups": list(self.groups)}


def files_of(source: str | Path | Iterable[str | Path]) -> list[str]:
    """Return the Parquet files that ``source`` means: a file, a folder (its ``*.parquet``, by name) or a list of files.

    Raises
    ------
    ValueError
        If there are none.
    """
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    found = [file for path in paths for file in (sorted(path.rglob("*.parquet")) if path.is_dir() else [path])]
    if not found:
        raise ValueError(f"source: expected Parquet files, got none in {', '.join(map(str, paths)) or 'an empty list'}")
    return [str(file.resolve()) for file in found]


def pieces_of(files: list[str], most_rows: int = PIECE_ROWS) -> list[Piece]:
    """Cut files into pieces, reading only their footers."""
    from pyarrow import parquet

    pieces: list[Piece] = []
    row = 0
    for file in files:
        metadata = parquet.read_metadata(file)
        groups: list[int] = []
        rows = 0
        for group in range(metadata.num_row_groups):
            count = metadata.row_group(group).num_rows
            if groups and rows + count > most_rows:
                pieces.append(Piece(len(pieces), file, tuple(groups), row, rows))
                row, groups, rows = row + rows, [], 0
            groups.append(group)
            rows += count
        if rows:
            pieces.append(Piece(len(pieces), file, tuple(groups), row, rows))
            row += rows
    return pieces


def read(piece: Piece, column: str, id_column: str | None) -> Iterator[tuple[np.ndarray, npt.NDArray[np.int64]]]:
    """Yield vectors (n, dim), in the file's own precision, and ids (n,) of each row group of a piece.

    Raises
    ------
    ValueError
        If a column is missing, not of its kind, or has empty places; the message names file and column.
    """
    from pyarrow import parquet

    row = piece.first_row
    with parquet.ParquetFile(piece.file) as file:
        names = [name for name in (column, id_column) if name is not None]
        for name in names:
            if name not in file.schema_arrow.names:
                raise ValueError(
                    f"{piece.file}: no column {name!r}; its columns are {', '.join(file.schema_arrow.names)}"
                )
        for group in piece.groups:
            table = file.read_row_group(group, columns=names)
            where = f"{piece.file}: row group {group}"
            vectors = as_vectors(table[column], f"{where}, column {column!r}")
            if id_column is None:
                ids = np.arange(row, row + len(table), dtype=np.int64)
            else:
                ids = as_ids(table[id_column], f"{where}, column {id_column!r}")
            row += len(table)
            yield vectors, ids


def as_vectors(column: "pa.ChunkedArray", where: str) -> np.ndarray:
    """Return a column of lists of numbers, all of one length, as (n, dim)."""
    import pyarrow as pa

    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # what combining no chunks gives
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or _is_fixed(array.type)):
        raise ValueError(f"{where}: expected lists of numbers, got {array.type}")
    values = array.flatten()
    if array.null_count or values.null_count:
        raise ValueError(f"{where}: expected values in every place, got {array.null_count + values.null_count} nulls")
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise ValueError(f"{where}: expected lists of numbers, got {array.type}")
    rows = len(array)
    dim = array.type.list_size if _is_fixed(array.type) else len(values) // max(rows, 1)
    if not _is_fixed(array.type) and not (array.value_lengths().to_numpy() == dim).all():
        raise ValueError(f"{where}: expected lists of one length, got different ones")
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    return numbers.reshape(rows, dim)


def as_ids(column: "pa.ChunkedArray", where: str) -> npt.NDArray[np.int64]:
    """Return a column of integers as ids."""
    import pyarrow as pa

    if not pa.types.is_integer(column.type) or column.null_count:
        raise ValueError(f"{where}: expected integers in every place, got {column.type} with {column.null_count} nulls")
    ids = column.to_numpy()
    if len(ids) and (ids.min() < 0 or ids.max() > np.iinfo(np.int64).max):
        raise ValueError(f"{where}: expected ids from 0 to 2^63 - 1, got {ids.min()} to {ids.max()}")
    return np.asarray(ids, dtype=np.int64)


def _is_fixed(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_fixed_size_list(kind))
