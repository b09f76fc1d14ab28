"""Documents in SQLite: text, metadata and the exact vector of each, under an integer key that is its id in the index.

Tables: ``documents`` (key, id, text, metadata and extra as JSON, ref), ``vectors`` (key, float32 bytes), ``removed``
(keys that the saved index still holds) and ``meta`` (name, JSON value). Keys are never used twice.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ipaq_index.integrations.filters import EVERYTHING, Filter, to_sql

Keys = npt.NDArray[np.int64]
Duplicates = Literal["overwrite", "skip", "fail"]
FORMAT = 1
WAIT = 60.0  # seconds to wait for another process that writes: encoding a large batch takes its time
SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, text TEXT, metadata TEXT NOT NULL,
    ref TEXT, extra TEXT
);
CREATE INDEX IF NOT EXISTS documents_ref ON documents (ref);
CREATE TABLE IF NOT EXISTS vectors (key INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS removed (key INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
LISTED = "IN (SELECT value FROM json_each(?))"  # any number of keys or ids in one parameter
COLUMNS = "key, id, text, metadata, ref, extra"


class DuplicateIdError(ValueError):
    """A document with this id is there already, and duplicates were to fail."""


@dataclass(frozen=True)
class Record:
    """One document.

    Parameters
    ----------
    id : str
        The framework's id.
    text : str or None
        The content.
    metadata : dict
        What filters look at. Its values must have a JSON form.
    ref : str, optional
        Id of the source document that this one is a piece of.
    extra : dict, optional
        What else a framework keeps of its own document, under the framework's name.
    key : int
        Id in the index; given by the store.
    """

    id: str
    text: str | None
    metadata: dict[str, Any] = field(default_factory=dict)
    ref: str | None = None
    extra: dict[str, Any] | None = None
    key: int = -1


class Documents:
    """The tables. Every method may be called from any thread.

    Parameters
    ----------
    path : str
        The SQLite file, made if it is not there; ":memory:" for none.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        self.closed = False
        self._connection = sqlite3.connect(path, timeout=WAIT, check_same_thread=False, isolation_level=None)
        try:
            # WAL lets other processes read during a write; FULL makes a committed write survive a power cut.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(SCHEMA)
            found = self.meta("format", FORMAT)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise ValueError(f"{path}: expected an SQLite file of documents, got {error}") from error
        if found != FORMAT:
            self._connection.close()
            raise ValueError(f"{path}: expected document format {FORMAT}, got {found}: written by another ipaq_index")

    def close(self) -> None:
        """Close the file; further calls raise ValueError."""
        with self._lock:
            self._connection.close()
            self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("store: expected one that is open, got one that was closed")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements in the block durable together when it ends, or undo them all if it raises.

        A transaction within one of the same thread is part of it.
        """
        with self._lock:
            self._check_open()
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            self._check_open()
            return self._connection.execute(sql, parameters).fetchall()

    def version(self) -> int:
        """Return a number that changes when another connection has written."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def meta(self, name: str, default: Any = None) -> Any:
        """Return a value kept by `set_meta`."""
        rows = self._rows("SELECT value FROM meta WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else default

    def set_meta(self, values: Mapping[str, Any]) -> None:
        """Keep JSON-able values under their names."""
        for name, value in values.items():
            self._rows("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, json.dumps(value))

    def insert(self, records: Sequence[Record], duplicates: Duplicates) -> tuple[Keys, Keys]:
        """Insert records within a `transaction`.

        Parameters
        ----------
        records : sequence of Record
            Their keys are ignored. Of records with the same id the last one stays ("overwrite") or the first ("skip").
        duplicates : {"overwrite", "skip", "fail"}
            What to do with an id that is there already.

        Returns
        -------
        keys : (n,) int64
            The new key of each record; -1 where it was skipped or overwritten by a later one.
        replaced : (m,) int64
            Keys of the documents that gave way.

        Raises
        ------
        DuplicateIdError
            If ``duplicates`` is "fail" and an id is there already.
        TypeError, ValueError
            If metadata have no JSON form.
        """
        keys = np.full(len(records), -1, dtype=np.int64)
        replaced: list[int] = []
        fresh: dict[str, int] = {}  # place of each id that this call has inserted
        for place, record in enumerate(records):
            row = (
                record.id,
                record.text,
                _json(record.metadata, record.id),
                record.ref,
                _json(record.extra, record.id),
            )
            old = self._rows("SELECT key FROM documents WHERE id = ?", record.id)
            if old and duplicates == "fail":
                raise DuplicateIdError(f"id: expected ids that are not stored yet, got {record.id!r}")
            if old and duplicates == "skip":
                continue
            if old:
                self.delete(old[0])
                earlier = fresh.pop(record.id, None)
                if earlier is None:
                    replaced.append(old[0][0])
                else:
                    keys[earlier] = -1
            with self._lock:
                inserted = self._connection.execute(
                    "INSERT INTO documents (id, text, metadata, ref, extra) VALUES (?, ?, ?, ?, ?)", row
                )
                keys[place] = inserted.lastrowid or -1
            fresh[record.id] = place
        return keys, np.array(replaced, dtype=np.int64)

    def insert_vectors(self, keys: Keys, vectors: npt.NDArray[np.float32]) -> None:
        """Keep the exact vector of each key."""
        with self._lock:
            self._connection.executemany(
                "INSERT INTO vectors VALUES (?, ?)",
                ((int(key), vector.astype("<f4").tobytes()) for key, vector in zip(keys, vectors, strict=True)),
            )

    def delete(self, keys: Iterable[int]) -> None:
        """Delete the documents with these keys and remember that the saved index still holds them."""
        listed = _listed(keys)
        self._rows("INSERT OR IGNORE INTO removed SELECT value FROM json_each(?)", listed)
        self._rows(f"DELETE FROM documents WHERE key {LISTED}", listed)
        self._rows(f"DELETE FROM vectors WHERE key {LISTED}", listed)

    def set_metadata(self, record: Record, metadata: dict[str, Any]) -> None:
        """Replace the metadata of a document."""
        self._rows("UPDATE documents SET metadata = ? WHERE key = ?", _json(metadata, record.id), record.key)

    def forget_vectors(self) -> None:
        """Delete all exact vectors."""
        self._rows("DELETE FROM vectors")

    def forget_removed(self) -> None:
        """Forget which keys were removed: a newly saved index does not hold them."""
        self._rows("DELETE FROM removed")

    def removed(self) -> Keys:
        """Return the keys that were deleted since the index was saved."""
        return _keys(self._rows("SELECT key FROM removed ORDER BY key"))

    def count(self) -> int:
        """Return the number of documents."""
        return int(self._rows("SELECT count(*) FROM documents")[0][0])

    def by_key(self, keys: Iterable[int]) -> dict[int, Record]:
        """Return the documents with these keys; those that are not there are left out."""
        return {r.key: r for r in self._records(f"WHERE key {LISTED}", _listed(keys))}

    def by_id(self, ids: Iterable[str]) -> list[Record]:
        """Return the documents with these ids, in their order; those that are not there are left out."""
        wanted = list(ids)
        found = {record.id: record for record in self._records(f"WHERE id {LISTED}", json.dumps(wanted))}
        return [found[name] for name in wanted if name in found]

    def select(self, filter: Filter | None = None) -> list[Record]:
        """Return the documents that a filter accepts, in the order in which they were written."""
        where = EVERYTHING if filter is None else to_sql(filter.node)
        records = self._records(f"WHERE {where.sql} ORDER BY key", *where.parameters)
        if where.exact or filter is None:
            return records
        if filter.predicate is None:
            raise ValueError(
                "filter: expected values of type str, int, float, bool or None, got one without such a form"
            )
        return [record for record in records if filter.predicate(record)]

    def keys(self, filter: Filter) -> Keys:
        """Return the keys of the documents that a filter accepts, ascending."""
        where = to_sql(filter.node)
        if not where.exact:
            return np.array([record.key for record in self.select(filter)], dtype=np.int64)
        return _keys(self._rows(f"SELECT key FROM documents WHERE {where.sql} ORDER BY key", *where.parameters))

    def _records(self, clause: str, *parameters: Any) -> list[Record]:
        rows = self._rows(f"SELECT {COLUMNS} FROM documents {clause}", *parameters)
        return [
            Record(name, text, json.loads(metadata), ref, json.loads(extra) if extra else None, key)
            for key, name, text, metadata, ref, extra in rows
        ]

    def vector_count(self) -> int:
        """Return the number of exact vectors."""
        return int(self._rows("SELECT count(*) FROM vectors")[0][0])

    def vector_keys(self, above: int = -1) -> Keys:
        """Return the keys greater than ``above`` that have an exact vector, ascending."""
        return _keys(self._rows("SELECT key FROM vectors WHERE key > ? ORDER BY key", above))

    def vectors(self, keys: Keys | None = None) -> tuple[Keys, npt.NDArray[np.float32]]:
        """Return exact vectors: those of ``keys`` that are there, or all; ascending by key."""
        if keys is None:
            rows = self._rows("SELECT key, vector FROM vectors ORDER BY key")
        else:
            rows = self._rows(f"SELECT key, vector FROM vectors WHERE key {LISTED} ORDER BY key", _listed(keys))
        table = np.frombuffer(b"".join(vector for _, vector in rows), dtype="<f4")
        return _keys(rows), table.reshape(len(rows), -1 if rows else 0)


def _keys(rows: list[tuple[Any, ...]]) -> Keys:
    return np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))


def _listed(keys: Iterable[int]) -> str:
    return json.dumps([int(key) for key in keys])


def _json(value: dict[str, Any] | None, name: str) -> str | None:
    """Return the JSON text of metadata; NumPy scalars are taken as numbers."""
    if value is None:
        return None
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise type(error)(f"metadata: expected values with a JSON form in document {name!r}, got {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")
