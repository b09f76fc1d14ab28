"""Documents and their vectors under one roof: SQLite for what must be exact, an `Index` for what must be fast.

Every write is one SQLite transaction and durable when the call returns. The index is a summary of the vectors in
SQLite: `VectorDocuments.save` writes it to a new file and names that file in a transaction, which is the one moment at
which old becomes new for both. Opening loads the file that is named and repeats what was written since.
"""

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt

from ipaq_index.index import Index
from ipaq_index.index.config import Metric
from ipaq_index.index.validation import as_count, as_vectors
from ipaq_index.integrations.documents import Documents, Duplicates, Keys, Record
from ipaq_index.integrations.filters import Filter
from ipaq_index.storage import load, save

FILE = "documents.sqlite"
INDEX_FILES = "index-{}.ipaq"
EXACT_BELOW = 1024  # 1,024 vectors of 1,536-d are read from SQLite and compared in 4 ms: no codes are needed yet
OVERSAMPLE = 4  # candidates a wanted document whose exact vectors are compared: 40 reads cost 0.1 ms at k = 10
RETRAIN = 8  # growth since training after which level sets are fitted anew: at most 1/7 more vectors are encoded in all
TRAIN_ROWS = 65_536  # more than this the index does not look at in training
BATCH = 65_536  # vectors read from SQLite at a time

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """How vectors are compared and kept.

    Parameters
    ----------
    metric : {"cosine", "ip", "l2"}
        How vectors are compared.
    bits : float
        Mean bits a dimension in the index; see `ipaq_index.Index`.
    keep_vectors : bool
        Whether exact vectors stay in SQLite, on disk. With them, answers are rescored exactly and level sets are fitted
        anew as the store grows; without them, a vector is dropped once a saved index holds it.
    exact_below : int
        Number of vectors below which there is no index yet and the exact vectors are compared.
    seed : int
        Everything random follows from it.
    """

    metric: Metric = "cosine"
    bits: float = 4
    keep_vectors: bool = True
    exact_below: int = EXACT_BELOW
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise ValueError(f"metric: expected one of {', '.join(get_args(Metric))}, got {self.metric!r}")
        as_count(self.exact_below, "exact_below")
        Index(1, self.bits, seed=self.seed)  # refuses what the index would refuse later


class Hit(NamedTuple):
    """A document and its score: cosine or inner product (more is better), or squared distance (less is better)."""

    record: Record
    score: float


