"""What the commands of ``ipaq`` do: files in, files out, a JSON-able account of it back."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import ipaq_index as iq
from ipaq_index.index.partition import auto_nlist
from ipaq_index.index.training import sample_rows
from ipaq_index.integrations.vector_files import (
    VectorTable,
    check_neighbours_path,
    open_vectors,
    sample,
    write_neighbours,
)
from ipaq_index.warmup import KINDS, warm

BLOCK_ROWS = 65_536  # rows added, or queries asked, at a time
TRAIN_ROWS = 262_144  # of a table that is not one array, at least; `Index.train` looks at no more

Account = dict[str, Any]
Advance = Callable[[int], None]


@contextmanager
def progress(text: str, total: int) -> Iterator[Advance]:
    """Show a bar on standard error while the block runs, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda rows: bar.advance(task, rows)


def build(
    vectors: str, output: Path, parameters: dict[str, Any], queries: str | None, ids: str | None, force: bool
) -> Account:
    """Build an index from a file of vectors and save it.

    Raises
    ------
    ValueError, OSError
        If a file or parameter is not as expected, or ``output`` exists and ``force`` is not set.
    """
    if output.exists() and not force:
        raise ValueError(f"{output}: exists already; --force replaces it")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"{output}: the folder {output.absolute().parent} does not exist")
    table = open_vectors(vectors)
    asked = None if queries is None else sample(open_vectors(queries), TRAIN_ROWS, parameters["seed"])
    chosen = _ids(ids, len(table))
    if parameters["nlist"] == "auto":
        parameters["nlist"] = auto_nlist(len(table))  # of all vectors, not of those trained on
    index = iq.Index(table.shape[1], **parameters)
    begin = time.perf_counter()
    with progress("training", 1) as done:
        wanted = max(TRAIN_ROWS, sample_rows(index.nlist))
        rows = table if isinstance(table, np.ndarray) else sample(table, wanted, parameters["seed"])
        with _named(vectors):
            index.train(rows, queries=asked)
        done(1)
    _add(index, table, chosen, vectors)
    iq.save(index, output)
    return _told(index, output) | {"seconds": round(time.perf_counter() - begin, 3)}


def add(path: Path, vectors: str, ids: str | None) -> Account:
    """Add a file of vectors to a saved index: all of them, or none.

    Raises
    ------
    ValueError, OSError
        If a file is not as expected, a dimension differs or an id is in the index already; the file is as it was.
    """
    index = iq.load(path)
    table = open_vectors(vectors)
    if table.shape[1] != index.dim:
        raise ValueError(f"{vectors}: expected dimension {index.dim}, that of {path}, got {table.shape[1]}")
    begin = time.perf_counter()
    _add(index, table, _ids(ids, len(table)), vectors)
    iq.sync(index, path)
    return _told(index, path) | {"added": len(table), "seconds": round(time.perf_counter() - begin, 3)}


def search(
    path: Path,
    queries: str,
    k: int,
    output: Path | None,
    nprobe: int | None,
    allowed: str | None,
    threads: int | None,
) -> tuple[Account, np.ndarray, np.ndarray]:
    """Search a saved index; return an account, scores and ids, written to ``output`` if that is given.

    Raises
    ------
    ValueError, OSError
        If a file or parameter is not as expected.
    """
    if output is not None:
        check_neighbours_path(output)
    index = iq.load(path, mmap=True)
    table = open_vectors(queries)
    if table.shape[1] != index.dim:
        raise ValueError(f"{queries}: expected dimension {index.dim}, that of {path}, got {table.shape[1]}")
    keep = None if allowed is None else _numbers(allowed)
    found = []
    begin = time.perf_counter()
    with progress("searching", len(table)) as done:
        for first in range(0, len(table), BLOCK_ROWS):
            block = np.asarray(table[first : first + BLOCK_ROWS])
            with _named(queries, first):
                found.append(index.search(block, k, nprobe=nprobe, filter=keep, threads=threads))
            done(len(block))
    seconds = time.perf_counter() - begin
    scores, ids = (np.concatenate(parts) for parts in zip(*found, strict=True))
    account: Account = {
        "queries": len(table),
        "k": k,
        "seconds": round(seconds, 4),
        "queries_per_second": len(table) / seconds,
    }
    if output is not None:
        write_neighbours(output, scores, ids)
        account["output"] = str(output)
    return account, scores, ids


def info(path: Path) -> Account:
    """Return what an index file says of itself, without reading its arrays."""
    from ipaq_index import storage

    return {"path": str(path), **storage.describe(path)}


def verify(path: Path) -> Account:
    """Check every byte of an index file; damage raises `IndexFileError`."""
    begin = time.perf_counter()
    iq.verify(path)
    return {"path": str(path), "bytes": os.path.getsize(path), "seconds": round(time.perf_counter() - begin, 3)}


def evaluate(path: Path, vectors: str, queries: str, k: int, nprobe: int | None, threads: int | None) -> Account:
    """Compare the answers of an index with exact search over the vectors it was built from, in their order.

    Raises
    ------
    ValueError, OSError
        If a file is not as expected, or the number of vectors differs.
    """
    index = iq.load(path, mmap=True)
    table, asked = open_vectors(vectors), open_vectors(queries)
    raw = table if isinstance(table, np.ndarray) else np.asarray(table[:])
    result = index.evaluate(np.asarray(asked[:]), raw, k, nprobe=nprobe, threads=threads)
    figures = result._asdict() if hasattr(result, "_asdict") else vars(result)
    return {"path": str(path), "bytes_per_vector": index.bytes_per_vector} | {
        key: value.item() if isinstance(value, np.generic) else value for key, value in figures.items()
    }


def warmup() -> Account:
    """Compile the kernels for this machine, so that the first index does not wait for it; they are cached."""
    with progress("compiling", len(KINDS)) as done:
        return warm(lambda name, seconds: done(1))


@contextmanager
def _named(file: str, first: int = 0) -> Iterator[None]:
    """Put a file's name, and where its rows begin, before what is wrong with them."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(("x:", "q:")):
            raise
        raise ValueError(f"{file}{f', rows from {first}' if first else ''}: {error}") from error


def _add(index: iq.Index, table: VectorTable, ids: np.ndarray | None, file: str) -> None:
    with progress("adding", len(table)) as done:
        for first in range(0, len(table), BLOCK_ROWS):
            block = np.asarray(table[first : first + BLOCK_ROWS])
            with _named(file, first):
                index.add(block, ids=None if ids is None else ids[first : first + BLOCK_ROWS])
            done(len(block))


def _ids(path: str | None, count: int) -> np.ndarray | None:
    if path is None:
        return None
    ids = _numbers(path)
    if len(ids) != count:
        raise ValueError(f"{path}: expected {count} ids, one for each vector, got {len(ids)}")
    return ids


def _numbers(path: str) -> np.ndarray:
    """Read whole numbers: a .npy array, or text with one on each line.

    Raises
    ------
    ValueError
        If the file holds anything else.
    """
    try:
        flat = np.load(path, allow_pickle=False) if path.endswith(".npy") else np.loadtxt(path, dtype=np.int64, ndmin=1)
    except ValueError as error:
        raise ValueError(f"{path}: expected whole numbers: {error}") from error
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        raise ValueError(f"{path}: expected a flat list of whole numbers, got {flat.dtype} {flat.shape}")
    return flat


def _told(index: iq.Index, path: Path) -> Account:
    return {
        "path": str(path),
        "ntotal": index.ntotal,
        "dim": index.dim,
        "metric": index.metric,
        "bytes_per_vector": index.bytes_per_vector,
        "file_bytes": os.path.getsize(path),
    }
