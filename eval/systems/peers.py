"""Peers outside FAISS, each used as its own documentation says; all optional."""

import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.datasets import Dataset
from eval.systems.system import SkippedError, prepared, whole


def _package(name: str) -> Any:
    package = name.partition(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise SkippedError(f"{package}: not installed (pip install {package})") from error
        raise SkippedError(f"{package}: installed, but {error}") from error
    except ImportError as error:
        raise SkippedError(f"{package}: installed, but {error}") from error


class Scann:
    """ScaNN without partitions: asymmetric hashing with the anisotropic loss.

    Parameters
    ----------
    dims_per_block : int
        Dimensions of each 4-bit subspace.
    threshold : float
        Of the anisotropic loss; 0.2 is what its documentation takes for embeddings.
    leaves : int
        Partitions; 0 for none. Search parameter: ``leaves_to_search``.
    reorder : int
        Candidates rescored from the float vectors, which then count as bytes.
    """

    family = "ScaNN"

    def __init__(self, dims_per_block: int = 2, threshold: float = 0.2, leaves: int = 0, reorder: int = 0) -> None:
        self.name = f"ScaNN AH{dims_per_block}"
        self.name += f",leaves={leaves}" if leaves else ""
        self.name += f",reorder={reorder}" if reorder else ""
        self._dims, self._threshold, self._leaves, self._reorder = dims_per_block, threshold, leaves, reorder
        self._search: dict[str, Any] = {}

    def build(self, dataset: Dataset, threads: int) -> None:
        builder_of = _package("scann").scann_ops_pybind.builder
        self._metric = dataset.metric
        train = prepared(whole(dataset.train, self.name), self._metric)
        builder = builder_of(train, 10, "squared_l2" if self._metric == "l2" else "dot_product")
        builder = builder.set_n_training_threads(threads)
        if self._leaves:
            builder = builder.tree(
                self._leaves, max(1, self._leaves // 10), training_sample_size=min(len(train), 250_000)
            )
        builder = builder.score_ah(self._dims, anisotropic_quantization_threshold=self._threshold)
        if self._reorder:
            builder = builder.reorder(self._reorder)
        self._index, self._dim = builder.build(), train.shape[1]

    def set_search(self, **parameters: Any) -> None:
        if not parameters.keys() <= {"leaves_to_search", "pre_reorder_num_neighbors"}:
            raise ValueError(f"search: ScaNN knows leaves_to_search, pre_reorder_num_neighbors, got {list(parameters)}")
        self._search = parameters

    def search(self, queries: np.ndarray, k: int, threads: int) -> npt.NDArray[np.int64]:
        q = prepared(queries, self._metric)
        ask = self._index.search_batched if threads == 1 else self._index.search_batched_parallel
        return np.asarray(ask(q, final_num_neighbors=k, **self._search)[0]).astype(np.int64)

    def bytes_per_vector(self) -> float:
        return -(-self._dim // self._dims) / 2 + (4 * self._dim if self._reorder else 0)


class Turbovec:
    """turbovec's TurboQuant index, calibrated on a uniform sample as its documentation asks."""

    family = "turbovec"

    def __init__(self, bits: int = 4, calibrate: int = 1) -> None:
        self.name = f"turbovec {bits} bits{', calibrated' if calibrate else ''}"
        self._bits, self._calibrate = bits, calibrate

    def build(self, dataset: Dataset, threads: int) -> None:
        os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # its thread pool is made once, at the first call
        if dataset.metric == "l2":
            raise SkippedError("turbovec: offers no L2 distance")
        self._metric = dataset.metric
        train = self._padded(whole(dataset.train, self.name))
        self._index = _package("turbovec").TurboQuantIndex(train.shape[1], self._bits)
        if self._calibrate:
            rows = np.random.default_rng(0).choice(len(train), min(len(train), 4096), replace=False)
            self._index.calibrate(train[rows])
        empty = len(self._index.to_bytes())
        self._index.add(train)
        self._index.prepare()
        self._bytes = (len(self._index.to_bytes()) - empty) / len(train)

    def _padded(self, block: np.ndarray) -> npt.NDArray[np.float32]:
        """Dimensions are filled up to a multiple of 8, which it asks for; zeros change no inner product."""
        rest = -block.shape[1] % 8
        return np.ascontiguousarray(np.pad(prepared(block, self._metric), ((0, 0), (0, rest))))

    def set_search(self, **parameters: Any) -> None:
        if parameters:
            raise ValueError(f"search: turbovec has no search parameters, got {list(parameters)}")

    def search(self, queries: np.ndarray, k: int, threads: int) -> npt.NDArray[np.int64]:
        return np.asarray(self._index.search(self._padded(queries), k)[1]).astype(np.int64)

    def bytes_per_vector(self) -> float:
        return round(self._bytes, 1)


class Rabitqlib:
    """The RaBitQ authors' library: IVF of extended RaBitQ codes. Search parameter: ``nprobe``."""

    family = "rabitqlib"

    def __init__(self, bits: int = 4, clusters: int = 16) -> None:
        self.name = f"rabitqlib IVF{clusters},{bits} bits"
        self._bits, self._clusters = bits, clusters
        self._nprobe = clusters

    def build(self, dataset: Dataset, threads: int) -> None:
        library = _package("rabitqlib")
        import faiss

        self._metric = dataset.metric
        train = self._padded(whole(dataset.train, self.name))
        kmeans = faiss.Kmeans(train.shape[1], self._clusters, niter=10, seed=1)
        kmeans.train(train)
        nearest = kmeans.index.search(train, 1)[1][:, 0].astype(np.uint32)
        metric = "l2" if self._metric == "l2" else "ip"
        self._index = library.IvfIndex(train.shape[1], len(train), self._clusters, self._bits, metric)
        self._index.build(train, kmeans.centroids, nearest, num_threads=threads)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "index"
            self._index.save(str(file))
            fixed = 4 * self._clusters * train.shape[1]
            self._bytes = (file.stat().st_size - fixed) / len(train) - 4  # a 4-byte id beside each code

    def _padded(self, block: np.ndarray) -> npt.NDArray[np.float32]:
        """Dimensions below 64 are filled up with zeros, since its rotation takes no fewer."""
        width = max(64, -(-block.shape[1] // 4) * 4)
        return np.ascontiguousarray(np.pad(prepared(block, self._metric), ((0, 0), (0, width - block.shape[1]))))

    def set_search(self, **parameters: Any) -> None:
        if not parameters.keys() <= {"nprobe"}:
            raise ValueError(f"search: rabitqlib knows nprobe, got {list(parameters)}")
        self._nprobe = parameters.get("nprobe", self._clusters)

    def search(self, queries: np.ndarray, k: int, threads: int) -> npt.NDArray[np.int64]:
        q = self._padded(queries)
        found = self._index.search(q, k, min(self._nprobe, self._clusters), num_threads=threads)
        ids = next(np.asarray(part) for part in found if np.asarray(part).dtype.kind in "iu")
        return ids.astype(np.int64).reshape(len(q), -1)

    def bytes_per_vector(self) -> float:
        return round(self._bytes, 1)


class Usearch:
    """usearch's HNSW over scalars of a chosen type. Search parameter: ``expansion``."""

    family = "usearch"

    def __init__(self, dtype: str = "i8", connectivity: int = 16) -> None:
        self.name = f"usearch HNSW{connectivity},{dtype}"
        self._dtype, self._connectivity = dtype, connectivity

    def build(self, dataset: Dataset, threads: int) -> None:
        index_of = _package("usearch.index").Index
        metric = {"l2": "l2sq", "cosine": "cos", "ip": "ip"}[dataset.metric]
        train = whole(dataset.train, self.name)
        self._index = index_of(ndim=train.shape[1], metric=metric, dtype=self._dtype, connectivity=self._connectivity)
        empty = self._index.serialized_length
        self._index.add(np.arange(len(train)), train, threads=threads)
        self._bytes = (self._index.serialized_length - empty) / len(train) - 8  # an 8-byte key beside each vector

    def set_search(self, **parameters: Any) -> None:
        if not parameters.keys() <= {"expansion"}:
            raise ValueError(f"search: usearch knows expansion, got {list(parameters)}")
        if parameters:
            self._index.expansion_search = parameters["expansion"]

    def search(self, queries: np.ndarray, k: int, threads: int) -> npt.NDArray[np.int64]:
        found = self._index.search(queries, k, threads=threads)
        return np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)

    def bytes_per_vector(self) -> float:
        return round(self._bytes, 1)
