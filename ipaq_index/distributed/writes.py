"""Adds and removals since the files were written: a log beside the shards, one file a write.

A write is one file for all shards, so that it happens everywhere or nowhere. Servers read their own part of it: a
server that is started again reads all of them, in order, and knows what its predecessor knew.
"""

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.distributed.errors import ManifestError
from ipaq_index.distributed.manifest import Manifest, generations, sole_writer
from ipaq_index.distributed.routing import shard_of
from ipaq_index.storage import disk

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
FOLDER = "writes"


class Write(NamedTuple):
    """An addition (with vectors) or a removal (without)."""

    ids: Ids
    vectors: Vectors | None


def put(directory: Path, sequence: int, write: Write, shards: int, next_id: int) -> None:
    """Log a write durably. Call it under the directory's lock (`manifest.sole_writer`)."""
    members: dict[str, np.ndarray] = {
        "next_id": np.array(next_id, dtype=np.int64),
        "adds": np.array(write.vectors is not None),
    }
    owner = shard_of(write.ids, shards)
    for shard in np.unique(owner):
        members[f"ids-{shard}"] = write.ids[owner == shard]
        if write.vectors is not None:
            members[f"vectors-{shard}"] = write.vectors[owner == shard]
    (directory / FOLDER).mkdir(exist_ok=True)
    with disk.replacement(_path(directory, sequence)) as handle, open(handle, "wb", closefd=False) as file:
        np.savez(file, **members)  # type: ignore[arg-type]


def get(directory: Path, sequence: int, shard: int) -> Write | None:
    """Return a shard's part of a write, None where it has none.

    Raises
    ------
    ManifestError
        If the write is missing or damaged.
    """
    try:
        with np.load(_path(directory, sequence), allow_pickle=False) as members:
            if f"ids-{shard}" not in members:
                return None
            return Write(members[f"ids-{shard}"], members[f"vectors-{shard}"] if members["adds"] else None)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ManifestError(f"{_path(directory, sequence)}: missing or damaged ({error})") from error


def next_id(directory: Path, sequence: int, otherwise: int) -> int:
    """Return the first free id after a write; ``otherwise`` if it is not in the log (the files contain it)."""
    path = _path(directory, sequence)
    if not path.exists():
        return otherwise
    try:
        with np.load(path, allow_pickle=False) as members:
            return int(members["next_id"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ManifestError(f"{path}: damaged ({error})") from error


def last(directory: Path, otherwise: int) -> int:
    """Return the number of the last logged write; ``otherwise`` if there is none after it."""
    return max([otherwise, *_sequences(directory)])


def prune(directory: str | Path) -> list[str]:
    """Delete what the current generation does not need: files of those before, and writes its files contain.

    Call it when every `ShardedIndex` on the directory has reloaded: a server of an older generation may still have a
    file mapped, which is safe on a local file system and not on all network ones.

    Returns
    -------
    list of str
        The names of what was deleted.
    """
    target = Path(directory)
    with sole_writer(target):
        manifest = Manifest.read(target)
        named = {manifest.trained.file, *(shard.file for shard in manifest.shards)}  # a checkpoint keeps `trained`
        old = [
            path
            for generation, path in generations(target)
            if generation < manifest.generation and path.name not in named
        ]
        old += [_path(target, sequence) for sequence in _sequences(target) if sequence <= manifest.sequence]
        for path in old:
            path.unlink(missing_ok=True)
    return [path.name for path in old]


def _sequences(directory: Path) -> list[int]:
    found = (re.fullmatch(r"(\d{16})\.npz", path.name) for path in (directory / FOLDER).glob("*.npz"))
    return [int(match[1]) for match in found if match]


def _path(directory: Path, sequence: int) -> Path:
    return directory / FOLDER / f"{sequence:016}.npz"
