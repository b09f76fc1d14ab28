"""An index on many machines: actors that serve shards, and the client that asks them all."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.distributed import writes
from ipaq_index.distributed.errors import GenerationError, ManifestError, MissingShardsError
from ipaq_index.distributed.gather import Gathered, gather
from ipaq_index.distributed.manifest import Manifest, next_generation, sole_writer
from ipaq_index.distributed.merge import merge
from ipaq_index.distributed.routing import shard_of
from ipaq_index.distributed.server import ShardServer
from ipaq_index.index.errors import UnknownIdError
from ipaq_index.index.validation import as_count, as_id_array, as_ids, as_vectors, listed
from ipaq_index.storage import IndexFileError

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
CALLS = 8  # questions that one server works on at a time


class Partial(NamedTuple):
    """What the shards that answered found.

    Attributes
    ----------
    scores : (nq, k) float32
    ids : (nq, k) int64
    missing : dict of int to str
        The shards that did not answer, each with the reason; empty if the answer is complete.
    """

    scores: Scores
    ids: Ids
    missing: dict[int, str]


class _Position(NamedTuple):
    """What answers have to know of: a generation and the last write."""

    manifest: Manifest
    sequence: int


class ShardedIndex:
    """Search over a directory of shards, served by actors of the Ray cluster that this process is connected to.

    Every shard is served by ``replicas`` actors, on different machines where there are as many. An actor that dies is
    started again by Ray, on another machine if need be, and reads from the directory what its predecessor knew,
    including all adds and removals. Meanwhile its replicas answer, or calls wait; a call that some shard leaves without
    answer until ``timeout`` raises `MissingShardsError`, so that no answer is incomplete without saying so.

    Parameters
    ----------
    directory : path
        What `build` made; every machine must see it.
    replicas : int
        Actors a shard.
    threads : int
        Threads that an actor searches with.
    cpus : float
        Cores that Ray reserves for an actor; as many as ``threads`` if not given.
    timeout : float
        Seconds after which a call gives up shards that do not answer.
    patience : float
        Seconds after which another replica is asked too.
    start_timeout : float
        Seconds that the actors may take to load their shards.

    Raises
    ------
    ManifestError
        If the directory is not one of shards, or damaged.
    MissingShardsError
        If a shard cannot be loaded; the message says why.

    Notes
    -----
    Calls may come from many threads. Other processes may have their own `ShardedIndex` on the directory; all may write.
    A write is seen at once by the object that made it, by others after their next `refresh`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        replicas: int = 1,
        threads: int = 1,
        cpus: float | None = None,
        timeout: float = 30.0,
        patience: float = 1.0,
        start_timeout: float = 600.0,
    ) -> None:
        self._directory = Path(directory).resolve()
        self._replicas, self._threads = as_count(replicas, "replicas"), as_count(threads, "threads")
        self._timeout, self._patience, self._start_timeout = timeout, patience, start_timeout
        self._turn = 0
        self._writer = threading.RLock()
        manifest = Manifest.read(self._directory)
        self._at = _Position(manifest, writes.last(self._directory, manifest.sequence))
        self._servers = self._start(threads if cpus is None else cpus)
        try:
            self._complete(self._ask("status", lambda shard: (), timeout=start_timeout, patience=start_timeout))
        except BaseException:
            self.close()
            raise

    def _start(self, cpus: float) -> list[list[Any]]:
        """Start all actors: replica r of shard s on machine (s + r) mod machines, or elsewhere if that one is lost."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if not ray.is_initialized():
            ray.init()
        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
        server = ray.remote(ShardServer)
        return [
            [
                server.options(
                    num_cpus=cpus,
                    max_restarts=-1,
                    max_concurrency=CALLS,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(
                        nodes[(shard + replica) % len(nodes)], soft=True
                    ),
                ).remote(str(self._directory), shard, self._threads)
                for replica in range(self._replicas)
            ]
            for shard in range(len(self._at.manifest.shards))
        ]

    def close(self) -> None:
        """Stop the actors."""
        import ray

        for server in (server for servers in self._servers for server in servers):
            ray.kill(server)
        self._servers = []

    def __enter__(self) -> "ShardedIndex":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._at.manifest.dim

    @property
    def metric(self) -> str:
        """The metric: "ip", "cosine" or "l2"."""
        return self._at.manifest.metric

    @property
    def shards(self) -> int:
        """Number of shards."""
        return len(self._at.manifest.shards)

    @property
    def generation(self) -> int:
        """The generation that answers come from."""
        return self._at.manifest.generation

    @property
    def ntotal(self) -> int:
        """Number of vectors, as all shards tell it now."""
        return sum(self._complete(self._ask("apply", lambda shard: ())).values())

    def __len__(self) -> int:
        return self.ntotal

    def search(
        self, q: npt.ArrayLike, k: int = 10, *, filter: npt.ArrayLike | None = None, **options: Any
    ) -> tuple[Scores, Ids]:
        """Find the ``k`` best vectors of all shards for each query.

        Parameters
        ----------
        q : (nq, dim) array_like
            The queries; one query may be given as (dim,).
        k : int
            How many neighbours.
        filter : array_like of int, optional
            Ids that may be returned.
        **options
            Further arguments of `ipaq_index.Index.search`, such as ``nprobe``.

        Returns
        -------
        scores : (nq, k) float32
        ids : (nq, k) int64
            As from one index with the same codes; equal scores stand by id.

        Raises
        ------
        MissingShardsError
            If a shard gave no answer in time.
        """
        scores, ids, missing = self.search_available(q, k, filter=filter, **options)
        if missing:
            raise MissingShardsError(missing)
        return scores, ids

    def search_available(
        self, q: npt.ArrayLike, k: int = 10, *, filter: npt.ArrayLike | None = None, **options: Any
    ) -> Partial:
        """Find the ``k`` best vectors of the shards that answer in time, and name those that do not.

        Parameters are those of `search`.
        """
        import ray

        k = as_count(k, "k")
        queries = np.ascontiguousarray(as_vectors(q, self.dim, "q", single=True), dtype=np.float32)
        allowed = None if filter is None else _allowed_by_shard(filter, self.shards)
        asked = range(self.shards) if allowed is None else sorted(allowed)
        shared = ray.put(queries) if asked else None  # once into the object store, not once a shard into a message

        def arguments(shard: int) -> tuple[Any, ...]:
            return shared, k, options if allowed is None else {**options, "filter": allowed[shard]}

        found = self._ask("search", arguments, asked)
        parts = [found[shard] for shard in sorted(found)]
        scores, ids = merge(parts, len(queries), k, ascending=self.metric == "l2")
        return Partial(scores, ids, found.missing)

    def add(self, x: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> Ids:
        """Add vectors to the shards that their ids belong to. All are added, durably, or none.

        Parameters
        ----------
        x : (n, dim) array_like
            The vectors.
        ids : (n,) array_like of int, optional
            Their ids, not in the index yet; numbers continue after the largest ever given if not given.

        Returns
        -------
        (n,) int64
            The ids.

        Raises
        ------
        ValueError
            If an id is held already; the message lists them.
        MissingShardsError
            If a shard could not be asked for that. Nothing was added.
        """
        vectors = np.ascontiguousarray(as_vectors(x, self.dim, "x"), dtype=np.float32)
        chosen = None if ids is None else as_ids(ids, len(vectors))
        with self._writer, sole_writer(self._directory):
            self.refresh()
            free = writes.next_id(self._directory, self._at.sequence, self._at.manifest.next_id)
            if chosen is None:
                chosen = np.arange(free, free + len(vectors), dtype=np.int64)
            held = self._held(chosen)
            if held.any():
                raise ValueError(f"ids: expected ids that the index does not hold yet, got {listed(chosen[held])}")
            self._log(writes.Write(chosen, vectors), max(free, int(chosen.max()) + 1))
        return chosen

    def remove(self, ids: npt.ArrayLike, *, missing: Literal["raise", "ignore"] = "raise") -> int:
        """Remove vectors from the shards that their ids belong to. All are removed, durably, or none.

        Parameters
        ----------
        ids : int or array_like of int
            Their ids.
        missing : {"raise", "ignore"}
            What to do with ids that the index does not hold.

        Returns
        -------
        int
            How many were removed.

        Raises
        ------
        UnknownIdError
            If an id is not held; the message lists those. Nothing was removed.
        MissingShardsError
            If a shard could not be asked for that. Nothing was removed.
        """
        if missing not in ("raise", "ignore"):
            raise ValueError(f"missing: expected 'raise' or 'ignore', got {missing!r}")
        wanted = np.unique(as_id_array(ids))
        with self._writer, sole_writer(self._directory):
            self.refresh()
            held = self._held(wanted)
            if missing == "raise" and not held.all():
                raise UnknownIdError(f"ids: not in the index: {listed(wanted[~held])}")
            if held.any():
                free = writes.next_id(self._directory, self._at.sequence, self._at.manifest.next_id)
                self._log(writes.Write(wanted[held], None), free)
        return int(held.sum())

    def refresh(self) -> None:
        """Take note of what other processes have written, and of a new generation, so that answers know of it."""
        with self._writer:
            manifest = Manifest.read(self._directory)
            if manifest.generation != self.generation:
                self.reload()
            last = writes.last(self._directory, manifest.sequence)
            self._at = _Position(self._at.manifest, max(last, self._at.sequence))

    def reload(self) -> int:
        """Go over to the directory's current generation while searches go on; return its number.

        One replica of every shard after the other loads it beside the old one. Then answers come from the new one,
        all shards at once, so that none is a mixture; then the old one is let go. A replica that is lost meanwhile
        loads the new one when it is started again.

        Raises
        ------
        MissingShardsError
            If no replica of a shard could load it. Answers still come from the old one.
        """
        with self._writer:
            manifest = Manifest.read(self._directory)
            if len(manifest.shards) != self.shards:
                raise ValueError(
                    f"directory: expected {self.shards} shards as before, got {len(manifest.shards)}; "
                    "close this ShardedIndex and open another"
                )
            self._prepare()
            self._at = _Position(manifest, writes.last(self._directory, manifest.sequence))
            for replica in range(self._replicas):
                self._notify("retire", replica, manifest.generation)
            return manifest.generation

    def _prepare(self) -> None:
        """Make all replicas that are there load the current generation, and one at least of each shard."""
        left = set(range(self.shards))
        for replica in range(self._replicas):
            answers = self._of_replica("prepare", replica, timeout=self._start_timeout)
            left -= {shard for shard, answer in answers.items() if not isinstance(answer, dict)}
        if left:  # all their replicas are being started again, or cannot read the file
            self._complete(
                gather(
                    sorted(left),
                    lambda shard, attempt: self._servers[shard][attempt % self._replicas].prepare.remote().future(),
                    replicas=self._replicas,
                    timeout=self._timeout,
                    patience=self._timeout,
                    retryable=_retryable(),
                )
            )

    def checkpoint(self) -> Manifest:
        """Write all adds and removals into new files, as a new generation, and go over to it.

        `ipaq_index.distributed.prune` deletes the old files afterwards.
        """
        with self._writer, sole_writer(self._directory):
            self.refresh()
            generation = next_generation(self._directory)
            free = writes.next_id(self._directory, self._at.sequence, self._at.manifest.next_id)
            saved = self._complete(self._ask("save", lambda shard: (generation,), patience=self._timeout))
            old = self._at.manifest
            manifest = Manifest(
                generation=generation,
                dim=old.dim,
                metric=old.metric,
                next_id=free,
                sequence=self._at.sequence,
                trained=old.trained,
                shards=tuple(saved[shard] for shard in range(self.shards)),
            )
            manifest.write(self._directory)
            self.reload()
        return manifest

    def status(self) -> list[dict[str, Any]]:
        """Tell of every actor its shard, replica, host, generation, last write and number of vectors, or its error."""
        entries = []
        for replica in range(self._replicas):
            for shard, answer in sorted(self._of_replica("status", replica).items()):
                entries.append({"shard": shard, "replica": replica, **answer})
        return sorted(entries, key=lambda entry: (entry["shard"], entry["replica"]))

    def _held(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return which of ``ids`` the index holds."""
        owner = shard_of(ids, self.shards)
        answers = self._complete(
            self._ask("contained", lambda shard: (ids[owner == shard],), np.unique(owner).tolist())
        )
        held = np.zeros(len(ids), dtype=bool)
        for shard, answer in answers.items():
            held[owner == shard] = answer
        return held

    def _log(self, write: writes.Write, next_id: int) -> None:
        """Log a write, from which moment on it has happened, and tell all actors."""
        sequence = self._at.sequence + 1
        writes.put(self._directory, sequence, write, self.shards, next_id)
        self._at = _Position(self._at.manifest, sequence)
        for replica in range(self._replicas):  # one that does not hear it reads it when it is next asked
            self._notify("apply", replica, self.generation, sequence)

    def _ask(
        self,
        method: str,
        arguments: Callable[[int], tuple[Any, ...]],
        shards: Iterable[int] | None = None,
        *,
        timeout: float | None = None,
        patience: float | None = None,
    ) -> Gathered[Any]:
        """Ask one actor of each shard, and others if it fails; go over to a new generation if ours is gone."""
        try:
            return self._ask_as_of(self._at, method, arguments, shards, timeout, patience)
        except GenerationError:
            self.refresh()
            return self._ask_as_of(self._at, method, arguments, shards, timeout, patience)

    def _ask_as_of(
        self,
        at: _Position,
        method: str,
        arguments: Callable[[int], tuple[Any, ...]],
        shards: Iterable[int] | None,
        timeout: float | None,
        patience: float | None,
    ) -> Gathered[Any]:
        turn = self._turn
        self._turn += 1  # replicas take turns
        about = () if method == "status" else (at.manifest.generation, at.sequence)

        def send(shard: int, attempt: int) -> "Future[Any]":
            server = self._servers[shard][(turn + attempt) % self._replicas]
            future: Future[Any] = getattr(server, method).remote(*about, *arguments(shard)).future()
            return future

        return gather(
            list(range(self.shards) if shards is None else shards),
            send,
            replicas=self._replicas,
            timeout=self._timeout if timeout is None else timeout,
            patience=self._patience if patience is None else patience,
            retryable=_retryable(),
        )

    def _of_replica(self, method: str, replica: int, *arguments: Any, timeout: float | None = None) -> dict[int, Any]:
        """Ask one replica of every shard, once; a dict with the key "error" stands for an answer that did not come."""
        seconds = self._timeout if timeout is None else timeout
        answers = gather(
            range(self.shards),
            lambda shard, attempt: getattr(self._servers[shard][replica], method).remote(*arguments).future(),
            replicas=1,
            timeout=seconds,
            patience=seconds,
            retryable=_retryable(),
            once=True,  # an actor that is being started again reads from the directory what it is told now
        )
        return {**answers, **{shard: {"error": reason} for shard, reason in answers.missing.items()}}

    def _notify(self, method: str, replica: int, *arguments: Any) -> None:
        """Ask one replica of every shard to do something; those that are lost will know it when they start again."""
        self._of_replica(method, replica, *arguments)

    @staticmethod
    def _complete(found: Gathered[Any]) -> dict[int, Any]:
        if found.missing:
            raise MissingShardsError(found.missing)
        return found


def _allowed_by_shard(filter: npt.ArrayLike, shards: int) -> dict[int, Ids]:
    """Share out allowed ids among the shards that may hold them; other shards need not be asked."""
    if np.asarray(filter).dtype == bool:
        raise TypeError("filter: expected allowed ids, got a boolean mask (shards have no common order of adding)")
    ids = np.unique(as_id_array(filter, "filter"))
    owner = shard_of(ids, shards)
    return {int(shard): ids[owner == shard] for shard in np.unique(owner)}


def _retryable() -> tuple[type[BaseException], ...]:
    """Return what makes another attempt worth while: lost or restarting actors, files that cannot be read now."""
    from ray import exceptions

    return (
        exceptions.RayActorError,  # died, or unavailable while it is started again
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
        ManifestError,
        IndexFileError,
        OSError,
    )
