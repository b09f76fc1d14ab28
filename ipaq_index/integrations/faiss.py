"""For code that uses FAISS: rebuilding its indexes, and an index that answers to its names.

FAISS comes with this package, but is imported only when one of its own objects has to be looked into.
"""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ipaq_index.index import Index
from ipaq_index.index.config import Metric
from ipaq_index.storage import load, save

METRIC_INNER_PRODUCT, METRIC_L2 = 0, 1
METRICS: dict[int, Metric] = {METRIC_INNER_PRODUCT: "ip", METRIC_L2: "l2"}
FLT_MAX = np.finfo(np.float32).max

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


def from_faiss(index: Any, *, queries: npt.ArrayLike | None = None, reuse_lists: bool = True, **options: Any) -> Index:
    """Rebuild a FAISS index as an `Index`, with its vectors, ids and metric.

    Parameters
    ----------
    index : faiss.Index
        Any that can reconstruct its vectors: flat, quantized, HNSW, IVF, with id maps, transforms or refinement around
        it. What it has quantized comes as its codes tell it: rebuild from the original vectors where you have them.
    queries : (m, dim) array_like, optional
        Typical queries, to fit the codes to.
    reuse_lists : bool
        Whether an IVF index's centroids become those of the new index, which then needs no k-means, and its ``nprobe``
        too; otherwise ``nlist`` says what to do.
    **options
        Of `Index`: bits, bytes_per_vector, nlist, refine, seed, threads, ….

    Returns
    -------
    Index
        The new index; the old one is as it was.

    Raises
    ------
    TypeError
        If ``index`` is no `faiss.Index` of float vectors.
    ValueError
        If its metric is neither inner product nor L2, it is empty, or it cannot reconstruct.
    """
    import faiss

    if not isinstance(index, faiss.Index):
        raise TypeError(f"index: expected a faiss.Index, got {type(index).__name__}")
    if index.metric_type not in METRICS:
        raise ValueError(f"index: expected inner product or L2 as metric, got FAISS's number {index.metric_type}")
    if not index.ntotal:
        raise ValueError("index: expected one that holds vectors, got an empty one")
    try:
        vectors, ids = _contents(index)
        centroids = _centroids(index) if reuse_lists and "nlist" not in options else None
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"index: expected one that can reconstruct its vectors, got {reason}") from error
    options.setdefault("metric", METRICS[index.metric_type])
    if centroids is None:
        return Index(index.d, **options).build(vectors, queries, ids)
    made = Index(index.d, nlist=len(centroids), **options)
    made.train(vectors, queries, centroids=centroids)
    made.add(vectors, ids)
    made.nprobe = min(faiss.extract_index_ivf(index).nprobe, len(centroids))
    return made


def _contents(index: Any) -> tuple[Vectors, Ids]:
    """Return all vectors of a FAISS index, (n, d), and their ids."""
    import faiss

    index = _downcast(index)
    if isinstance(index, faiss.IndexIDMap):
        return _contents(index.index)[0], faiss.vector_to_array(index.id_map)
    if isinstance(index, faiss.IndexPreTransform):
        vectors, ids = _contents(index.index)
        return _untransformed(index, vectors), ids
    if isinstance(index, faiss.IndexRefine):
        return _contents(index.refine_index)[0], _contents(index.base_index)[1]
    if isinstance(index, faiss.IndexIVF):
        return _lists(index)
    index.reconstruct(
        0
    )  # raises where it cannot; reconstruct_n then ends the process, throwing from within its threads
    return index.reconstruct_n(0, index.ntotal), np.arange(index.ntotal, dtype=np.int64)


