"""Joining the queries of many requests into one search: an index answers 8 queries in about the time of three."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Search = Callable[..., tuple[Scores, Ids]]


class OverloadedError(RuntimeError):
    """More queries wait than may."""


@dataclass
class _Asked:
    """The queries of one request."""

    queries: npt.NDArray[np.float32]
    k: int
    options: dict[str, Any]
    answer: "asyncio.Future[tuple[Scores, Ids]]"

    @property
    def kind(self) -> tuple[int, int | None] | None:
        """What has to be equal for requests to be joined; None if this one stands alone."""
        return None if "filter" in self.options else (self.k, self.options.get("nprobe"))


class Batcher:
    """Gives an index the queries that have come while it was busy with the ones before.

    Nothing waits for company: a query that comes alone is asked alone, at once; under load batches grow by themselves.

    Parameters
    ----------
    search : callable
        ``search(queries (n, dim), k, **options) -> (scores, ids)``; run in a thread, one call at a time.
    most : int
        Queries of a batch, at most (a request with more makes a batch of its own).
    waiting : int
        Queries that may wait.
    observe : callable, optional
        Told the number of queries of each batch and the seconds it took.
    """

    def __init__(
        self, search: Search, *, most: int, waiting: int, observe: Callable[[int, float], None] | None = None
    ) -> None:
        self._search, self._most, self._allowed, self._observe = search, most, waiting, observe
        self._queue: deque[_Asked] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ipaq-search")
        self._task: asyncio.Task[None] | None = None
        self.waiting = 0

    async def search(
        self, queries: npt.NDArray[np.float32], k: int, options: dict[str, Any] | None = None
    ) -> tuple[Scores, Ids]:
        """Return scores and ids of the queries, as the index gives them.

        Raises
        ------
        OverloadedError
            If too many queries wait already.
        """
        if self.waiting + len(queries) > self._allowed:
            raise OverloadedError(f"{self.waiting} queries are waiting")
        loop = asyncio.get_running_loop()
        asked = _Asked(queries, k, options or {}, loop.create_future())
        self._queue.append(asked)
        self.waiting += len(queries)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        return await asked.answer

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next():
            begin = loop.time()
            queries = np.concatenate([asked.queries for asked in batch]) if len(batch) > 1 else batch[0].queries
            try:
                call = partial(self._search, queries, batch[0].k, **batch[0].options)
                scores, ids = await loop.run_in_executor(self._pool, call)
            except Exception as error:
                for asked in batch:
                    if not asked.answer.done():
                        asked.answer.set_exception(error)
                continue
            if self._observe is not None:
                self._observe(len(queries), loop.time() - begin)
            first = 0
            for asked in batch:
                rows = slice(first, first + len(asked.queries))
                first = rows.stop
                if not asked.answer.done():  # a client that went away, or whose time is up, has cancelled it
                    asked.answer.set_result((scores[rows], ids[rows]))

    def _next(self) -> list[_Asked]:
        """Take the first in the queue and those behind it that can be joined to it; others stay, in their order."""
        batch: list[_Asked] = []
        left: deque[_Asked] = deque()
        count = 0
        while self._queue:
            asked = self._queue.popleft()
            if asked.answer.done():
                self.waiting -= len(asked.queries)
            elif not batch or (
                asked.kind is not None and asked.kind == batch[0].kind and count + len(asked.queries) <= self._most
            ):
                batch.append(asked)
                count += len(asked.queries)
            else:
                left.append(asked)
        self._queue = left
        self.waiting -= count
        return batch

    def close(self) -> None:
        """Wait for the running search; those that wait are not answered."""
        self._pool.shutdown(cancel_futures=True)
        for asked in self._queue:
            asked.answer.cancel()
        self._queue.clear()
