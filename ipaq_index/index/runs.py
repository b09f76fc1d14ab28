"""Where the rows of each inverted list lie: runs of whole blocks, and which of their rows are in use."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.scan import BLOCK

SLACK = 1.25  # a run that must grow gets this much room: adds cost O(1) each on average, spare room stays small

Ids = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]


class Plan(NamedTuple):
    """What `Runs.place` decided.

    Attributes
    ----------
    runs : Runs
        With room for the new vectors, which are not in use yet.
    rows : (n,) int64
        The row of each new vector.
    moved : (old, new)
        Rows whose contents must be copied, and where to; they have changed places in ``runs`` already.
    """

    runs: "Runs"
    rows: Ids
    moved: tuple[Ids, Ids]


class Runs:
    """Runs of blocks, one a list; a flat index has one. Never changes: what changes runs returns others.

    Attributes
    ----------
    start, room : (nlist,) int64
        First block and number of blocks of each run.
    count, used : (nlist,) int64
        Rows in use, and the end of the part of the run that has any.
    words : (blocks,) uint32
        Bit i of word b: whether row 32 b + i is in use.
    """

    def __init__(self, start: Ids, room: Ids, words: Words) -> None:
        self.start, self.room, self.words = start, room, words
        self.count, self.used = np.zeros_like(start), np.zeros_like(start)

    @classmethod
    def of_words(cls, start: Ids, room: Ids, words: Words) -> "Runs":
        """Return the runs that lie so, with ``count`` and ``used`` as ``words`` tell."""
        runs = cls(start, room, words)
        rows = _rows_of(words)
        lists = runs.lists(rows)
        runs.count = np.bincount(lists, minlength=len(start))
        np.maximum.at(runs.used, lists, rows - BLOCK * start[lists] + 1)
        return runs

    @classmethod
    def of_counts(cls, start: Ids, room: Ids, count: Ids, blocks: int) -> "Runs":
        """Return the runs that lie so within ``blocks`` blocks, the first ``count`` rows of each in use."""
        runs = cls(start, room, np.zeros(blocks, dtype=np.uint32))
        runs.count, runs.used = count.copy(), count.copy()
        _set(runs.words, runs.rows(), True)
        return runs

    @classmethod
    def filled(cls, count: Ids, slack: float = 1.0) -> "Runs":
        """Return runs one behind the other, with ``count`` rows each and room for ``slack`` as many."""
        room = -(-np.ceil(slack * count).astype(np.int64) // BLOCK)
        return cls.of_counts(np.cumsum(room) - room, room, count, int(room.sum()))

    def _copy(self) -> "Runs":
        other = Runs(self.start.copy(), self.room.copy(), self.words.copy())
        other.count, other.used = self.count.copy(), self.used.copy()
        return other

    @property
    def blocks(self) -> int:
        """Blocks of all runs, and of gaps between them."""
        return len(self.words)

    @property
    def total(self) -> int:
        """Rows in use."""
        return int(self.count.sum())

    @property
    def holes(self) -> int:
        """Rows within the used parts of the runs that are not in use."""
        return int((self.used - self.count).sum())

    def rows(self) -> Ids:
        """Return the rows in use: by list, ascending within it."""
        if not self.holes:
            lists = np.repeat(np.arange(len(self.count)), self.count)
            before = np.cumsum(self.count) - self.count
            return BLOCK * self.start[lists] + np.arange(len(lists)) - before[lists]
        order = np.argsort(self.start, kind="stable")
        order = order[self.room[order] > 0]
        rows = _rows_of(self.words)
        ends = np.searchsorted(rows, BLOCK * (self.start[order] + self.room[order]))
        pieces = dict(zip(order.tolist(), np.split(rows, ends[:-1]), strict=True))
        return np.concatenate([pieces[n] for n in sorted(pieces)]) if pieces else rows

    def lists(self, rows: Ids) -> Ids:
        """Return the list of each row."""
        order = np.argsort(self.start, kind="stable")
        order = order[self.room[order] > 0]
        return order[np.searchsorted(self.start[order], rows // BLOCK, side="right") - 1]

    def holds(self, rows: Ids) -> npt.NDArray[np.bool_]:
        """Return whether each row (below 32 times `blocks`) is in use."""
        return (self.words[rows // BLOCK] >> (rows % BLOCK).astype(np.uint32) & np.uint32(1)).astype(bool)

    def taken(self, rows: Ids) -> "Runs":
        """Return runs with ``rows``, which `place` chose, in use."""
        other = self._copy()
        _set(other.words, rows, True)
        lists = self.lists(rows)
        other.count += np.bincount(lists, minlength=len(self.count))
        np.maximum.at(other.used, lists, rows - BLOCK * self.start[lists] + 1)
        return other

    def released(self, rows: Ids) -> "Runs":
        """Return runs with ``rows`` out of use."""
        other = self._copy()
        _set(other.words, rows, False)
        other.count -= np.bincount(self.lists(rows), minlength=len(self.count))
        other.used[other.count == 0] = 0
        return other

    def place(self, labels: Ids) -> Plan:
        """Find rows for new vectors of lists ``labels``, enlarging or moving runs that are full; none is in use yet.

        Within a list, vectors take its free rows in ascending order.
        """
        extra = np.bincount(labels, minlength=len(self.count))
        runs, moved = self._enlarged(extra)
        order = np.argsort(labels, kind="stable")
        lists = labels[order]
        within = np.arange(len(labels)) - (np.cumsum(extra) - extra)[lists]
        sorted_rows = BLOCK * runs.start[lists] + runs.count[lists] + within  # lists without holes go on where they end
        for n in np.flatnonzero((runs.used > runs.count) & (extra > 0)):
            first, last = runs.start[n], runs.start[n] + runs.room[n]
            sorted_rows[lists == n] = _rows_of(~runs.words[first:last])[: extra[n]] + BLOCK * first
        rows = np.empty_like(sorted_rows)
        rows[order] = sorted_rows
        return Plan(runs, rows, moved)

    def _enlarged(self, extra: Ids) -> tuple["Runs", tuple[Ids, Ids]]:
        """Give each list room for ``extra`` more rows; return also the rows that move, and where to."""
        none = np.empty(0, dtype=np.int64)
        needed = self.count + extra
        short = np.flatnonzero(needed > BLOCK * self.room)
        if not len(short):
            return self, (none, none)
        other = self._copy()
        grown = np.maximum(needed[short], (SLACK * self.count[short]).astype(np.int64))
        other.room[short] = -(-grown // BLOCK)
        if len(short) == 1 and self.start[short[0]] + self.room[short[0]] == self.blocks:
            added = int(other.room[short[0]] - self.room[short[0]])  # the last run grows where it is
            other.words = np.concatenate([self.words, np.zeros(added, dtype=np.uint32)])
            return other, (none, none)
        room = other.room[short]
        other.start[short] = self.blocks + np.cumsum(room) - room
        other.words = np.concatenate([self.words, np.zeros(int(room.sum()), dtype=np.uint32)])
        old = [self._rows_in(int(n)) for n in short]
        new = [BLOCK * other.start[n] + np.arange(len(rows)) for n, rows in zip(short, old, strict=True)]
        before, after = np.concatenate(old), np.concatenate(new)
        _set(other.words, before, False)
        _set(other.words, after, True)
        other.used[short] = self.count[short]
        return other, (before, after)

    def _rows_in(self, n: int) -> Ids:
        return _rows_of(self.words[self.start[n] : self.start[n] + self.room[n]]) + BLOCK * self.start[n]

    @property
    def wasted(self) -> int:
        """Blocks that no list needs: gaps left by runs that moved, and what holes add up to."""
        return self.blocks - int((-(-self.count // BLOCK)).sum())


def _rows_of(words: Words) -> Ids:
    return np.flatnonzero(np.unpackbits(words.astype("<u4", copy=False).view(np.uint8), bitorder="little"))


def _set(words: Words, rows: Ids, in_use: bool) -> None:
    """Mark different rows as in use or not."""
    bits = np.uint32(1) << (rows % BLOCK).astype(np.uint32)
    if in_use:
        np.bitwise_or.at(words, rows // BLOCK, bits)
    else:
        np.bitwise_and.at(words, rows // BLOCK, ~bits)
