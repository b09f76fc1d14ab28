"""The routes of the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ipaq_index import __version__
from ipaq_index.index.errors import UnknownIdError
from ipaq_index.index.validation import as_id_array, as_ids, as_vectors
from ipaq_index.serve.batching import Batcher, OverloadedError
from ipaq_index.serve.guard import Guard
from ipaq_index.serve.keys import KeyRing
from ipaq_index.serve.limits import Limits
from ipaq_index.serve.metrics import Metrics
from ipaq_index.serve.store import NotSavedError, Store

if TYPE_CHECKING:
    from fastapi import FastAPI

PATHS = ["/v1/search", "/v1/add", "/v1/remove", "/v1/info", "/health", "/metrics", "/openapi.json"]


def create_app(
    store: Store, keys: KeyRing, limits: Limits | None = None, *, read_only: bool = False, threads: int | None = None
) -> "FastAPI":
    """Make the ASGI application that serves an index.

    Parameters
    ----------
    store : Store
        The index and its file.
    keys : KeyRing
        Keys that clients may use.
    limits : Limits, optional
        Sizes and times.
    read_only : bool
        Whether additions and removals are refused (403).
    threads : int, optional
        Threads of a search.

    Returns
    -------
    fastapi.FastAPI
        For any ASGI server.
    """
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import JSONResponse, Response

    from ipaq_index.serve.messages import Added, AddRequest, Found, Info, Removed, RemoveRequest, SearchRequest

    bounds = limits or Limits()
    index = store.index
    batcher = Batcher(
        partial(index.search, threads=threads),
        most=bounds.batch,
        waiting=bounds.waiting,
        observe=lambda queries, seconds: metrics.batch(queries, seconds),
    )
    metrics = Metrics(PATHS, lambda: index.ntotal, lambda: batcher.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Ready means warm: the first searches compile kernels, for one query and for many, and read a mapped file.
        # Not zeros: every vector ties for those, which is the slowest search there is.
        rng = np.random.default_rng(0)
        for queries in (1, bounds.batch):
            await batcher.search(rng.standard_normal((queries, index.dim), dtype=np.float32), 1)
        yield
        batcher.close()
        store.close()

    app = FastAPI(
        title="ipaq_index", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Nearest neighbours over compressed codes. Send a key as X-API-Key or as Authorization: Bearer.",
    )  # fmt: skip
    app.add_middleware(Guard, keys=keys, limits=bounds, observe=metrics.request)

    def refuse(status: int) -> Any:
        async def handler(_: Any, error: Exception) -> JSONResponse:
            headers = {"Retry-After": "1"} if status == 503 else None
            return JSONResponse({"detail": str(error)}, status, headers)

        return handler

    # What the index says of an argument is written for whoever gave it.
    for kind, status in {
        UnknownIdError: 404, ValueError: 422, TypeError: 422, OverloadedError: 503, NotSavedError: 507,
    }.items():  # fmt: skip
        app.add_exception_handler(kind, refuse(status))

    def within(count: int, most: int, name: str) -> None:
        if count > most:
            raise HTTPException(413, f"{name}: expected at most {most}, got {count}")

    def writable() -> None:
        if read_only:
            raise HTTPException(403, "this service is read-only")

    @app.post("/v1/search", response_model=Found)
    async def search(asked: SearchRequest) -> Response:
        """Find the best ``k`` vectors for each query."""
        within(len(asked.queries), bounds.queries, "queries")
        within(asked.k, bounds.k, "k")
        queries = np.ascontiguousarray(as_vectors(asked.queries, index.dim, "queries"), dtype=np.float32)
        options: dict[str, Any] = {}
        if asked.filter is not None:
            within(len(asked.filter), bounds.ids, "filter")
            options["filter"] = as_id_array(asked.filter, "filter")
        if asked.nprobe is not None:
            options["nprobe"] = asked.nprobe
        scores, ids = await batcher.search(queries, asked.k, options)
        counts = (ids >= 0).sum(axis=1).tolist()  # empty places are at the end
        return JSONResponse(
            {
                "scores": [row[:count] for row, count in zip(scores.tolist(), counts, strict=True)],
                "ids": [row[:count] for row, count in zip(ids.tolist(), counts, strict=True)],
            }
        )

    @app.post("/v1/add", response_model=Added)
    async def add(asked: AddRequest) -> Added:
        """Add vectors; when the answer comes they are on disk."""
        writable()
        within(len(asked.vectors), bounds.ids, "vectors")
        vectors = np.ascontiguousarray(as_vectors(asked.vectors, index.dim, "vectors"), dtype=np.float32)
        ids = None if asked.ids is None else as_ids(asked.ids, len(vectors))
        return Added(ids=(await store.add(vectors, ids)).tolist(), vectors=index.ntotal)

    @app.post("/v1/remove", response_model=Removed)
    async def remove(asked: RemoveRequest) -> Removed:
        """Remove vectors; when the answer comes that is on disk."""
        writable()
        within(len(asked.ids), bounds.ids, "ids")
        removed = await store.remove(as_id_array(asked.ids), missing=asked.missing)
        return Removed(removed=removed, vectors=index.ntotal)

    @app.get("/v1/info", response_model=Info)
    async def info() -> Info:
        """Tell what the index is and holds."""
        return Info(**store.describe(), read_only=read_only, version=__version__)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answer, which shows that the service can (no key is needed)."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counters, in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app
