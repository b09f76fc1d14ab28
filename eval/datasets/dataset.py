"""What every loader returns."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ipaq_index.integrations.vector_files import VectorTable, blocks

Metric = Literal["ip", "cosine", "l2"]
Vectors = npt.NDArray[np.float32]


class Head:
    """The first ``count`` rows of a table that stays where it is."""

    def __init__(self, table: VectorTable, count: int) -> None:
        self._table = table
        self.shape: tuple[int, ...] = (min(count, len(table)), *table.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = slice(*rows.indices(len(self)))
        return self._table[rows]


@dataclass(frozen=True)
class Dataset:
    """Vectors to index and queries to ask.

    Attributes
    ----------
    name : str
        As asked for.
    metric : str
        "ip", "cosine" or "l2".
    train : (n, dim) float32 or VectorTable
        The vectors: an array where they fit in memory, else a table to be read in blocks.
    queries : (nq, dim) float32
        Not among ``train``.
    learn : (m, dim) float32 or None
        Training queries, different from ``queries``.
    """

    name: str
    metric: Metric
    train: Vectors | VectorTable
    queries: Vectors
    learn: Vectors | None = None

    @property
    def streamed(self) -> bool:
        """Whether the vectors stay on disk."""
        return not isinstance(self.train, np.ndarray)


def in_memory(table: VectorTable, limit_bytes: float) -> Vectors | VectorTable:
    """Return the table as a float32 array if that takes at most ``limit_bytes``, else as it is."""
    n, dim = table.shape
    if 4 * n * dim > limit_bytes:
        return table
    whole = np.empty((n, dim), dtype=np.float32)
    for first, block in blocks(table):
        whole[first : first + len(block)] = block
    return whole
