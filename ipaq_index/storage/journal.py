"""What an index knows of the files it was saved to or loaded from, so that a `sync` can tell what has changed."""

import threading
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import xxhash

from ipaq_index.index import Index
from ipaq_index.storage.contents import Contents
from ipaq_index.storage.writer import Range, Table

CHUNK = 1 << 15  # bytes compared at a time: what changes in one is written whole, and has 8 bytes of digest in memory

Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Trace:
    """What remains of an array that a file holds: the digest of each `CHUNK` of it, and its length."""

    digests: Digests
    bytes: int


Traces = dict[str, Trace]


@dataclass(frozen=True)
class Journal:
    """What a file holds, as far as an index knows.

    Attributes
    ----------
    last : int
        Digest of the last committed preamble.
    traces : dict of str to Trace, optional
        Of the arrays; found from the file when they are needed, if not given.
    pending : Journal, optional
        What the file holds if an interrupted `sync` went through all the same.
    """

    last: int
    traces: Traces | None = None
    pending: "Journal | None" = None

    def as_of(self, last: int) -> "Journal | None":
        """Return what is known of a file whose last commit is ``last``; None if somebody else made that commit."""
        if last == self.last:
            return self
        return self.pending.as_of(last) if self.pending else None


_journals: WeakKeyDictionary[Index, dict[Path, Journal]] = WeakKeyDictionary()
_lock = threading.Lock()


def remember(index: Index, target: Path, journal: Journal) -> None:
    """Keep what is known of a file; the index's lock is held."""
    with _lock:
        _journals.setdefault(index, {})[target] = journal


def recall(index: Index, target: Path) -> Journal | None:
    """Return what is known of a file."""
    with _lock:
        return _journals.get(index, {}).get(target)


def traces_of(tables: dict[str, Table]) -> Traces:
    """Return the traces of arrays."""
    return {name: trace(table.raw) for name, table in tables.items()}


def traces_in(contents: Contents) -> Traces:
    """Return the traces of the arrays in a file, every byte of it checked."""
    contents.verify()
    return {name: trace(array.reshape(-1).view(np.uint8)) for name, array in contents.arrays().items()}


def trace(raw: np.ndarray) -> Trace:
    """Return the trace of some bytes."""
    view = raw.data
    digests = [xxhash.xxh3_64_intdigest(view[first : first + CHUNK]) for first in range(0, len(raw), CHUNK)]
    return Trace(np.array(digests, dtype=np.uint64), len(raw))


def changes(table: Table, new: Trace, old: Trace | None) -> list[Range]:
    """Return which bytes of an array differ from what a file holds; neighbouring chunks together.

    Parameters
    ----------
    table, new : Table, Trace
        The array as it is.
    old : Trace or None
        The array in the file; None if the file has none of that name.
    """
    if old is None:
        return [(0, new.bytes)] if new.bytes else []
    both = min(len(old.digests), len(new.digests))
    differs = np.ones(len(new.digests), dtype=bool)
    differs[:both] = old.digests[:both] != new.digests[:both]
    chunks = np.flatnonzero(differs)
    ranges = [
        [int(run[0]) * CHUNK, min((int(run[-1]) + 1) * CHUNK, new.bytes)]
        for run in np.split(chunks, np.flatnonzero(np.diff(chunks) > 1) + 1)
        if len(run)
    ]
    # The last chunk of an array that has grown: if it begins as it was, only what follows is new.
    tail = old.bytes // CHUNK * CHUNK
    if tail < old.bytes < new.bytes:
        begins_alike = xxhash.xxh3_64_intdigest(table.raw[tail : old.bytes].data) == int(old.digests[-1])
        for bounds in ranges:
            if begins_alike and bounds[0] == tail:
                bounds[0] = old.bytes
    return [(start, stop) for start, stop in ranges]
