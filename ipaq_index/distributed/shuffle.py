"""From rows in the order of the source to the rows of each shard in the order of their ids.

A piece of the source is written as three arrays, its rows sorted by shard; a shard is then encoded from its rows of all
pieces. Each step reads and writes files only, so either can be repeated on another machine when one is lost. A shard's
rows stand in the order of their ids, whatever the order and the number of pieces: the same vectors always give the same
files, and rows of equal score come out by id.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ipaq_index import storage
from ipaq_index.distributed.parquet import Piece, read
from ipaq_index.distributed.routing import sampled, shard_of

Ids = npt.NDArray[np.int64]
CHUNK_ROWS = 65_536  # rows encoded at a time


def spill(piece: Piece, column: str, id_column: str | None, shards: int, folder: Path, fraction: float) -> None:
    """Write a piece's rows, sorted by shard, and a sample of about ``fraction`` of them, into ``folder``."""
    parts = list(read(piece, column, id_column))
    dims = {vectors.shape[1] for vectors, _ in parts}
    if len(dims) != 1:
        raise ValueError(f"{piece.file}: expected vectors of one dimension, got {sorted(dims)}")
    vectors = np.concatenate([vectors for vectors, _ in parts])
    ids = np.concatenate([ids for _, ids in parts])
    owner = shard_of(ids, shards)
    order = np.lexsort((ids, owner))
    chosen = order[sampled(ids[order], fraction, seed=0)]
    _save(folder, piece.number, "starts", np.searchsorted(owner[order], np.arange(shards + 1)))
    _save(folder, piece.number, "ids", ids[order])
    _save(folder, piece.number, "vectors", vectors[order])
    _save(folder, piece.number, "sample-ids", ids[chosen])
    _save(folder, piece.number, "sample", vectors[chosen])


def sample(pieces: int, folder: Path) -> np.ndarray:
    """Return the sample of all pieces in the order of ids.

    Raises
    ------
    ValueError
        If pieces differ in dimension.
    """
    parts = [_load(folder, number, "sample") for number in range(pieces)]
    dims = sorted({part.shape[1] for part in parts})
    if len(dims) != 1:
        raise ValueError(f"source: expected vectors of one dimension, got {dims}")
    ids = np.concatenate([_load(folder, number, "sample-ids") for number in range(pieces)])
    return np.concatenate(parts)[np.argsort(ids, kind="stable")]


def greatest_id(pieces: int, folder: Path) -> int:
    """Return the largest id of all pieces."""
    return max(int(_load(folder, number, "ids").max()) for number in range(pieces))


def encode(shard: int, pieces: int, folder: Path, trained: Path) -> int:
    """Encode one shard's rows with the trained index's level sets into `encoded_file`; return how many they are.

    Raises
    ------
    ValueError
        If an id occurs twice; the message names it.
    """
    index = storage.load(trained)
    for vectors, ids in rows_of(shard, pieces, folder):
        index.add(vectors, ids=ids)
    storage.save(index, encoded_file(folder, shard))
    return index.ntotal


def encoded_file(folder: Path, shard: int) -> Path:
    """Return the file that a shard is encoded into, before it gets its place in the directory."""
    return folder / f"shard-{shard:05}.ipaq"


def rows_of(shard: int, pieces: int, folder: Path) -> Iterator[tuple[np.ndarray, Ids]]:
    """Yield a shard's vectors and ids in the order of ids, `CHUNK_ROWS` at a time."""
    spans, tables = [], []
    for number in range(pieces):
        first, last = _load(folder, number, "starts")[shard : shard + 2]
        tables.append(_load(folder, number, "vectors")[first:last])
        spans.append(_load(folder, number, "ids")[first:last])
    ids = np.concatenate(spans)
    starts = np.cumsum([0, *map(len, spans)])
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(np.diff(ids[order]) == 0)
    if len(twice):
        raise ValueError(f"ids: expected each id once, got {ids[order][twice[0]]} more than once")
    for first in range(0, len(order), CHUNK_ROWS):
        rows = order[first : first + CHUNK_ROWS]
        piece = np.searchsorted(starts, rows, side="right") - 1
        vectors = np.empty((len(rows), tables[0].shape[1]), dtype=np.float32)
        for number in np.unique(piece):
            mine = piece == number
            vectors[mine] = tables[number][rows[mine] - starts[number]]
        yield vectors, ids[rows]


def _path(folder: Path, piece: int, name: str) -> Path:
    return folder / f"piece-{piece:06}.{name}.npy"


def _save(folder: Path, piece: int, name: str, array: np.ndarray) -> None:
    # Written under another name first: a task that is repeated never leaves half an array under the name that counts.
    part = folder / f".piece-{piece:06}.{name}.{np.random.default_rng().integers(1 << 62):x}.npy"
    np.save(part, array)
    part.replace(_path(folder, piece, name))


def _load(folder: Path, piece: int, name: str) -> np.ndarray:
    array: np.ndarray = np.load(_path(folder, piece, name), mmap_mode="r")
    return array
