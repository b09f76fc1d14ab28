"""The names that code written for `faiss.Index` uses."""

from typing import TYPE_CHECKING

import numpy.typing as npt

from ipaq_index.index.ids import Ids

if TYPE_CHECKING:
    from ipaq_index.index.index import Index, Scores


class FaissNames:
    """FAISS's names for what `Index` does; mixed into it."""

    @property
    def d(self: "Index") -> int:
        """Dimension of the vectors."""
        return self.dim

    @property
    def metric_type(self: "Index") -> int:
        """FAISS's number of the metric: 1 (METRIC_L2) for "l2", else 0 (METRIC_INNER_PRODUCT)."""
        return int(self.metric == "l2")

    def add_with_ids(self: "Index", x: npt.ArrayLike, ids: npt.ArrayLike) -> None:
        """Add vectors under ids; see `Index.add`."""
        self.add(x, ids)

    def remove_ids(self: "Index", ids: npt.ArrayLike) -> int:
        """Remove those of ``ids`` that the index holds; return how many these were."""
        return self.remove(ids, missing="ignore")

    def reconstruct_batch(self: "Index", ids: npt.ArrayLike) -> "Scores":
        """Decode vectors; see `Index.reconstruct`."""
        return self.reconstruct(ids)

    def reconstruct_n(self: "Index", first: int = 0, count: int = -1) -> "Scores":
        """Decode ``count`` vectors (-1: all the rest) in the order of adding, from the ``first`` on."""
        ids: Ids = self.ids()
        return self.reconstruct(ids[first : len(ids) if count < 0 else first + count])
