"""Segments: the unit that a file grows by. The first holds all arrays, each further one what a `sync` changed.

``docs/format.md`` draws the bytes. A segment is a preamble of 64 bytes, a header (JSON) and patches, each with its
XXH3-64. The first segment has a commit record behind its preamble: see `ipaq_index.storage.record`.
"""

import json
import math
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xxhash

from ipaq_index.interruptible import slices
from ipaq_index.storage.errors import IndexFileError

MAGIC = b"\x89IPAQ\r\n\n"  # a transfer in text mode damages it
COMMIT_MAGIC = b"\x89IPQC\r\n\n"
VERSION = 2
ALIGN = 64
PREAMBLE = struct.Struct("<8sIIQQQIIQ")
DIGEST = struct.Struct("<Q")
DTYPES = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
MAX_HEADER = 4 << 20  # parsed JSON may take 30 times its length; headers written take a few kilobytes
MAX_AXES = 8
DIGEST_COST = 1.0  # steps of vector code a byte: 10 GB take seconds, in which Ctrl-C shall be heard
FEATURES: dict[int, str] = {}  # bits of `Preamble.needs` that this version knows, by what they stand for


class Preamble(NamedTuple):
    """The first 64 bytes of a segment.

    Attributes
    ----------
    magic : bytes
        `MAGIC` or `COMMIT_MAGIC`.
    version : int
        Of the format.
    needs : int
        Features that a reader has to know; with one it does not, it refuses the file.
    length : int
        Of the header, a multiple of `ALIGN`.
    end : int
        Offset in the file of the first byte behind the segment.
    header_digest : int
        XXH3-64 of the header.
    offers : int
        Features that a reader may ignore.
    zero : int
        Reserved.
    link : int
        Digest of the preamble of the segment before, 0 in the first.
    """

    magic: bytes
    version: int
    needs: int
    length: int
    end: int
    header_digest: int
    offers: int = 0
    zero: int = 0
    link: int = 0

    def pack(self) -> bytes:
        """Return the 64 bytes."""
        head = PREAMBLE.pack(*self)
        return head + DIGEST.pack(digest(head))

    @property
    def digest(self) -> int:
        """The digest in the last eight bytes, which stands for the whole segment."""
        return digest(PREAMBLE.pack(*self))


@dataclass(frozen=True)
class Patch:
    """Bytes ``start`` to ``start + bytes`` of an array, as they lie in the file at ``offset``."""

    start: int
    bytes: int
    offset: int
    xxh3: str

    @property
    def stop(self) -> int:
        """First byte of the array behind the patch."""
        return self.start + self.bytes

    @property
    def end(self) -> int:
        """Offset in the file of the first byte behind the patch and its padding."""
        return self.offset + padded(self.bytes)


