"""The map between the user's ids and the rows of the code arrays."""

import numpy as np
import numpy.typing as npt

from ipaq_index.index.validation import listed

Ids = npt.NDArray[np.int64]


class IdMap:
    """Ids of rows 0, 1, 2, …: the row numbers themselves until the user names others.

    Parameters
    ----------
    ids : (n,) int64, optional
        Ids of the first rows.
    count : int
        Number of rows when ``ids`` is None: ids 0 to ``count`` - 1.
    """

    def __init__(self, ids: Ids | None = None, count: int = 0) -> None:
        self._ids = ids
        self._count = count if ids is None else len(ids)
        self._order: Ids | None = None  # rows sorted by id, made when first asked for

    def __len__(self) -> int:
        return self._count

    @property
    def explicit(self) -> Ids | None:
        """The ids as (n,) int64, or None where every id is its row."""
        return self._ids

    def extended(self, ids: Ids | None, count: int) -> "IdMap":
        """Return the map with ``count`` more rows, leaving this one (which a running search may hold) as it is.

        Parameters
        ----------
        ids : (count,) int64 or None
            Ids of the new rows, already checked to differ from one another; None continues after the largest.

        Raises
        ------
        ValueError
            If one of ``ids`` is in the map already; the message lists them.
        """
        if ids is None and self._ids is None:
            return IdMap(count=self._count + count)
        if ids is None:
            first = int(self.of_rows(np.arange(self._count)).max(initial=-1)) + 1
            ids = np.arange(first, first + count, dtype=np.int64)
        taken = ids[self.rows_of(ids) >= 0]
        if len(taken):
            raise ValueError(f"ids: expected ids that the index does not hold yet, got {listed(taken)}")
        return IdMap(np.concatenate([self.of_rows(np.arange(self._count)), ids]))

    def of_rows(self, rows: Ids) -> Ids:
        """Return the ids of ``rows`` (any shape); row -1, an empty place, gives -1."""
        if self._ids is None:
            return rows
        if not len(self._ids):
            return np.full(rows.shape, -1, dtype=np.int64)
        return np.where(rows < 0, -1, self._ids[rows])

    def rows_of(self, ids: Ids) -> Ids:
        """Return the row of each id, -1 where the map does not hold it."""
        if self._ids is None:
            return np.where((ids >= 0) & (ids < self._count), ids, -1)
        if not self._count:
            return np.full(len(ids), -1, dtype=np.int64)
        if self._order is None:
            self._order = np.argsort(self._ids)
        place = np.minimum(np.searchsorted(self._ids, ids, sorter=self._order), self._count - 1)
        rows = self._order[place]
        return np.where(self._ids[rows] == ids, rows, -1)
