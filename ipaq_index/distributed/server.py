"""One shard, served: the file mapped, the logged writes on top of it. Knows nothing of Ray."""

import os
import platform
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index import storage
from ipaq_index.distributed import writes
from ipaq_index.distributed.errors import GenerationError
from ipaq_index.distributed.manifest import Manifest, Shard, shard_file
from ipaq_index.index import Index

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
WARM = (1, 16)  # queries asked before a shard is served: kernels for few and for many queries are compiled by then


@dataclass
class Held:
    """A generation of the shard: the index and how far the log has been applied to it."""

    index: Index
    sequence: int
    writing: threading.Lock = field(default_factory=threading.Lock)


class ShardServer:
    """Answers for one shard of a directory.

    Every question names a generation and the last write that its answer has to know of. A server that has been started
    again has read both from the directory; one that lags reads on; so no answer is older than asked for.

    Parameters
    ----------
    directory : str
        The directory with the manifest; every server must see it.
    shard : int
        Number of the shard.
    threads : int
        Threads of a search.

    Notes
    -----
    Nothing is loaded yet, so that a damaged file does not make the server fail to start, for good: whoever asks gets
    the error (ManifestError, IndexFileError, OSError), and an answer once the file has been put right.
    """

    def __init__(self, directory: str, shard: int, threads: int = 1) -> None:
        self._directory, self._shard, self._threads = Path(directory), shard, threads
        self._held: dict[int, Held] = {}
        self._loading = threading.Lock()

    def prepare(self) -> int:
        """Load the current generation beside those that are held, with all writes since; return its number."""
        with self._loading:
            manifest = Manifest.read(self._directory)
            if manifest.generation not in self._held:
                file = manifest.shards[self._shard].check(self._directory)
                held = Held(storage.load(file, mmap=True, verify=True), manifest.sequence)
                self._catch_up(held, writes.last(self._directory, manifest.sequence))
                rng = np.random.default_rng(0)  # not zeros: every vector ties for those, and each is scored exactly
                for queries in WARM:
                    asked = rng.standard_normal((queries, manifest.dim), dtype=np.float32)
                    held.index.search(asked, 1, threads=self._threads)
                self._held[manifest.generation] = held
            return manifest.generation

    def retire(self, before: int) -> None:
        """Let go of the generations before one."""
        for generation in [generation for generation in self._held if generation < before]:
            self._held.pop(generation, None)

    def search(self, generation: int, sequence: int, q: Scores, k: int, options: dict[str, Any]) -> tuple[Scores, Ids]:
        """Search this shard: `Index.search` with its further arguments as ``options``."""
        index = self._at(generation, sequence).index
        scores, ids = index.search(q, k, threads=self._threads, **options)[:2]
        return scores, ids

    def apply(self, generation: int, sequence: int) -> int:
        """Make the logged writes up to ``sequence`` part of what is searched; return how many vectors there are."""
        return self._at(generation, sequence).index.ntotal

    def contained(self, generation: int, sequence: int, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return which of ``ids`` the shard holds."""
        index = self._at(generation, sequence).index
        return np.array([id in index for id in ids.tolist()], dtype=np.bool_)

    def save(self, generation: int, sequence: int, new: int) -> Shard:
        """Write the shard, with the writes up to ``sequence``, into the file of generation ``new``.

        No write may be logged meanwhile: call it under the directory's lock.
        """
        held = self._at(generation, sequence)
        path = self._directory / shard_file(self._shard, new)
        storage.save(held.index, path)
        return Shard.of(path, held.index.ntotal)

    def status(self) -> dict[str, Any]:
        """Tell where the server runs and what it holds."""
        if not self._held:
            self.prepare()
        generation, held = max(self._held.items())
        return {
            "shard": self._shard,
            "generation": generation,
            "sequence": held.sequence,
            "ntotal": held.index.ntotal,
            "bytes_per_vector": held.index.bytes_per_vector,
            "host": platform.node(),
            "pid": os.getpid(),
        }

    def _at(self, generation: int, sequence: int) -> Held:
        if generation not in self._held:
            self.prepare()
        held = self._held.get(generation)
        if held is None:
            raise GenerationError(
                f"shard {self._shard}: generation {generation} is not held, only {sorted(self._held)}"
            )
        if held.sequence < sequence:
            self._catch_up(held, sequence)
        return held

    def _catch_up(self, held: Held, sequence: int) -> None:
        with held.writing:
            for number in range(held.sequence + 1, sequence + 1):
                write = writes.get(self._directory, number, self._shard)
                if write is not None and write.vectors is not None:
                    held.index.add(write.vectors, ids=write.ids)
                elif write is not None:
                    held.index.remove(write.ids)
                held.sequence = number
