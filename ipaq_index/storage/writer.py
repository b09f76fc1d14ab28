"""Laying out a segment and writing it."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipaq_index.storage import disk, segment
from ipaq_index.storage.record import OFFSET, CommitRecord
from ipaq_index.storage.segment import ALIGN, COMMIT_MAGIC, DTYPES, MAGIC, VERSION, Preamble

Range = tuple[int, int]


@dataclass(frozen=True)
class Table:
    """An array as a file holds it.

    Attributes
    ----------
    dtype : str
        Little-endian.
    shape : tuple of int
    raw : (bytes,) uint8
        Its bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    raw: np.ndarray


def tables(arrays: dict[str, np.ndarray]) -> dict[str, Table]:
    """Return arrays in the file's byte order, copied only if they have another.

    Raises
    ------
    TypeError
        If an array has a dtype that the format does not know.
    """
    found = {}
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if little.dtype.str not in DTYPES:
            raise TypeError(f"section {name!r}: expected a dtype of {', '.join(DTYPES)}, got {array.dtype}")
        found[name] = Table(little.dtype.str, array.shape, little.reshape(-1).view(np.uint8))
    return found


class Layout:
    """A segment, ready to be written.

    Parameters
    ----------
    state : dict
        JSON-able.
    tables : dict of str to Table
        All arrays.
    changes : dict of str to list of (int, int), optional
        Which bytes of each array the segment brings; all of them if not given.
    offset, link : int
        Where the segment begins, and the digest of the preamble before; 0 for the first.
    """

    def __init__(
        self,
        state: dict[str, Any],
        tables: dict[str, Table],
        changes: dict[str, list[Range]] | None = None,
        offset: int = 0,
        link: int = 0,
    ) -> None:
        self._offset = offset
        self._pieces: list[Any] = []
        sections = []
        for name, table in tables.items():
            whole = [(0, len(table.raw))] if len(table.raw) else []
            patches = []
            for start, stop in whole if changes is None else changes[name]:
                pieces = table.raw[start:stop].data, segment.padding(stop - start)
                self._pieces += pieces
                patches.append([start, stop - start, segment.hexadecimal(segment.digest(*pieces))])
            sections.append({"dtype": table.dtype, "name": name, "patches": patches, "shape": table.shape})
        text = json.dumps(
            {"sections": sections, "state": state}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        self._header = text.encode("ascii").ljust(segment.padded(len(text)))
        self._data_offset = offset + ALIGN + (0 if offset else ALIGN) + len(self._header)
        self.end = self._data_offset + sum(len(piece) for piece in self._pieces)
        self._preamble = Preamble(
            magic=COMMIT_MAGIC if offset else MAGIC,
            version=VERSION,
            needs=0,
            length=len(self._header),
            end=self.end,
            header_digest=segment.digest(self._header),
            link=link,
        )

    @property
    def header_length(self) -> int:
        """Bytes of the header."""
        return len(self._header)

    @property
    def record(self) -> CommitRecord:
        """The commit record that makes this segment the last one."""
        return CommitRecord(self.end, self._preamble.digest)

    @property
    def head(self) -> bytes:
        """Preamble, commit record if it is the first segment, and header."""
        return self._preamble.pack() + (b"" if self._offset else self.record.pack()) + self._header

    def to_bytes(self) -> bytes:
        """Return the segment's bytes."""
        return b"".join([self.head, *self._pieces])

    def write(self, handle: int) -> None:
        """Write the segment; the first one together with its commit record. Nothing is flushed."""
        disk.write(handle, self.head, self._offset)
        offset, buffer = self._data_offset, bytearray()
        for piece in self._pieces:
            buffer += piece if len(piece) < disk.SLICE else b""
            if len(buffer) >= disk.SLICE or len(piece) >= disk.SLICE:
                offset = _written(handle, buffer, offset)
                offset = _written(handle, piece if len(piece) >= disk.SLICE else b"", offset)
                buffer = bytearray()
        _written(handle, buffer, offset)


def _written(handle: int, data: Any, offset: int) -> int:
    if len(data):
        disk.write(handle, data, offset)
    return offset + len(data)


def write_record(handle: int, record: CommitRecord) -> None:
    """Overwrite the commit record."""
    disk.write(handle, record.pack(), OFFSET)
