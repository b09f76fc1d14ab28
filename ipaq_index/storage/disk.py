"""Every call that changes the disk, and nothing else: tests record them, and replay them up to a crash."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: no advisory locks; two processes that sync one file are then not kept apart
    fcntl = None  # type: ignore[assignment]

SLICE = 1 << 24  # bytes handed over at a time, so that Ctrl-C is heard in between


def write(handle: int, data: Any, offset: int) -> None:
    """Write all bytes of ``data`` at ``offset``."""
    view = memoryview(data).cast("B")
    os.lseek(handle, offset, os.SEEK_SET)
    while len(view):
        view = view[os.write(handle, view[:SLICE]) :]


def flush(handle: int) -> None:
    """Wait until all that was written is on the medium."""
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone leaves it in the drive's cache
    if full is not None:
        fcntl.fcntl(handle, full)
    else:
        os.fsync(handle)


def truncate(handle: int, length: int) -> None:
    """Cut the file to ``length`` bytes."""
    os.ftruncate(handle, length)


def replace(source: Path, target: Path) -> None:
    """Give ``source`` the name ``target``; what had that name before loses it in the same moment."""
    os.replace(source, target)


def flush_directory(directory: Path) -> None:
    """Make renaming durable, where directories can be opened (not on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacement(target: Path) -> Iterator[int]:
    """Open a file beside ``target`` that takes its place, durably, when the block ends without an exception.

    Yields
    ------
    int
        The file's handle.
    """
    _remove_left_over(target)
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            lock(handle)
            with contextlib.suppress(FileNotFoundError):  # a new file gets what the umask leaves
                os.chmod(part, target.stat().st_mode & 0o777)
            yield handle
            flush(handle)
        finally:
            os.close(handle)
        replace(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise
    flush_directory(target.parent)


def _remove_left_over(target: Path) -> None:
    """Remove what a killed process left unfinished beside ``target``: parts that nobody holds a lock on."""
    if fcntl is None:
        return
    for part in target.parent.glob(f".{glob_escaped(target.name)}.*.part"):
        with contextlib.suppress(OSError):
            handle = os.open(part, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
            finally:
                os.close(handle)


def glob_escaped(name: str) -> str:
    """Return a pattern that matches ``name`` alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def lock(handle: int) -> None:
    """Wait until no other open handle of this file holds its lock, and take it; closing the handle gives it back."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def opened(target: Path) -> Iterator[int]:
    """Open and lock the file that has the name ``target``, also if it is replaced while we wait for the lock.

    Yields
    ------
    int
        The file's handle.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    while True:
        handle = os.open(target, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            lock(handle)
            if os.path.samestat(os.fstat(handle), os.stat(target)):
                yield handle
                return
        finally:
            os.close(handle)
