"""What a file holds: its segments one after the other, and the arrays that they add up to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipaq_index.storage import segment
from ipaq_index.storage.errors import IndexFileError
from ipaq_index.storage.record import OFFSET, CommitRecord, read_record
from ipaq_index.storage.segment import ALIGN, COMMIT_MAGIC, MAGIC, Entry, Patch, Preamble

Bytes = np.ndarray


@dataclass(frozen=True)
class Segment:
    """A committed segment of a file."""

    name: str  # for messages: "file" for the first, then "commit 1", "commit 2", …
    offset: int
    preamble: Preamble
    entries: tuple[Entry, ...]
    state: dict[str, Any]


@dataclass(frozen=True)
class Section:
    """One array: its form, and all patches since the file was written, in that order; later ones count."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    patches: list[Patch]


class Contents:
    """The structure of a file whose preambles and headers are checked; arrays are checked when they are read.

    Parameters
    ----------
    data : (length,) uint8
        The file's bytes, in memory or mapped.

    Attributes
    ----------
    version : int
        Of the format.
    segments : list of Segment
        The committed ones.
    sections : dict of str to Section
        All arrays as of the last commit.
    state : dict
        The index's state as of the last commit.
    end : int
        Where the committed part ends. What is behind it, an interrupted `sync` has left.

    Raises
    ------
    IndexFileError
        If the file is damaged, cut short, of another format, or of a newer version.
    """

    def __init__(self, data: Bytes) -> None:
        self._data = data
        self.segments = list(_segments(data))
        last = self.segments[-1]
        self.version, self.state, self.end = self.segments[0].preamble.version, last.state, last.preamble.end
        self.sections: dict[str, Section] = {}
        for part in self.segments:
            self.sections = {entry.name: _patched(self.sections, entry, part.name) for entry in part.entries}

    @property
    def last(self) -> int:
        """Digest of the last committed preamble, which stands for all that the file holds."""
        return self.segments[-1].preamble.digest

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return len(self._data)

    @property
    def stored(self) -> int:
        """Bytes of arrays that the committed segments have brought."""
        return sum(patch.bytes for part in self.segments for entry in part.entries for patch in entry.patches)

    def verify(self) -> None:
        """Check every byte of the committed part, also what later commits have replaced.

        Raises
        ------
        IndexFileError
            If something is damaged; the message names the section.
        """
        for part in self.segments:
            for entry in part.entries:
                for patch in entry.patches:
                    self._check(patch, entry.name, part.name)

    def array(self, name: str) -> np.ndarray:
        """Return an array: a view of the file's bytes if they lie together, else a copy. Not checked; see `verify`."""
        section = self.sections[name]
        first = section.patches[0] if section.patches else None
        if first is not None and len(section.patches) == 1 and first.stop >= section.bytes:
            raw = self._data[first.offset : first.offset + section.bytes]
        else:
            # Every byte is covered by a patch (see `_patched`), so this is never longer than the file.
            raw = np.empty(section.bytes, dtype=np.uint8)
            for patch in section.patches:
                stop = min(patch.stop, section.bytes)
                if patch.start < stop:
                    raw[patch.start : stop] = self._data[patch.offset : patch.offset + stop - patch.start]
        try:
            return raw.view(section.dtype).reshape(section.shape)
        except (ValueError, OverflowError) as error:
            raise IndexFileError(f"section {name!r}: impossible shape {section.shape} ({error})") from error

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return {name: self.array(name) for name in self.sections}

    def _check(self, patch: Patch, name: str, where: str) -> None:
        if segment.hexadecimal(segment.digest(self._data[patch.offset : patch.end])) != patch.xxh3:
            behind = "" if where == "file" else f" of {where}"
            raise IndexFileError(f"section {name!r}{behind}: damaged (checksum differs)")


def _segments(data: Bytes) -> Iterator[Segment]:
    first = segment.read_preamble(data, 0, MAGIC, "preamble")
    old = first.version == 1
    if first.end > len(data) or (old and first.end < len(data)):
        raise IndexFileError(f"file: expected {first.end} bytes, got {len(data)}: cut short or appended to")
    record = CommitRecord(first.end, first.digest) if old else _record(data)
    if record is not None and record.end > len(data):
        raise IndexFileError(f"file: expected {record.end} bytes, got {len(data)}: cut short")
    before = _segment(data, 0, first, ALIGN if old else OFFSET + ALIGN, "file", "header")
    yield before
    number = 0
    while record is None or before.preamble.end < record.end:
        number += 1
        try:
            before = _commit(data, before, f"commit {number}")
        except IndexFileError:
            if record is None:  # what follows the last commit was never committed
                return
            raise
        yield before
    if (before.preamble.end, before.preamble.digest) != record:
        raise IndexFileError(f"commit record: says {record.end} bytes, the last segment ends at {before.preamble.end}")


def _record(data: Bytes) -> CommitRecord | None:
    return read_record(bytes(data[OFFSET : OFFSET + ALIGN]))


def _commit(data: Bytes, before: Segment, name: str) -> Segment:
    offset = before.preamble.end
    preamble = segment.read_preamble(data, offset, COMMIT_MAGIC, f"{name}, preamble")
    if preamble.link != before.preamble.digest:
        raise IndexFileError(f"{name}: does not follow the one before it")
    return _segment(data, offset, preamble, offset + ALIGN, name, f"{name}, header")


def _segment(data: Bytes, offset: int, preamble: Preamble, header: int, name: str, where: str) -> Segment:
    entries, state = segment.read_header(data, header, preamble, where)
    return Segment(name, offset, preamble, tuple(entries), state)


def _patched(sections: dict[str, Section], entry: Entry, where: str) -> Section:
    """Return the array after a segment has patched it.

    What an array has grown by must be covered by this segment's own patches: so no array is longer than the file, and
    none has a byte that the file does not hold.
    """
    before = sections.get(entry.name)
    edge = min(before.bytes, entry.bytes) if before else 0
    for patch in entry.patches:
        if patch.start <= edge:
            edge = max(edge, patch.stop)
    if edge < entry.bytes:
        raise IndexFileError(f"{where}: section {entry.name!r}: nothing is said of bytes {edge} to {entry.bytes}")
    patches = before.patches if before else []
    patches += entry.patches  # in place: a copy for each commit would make reading quadratic
    return Section(entry.name, entry.dtype, entry.shape, entry.bytes, patches)
