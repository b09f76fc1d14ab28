"""The systems that are compared, behind one small interface."""

from typing import Any, Protocol

import numpy as np

from eval.datasets import Dataset


class System(Protocol):
    """An index to be measured: built once, then asked."""

    name: str

    def build(self, dataset: Dataset, threads: int) -> None:
        """Train and add all vectors."""

    def search(self, queries: np.ndarray, k: int, threads: int) -> np.ndarray:
        """Return the ids of the ``k`` nearest, (nq, k) int64."""

    def bytes_per_vector(self) -> float:
        """Bytes a vector costs: codes, scale, norm; ids apart."""


class Ipaq:
    """`ipaq_index.Index`; the text behind the colon is its arguments, such as ``bits=4``."""

    def __init__(self, arguments: str, seed: int) -> None:
        self.name = f"ipaq {arguments}".strip()
        self._arguments: dict[str, Any] = dict(_assignment(part) for part in arguments.split(",") if part)
        self._seed = seed

    def build(self, dataset: Dataset, threads: int) -> None:
        import ipaq_index as iq

        self._index = iq.Index(
            dataset.train.shape[1], metric=dataset.metric, seed=self._seed, threads=threads, **self._arguments
        )
        self._index.build(dataset.train, queries=dataset.learn)

    def search(self, queries: np.ndarray, k: int, threads: int) -> np.ndarray:
        return self._index.search(queries, k, threads=threads)[1]

    def bytes_per_vector(self) -> float:
        return self._index.bytes_per_vector


def _assignment(text: str) -> tuple[str, int | float | str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"systems: expected NAME=VALUE after 'ipaq:', got {text!r}")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


class Faiss:
    """A FAISS index; the text behind the colon is an index_factory string, such as ``PQ50x4fs``."""

    def __init__(self, factory: str) -> None:
        self.name = f"FAISS {factory}"
        self._factory = factory

    def build(self, dataset: Dataset, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        metric = faiss.METRIC_L2 if dataset.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        train = dataset.train
        if dataset.metric == "cosine":
            train = train.copy()
            faiss.normalize_L2(train)
        self._cosine = dataset.metric == "cosine"
        self._index = faiss.index_factory(train.shape[1], self._factory, metric)
        self._index.train(train)
        self._index.add(train)

    def search(self, queries: np.ndarray, k: int, threads: int) -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(threads)
        if self._cosine:
            queries = queries.copy()
            faiss.normalize_L2(queries)
        return self._index.search(queries, k)[1]

    def bytes_per_vector(self) -> float:
        import faiss

        inner = faiss.downcast_index(self._index)
        if isinstance(inner, faiss.IndexPreTransform):
            inner = faiss.downcast_index(inner.index)
        # An index that keeps no code_size (graphs, say) is measured by what it would write, tables included.
        return getattr(inner, "code_size", 0) or len(faiss.serialize_index(inner)) / max(inner.ntotal, 1)


def make(text: str, seed: int) -> System:
    """Return the system that ``text`` of an experiment names.

    Raises
    ------
    ValueError
        If it starts with neither ``ipaq:`` nor ``faiss:``.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "ipaq":
        return Ipaq(rest, seed)
    if colon and kind == "faiss":
        return Faiss(rest)
    raise ValueError(f"systems: expected 'ipaq:NAME=VALUE,…' or 'faiss:FACTORY', got {text!r}")
