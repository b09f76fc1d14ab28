"""The index that a service serves, and its file: what a write answers "done" to is on disk."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ipaq_index import storage
from ipaq_index.index import Index

T = TypeVar("T")


class NotSavedError(RuntimeError):
    """A write could not be brought to disk."""


class Store:
    """An index and the file it came from.

    Parameters
    ----------
    index : Index
        Trained.
    path : path-like or None
        The file that every write is brought to; None keeps writes in memory only.
    """

    def __init__(self, index: Index, path: str | os.PathLike[str] | None) -> None:
        if not index.is_trained:
            raise ValueError("index: expected a trained index, got one without level sets")
        self.index, self._path = index, path
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ipaq-write")  # writes one after the other

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Store":
        """Map the index file at ``path``, checking every byte of it."""
        return cls(storage.load(path, mmap=True, verify=True), path)

    async def add(self, x: npt.NDArray[np.float32], ids: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        """Add vectors, durably; return their ids."""

        def write() -> npt.NDArray[np.int64]:
            before = self.index.ntotal
            self.index.add(x, ids=ids)
            added = self.index.ids()[before:] if ids is None else ids
            try:
                self._save()
            except OSError as error:
                self.index.remove(added)
                raise NotSavedError(f"nothing was added: the file cannot be written ({error})") from error
            return added

        return await self._one_by_one(write)

    async def remove(self, ids: npt.NDArray[np.int64], *, missing: Literal["raise", "ignore"]) -> int:
        """Remove vectors, durably; return how many."""

        def write() -> int:
            removed = self.index.remove(ids, missing=missing)
            try:
                self._save()
            except OSError as error:
                raise NotSavedError(
                    f"{removed} vectors were removed, but the file cannot be written ({error}): they come back with a "
                    "restart unless a later write succeeds"
                ) from error
            return removed

        return await self._one_by_one(write)

    def _save(self) -> None:
        if self._path is not None:
            self.index.sync(self._path)

    async def _one_by_one(self, write: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, write)

    def describe(self) -> dict[str, Any]:
        """Return what the index is and holds."""
        return {
            "dim": self.index.dim,
            "metric": self.index.metric,
            "vectors": self.index.ntotal,
            "bytes_per_vector": self.index.bytes_per_vector,
        }

    def close(self) -> None:
        """Finish the writes that have begun."""
        self._pool.shutdown()
