"""Saving an index to a file and loading it."""

import os
import tempfile
from pathlib import Path

import numpy as np

from ipaq_index.index import Index
from ipaq_index.storage import sections
from ipaq_index.storage.sections import IndexFileError


def save(index: Index, path: str | os.PathLike[str]) -> None:
    """Write the index to one file, replacing an older file at ``path`` only when the new one is safely on disk.

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
    if not isinstance(index, Index):
        raise TypeError(f"index: expected an ipaq_index.Index, got {type(index).__name__}")
    target = Path(path).resolve()
    state = index.__getstate__()
    arrays = state.pop("arrays", {})
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with open(handle, "wb") as file:
            sections.write(file, state, arrays)
            file.flush()
            os.chmod(name, _mode(target))
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    _sync_directory(target.parent)


def load(path: str | os.PathLike[str], *, mmap: bool = False) -> Index:
    """Read an index file, checking every byte of it.

    Parameters
    ----------
    path : path-like
        A file written by `save`.
    mmap : bool
        Whether the codes stay in the file and its pages are shared with other processes that map it. `add` then copies
        them to memory.

    Returns
    -------
    Index
        Answers as the saved one did.

    Raises
    ------
    IndexFileError
        If the file is damaged, cut short, not an index file or of a newer version; the message names the part.
    OSError
        If it cannot be read.
    """
    name = os.fspath(path)
    try:
        data = (
            np.memmap(name, dtype=np.uint8, mode="r")
            if mmap and os.path.getsize(name)
            else np.fromfile(name, dtype=np.uint8)
        )
        state, arrays = sections.read(np.asarray(data))
        index = Index.__new__(Index)
        index.__setstate__({**state, "arrays": arrays})
    except (ValueError, TypeError, KeyError) as error:
        raise IndexFileError(f"{name}: {error}") from error
    return index


def _mode(target: Path) -> int:
    """Return the permissions of the file to be replaced, else what a newly created file would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_directory(directory: Path) -> None:
    """Make the rename durable, where directories can be opened (not on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