@dataclass(frozen=True)
class Entry:
    """What a header says of one array: its form, and the bytes of it that this segment brings."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    patches: tuple[Patch, ...]

    @property
    def bytes(self) -> int:
        """Length of the array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def padded(length: int) -> int:
    """Return ``length`` rounded up to the alignment."""
    return -(-length // ALIGN) * ALIGN


def padding(length: int) -> bytes:
    """Return the zeros that follow ``length`` bytes."""
    return bytes(padded(length) - length)


def digest(*parts: Any) -> int:
    """Return the XXH3-64 of the parts' bytes, one after the other."""
    state = xxhash.xxh3_64()
    for part in parts:
        view = memoryview(part)
        for first, last in slices(len(view), DIGEST_COST):
            state.update(view[first:last])
    return int(state.intdigest())


def hexadecimal(value: int) -> str:
    """Return a digest as headers hold it."""
    return f"{value:016x}"


def read_preamble(data: np.ndarray, offset: int, magic: bytes, where: str) -> Preamble:
    """Return the preamble at ``offset``, checked as far as it can be on its own.

    Raises
    ------
    IndexFileError
        If there is none, or it is damaged, or of a version or with features that this reader does not know.
    """
    if len(data) < offset + ALIGN:
        raise IndexFileError(f"{where}: expected at least {ALIGN} bytes, got {len(data) - offset}")
    head = bytes(data[offset : offset + ALIGN])
    found = Preamble(*PREAMBLE.unpack(head[: PREAMBLE.size]))
    if found.magic != magic:
        raise IndexFileError(f"{where}: not an ipaq_index file (magic number differs)")
    if DIGEST.unpack(head[PREAMBLE.size :])[0] != digest(head[: PREAMBLE.size]):
        raise IndexFileError(f"{where}: damaged (checksum differs)")
    if not 1 <= found.version <= VERSION:
        raise IndexFileError(
            f"{where}: written by a newer ipaq_index (format {found.version}); this one reads formats 1 to {VERSION}: "
            "upgrade with `pip install -U ipaq-index`, or save the index with the older version"
        )
    unknown = found.needs & ~sum(FEATURES)
    if unknown:
        raise IndexFileError(
            f"{where}: needs features that this ipaq_index does not know (bits {unknown:#x}): "
            "upgrade with `pip install -U ipaq-index`"
        )
    if found.zero:
        raise IndexFileError(f"{where}: reserved bytes are not zero")
    return found


def read_header(data: np.ndarray, at: int, preamble: Preamble, where: str) -> tuple[list[Entry], dict[str, Any]]:
    """Return what the header at ``at`` says: arrays with their patches, and the index's state.

    Nothing is allocated by what the header claims: all counts are checked against the bytes that are there.

    Raises
    ------
    IndexFileError
        If the header is damaged, or contradicts itself or the file.
    """
    begin = at + preamble.length
    if preamble.length % ALIGN or begin > preamble.end or preamble.end > len(data):
        raise IndexFileError(
            f"{where}: header of {preamble.length} bytes and end {preamble.end} do not fit a file of {len(data)} bytes"
        )
    if preamble.length > MAX_HEADER:
        raise IndexFileError(f"{where}: expected a header of at most {MAX_HEADER} bytes, got {preamble.length}")
    text = bytes(data[at:begin])
    if digest(text) != preamble.header_digest:
        raise IndexFileError(f"{where}: damaged (checksum differs)")
    try:
        header = json.loads(text, parse_constant=_no_constant)
        state = header["state"]
        entries = []
        for given in header["sections"]:
            entry = (_entry_of_version_1 if preamble.version == 1 else _entry)(given, begin)
            begin = entry.patches[-1].end if entry.patches else begin
            entries.append(entry)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise IndexFileError(f"{where}: not an index file's header ({error})") from error
    if not isinstance(state, dict):
        raise IndexFileError(f"{where}: expected an object as state, got {type(state).__name__}")
    if len({entry.name for entry in entries}) != len(entries):
        raise IndexFileError(f"{where}: two sections have one name")
    if begin != preamble.end:
        raise IndexFileError(f"{where}: sections end at byte {begin}, expected {preamble.end}")
    return entries, state


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that a header may hold")


def _entry(given: dict[str, Any], begin: int) -> Entry:
    """Check one entry; its patches lie one behind the other from ``begin``."""
    name, dtype, shape = _form(given)
    patches: list[Patch] = []
    for start, length, xxh3 in given["patches"]:
        if not (_is_count(start) and _is_count(length) and length and isinstance(xxh3, str)):
            raise ValueError(f"section {name!r}: start and length of a patch are not counts")
        if patches and start < patches[-1].stop:
            raise ValueError(f"section {name!r}: patches overlap")
        patches.append(Patch(start, length, begin, xxh3))
        begin = patches[-1].end
    entry = Entry(name, dtype, shape, tuple(patches))
    if patches and patches[-1].stop > entry.bytes:
        raise ValueError(f"section {name!r}: a patch ends at {patches[-1].stop} of {entry.bytes} bytes")
    return entry


def _entry_of_version_1(given: dict[str, Any], begin: int) -> Entry:
    name, dtype, shape = _form(given)
    entry = Entry(name, dtype, shape, (Patch(0, given["bytes"], given["offset"], given["xxh3"]),))
    if given["bytes"] != entry.bytes:
        raise ValueError(f"section {name!r}: {given['bytes']} bytes do not hold {dtype} {shape}")
    if given["offset"] != begin or not isinstance(given["xxh3"], str):
        raise ValueError(f"section {name!r}: expected at byte {begin}, got {given['offset']}")
    return entry


def _form(given: dict[str, Any]) -> tuple[str, str, tuple[int, ...]]:
    name, dtype, shape = given["name"], given["dtype"], given["shape"]
    if not isinstance(name, str):
        raise ValueError(f"expected a string as name of a section, got {name!r}")
    if dtype not in DTYPES:
        raise ValueError(f"section {name!r}: expected a dtype of {', '.join(DTYPES)}, got {dtype!r}")
    if not isinstance(shape, list) or len(shape) > MAX_AXES or not all(_is_count(n) for n in shape):
        raise ValueError(f"section {name!r}: expected up to {MAX_AXES} counts as shape, got {shape!r}")
    return name, dtype, tuple(shape)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
