"""Reading a Hugging Face data set batch by batch, streamed or not, without importing its library."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.index.inputs import as_array
from ipaq_index.index.validation import as_ids, as_vectors


class Batch(NamedTuple):
    """Rows of a data set: (n, dim) vectors and (n,) int64 ids, None if the data set names none."""

    vectors: np.ndarray
    ids: npt.NDArray[np.int64] | None


def batches(ds: Any, dim: int, column: str, id_column: str | None, rows: int) -> Iterator[Batch]:
    """Read a data set ``rows`` rows at a time.

    Parameters
    ----------
    ds : datasets.Dataset or datasets.IterableDataset
        Read as Arrow tables, whatever its own format.
    dim : int
        Expected dimension of the vectors.
    column, id_column : str
        Where vectors and ids are.
    rows : int
        Rows a batch.

    Raises
    ------
    TypeError, ValueError
        If ``ds`` is no data set, lacks a column, or a column does not hold vectors or ids.
    """
    if not (hasattr(ds, "with_format") and hasattr(ds, "iter")):
        raise TypeError(f"ds: expected a Dataset or IterableDataset of the package datasets, got {type(ds).__name__}")
    for table in ds.with_format("arrow").iter(batch_size=rows):
        for argument, wanted in (("column", column), ("id_column", id_column)):
            if wanted is not None and wanted not in table.column_names:
                raise ValueError(f"{argument}: expected one of {', '.join(table.column_names)}, got {wanted!r}")
        vectors = as_vectors(table[column], dim, f"column {column!r}")
        ids = None
        if id_column is not None:
            ids = as_ids(as_array(table[id_column], f"column {id_column!r}"), len(vectors), f"column {id_column!r}")
        yield Batch(vectors, ids)


def sample(
    ds: Any, read: Iterator[Batch], dim: int, column: str, rows: int, seed: int
) -> tuple[np.ndarray, Iterator[Batch]]:
    """Return a sample of the vectors and all batches, from the first on.

    A data set of known length is sampled evenly by the seed; of a stream the first ``rows`` rows are the sample.
    """
    if hasattr(ds, "select") and hasattr(ds, "__len__"):
        if len(ds) <= rows:
            chosen = ds
        else:
            chosen = ds.select(np.sort(np.random.default_rng(seed).choice(len(ds), rows, replace=False)))
        return _joined(list(batches(chosen, dim, column, None, rows))), read
    held: list[Batch] = []
    for batch in read:
        held.append(batch)
        if sum(len(b.vectors) for b in held) >= rows:
            break
    return _joined(held), chain(held, read)


def _joined(held: list[Batch]) -> np.ndarray:
    if not held:
        raise ValueError("ds: expected at least one row, got none")
    return np.concatenate([batch.vectors for batch in held])
