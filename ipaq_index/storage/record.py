"""The commit record: 64 bytes at offset 64 that say how far the file is committed.

It is the only place that is ever overwritten, so a crash may leave a mixture of the old and the new record. That must
not be mistaken for damage, nor damage for it. Each half-byte is written as one ASCII letter of even parity: a mixture
of two records still consists of such letters, and one flipped bit in any byte makes a letter that is none of them.
"""

import struct
from typing import NamedTuple

from ipaq_index.storage.errors import IndexFileError
from ipaq_index.storage.segment import DIGEST, digest

OFFSET = 64
LETTERS = b"03569cefijlqrtwx"
FIELDS = struct.Struct("<QQ")
FILLER = b"----wrote-to----"  # even parity too


class CommitRecord(NamedTuple):
    """How far a file is committed.

    Attributes
    ----------
    end : int
        Offset of the first byte behind the last committed segment.
    last : int
        Digest of that segment's preamble.
    """

    end: int
    last: int

    def pack(self) -> bytes:
        """Return the 64 bytes."""
        fields = FIELDS.pack(*self)
        fields += DIGEST.pack(digest(fields))
        return bytes(LETTERS[half] for byte in fields for half in (byte >> 4, byte & 15)) + FILLER


def read_record(raw: bytes) -> CommitRecord | None:
    """Return the record, or None if a crash tore it while it was overwritten.

    Raises
    ------
    IndexFileError
        If it is damaged.
    """
    if len(raw) != len(FILLER) + 48 or raw[48:] != FILLER or not set(raw[:48]) <= set(LETTERS):
        raise IndexFileError("commit record: damaged (not the letters that one consists of)")
    halves = [LETTERS.index(letter) for letter in raw[:48]]
    fields = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
    if DIGEST.unpack(fields[FIELDS.size :])[0] != digest(fields[: FIELDS.size]):
        return None
    return CommitRecord(*FIELDS.unpack(fields[: FIELDS.size]))
