"""Loading a data set by name."""

import shutil
import tarfile
from pathlib import Path

import numpy as np

from eval.datasets.dataset import Dataset, Head, Metric, in_memory
from eval.datasets.download import Progress, fetch
from eval.datasets.glove import glove, glove_unit
from eval.datasets.hdf5 import load_hdf5, stripped
from eval.datasets.hub import open_hub
from eval.datasets.registry import ENTRIES, Entry
from eval.datasets.synthetic import synthetic
from ipaq_index.integrations.vector_files import VectorTable, open_vectors

FOLDER = Path("data")
LIMIT_BYTES = 4e9  # a set up to this size, as float32, is held in memory; a larger one is read in blocks


def load(
    name: str,
    queries: int,
    vectors: int | None,
    seed: int,
    folder: Path = FOLDER,
    limit_bytes: float = LIMIT_BYTES,
    progress: Progress = lambda done, total: None,
) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        A name in `ENTRIES`; "hdf5:PATH" for a file in the layout of ann-benchmarks or VIBE;
        "files:train=PATH,test=PATH[,learn=PATH][,metric=ip|cosine|l2]" for files that `open_vectors` reads; or
        "hub:OWNER/NAME,column=COLUMN[,metric=ip|cosine|l2]" for any table of the Hugging Face hub.
    queries, vectors : int
        How many, at most; ``vectors`` None for all.
    seed : int
        Of the split into vectors and queries, where the set comes without one.
    folder : Path
        Where downloaded files are, and go.
    limit_bytes : float
        Vectors that would take more memory stay on disk.
    progress : callable
        Called with bytes so far and in all during a download.

    Raises
    ------
    ValueError
        If the name is unknown, or a file is not of its layout.
    OSError
        If a file is neither there nor to be had; the message says which, and where to put it.
    ModuleNotFoundError
        If a package that ships the data is not installed; the message says which.
    """
    if name.startswith("hdf5:"):
        return load_hdf5(name, Path(name.removeprefix("hdf5:")), queries, vectors, limit_bytes)
    if name.startswith("files:"):
        return _own_files(name, queries, vectors, limit_bytes)
    if name.startswith("hub:"):
        parts, metric = _parts(name, "hub:", "OWNER/NAME,column=COLUMN", {"column"}, {"column"})
        path = name.removeprefix("hub:").partition(",")[0]
        table_on_disk = open_hub(path.replace("/", "--"), path, parts["column"], folder)
        return _split(name, metric, table_on_disk, queries, vectors, seed, limit_bytes)
    if name not in ENTRIES:
        raise ValueError(f"dataset: expected one of {', '.join(ENTRIES)}, hdf5:PATH, files:… or hub:…, got {name!r}")
    entry = ENTRIES[name]
    if entry.kind == "package":
        return _split(name, entry.metric, glove_unit() if name.endswith("-unit") else glove(), queries, vectors, seed)
    if entry.kind == "synthetic":
        count = queries + (vectors or entry.size)
        table = synthetic(name.split("-")[1], entry.dim, count, seed)
        return Dataset(name, entry.metric, table[queries:], table[:queries])
    if entry.parts:
        return _hub_parts(name, entry, queries, vectors, folder, limit_bytes)
    if entry.kind == "hub":
        table_on_disk = open_hub(name, entry.source, entry.column, folder)
        return _split(name, entry.metric, table_on_disk, queries, vectors, seed, limit_bytes)
    if entry.kind == "hdf5":
        file = fetch(entry.source, folder / entry.files[0], progress=progress)
        return load_hdf5(name, file, queries, vectors, limit_bytes, entry.augmented)
    return _apart(name, entry, queries, vectors, folder, limit_bytes, progress)


def _split(
    name: str,
    metric: Metric,
    table: VectorTable,
    queries: int,
    vectors: int | None,
    seed: int,
    limit_bytes: float = LIMIT_BYTES,
) -> Dataset:
    """Take queries out of a table that comes without any.

    A table in memory is shuffled. One that stays on disk keeps its order: its last rows are the queries, since only
    whole ranges of rows can be read at speed.
    """
    if isinstance(table, np.ndarray):
        order = np.random.default_rng(seed).permutation(len(table))
        rows = order[queries:] if vectors is None else order[queries : queries + vectors]
        return Dataset(name, metric, table[rows], table[order[:queries]])
    kept = len(table) - queries
    train = Head(table, kept if vectors is None else min(vectors, kept))
    if 4 * len(train) * train.shape[1] <= limit_bytes:
        whole = np.asarray(in_memory(Head(table, len(train) + queries), np.inf))
        return _split(name, metric, whole, queries, vectors, seed)
    return Dataset(name, metric, train, np.ascontiguousarray(table[kept : len(table)], dtype=np.float32))


def _hub_parts(name: str, entry: Entry, queries: int, vectors: int | None, folder: Path, limit_bytes: float) -> Dataset:
    """Load a set of the hub whose queries are a part of their own."""
    train = Head(open_hub(name, entry.source, entry.column, folder, "train"), vectors or 1 << 62)
    test = open_hub(name, entry.source, entry.column, folder, "test")
    found, asked = in_memory(train, limit_bytes), np.ascontiguousarray(test[0:queries], dtype=np.float32)
    if entry.augmented:
        found, asked = stripped(name, np.asarray(found[:], dtype=np.float32), asked)
    return Dataset(name, entry.metric, found, asked)


def _own_files(name: str, queries: int, vectors: int | None, limit_bytes: float) -> Dataset:
    form = "train=PATH,test=PATH[,learn=PATH]"
    parts, metric = _parts(name, "files:", form, {"train", "test"}, {"train", "test", "learn"})
    paths = [parts[part] for part in ("train", "test", "learn") if part in parts]
    return _from_files(name, metric, paths, queries, vectors, limit_bytes)


def _parts(name: str, prefix: str, form: str, needed: set[str], known: set[str]) -> tuple[dict[str, str], Metric]:
    """Return the parts KEY=VALUE of a name, and its metric."""
    found = [part.partition("=") for part in name.removeprefix(prefix).split(",")]
    parts = {key: value for key, equals, value in found if equals}
    metrics: dict[str, Metric] = {"ip": "ip", "cosine": "cosine", "l2": "l2"}
    metric = parts.pop("metric", "ip")
    if not needed <= parts.keys() <= known or metric not in metrics:
        raise ValueError(f"dataset: expected {prefix}{form}[,metric=ip|cosine|l2], got {name}")
    return parts, metrics[metric]


def _apart(
    name: str,
    entry: Entry,
    queries: int,
    vectors: int | None,
    folder: Path,
    limit_bytes: float,
    progress: Progress,
) -> Dataset:
    """Load vectors, queries and training queries that are files of their own (texmex, big-ann)."""
    home = folder / name
    for file in entry.files:
        if entry.source.endswith(".tar.gz"):
            _member(entry.source, folder, home / file, progress)
        else:
            fetch(entry.source.rpartition("/")[0] + "/" + file, home / file, progress=progress)
    paths = [str(home / file) for file in entry.files]
    return _from_files(name, entry.metric, paths, queries, vectors, limit_bytes)


def _member(url: str, folder: Path, target: Path, progress: Progress) -> None:
    """Take one file out of an archive, fetching the archive first if neither is there."""
    if target.exists():
        return
    archive = fetch(url, folder / url.rpartition("/")[2], progress=progress)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        found = [m for m in tar.getmembers() if m.isfile() and Path(m.name).name == target.name]
        source = tar.extractfile(found[0]) if found else None
        if source is None:
            raise ValueError(f"{archive}: expected a file {target.name} in it, got {', '.join(tar.getnames())}")
        part = target.with_name(target.name + ".part")
        with source, open(part, "wb") as out:
            shutil.copyfileobj(source, out)
        part.replace(target)


def _from_files(
    name: str, metric: Metric, paths: list[str], queries: int, vectors: int | None, limit_bytes: float
) -> Dataset:
    tables = [open_vectors(path) for path in paths]
    if len({table.shape[1] for table in tables}) > 1:
        raise ValueError(f"dataset: {name}: expected one dimension, got {[table.shape for table in tables]}")
    learn = np.ascontiguousarray(tables[2][:100_000], dtype=np.float32) if len(tables) > 2 else None
    train = in_memory(Head(tables[0], vectors or 1 << 62), limit_bytes)
    return Dataset(name, metric, train, np.ascontiguousarray(tables[1][:queries], dtype=np.float32), learn)
