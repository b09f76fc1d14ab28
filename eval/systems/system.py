"""What an index must offer to be measured."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eval.datasets import Dataset
from ipaq_index.integrations.vector_files import VectorTable


class SkippedError(Exception):
    """A system cannot take part: its package is missing, or it has no such metric. The message says which."""


class System(Protocol):
    """An index to be measured: built once, then asked at one or more settings of its search parameters."""

    name: str
    family: str  # what curves and colours are grouped by

    def build(self, dataset: Dataset, threads: int) -> None:
        """Train and add all vectors."""

    def set_search(self, **parameters: Any) -> None:
        """Set search parameters for all searches that follow.

        Raises
        ------
        ValueError
            If the index has no such parameter.
        """

    def search(self, queries: np.ndarray, k: int, threads: int) -> npt.NDArray[np.int64]:
        """Return the ids of the ``k`` nearest, (nq, k) int64."""

    def bytes_per_vector(self) -> float:
        """Bytes a vector costs: codes, scale, norm, links; ids and what does not grow with the vectors apart."""


def whole(table: np.ndarray | VectorTable, system: str) -> npt.NDArray[np.float32]:
    """Return the table as an array; for systems that cannot add in pieces.

    Raises
    ------
    SkippedError
        If it stays on disk because it does not fit in memory.
    """
    if not isinstance(table, np.ndarray):
        raise SkippedError(f"{system}: wants all vectors in memory at once, and these are read from disk")
    return table


def unit_rows(block: np.ndarray) -> npt.NDArray[np.float32]:
    """Return rows of length 1 (zero rows stay zero), for systems that know no cosine."""
    length = np.linalg.norm(block, axis=1, keepdims=True)
    return np.divide(block, length, out=np.zeros_like(block), where=length > 0)


def prepared(block: np.ndarray, metric: str) -> npt.NDArray[np.float32]:
    """Return rows as a system that ranks by inner product or L2 wants them: of length 1 if the metric is cosine."""
    return unit_rows(block) if metric == "cosine" else block
