"""Any FAISS index that its index_factory makes."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.datasets import Dataset
from eval.systems.system import SkippedError, prepared
from ipaq_index.integrations.vector_files import blocks, sample

TRAIN_ROWS = 200_000
STREAM_ROWS = 65_536
ID_BYTES = 8  # inverted lists keep an id beside each code
FAMILIES = (  # the first that matches the factory string
    ("HNSW|NSG", "FAISS graph"),
    ("IVF", "FAISS IVF"),
    ("OPQ", "FAISS OPQ"),
    ("PQ", "FAISS PQ"),
    ("RaBitQ", "FAISS RaBitQ"),
    ("EDEN", "FAISS EDEN"),
    ("SQ", "FAISS SQ"),
    ("Flat", "FAISS Flat"),
)


class Faiss:
    """A FAISS index.

    Parameters
    ----------
    factory : str
        An index_factory string, such as ``PQ50x4fs``.
    """

    def __init__(self, factory: str) -> None:
        self.name = f"FAISS {factory}"
        self.family = next((name for pattern, name in FAMILIES if re.search(pattern, factory)), "FAISS")
        self._factory = factory

    def build(self, dataset: Dataset, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        metric = faiss.METRIC_L2 if dataset.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        self._metric = dataset.metric
        try:
            self._index = faiss.index_factory(dataset.train.shape[1], self._factory, metric)
        except RuntimeError as error:
            raise SkippedError(f"{self.name}: FAISS cannot make it: {str(error).splitlines()[-1].strip()}") from error
        if hasattr(self._index, "pq"):  # it warns on standard error for each sub-quantizer of a small set
            self._index.pq.cp.min_points_per_centroid = 1
        if isinstance(dataset.train, np.ndarray):
            train = prepared(dataset.train, self._metric)
            self._index.train(train)
            empty = _written_bytes(self._index)
            self._index.add(train)
        else:
            self._index.train(prepared(sample(dataset.train, TRAIN_ROWS, 0), self._metric))
            empty = _written_bytes(self._index)
            for _, block in blocks(dataset.train, STREAM_ROWS):
                self._index.add(prepared(block, self._metric))
        self._bytes = (_written_bytes(self._index) - empty) / self._index.ntotal
        if "IVF" in self._factory:
            self._bytes -= ID_BYTES

    def set_search(self, **parameters: Any) -> None:
        import faiss

        space = faiss.ParameterSpace()
        for name, value in parameters.items():
            try:
                space.set_index_parameter(self._index, name, value)
            except RuntimeError as error:
                raise ValueError(f"search: {self.name} has no parameter {name!r} that can be {value!r}") from error

    def search(self, queries: np.ndarray, k: int, threads: int) -> npt.NDArray[np.int64]:
        import faiss

        faiss.omp_set_num_threads(threads)
        return self._index.search(prepared(queries, self._metric), k)[1]

    def bytes_per_vector(self) -> float:
        """Bytes that each vector adds to the index as it is written, ids apart.

        Measured, since no attribute tells it for all kinds: ``code_size`` leaves out links of graphs and codes of a
        refinement. Fast-scan codes come in blocks of 32, whose padding is the fraction seen here on small sets.
        """
        return round(self._bytes, 1)


def _written_bytes(index: Any) -> int:
    """Return the size of the index as written, without writing it."""
    import faiss

    total = 0

    def count(data: bytes) -> int:
        nonlocal total
        total += len(data)
        return len(data)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))  # type: ignore[attr-defined]
    return total