def _lists(index: Any) -> tuple[Vectors, Ids]:
    """Return vectors and ids of an IVF index in the order of their ids."""
    import faiss

    vectors, ids = np.empty((index.ntotal, index.d), dtype=np.float32), np.empty(index.ntotal, dtype=np.int64)
    row = 0
    for number in range(index.nlist):
        size = index.invlists.list_size(number)
        if size:
            held = index.invlists.get_ids(number)
            ids[row : row + size] = faiss.rev_swig_ptr(held, size)
            index.invlists.release_ids(number, held)
        for offset in range(size):
            index.reconstruct_from_offset(number, offset, faiss.swig_ptr(vectors[row]))
            row += 1
    order = np.argsort(ids, kind="stable")
    return vectors[order], ids[order]


def _centroids(index: Any) -> Vectors | None:
    """Return the centroids of an IVF index as they lie in the space of its vectors; None if there are none."""
    import faiss

    ivf = faiss.try_extract_index_ivf(index)
    if ivf is None:
        return None
    centroids: Vectors = ivf.quantizer.reconstruct_n(0, ivf.nlist)
    outer, around = _downcast(index), []
    while not isinstance(outer, faiss.IndexIVF):
        around.append(outer)
        outer = _downcast(outer.base_index if isinstance(outer, faiss.IndexRefine) else outer.index)
    for layer in reversed(around):
        if isinstance(layer, faiss.IndexPreTransform):
            centroids = _untransformed(layer, centroids)
    return centroids


def _downcast(index: Any) -> Any:
    """Return a FAISS index as what it is rather than as what holds it."""
    import faiss

    return faiss.downcast_index(index)


def _untransformed(index: Any, vectors: Vectors) -> Vectors:
    """Undo the transforms of a `faiss.IndexPreTransform`, the last one first."""
    import faiss

    for place in reversed(range(index.chain.size())):
        transform: Any = faiss.downcast_VectorTransform(index.chain.at(place))
        vectors = transform.reverse_transform(vectors)
    return vectors


