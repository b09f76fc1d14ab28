"""The user's ids and the order of adding, by row."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ipaq_index.index.id_table import IdTable
from ipaq_index.index.runs import Runs
from ipaq_index.scan import BLOCK

Ids = npt.NDArray[np.int64]
ROW_LIMIT = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class IdMap:
    """Ids of rows: the row numbers themselves until the user names others, rows are reused or there are many lists.

    What changes a map returns another; it may write where rows are not in use.

    Attributes
    ----------
    runs : Runs
        Which rows are in use.
    ids : (32 blocks,) int64 or None
        The id of each row in use; None where every id is its row.
    sequence : (32 blocks,) int64 or None
        A number that grows with the order of adding; None where ids do.
    next_id, clock : int
        One more than the largest id, and than the largest sequence number, that there ever was.
    """

    runs: Runs
    ids: Ids | None = None
    sequence: Ids | None = None
    next_id: int = 0
    clock: int = 0
    _cache: "Cache" = field(default_factory=lambda: Cache())

    def of_rows(self, rows: Ids) -> Ids:
        """Return the ids of ``rows`` (any shape); row -1, an empty place, gives -1."""
        if self.ids is None:
            return rows
        if not len(self.ids):
            return np.full(rows.shape, -1, dtype=np.int64)
        found: Ids = self.ids.take(rows)  # with ten rows, half of the time of `np.where`
        found[rows < 0] = -1
        return found

    def rows_of(self, wanted: Ids) -> Ids:
        """Return the row of each id, -1 where there is none."""
        if self.ids is None:
            inside = (wanted >= 0) & (wanted < self.runs.used[0])
            rows = np.where(inside, wanted, -1)
            rows[inside] = np.where(self.runs.holds(wanted[inside]), wanted[inside], -1)
            return rows
        table = self._cache.table
        if table is None:
            table = self._cache.table = IdTable(self.ids, self.runs.rows())
        return table.find(self.ids, self.runs.words, wanted)

    def in_order(self) -> Ids:
        """Return the rows in use in the order of adding."""
        order = self._cache.order
        if order is None:
            rows = self.runs.rows()
            key = self.sequence if self.sequence is not None else self.ids
            order = self._cache.order = rows if key is None else rows[np.argsort(key[rows], kind="stable")]
        return order

    def new_ids(self, count: int) -> Ids:
        """Return ids for new vectors: numbers that continue after the largest there was.

        Raises
        ------
        ValueError
            If they would go beyond int64.
        """
        if self.next_id + count > 1 << 63:
            raise ValueError(f"ids: expected to be given, as numbers after {self.next_id - 1} do not fit int64")
        return np.arange(self.next_id, self.next_id + count, dtype=np.int64)

    def on(self, runs: Runs) -> "IdMap":
        """Return the map over other runs: rows went out of use, or there is more room.

        Raises
        ------
        ValueError
            If the rows are too many for the numbers that ids are looked up with.
        """
        if runs.blocks * BLOCK > ROW_LIMIT:
            raise ValueError(f"x: expected no more vectors than fit {ROW_LIMIT} rows, got {runs.blocks * BLOCK} rows")
        return replace(
            self,
            runs=runs,
            ids=_grown(self.ids, runs.blocks * BLOCK),
            sequence=_grown(self.sequence, runs.blocks * BLOCK),
            _cache=Cache(self._cache.table),
        )

    def copied(self) -> "IdMap":
        """Return the map with arrays of its own."""
        names, sequence = self.ids, self.sequence
        return replace(
            self, ids=None if names is None else names.copy(), sequence=None if sequence is None else sequence.copy()
        )

    def added(self, runs: Runs, rows: Ids, ids: Ids) -> "IdMap":
        """Name new rows, in the order of adding; ``runs`` have them in use."""
        names, sequence, clock = self.ids, self.sequence, self.clock
        if sequence is None and (ids[0] < self.next_id or (np.diff(ids) < 0).any()):
            names = self._spelt_out()
            sequence, clock = names.copy(), self.next_id
        if names is None and (len(runs.count) > 1 or not np.array_equal(ids, rows)):
            names = self._spelt_out()
        if names is not None:
            names[rows] = ids
        if sequence is not None:
            sequence[rows] = np.arange(clock, clock + len(rows))
            clock += len(rows)
        next_id, cache = max(self.next_id, int(ids.max()) + 1), self._proposing(rows, names)
        return replace(
            self,
            runs=runs,
            ids=names,
            sequence=sequence,
            next_id=next_id,
            clock=clock,
            _cache=cache,
        )

    def moved(self, runs: Runs, old: Ids, new: Ids) -> "IdMap":
        """Give new rows the ids, and the places in the order of adding, of old ones; ``runs`` know that already."""
        if not len(old):
            return replace(self, runs=runs)
        names = self._spelt_out()
        names[new] = names[old]
        if self.sequence is not None:
            self.sequence[new] = self.sequence[old]
        return replace(self, runs=runs, ids=names, _cache=self._proposing(new, names))

    def gathered(self, runs: Runs, old: Ids, new: Ids) -> "IdMap":
        """Return the map of an index with other runs, in which rows ``old`` are ``new``."""
        names = self.of_rows(old)
        ids = None if self.ids is None and np.array_equal(names, new) else _spread(names, new, runs.blocks)
        sequence = None if self.sequence is None else _spread(self.sequence[old], new, runs.blocks)
        return replace(self, runs=runs, ids=ids, sequence=sequence, _cache=Cache())

    def arrays(self) -> dict[str, Ids]:
        """Return ids and sequence, where they are spelt out."""
        found = {"ids": self.ids, "sequence": self.sequence}
        return {name: array for name, array in found.items() if array is not None}

    def restored(self, sections: dict[str, np.ndarray]) -> "IdMap":
        """Return this map, empty so far, with what `arrays` gave.

        Raises
        ------
        ValueError
            If a section's shape or dtype does not fit, or a number is there twice or beyond its bound.
        """
        rows = self.runs.rows()
        for name, bound in (("ids", self.next_id), ("sequence", self.clock)):
            found = sections.get(name)
            if found is None:
                continue
            shape = (self.runs.blocks * BLOCK,)
            if found.shape != shape or found.dtype != np.int64:
                raise ValueError(f"section {name!r}: expected int64 {shape}, got {found.dtype} {found.shape}")
            used = found[rows]
            if len(used) and (used.min() < 0 or used.max() >= bound):
                raise ValueError(f"section {name!r}: expected numbers from 0 to {bound - 1}")
            if len(np.unique(used)) != len(used):
                raise ValueError(f"section {name!r}: expected different numbers")
        if "ids" not in sections and len(rows) and (len(self.runs.count) > 1 or rows[-1] >= self.next_id):
            raise ValueError("section 'ids': expected int64 numbers, got nothing")
        return replace(self, ids=sections.get("ids"), sequence=sections.get("sequence"))

    @property
    def nbytes(self) -> int:
        """Bytes of memory that ids take, the table to find them by included."""
        table = self._cache.table
        return sum(array.nbytes for array in self.arrays().values()) + (0 if table is None else table.places.nbytes)

    def _spelt_out(self) -> Ids:
        return np.arange(self.runs.blocks * BLOCK, dtype=np.int64) if self.ids is None else self.ids

    def _proposing(self, rows: Ids, ids: Ids | None) -> "Cache":
        table = self._cache.table
        if table is None or ids is None or not table.has_room(len(rows)):
            return Cache()
        table.add(ids, rows)
        return Cache(table)


@dataclass
class Cache:
    """What follows from a map, made when first asked for: a table to find ids by, and the rows in order of adding."""

    table: IdTable | None = None
    order: Ids | None = None


def _grown(array: Ids | None, length: int) -> Ids | None:
    if array is None or (len(array) == length and array.flags.writeable):
        return array
    return _spread(array, slice(len(array)), length // BLOCK)


def _spread(values: Ids, rows: Ids | slice, blocks: int) -> Ids:
    spread = np.zeros(blocks * BLOCK, dtype=np.int64)
    spread[rows] = values
    return spread
