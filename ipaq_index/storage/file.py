"""Saving an index to a file and loading it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import lines
from ipaq_index.index import Index
from ipaq_index.storage import disk
from ipaq_index.storage.contents import Contents
from ipaq_index.storage.errors import IndexFileError
from ipaq_index.storage.journal import Journal, remember
from ipaq_index.storage.segment import ALIGN
from ipaq_index.storage.writer import Layout, tables

ATTEMPTS = 100  # to open a file that changes meanwhile

PathLike = str | os.PathLike[str]


def save(index: Index, path: PathLike) -> None:
    """Write the index to one file, replacing an older file at ``path`` only when the new one is safely on disk.

    The path may be that of the file that the index is mapped from. `add` and `remove` wait until it is written;
    searches do not.

    Parameters
    ----------
    index : Index
        Trained or not.
    path : path-like
        The file.

    Raises
    ------
    TypeError
        If ``index`` is not an `Index`.
    OSError
        If the file cannot be written; what stood at ``path`` is still there.
    """
    check_index(index)
    target = Path(path).resolve()
    with index._writer:
        layout = layout_of(index)
        with disk.replacement(target) as handle:
            layout.write(handle)
        remember(index, target, Journal(layout.record.last))


def load(path: PathLike, *, mmap: bool = False, verify: bool | None = None) -> Index:
    """Read an index file, checking every byte of it.

    Parameters
    ----------
    path : path-like
        A file written by `save` or `sync`.
    mmap : bool
        Whether the codes stay in the file and its pages are shared with other processes that map it. The file is opened
        in milliseconds: its header is checked at once, the rest when the index is first used. `add` copies the codes to
        memory. Do not cut or overwrite a mapped file in place; replacing it, as `save` does, is fine.
    verify : bool, optional
        With ``mmap=True``: whether to check everything at once instead.

    Returns
    -------
    Index
        Answers as the saved one did.

    Raises
    ------
    IndexFileError
        If the file is damaged, cut short, not an index file or of a newer version; the message names the part.
        With ``mmap=True`` also at the first use.
    OSError
        If it cannot be read.
    """
    name, target = os.fspath(path), Path(path).resolve()
    contents = opened(name, mmap)

    def fetch() -> Index:
        with _naming(name):
            return restored(contents)

    if not mmap or verify:
        index = fetch()
    else:
        with _naming(name):
            index = blank(contents.state)
        index.announce(contents.state, fetch)
    remember(index, target, Journal(contents.last))
    return index


def verify(path: PathLike) -> None:
    """Check every byte of an index file, without keeping it in memory.

    Raises
    ------
    IndexFileError
        If the file is damaged, cut short, not an index file or of a newer version; the message names the part.
    OSError
        If it cannot be read.
    """
    name = os.fspath(path)
    contents = opened(name, mmap=True)
    with _naming(name):
        restored(contents)


def describe(path: PathLike) -> dict[str, Any]:
    """Return what an index file says of itself, without reading its arrays.

    Returns
    -------
    dict
        ``format`` (version), ``bytes`` (of the file), ``unfinished`` (bytes behind the last commit, left by an
        interrupted `sync`), ``replaced`` (bytes that later commits have made superfluous), ``commits`` (since the file
        was written whole), ``needs`` and ``offers`` (feature flags), ``trained``, ``count`` (vectors), ``config``
        (parameters of the index), ``sections`` (list of dict: ``name``, ``dtype``, ``shape``, ``bytes``,
        ``patches``).

    Raises
    ------
    IndexFileError
        If the file's structure is damaged; its arrays are not looked at, see `verify`.
    OSError
        If it cannot be read.
    """
    name = os.fspath(path)
    contents = opened(name, mmap=True)
    state, first = contents.state, contents.segments[0].preamble
    sections = [
        {"name": s.name, "dtype": s.dtype, "shape": list(s.shape), "bytes": s.bytes, "patches": len(s.patches)}
        for s in contents.sections.values()
    ]
    return {
        "format": contents.version,
        "bytes": contents.length,
        "unfinished": contents.length - contents.end,
        "replaced": contents.stored - sum(s.bytes for s in contents.sections.values()),
        "commits": len(contents.segments) - 1,
        "needs": first.needs,
        "offers": first.offers,
        "trained": "quantizer" in state,
        "count": state.get("count", 0),
        "config": state.get("config", {}),
        "sections": sections,
    }


def to_bytes(index: Index) -> bytes:
    """Return what `save` would write into a file."""
    check_index(index)
    with index._writer:
        return layout_of(index).to_bytes()


def from_bytes(data: Any) -> Index:
    """Return the index that `to_bytes`, or the bytes of a saved file, stand for.

    Raises
    ------
    TypeError
        If ``data`` is not bytes-like.
    IndexFileError
        If the bytes are damaged; the message names the part.
    """
    try:
        raw = np.frombuffer(memoryview(data).cast("B"), dtype=np.uint8)
    except TypeError as error:
        raise TypeError(f"data: expected bytes, got {type(data).__name__}") from error
    if raw.ctypes.data % ALIGN:  # bytes objects begin anywhere; kernels and other dtypes want aligned arrays
        unaligned, raw = raw, lines((len(raw),), np.uint8)
        raw[:] = unaligned
    return restored(Contents(raw))


def check_index(index: Any) -> None:
    """Refuse what is not an index."""
    if not isinstance(index, Index):
        raise TypeError(f"index: expected an ipaq_index.Index, got {type(index).__name__}")


def layout_of(index: Index) -> Layout:
    """Return the index as one segment; call it, and write it, under the index's lock."""
    state = index.__getstate__()
    arrays = state.pop("arrays", {})
    return Layout(state, tables(arrays))


def restored(contents: Contents) -> Index:
    """Return the index that a file holds, every byte checked."""
    contents.verify()
    return blank({**contents.state, "arrays": contents.arrays()})


def blank(state: dict[str, Any]) -> Index:
    """Return an index with the given state."""
    index = Index.__new__(Index)
    try:
        if "arrays" not in state:
            state = {"config": state["config"]}
        index.__setstate__(state)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # checksums hold, so this is a file made to deceive, or by a faulty writer
        raise IndexFileError(f"contradicts itself: {type(error).__name__}: {error}") from error
    return index


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the file's name before what is said of it."""
    try:
        yield
    except IndexFileError as error:
        raise IndexFileError(f"{name}: {error}") from error.__cause__


def opened(name: str, mmap: bool) -> Contents:
    """Return the contents of a file, which another process may be writing to at this moment."""
    with _naming(name):
        for _ in range(ATTEMPTS):
            before = _stamp(name)
            try:
                if mmap and os.path.getsize(name):
                    return Contents(np.asarray(np.memmap(name, dtype=np.uint8, mode="r")))
                return Contents(_read(name))
            except IndexFileError:
                if _stamp(name) == before:
                    raise
        raise IndexFileError(f"another process changed the file {ATTEMPTS} times while it was opened")


def _read(name: str) -> npt.NDArray[np.uint8]:
    with open(name, "rb") as file:
        room = lines((os.fstat(file.fileno()).st_size,), np.uint8)
        return room[: file.readinto(room.data)]


def _stamp(name: str) -> tuple[int, int, int]:
    found = os.stat(name)
    return found.st_ino, found.st_size, found.st_mtime_ns
