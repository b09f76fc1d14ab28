"""A sharded build on Ray Data: read once, train once, encode shards in parallel."""

import secrets
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ipaq_index import storage
from ipaq_index.distributed import manifest as manifests
from ipaq_index.distributed import shuffle, writes
from ipaq_index.distributed.manifest import Manifest, Shard
from ipaq_index.distributed.parquet import Piece, files_of, pieces_of
from ipaq_index.index import Index
from ipaq_index.index.validation import as_count

SAMPLE_ROWS = 131_072  # about twice the rows that `Index.train` looks at


def build(
    source: str | Path | Iterable[str | Path],
    directory: str | Path,
    *,
    shards: int,
    column: str = "vector",
    id_column: str | None = None,
    queries: npt.ArrayLike | None = None,
    index: Index | None = None,
    cpus: float = 1,
    **parameters: Any,
) -> Manifest:
    """Build a directory of shards from Parquet files, on the Ray cluster that this process is connected to.

    The files are read once: each task sorts the rows of a piece (up to a million) by shard and samples them. The sample
    trains one index, here; then each shard is encoded by one task, all with the same level sets, and saved. The
    manifest is written last: until then the directory holds what it held before.

    Parameters
    ----------
    source : path or list of paths
        Parquet files, or a folder of them, that every machine sees.
    directory : path
        Where the shards go; every machine must see it. While building it also holds the vectors once more.
    shards : int
        Into how many files the vectors are shared out, by a hash of their ids.
    column : str
        Name of the column of vectors: lists of numbers, all of one length.
    id_column : str, optional
        Name of a column of non-negative integers; row numbers (in the order of files) if not given.
    queries : (m, dim) array_like, optional
        Typical queries, to fit the codes to.
    index : Index, optional
        A trained index to take the level sets from, instead of training one. Its vectors, if any, are not taken.
    cpus : float
        Cores that a task takes.
    **parameters
        Of `ipaq_index.Index`: bits, metric, nlist, …

    Returns
    -------
    Manifest
        What the directory now holds.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its kind, or a file's rows are not as expected; the message names file and column.
    """
    import ray

    shards = as_count(shards, "shards")
    if index is not None and (parameters or queries is not None):
        raise ValueError("index: expected either a trained index or parameters and queries for a new one, got both")
    if index is not None and (not index.is_trained or index.ntotal):
        raise ValueError("index: expected a trained index without vectors, as train() leaves it")
    pieces = pieces_of(files_of(source))
    if not pieces:
        raise ValueError("source: expected vectors, got Parquet files without rows")
    target = Path(directory).resolve()
    target.mkdir(parents=True, exist_ok=True)
    folder = target / f".build-{secrets.token_hex(8)}"
    folder.mkdir()
    run = partial(_run, ray.data, cpus)
    try:
        fraction = SAMPLE_ROWS / sum(piece.rows for piece in pieces)
        run(partial(_spill, column, id_column, shards, folder, fraction), [piece.to_dict() for piece in pieces])
        if index is None:
            vectors = shuffle.sample(len(pieces), folder)
            index = Index(vectors.shape[1], **parameters).train(vectors, queries)
        storage.save(index, folder / "trained.ipaq")
        encode = partial(_encode, len(pieces), folder)
        counts = run(encode, [{"shard": shard} for shard in range(shards)])
        with manifests.sole_writer(target):
            return _publish(index, folder, target, counts, shuffle.greatest_id(len(pieces), folder) + 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(index: Index, folder: Path, target: Path, counts: list[int], next_id: int) -> Manifest:
    """Move the files to their places as a new generation and write its manifest."""
    before = Manifest.read(target) if (target / manifests.NAME).exists() else None
    generation = before.generation + 1 if before else 1
    trained = target / manifests.trained_file(generation)
    (folder / "trained.ipaq").replace(trained)
    shards = []
    for shard, count in enumerate(counts):
        path = target / manifests.shard_file(shard, generation)
        shuffle.encoded_file(folder, shard).replace(path)
        shards.append(Shard.of(path, count))
    manifest = Manifest(
        generation=generation,
        dim=index.dim,
        metric=index.metric,
        next_id=next_id,
        # What was written to the old generation is not part of the new one.
        sequence=writes.last(target, before.sequence if before else 0),
        trained=Shard.of(trained, 0),
        shards=tuple(shards),
    )
    manifest.write(target)
    return manifest


def _run(data: Any, cpus: float, task: Callable[[dict[str, Any]], int], rows: list[dict[str, Any]]) -> list[int]:
    """Map a task over rows on the cluster, each row a task; return what they gave, in the order of rows.

    Raises
    ------
    ValueError
        If a task raised it: what is wrong with the data comes back as an answer, since Ray Data would bury it in errors
        of its own. Anything else (a lost machine, a full disk) is left to Ray, which repeats what it can.
    """
    numbered = [{"place": place, **row} for place, row in enumerate(rows)]
    mapped = data.from_items(numbered, override_num_blocks=len(rows)).map(partial(_answer, task), num_cpus=cpus)
    answers = sorted(mapped.take_all(), key=lambda answer: int(answer["place"]))
    for answer in answers:
        if answer["refused"]:
            raise ValueError(answer["refused"])
    return [int(answer["answer"]) for answer in answers]


def _answer(task: Callable[[dict[str, Any]], int], row: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"place": row["place"], "answer": task(row), "refused": ""}
    except ValueError as error:
        return {"place": row["place"], "answer": 0, "refused": str(error)}


def _spill(column: str, id_column: str | None, shards: int, folder: Path, fraction: float, row: dict[str, Any]) -> int:
    groups = tuple(int(group) for group in row["groups"])
    piece = Piece(int(row["number"]), row["file"], groups, int(row["first_row"]), int(row["rows"]))
    shuffle.spill(piece, column, id_column, shards, folder, fraction)
    return piece.rows


def _encode(pieces: int, folder: Path, row: dict[str, Any]) -> int:
    return shuffle.encode(int(row["shard"]), pieces, folder, folder / "trained.ipaq")