class VectorDocuments:
    """Documents, filters over their metadata, and search among their vectors.

    Parameters
    ----------
    path : path-like, optional
        A directory: ``documents.sqlite`` and ``index-N.ipaq`` lie in it. Without one, everything is in memory.
    **options
        See `Options`. A directory that exists keeps its own; to ask for others is an error.

    Notes
    -----
    Any thread may call any method. Several processes may open one directory: each sees what others have written.
    """

    def __init__(self, path: str | Path | None = None, **options: Any) -> None:
        self.path = None if path is None else Path(path)
        known = [field.name for field in fields(Options)]
        for name in options:
            if name not in known:
                raise TypeError(f"{name}: expected one of {', '.join(known)}, got an option of another name")
        asked = Options(**options)
        if path is None and not asked.keep_vectors:
            raise ValueError(
                "keep_vectors: expected a path to save the index to before vectors are dropped, got no path"
            )
        if self.path is not None:
            self.path.mkdir(parents=True, exist_ok=True)
        self.documents = Documents(":memory:" if self.path is None else str(self.path / FILE))
        self._lock = threading.RLock()
        self._index: Index | None = None
        self._touched = self._stale = False
        try:
            with self.documents.transaction():
                kept = self.documents.meta("options")
                if kept is None:
                    self.documents.set_meta({"options": asdict(asked)})
            self.options = asked if kept is None else Options(**kept)
            for name, value in options.items():
                if value != getattr(self.options, name):
                    raise ValueError(
                        f"{name}: expected {getattr(self.options, name)!r}, as stored in {path}, got {value!r}"
                    )
            self._open_index()
        except BaseException:
            self.documents.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files. Nothing is lost by not calling `save`: only the next opening takes longer."""
        self.documents.close()

    def __len__(self) -> int:
        return self.documents.count()

    def __repr__(self) -> str:
        place = "in memory" if self.path is None else str(self.path)
        if self.documents.closed:
            return f"<{place}: closed>"
        codes = "no index yet" if self._index is None else f"{self._index.bytes_per_vector} bytes a vector in the index"
        return f"<{place}: {len(self)} documents, {self.options.metric}, {codes}>"

    @property
    def dim(self) -> int | None:
        """Dimension of the vectors; None until the first one."""
        found = self.documents.meta("dim")
        return None if found is None else int(found)

    def _open_index(self) -> None:
        """Load the saved index and repeat what was written since."""
        with self.documents.transaction():  # no other process can replace the file meanwhile
            self._version = self.documents.version()
            name, high, index = self.documents.meta("index_file"), -1, None
            if name is not None and self.path is not None:
                index = load(self.path / name)
                high = self.documents.meta("index_high")
                _remove(index, self.documents.removed())
            self._index = self._with(index, self.documents.vector_keys(above=high))
            self._stale = False

    def _with(self, index: Index | None, keys: Keys) -> Index | None:
        """Return the index with the vectors of ``keys`` in it, trained first where it is time to."""
        if index is not None and not self._outgrown():
            self._add(index, keys)
            return index
        if index is not None or self.documents.vector_count() >= self.options.exact_below:
            return self._trained()
        return None

    def _add(self, index: Index, keys: Keys) -> None:
        for first in range(0, len(keys), BATCH):
            found, vectors = self.documents.vectors(keys[first : first + BATCH])
            index.add(vectors, ids=found)

    def _outgrown(self) -> bool:
        """Return whether the store has grown far beyond the sample that the level sets were fitted to."""
        trained = self.documents.meta("trained_on", 0)
        return (
            self.options.keep_vectors
            and trained < TRAIN_ROWS
            and self.documents.vector_count() >= RETRAIN * max(trained, self.options.exact_below)
        )

    def _trained(self) -> Index:
        keys = self.documents.vector_keys()
        rng = np.random.default_rng(self.options.seed)
        sample = keys if len(keys) <= TRAIN_ROWS else np.sort(rng.choice(keys, TRAIN_ROWS, replace=False))
        vectors = self.documents.vectors(sample)[1]
        index = Index(vectors.shape[1], self.options.bits, metric=self.options.metric, seed=self.options.seed)
        index.train(vectors)
        self._add(index, keys)
        self.documents.set_meta({"trained_on": len(keys)})
        return index

    def _refresh(self) -> None:
        """Take over what another process has written since the last look."""
        if self._stale or self.documents.version() != self._version:
            with self._lock:
                self._open_index()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Make what the block does to documents and index one change; if it raises, both are as they were."""
        with self._lock:
            self._touched = False
            try:
                with self.documents.transaction():
                    self._refresh()
                    yield
            except BaseException:
                # What the index took in or gave up has no document or none less now: make it anew from SQLite.
                self._stale = self._stale or self._touched
                raise

    def _change(self, removed: Keys, added: Keys) -> None:
        """Bring the index up to date, within `_writing`."""
        self._touched = True
        _remove(self._index, removed)
        if len(added):
            self._index = self._with(self._index, added)

    def write(
        self,
        records: Sequence[Record],
        vectors: Sequence[npt.ArrayLike | None],
        duplicates: Duplicates = "overwrite",
    ) -> list[str]:
        """Write documents with their vectors. All are written, or none.

        Parameters
        ----------
        records : sequence of Record
            The documents.
        vectors : sequence of (dim,) array_like or None
            The vector of each; a document without one is found by filters and ids only.
        duplicates : {"overwrite", "skip", "fail"}
            What to do with an id that is there already.

        Returns
        -------
        list of str
            Ids of the documents written.

        Raises
        ------
        documents.DuplicateIdError
            If ``duplicates`` is "fail" and an id is there already.
        TypeError, ValueError
            If vectors differ in dimension or are not finite, or metadata have no JSON form.
        """
        if len(records) != len(vectors):
            raise ValueError(f"vectors: expected {len(records)}, one for each document, got {len(vectors)}")
        dim = self.dim
        table = np.zeros((len(records), dim or 0), dtype=np.float32)
        having = np.array([vector is not None for vector in vectors], dtype=bool)
        if having.any():
            given = [np.asarray(vector) for vector in vectors if vector is not None]
            dim = dim or given[0].size
            for vector in given:
                if vector.shape != (dim,):
                    raise ValueError(f"vectors: expected dimension {dim}, got shape {vector.shape}")
            table = np.zeros((len(records), dim), dtype=np.float32)
            table[having] = as_vectors(np.stack(given), dim, "vectors")
        with self._writing():
            if (self.dim or dim) != dim:
                raise ValueError(f"vectors: expected dimension {self.dim}, got {dim}")
            keys, replaced = self.documents.insert(records, duplicates)
            written = keys >= 0
            new = having & written
            self.documents.insert_vectors(keys[new], table[new])
            self.documents.set_meta({"dim": dim})
            self._change(replaced, keys[new])
        return [record.id for record, kept in zip(records, written, strict=True) if kept]

    def delete(self, ids: Iterable[str]) -> int:
        """Delete the documents with these ids; return how many there were."""
        with self._writing():
            return self._delete([record.key for record in self.documents.by_id(ids)])

    def delete_matching(self, filter: Filter | None) -> int:
        """Delete the documents that a filter accepts (all for None); return how many there were."""
        with self._writing():
            return self._delete([record.key for record in self.documents.select(filter)])

    def _delete(self, keys: list[int]) -> int:
        self.documents.delete(keys)
        self._change(np.array(keys, dtype=np.int64), np.zeros(0, dtype=np.int64))
        return len(keys)

    def update_metadata(self, filter: Filter | None, changes: dict[str, Any]) -> int:
        """Merge values into the metadata of the documents that a filter accepts; return how many there were."""
        with self.documents.transaction():
            records = self.documents.select(filter)
            for record in records:
                self.documents.set_metadata(record, {**record.metadata, **changes})
            return len(records)

    def search(self, q: npt.ArrayLike, k: int, filter: Filter | None = None) -> list[Hit]:
        """Find the best ``k`` documents that a filter accepts, best first.

        Parameters
        ----------
        q : (dim,) array_like
            The query.
        k : int
            How many; fewer come back where there are fewer.
        filter : Filter, optional
            Which documents may be returned.

        Returns
        -------
        list of Hit
            Scores are exact where the exact vectors are kept, else those of the codes.
        """
        k = as_count(k, "k")
        hits, gone = self._hits(q, k, filter)
        if gone:  # between the search and the look at the documents: now nobody writes
            with self._lock:
                hits, _ = self._hits(q, k, filter)
        return hits

    def _hits(self, q: npt.ArrayLike, k: int, filter: Filter | None) -> tuple[list[Hit], int]:
        """Return what `search` does, and how many documents were found that are no longer there."""
        self._refresh()
        if self.dim is None:
            return [], 0
        query = as_vectors(q, self.dim, "q", single=True).astype(np.float32)
        allowed = None if filter is None else self.documents.keys(filter)
        keys, scores = self._best(query, k, allowed)
        records = self.documents.by_key(keys)
        hits = [Hit(records[key], float(s)) for key, s in zip(keys.tolist(), scores, strict=True) if key in records]
        return hits, len(keys) - len(hits)

    def _best(self, query: Vectors, k: int, allowed: Keys | None) -> tuple[Keys, Vectors]:
        index, kept = self._index, self.options.keep_vectors
        few = allowed is not None and kept and len(allowed) <= max(OVERSAMPLE * k, self.options.exact_below)
        if index is None or few:
            return self._exactly(query, k, allowed)
        wanted = OVERSAMPLE * k if kept else k
        scores, ids = index.search(query, min(wanted, max(index.ntotal, 1)), filter=allowed)
        found = ids[0] >= 0
        if kept:
            return self._exactly(query, k, ids[0][found])
        return ids[0][found], scores[0][found]

    def _exactly(self, query: Vectors, k: int, among: Keys | None) -> tuple[Keys, Vectors]:
        keys, vectors = self.documents.vectors(among)
        if not len(keys):
            return keys, np.zeros(0, dtype=np.float32)
        scores = similarity(query, vectors, self.options.metric)
        order = np.argsort(scores if self.options.metric == "l2" else -scores, kind="stable")[:k]
        return keys[order], scores[order]

    def vectors(self, records: Sequence[Record]) -> list[Vectors | None]:
        """Return the vector of each document: exact where kept, else as the codes tell it; None where it has none."""
        keys, vectors = self.documents.vectors(np.array([r.key for r in records], dtype=np.int64))
        found: dict[int, Vectors] = dict(zip(keys.tolist(), vectors, strict=True))
        if self._index is not None and not self.options.keep_vectors:
            for record in records:
                if record.key not in found:
                    with suppress(KeyError):  # a document without a vector
                        found[record.key] = self._index.reconstruct(record.key)
        return [found.get(record.key) for record in records]

    def save(self) -> None:
        """Write the index to the directory, so that the next opening need not encode vectors again.

        Raises
        ------
        ValueError
            If the store has no directory.
        """
        if self.path is None:
            raise ValueError("path: expected a store with a directory, got one in memory")
        with self._writing():
            if self._index is None:
                return
            old = self.documents.meta("index_file")
            number = self.documents.meta("index_number", 0) + 1
            name = INDEX_FILES.format(number)
            save(self._index, self.path / name)
            high = int(max(self.documents.vector_keys(), default=self.documents.meta("index_high", -1)))
            self.documents.set_meta({"index_file": name, "index_number": number, "index_high": high})
            self.documents.forget_removed()
            if not self.options.keep_vectors:
                self.documents.forget_vectors()
        if old is not None:
            (self.path / old).unlink(missing_ok=True)


def _remove(index: Index | None, keys: Keys) -> None:
    """Remove those of the keys that the index holds: documents without a vector are not in it."""
    if index is not None and len(keys):
        index.remove(keys, missing="ignore")


def similarity(query: Vectors, vectors: Vectors, metric: Metric) -> Vectors:
    """Return the exact score of one query (1, dim) with each of the vectors (n, dim)."""
    q = query.astype(np.float64)[0]
    if metric == "l2":
        difference = vectors - q
        return np.einsum("ij,ij->i", difference, difference).astype(np.float32)
    scores = vectors @ q
    if metric == "cosine":
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1) * math.sqrt(q @ q)
        scores = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    return scores.astype(np.float32)


class HoldsStore:
    """What adapters around a `VectorDocuments`, their ``store``, have in common: closing it, and their name."""

    store: VectorDocuments

    def close(self) -> None:
        """Close the store's files; so does the end of a ``with`` block."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"
