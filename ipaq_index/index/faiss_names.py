"""The names that code written for `faiss.Index` uses."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index.index.ids import Ids

Scores = npt.NDArray[np.float32]


class FaissNames:
    """FAISS's names for what `Index` does; mixed into it."""

    @property
    def d(self: Any) -> int:
        """Dimension of the vectors."""
        return int(self.dim)

    @property
    def metric_type(self: Any) -> int:
        """FAISS's number of the metric: 1 (METRIC_L2) for "l2", else 0 (METRIC_INNER_PRODUCT)."""
        return int(self.metric == "l2")

    def add_with_ids(self: Any, x: npt.ArrayLike, ids: npt.ArrayLike) -> None:
        """Add vectors under ids; see `Index.add`."""
        self.add(x, ids)

    def remove_ids(self: Any, ids: npt.ArrayLike) -> int:
        """Remove those of ``ids`` that the index holds; return how many these were."""
        return int(self.remove(ids, missing="ignore"))

    def reconstruct_batch(self: Any, ids: npt.ArrayLike) -> Scores:
        """Decode vectors; see `Index.reconstruct`."""
        vectors: Scores = self.reconstruct(ids)
        return vectors

    def reconstruct_n(self: Any, first: int = 0, count: int = -1) -> Scores:
        """Decode ``count`` vectors (-1: all the rest) in the order of adding, from the ``first`` on."""
        ids: Ids = self.ids()
        vectors: Scores = self.reconstruct(ids[first : len(ids) if count < 0 else first + count])
        return vectors
