"""The byte layout of an index file: a preamble, a header and named arrays, each with its checksum.

::

    offset  size  preamble (64 bytes, little-endian)
         0     8  magic  89 49 50 41 51 0D 0A 0A  ("\\x89IPAQ\\r\\n\\n": a transfer in text mode damages it)
         8     4  format version
        12     4  flags, none defined: 0
        16     8  header length, a multiple of 64
        24     8  file length
        32     8  XXH3-64 of the header
        40    16  zero
        56     8  XXH3-64 of the 56 bytes above

    64            header: canonical JSON (sorted keys, no spaces, ASCII), padded with spaces
    64 + header   sections in the order of the header, each starting at a multiple of 64 and padded with zeros to the
                  next; a section's checksum covers its padding too, so every bit of the file is covered by one

The header is ``{"sections": [{"bytes", "dtype", "name", "offset", "shape", "xxh3"}, …], "state": {…}}``.
"""

import json
import math
import struct
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
import xxhash

MAGIC = b"\x89IPAQ\r\n\n"
VERSION = 1
ALIGN = 64
PREAMBLE = struct.Struct("<8sIIQQQ16x")
DIGEST = struct.Struct("<Q")
DTYPES = ("|u1", "<u2", "<u4", "<i4", "<i8", "<f4", "<f8")


class IndexFileError(ValueError):
    """An index file is damaged, cut short, of another format, or of a newer version."""


@dataclass(frozen=True)
class Section:
    """One named array in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int
    xxh3: str

    @property
    def end(self) -> int:
        """Offset of the first byte behind the section and its padding."""
        return self.offset + padded(self.bytes)


def padded(length: int) -> int:
    """Return ``length`` rounded up to the alignment."""
    return -(-length // ALIGN) * ALIGN


def digest(*parts: Any) -> int:
    """Return the XXH3-64 of the parts' bytes, one after the other."""
    state = xxhash.xxh3_64()
    for part in parts:
        state.update(part)
    return state.intdigest()


def write(file: BinaryIO, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write state (JSON-able) and arrays at the file's beginning."""
    tables = {name: np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    digests = {name: f"{digest(_raw(a), _padding(a.nbytes)):016x}" for name, a in tables.items()}
    # Offsets depend on the header's length and stand in the header: lay it out until its length no longer grows.
    length = 0
    while True:
        header = _header(state, tables, digests, ALIGN + length)
        if len(header) <= length:
            break
        length = len(header)
    header = header.ljust(length)
    end = ALIGN + length + sum(padded(a.nbytes) for a in tables.values())
    preamble = PREAMBLE.pack(MAGIC, VERSION, 0, length, end, digest(header))
    file.write(preamble + DIGEST.pack(digest(preamble)))
    file.write(header)
    for table in tables.values():
        file.write(_raw(table))
        file.write(_padding(table.nbytes))


def _raw(table: np.ndarray) -> memoryview:
    return table.reshape(-1).view(np.uint8).data


def _padding(length: int) -> bytes:
    return bytes(padded(length) - length)


def _header(state: dict[str, Any], tables: dict[str, np.ndarray], digests: dict[str, str], offset: int) -> bytes:
    sections = []
    for name, table in tables.items():
        section = Section(name, table.dtype.str, table.shape, offset, table.nbytes, digests[name])
        sections.append(asdict(section))
        offset = section.end
    text = json.dumps({"sections": sections, "state": state}, sort_keys=True, separators=(",", ":")).encode("ascii")
    return text.ljust(padded(len(text)))


def read(data: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write` wrote, checking every byte.

    Parameters
    ----------
    data : (length,) uint8
        The file's bytes, in memory or mapped.

    Returns
    -------
    state : dict
        As given to `write`.
    arrays : dict of str to numpy.ndarray
        Views of ``data``.

    Raises
    ------
    IndexFileError
        If anything is not as written; the message names the part.
    """
    header_end = _check_preamble(data)
    try:
        header = json.loads(bytes(data[ALIGN:header_end]))
        sections = [Section(**{**entry, "shape": tuple(entry["shape"])}) for entry in header["sections"]]
        state = header["state"]
    except (ValueError, TypeError, KeyError) as error:
        raise IndexFileError(f"header: not an index file's header ({error})") from error
    arrays = {}
    expected = header_end
    for section in sections:
        _check_section(section, expected, data)
        raw = data[section.offset : section.offset + section.bytes]
        arrays[section.name] = raw.view(section.dtype).reshape(section.shape)
        expected = section.end
    if expected != len(data):
        raise IndexFileError(f"file: expected to end at byte {expected}, where its sections do, got length {len(data)}")
    return state, arrays


def _check_preamble(data: np.ndarray) -> int:
    """Check preamble and header digest; return the offset behind the header."""
    if len(data) < ALIGN:
        raise IndexFileError(f"preamble: expected at least {ALIGN} bytes, got {len(data)}")
    head = bytes(data[:ALIGN])
    magic, version, flags, length, end, checksum = PREAMBLE.unpack(head[: PREAMBLE.size])
    if magic != MAGIC:
        raise IndexFileError("preamble: not an ipaq_index file (magic number differs)")
    if DIGEST.unpack(head[PREAMBLE.size :])[0] != digest(head[: PREAMBLE.size]):
        raise IndexFileError("preamble: damaged (checksum differs)")
    if version > VERSION or flags:
        raise IndexFileError(
            f"preamble: written by a newer ipaq_index (format {version}, flags {flags:#x}); "
            f"this one reads format {VERSION}: upgrade it"
        )
    if end != len(data):
        raise IndexFileError(f"file: expected {end} bytes, got {len(data)}: cut short or appended to")
    if length % ALIGN or ALIGN + length > end:
        raise IndexFileError(f"preamble: header length {length} does not fit a file of {end} bytes")
    if digest(data[ALIGN : ALIGN + length]) != checksum:
        raise IndexFileError("header: damaged (checksum differs)")
    return ALIGN + int(length)


def _check_section(section: Section, expected: int, data: np.ndarray) -> None:
    where = f"section {section.name!r}"
    if section.dtype not in DTYPES:
        raise IndexFileError(f"{where}: expected a dtype of {', '.join(DTYPES)}, got {section.dtype!r}")
    if not all(isinstance(n, int) and n >= 0 for n in (*section.shape, section.offset, section.bytes)):
        raise IndexFileError(f"{where}: shape, offset or length is not a count")
    if section.bytes != math.prod(section.shape) * np.dtype(section.dtype).itemsize:
        raise IndexFileError(f"{where}: {section.bytes} bytes do not hold {section.dtype} {section.shape}")
    if section.offset != expected or section.end > len(data):
        raise IndexFileError(
            f"{where}: lies at bytes {section.offset} to {section.end}, expected to start at {expected} in {len(data)}"
        )
    if f"{digest(data[section.offset : section.end]):016x}" != section.xxh3:
        raise IndexFileError(f"{where}: damaged (checksum differs)")
