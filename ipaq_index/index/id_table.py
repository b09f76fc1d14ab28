"""Finding the row of an id: a hash table that holds rows only, the ids being where the rows are."""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty
from ipaq_index.inner import inner
from ipaq_index.interruptible import slices
from ipaq_index.scan import BLOCK

EMPTY = -1
PROBE = 64  # steps of vector code that one place, somewhere in memory, takes the time of
LOAD = 0.6  # share of places taken beyond which a new table is made

Ids = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]


class IdTable:
    """Rows by id, with linear probing (Knuth, TAOCP 3, 6.4, algorithm L): 4 bytes a place, 7 to 13 bytes a row.

    The table only proposes rows: one counts if it is in use and has the id that is looked for. So rows that went out of
    use, or never came into it because an add failed, do no harm, and nothing is ever deleted. Lookups may run beside
    one `add`.

    Parameters
    ----------
    ids : (capacity,) int64
        The id of each row.
    rows : (n,) int64
        The rows to begin with.

    Attributes
    ----------
    places : (size,) int32
        A row, or `EMPTY`.
    """

    def __init__(self, ids: Ids, rows: Ids) -> None:
        size = 64
        while size * LOAD < 2 * len(rows):
            size *= 2
        places = np.full(size, EMPTY, dtype=np.int32)
        self.places: Places = places
        self._taken = 0
        self.add(ids, rows)

    def has_room(self, count: int) -> bool:
        """Return whether so many rows can be added."""
        return self._taken + count <= LOAD * len(self.places)

    def add(self, ids: Ids, rows: Ids) -> None:
        """Propose more rows from now on."""
        self._taken += len(rows)
        for first, last in slices(len(rows), PROBE):
            put(self.places, ids, rows[first:last])

    def find(self, ids: Ids, words: Words, wanted: Ids) -> Ids:
        """Return the row of each wanted id, -1 for one that no row in use has; ``words`` tell which are."""
        return find(self.places, ids, words, wanted)


@inner
def home(key: int, size: int) -> np.int64:
    """Return the place where the search for an id begins: the high bits of a Fibonacci hash (Knuth, 6.4)."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(32)) & np.int64(size - 1)


@njit(nogil=True, cache=True)
def put(places: Places, ids: Ids, rows: Ids) -> None:
    """Put rows into free places."""
    for row in rows:
        place = home(ids[row], len(places))
        while places[place] >= 0:
            place = (place + 1) & (len(places) - 1)
        places[place] = row


@njit(nogil=True, cache=True)
def find(places: Places, ids: Ids, words: Words, wanted: Ids) -> Ids:
    """Return the row of each wanted id, or -1; see `IdTable.find`."""
    rows = empty(len(wanted), np.int64)
    rows[:] = -1
    for n in range(len(wanted)):
        if wanted[n] < 0:
            continue
        place = home(wanted[n], len(places))
        while places[place] != EMPTY:
            row = np.int64(places[place])
            known = row < len(ids) and ids[row] == wanted[n]
            if known and words[row // BLOCK] >> np.uint32(row % BLOCK) & np.uint32(1):
                rows[n] = row
                break
            place = (place + 1) & (len(places) - 1)
    return rows