class IndexIPAQ:
    """An `Index` behind the names, argument orders and return values of a FAISS index.

    Parameters
    ----------
    d : int
        Dimension of the vectors.
    bits : float
        Mean bits a dimension.
    metric : int
        `faiss.METRIC_L2`, FAISS's default, or `faiss.METRIC_INNER_PRODUCT`.
    **options
        Of `Index`: bytes_per_vector, nlist, refine, seed, threads, ….

    Notes
    -----
    Different from `faiss.IndexFlat`: `remove_ids` leaves the ids of other vectors alone, as `faiss.IndexIVF` does.
    """

    def __init__(self, d: int, bits: float | None = None, metric: int = METRIC_L2, **options: Any) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric: expected METRIC_INNER_PRODUCT (0) or METRIC_L2 (1), got {metric!r}")
        self.index = Index(d, bits, metric=METRICS[metric], **options)
        self.verbose = False

    def __repr__(self) -> str:
        return f"IndexIPAQ({self.index!r})"

    @classmethod
    def wrap(cls, index: Index) -> "IndexIPAQ":
        """Return FAISS's view of an index; it is the same index, not a copy."""
        made = cls.__new__(cls)
        made.index, made.verbose = index, False
        return made

    @property
    def d(self) -> int:
        """Dimension of the vectors."""
        return self.index.dim

    @property
    def ntotal(self) -> int:
        """Number of vectors."""
        return self.index.ntotal

    @property
    def is_trained(self) -> bool:
        """Whether `train` has been called."""
        return self.index.is_trained

    @property
    def metric_type(self) -> int:
        """`faiss.METRIC_INNER_PRODUCT` or `faiss.METRIC_L2`."""
        return METRIC_L2 if self.index.metric == "l2" else METRIC_INNER_PRODUCT

    @property
    def code_size(self) -> int:
        """Bytes a vector costs."""
        return self.index.bytes_per_vector

    @property
    def nprobe(self) -> int:
        """Lists that a search probes."""
        return self.index.nprobe or 1

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self.index.nprobe = value

    def train(self, x: npt.ArrayLike) -> None:
        """Fit level sets, and lists if there are any, to a sample."""
        self.index.train(x)

    def add(self, x: npt.ArrayLike) -> None:
        """Add vectors; ids continue."""
        self.index.add(x)

    def add_with_ids(self, x: npt.ArrayLike, ids: npt.ArrayLike) -> None:
        """Add vectors under ids."""
        self.index.add(x, ids)

    def search(
        self,
        x: npt.ArrayLike,
        k: int,
        *,
        params: Any = None,
        D: np.ndarray | None = None,
        I: np.ndarray | None = None,  # noqa: E741 (FAISS's name)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return distances (or inner products) and ids, (n, k) each; id -1 and ±FLT_MAX where there are fewer.

        ``params`` may carry ``sel`` (an IDSelector) and ``nprobe``; ``D`` and ``I`` are written to if given.
        """
        scores, ids = self.index.search(x, k, filter=self._filter(params), nprobe=getattr(params, "nprobe", None))
        scores[ids < 0] = FLT_MAX if self.metric_type == METRIC_L2 else -FLT_MAX
        return _into(D, scores), _into(I, ids)

    def search_and_reconstruct(
        self, x: npt.ArrayLike, k: int, *, params: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `search` does, and the vectors found, (n, k, d); NaN where there are fewer."""
        scores, ids = self.search(x, k, params=params)
        vectors = np.full((*ids.shape, self.d), np.nan, dtype=np.float32)
        vectors[ids >= 0] = self.index.reconstruct(ids[ids >= 0])
        return scores, ids, vectors

    def range_search(
        self, x: npt.ArrayLike, thresh: float, *, params: Any = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``lims, D, I``: those of query i, within the threshold, lie from ``lims[i]`` to ``lims[i + 1]``."""
        return self.index.range_search(x, thresh, filter=self._filter(params), nprobe=getattr(params, "nprobe", None))

    def assign(self, x: npt.ArrayLike, k: int = 1) -> np.ndarray:
        """Return the ids of the ``k`` best, (n,) for k = 1."""
        ids = self.search(x, k)[1]
        return ids[:, 0] if k == 1 else ids

    def reconstruct(self, key: int) -> Vectors:
        """Return one vector as its codes tell it."""
        return self.index.reconstruct(int(key))

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> Vectors:
        """Return ``ni`` vectors (-1: all the rest) in the order of adding, from the ``n0``-th on."""
        return self.index.reconstruct_n(n0, ni)

    def reconstruct_batch(self, keys: npt.ArrayLike) -> Vectors:
        """Return the vectors with these ids."""
        return self.index.reconstruct(np.atleast_1d(np.asarray(keys)))

    def remove_ids(self, sel: Any) -> int:
        """Remove the vectors with these ids (an array or an IDSelector); return how many there were."""
        return self.index.remove(self._selected(sel), missing="ignore")

    def reset(self) -> None:
        """Remove all vectors."""
        if self.is_trained:
            self.index.reset()

    def _filter(self, params: Any) -> Ids | None:
        selector = getattr(params, "sel", None)
        return None if selector is None else self._selected(selector)

    def _selected(self, selector: Any) -> Ids:
        if not hasattr(selector, "is_member"):
            return np.asarray(selector)
        ids = self.index.ids()
        return ids[np.fromiter(map(selector.is_member, ids.tolist()), dtype=bool, count=len(ids))]


def _into(target: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    if target is None:
        return values
    target[...] = values
    return target


def write_index(index: IndexIPAQ, path: str | os.PathLike[str]) -> None:
    """Save an index in this package's own format, which `ipaq_index.load` reads too."""
    save(index.index, path)


def read_index(path: str | os.PathLike[str], io_flags: int = 0) -> IndexIPAQ:
    """Load an index that `write_index` or `ipaq_index.save` wrote; `faiss.IO_FLAG_MMAP` (2) maps it."""
    return IndexIPAQ.wrap(load(path, mmap=bool(io_flags & 2)))
