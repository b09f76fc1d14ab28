"""The coarse quantizer of a partitioned index: centroids, the list of a vector, the lists that a query probes."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.index.coarse import Coarse
from ipaq_index.index.config import cores
from ipaq_index.index.nearest import best_lists, dots
from ipaq_index.index.validation import LARGEST
from ipaq_index.interruptible import apart
from ipaq_index.scan.isa import choose

AUTO_LEAST = 20_000  # vectors below which nlist="auto" makes a flat index: one list is scanned faster than lists chosen
POINTS, POINTS_OF_MANY = 128, 64  # training vectors a centroid, and where there are so many that a graph is worth it
ROUNDS = 10  # of k-means
GRAPH_LISTS = 16_384  # centroids from which a graph (HNSW) finds the nearest ones faster than looking at all
GRAPH_LINKS = 32
NEAREST = 4  # centroids looked at closely before a vector is given to one

Vectors = npt.NDArray[np.float32]
Lists = npt.NDArray[np.int64]


class Probes(NamedTuple):
    """Which lists queries probe.

    Attributes
    ----------
    lists : (nq, nprobe) int64
        Best first.
    offsets : (nq, nprobe) float32
        ``<q, centroid>``.
    """

    lists: Lists
    offsets: Vectors


class Partition:
    """Centroids, found by plain k-means whatever the metric.

    For inner products and cosines lists are probed in the order of ``<q, c> rms / |c|``, with rms the root mean square
    length of the list's training vectors: what a vector of that list would score if it lay in its centroid's direction.
    With equal shares of vectors scanned this finds what spherical k-means does or more (of the true 10 in 2 % of GloVe
    0.85 : 0.84, unnormalised GloVe 0.64 : 0.48, heavy-tailed vectors 0.98 : 0.55, Debian 0.70 : 0.71), and residuals
    are smaller. For L2 the order is that of the distances.

    Parameters
    ----------
    centroids : (nlist, d) float32
    weights, shifts : (nlist,) float32
        Lists rank by ``weights * <q, centroid> + shifts``.

    Attributes
    ----------
    coarse : Coarse
        Centroids, to score all of them.
    """

    def __init__(self, centroids: Vectors, weights: Vectors, shifts: Vectors) -> None:
        self.centroids, self.weights, self.shifts = centroids, weights, shifts
        self.nlist = len(centroids)
        self.coarse = Coarse.of(centroids, weights, shifts)
        self._halves = (-0.5 * np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64)).astype(np.float32)
        self._near = self._best = None
        if self.nlist >= GRAPH_LISTS:
            self._near = _graph(centroids)
            self._best = _graph(self._lifted())

    @property
    def has_graph(self) -> bool:
        """Whether there are so many centroids that a graph finds the nearest ones."""
        return self._best is not None

    @classmethod
    def fit(cls, x: Vectors, nlist: int, l2: bool, seed: int, threads: int) -> "Partition":
        """Run k-means on a sample (FAISS).

        Parameters
        ----------
        x : (m, d) float32
            At least ``nlist`` vectors.
        nlist : int
            Number of lists.
        l2 : bool
            Whether lists rank by distance rather than by inner product.
        seed, threads : int
            As everywhere.
        """
        import faiss

        means = faiss.Kmeans(
            x.shape[1],
            nlist,
            niter=ROUNDS,
            seed=seed % (1 << 31),
            min_points_per_centroid=1,
            max_points_per_centroid=-(-len(x) // nlist),
        )
        with _faiss_threads(threads):
            means.train(np.ascontiguousarray(x))
        return cls.of(np.ascontiguousarray(means.centroids, dtype=np.float32), x, l2, threads)

    @classmethod
    def of(cls, centroids: Vectors, x: Vectors, l2: bool, threads: int) -> "Partition":
        """Rank given centroids: by distance, or by inner product and the lengths of the sample's vectors near them.

        Parameters
        ----------
        centroids : (nlist, d) float32
            Of k-means, or of another index.
        x, l2, threads
            As in `fit`.
        """
        nlist = len(centroids)
        squares = np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64)
        if l2:
            return cls(centroids, np.ones(nlist, dtype=np.float32), (-0.5 * squares).astype(np.float32))
        fitted = cls(centroids, np.ones(nlist, dtype=np.float32), np.zeros(nlist, dtype=np.float32))
        labels = fitted.assign(x, threads)
        counts = np.bincount(labels, minlength=nlist)
        energies = np.bincount(labels, np.einsum("ij,ij->i", x, x, dtype=np.float64), minlength=nlist)
        mean_squares = np.where(counts > 0, energies / np.maximum(counts, 1), squares)
        weights = np.sqrt(np.divide(mean_squares, squares, out=np.ones(nlist), where=squares > 0))
        return cls(centroids, weights.astype(np.float32), fitted.shifts)

    def assign(self, x: Vectors, threads: int) -> Lists:
        """Return the list of each vector: that of the nearest centroid.

        FAISS proposes the `NEAREST` nearest by fast products, whose rounding depends on what is asked together, and
        sums in a fixed order decide among them: a vector's list does not depend on the vectors beside it.
        """
        x = np.ascontiguousarray(x)
        lists = apart(self._proposed, x, threads)
        lists.sort(axis=1)  # of equally near ones the first
        nearness = np.where(lists < 0, -np.inf, self.dots(x, lists) + self._halves[lists])
        return np.take_along_axis(lists, nearness.argmax(1)[:, None], 1)[:, 0]

    def _proposed(self, x: Vectors, threads: int) -> Lists:
        import faiss

        proposed = min(NEAREST, self.nlist)
        with _faiss_threads(threads):
            if self._near is not None:
                lists: Lists = self._near.search(x, proposed)[1]
            else:
                lists = faiss.knn(x, self.centroids, proposed)[1]
        return lists

    def probe(self, q: Vectors, nprobe: int, among: npt.NDArray[np.bool_] | None = None) -> Probes:
        """Return the ``nprobe`` best lists for each query.

        Parameters
        ----------
        q : (nq, d) float32
            Queries.
        nprobe : int
            At most `nlist`, and at most the number of lists in ``among``.
        among : (nlist,) bool, optional
            Lists to choose from.
        """
        if self._best is not None and among is None and nprobe <= self.nlist // 64:
            lifted = np.hstack([q, np.zeros((len(q), 1), dtype=np.float32)])
            lists = self._best.search(lifted, nprobe, params=_effort(2 * nprobe))[1]
            return Probes(lists, self.dots(q, lists))
        if nprobe == self.nlist:
            lists = np.tile(np.arange(self.nlist), (len(q), 1))
            return Probes(lists, self.dots(q, lists))
        return self._chosen(q, nprobe, np.ones(0, dtype=np.bool_) if among is None else among)

    def ranks(self, q: Vectors) -> Lists:
        """Return the place of every list in each query's order of probing, (nq, nlist)."""
        order = self._chosen(q, self.nlist, np.ones(0, dtype=np.bool_)).lists
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.broadcast_to(np.arange(self.nlist), order.shape), 1)
        return ranks

    def dots(self, q: Vectors, lists: Lists) -> Vectors:
        """Return ``<q, centroid>`` of each query's lists, (nq, m); 0 for list -1."""
        out = np.empty(lists.shape, dtype=np.float32)
        dots(np.ascontiguousarray(q), self.centroids, np.ascontiguousarray(lists), out)
        return out

    def _chosen(self, q: Vectors, nprobe: int, allowed: npt.NDArray[np.bool_]) -> Probes:
        probes = Probes(np.empty((len(q), nprobe), dtype=np.int64), np.empty((len(q), nprobe), dtype=np.float32))
        best_lists(choose(), self.coarse, np.ascontiguousarray(q), allowed, *probes)
        return probes

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all there is to know."""
        return {"centroids": self.centroids, "weights": self.weights, "shifts": self.shifts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], nlist: int, dim: int) -> "Partition":
        """Make the partition that `to_arrays` described.

        Raises
        ------
        ValueError
            If an array is missing, of another shape or dtype, or not finite.
        """
        for name, shape in {"centroids": (nlist, dim), "weights": (nlist,), "shifts": (nlist,)}.items():
            found = arrays.get(name)
            # Means of vectors up to LARGEST, which k-means may have moved apart a little.
            if found is None or found.shape != shape or found.dtype != np.float32 or not np.isfinite(found).all():
                raise ValueError(f"section 'partition.{name}': expected finite float32 {shape}")
            if name == "centroids" and np.abs(found).max() > 2 * LARGEST:
                raise ValueError(f"section 'partition.{name}': expected values up to {LARGEST:g}")
        return cls(arrays["centroids"], arrays["weights"], arrays["shifts"])

    def _lifted(self) -> Vectors:
        """Return vectors among which the nearest to (q, 0), by L2, are the lists in their order of probing.

        Bachrach et al. (2014): |q - v|² = |q|² + |v|² - 2 <q, v>, and one more coordinate makes |v|² the same for all.
        """
        tall = self.centroids.astype(np.float64) * self.weights[:, None]
        rest = -2 * self.shifts.astype(np.float64) - np.einsum("ij,ij->i", tall, tall)
        return np.hstack([tall, np.sqrt(np.maximum(rest - rest.min(), 0))[:, None]]).astype(np.float32)


def auto_nlist(n: int) -> int | None:
    """Return the number of lists for ``n`` vectors: the power of two nearest to 2 sqrt(n), None (flat) for few."""
    return None if n < AUTO_LEAST else 1 << round(math.log2(2 * math.sqrt(n)))


def training_rows(nlist: int) -> int:
    """Return how many vectors k-means asks for.

    With half of them, 4 to 12 % more vectors are looked at for the same recall (GloVe, clustered, Gaussian of falling
    spectrum; three seeds each), with twice as many 0 to 8 % fewer. The time of k-means grows with the square of nlist.
    """
    return nlist * (POINTS if nlist < GRAPH_LISTS else POINTS_OF_MANY)


def _graph(vectors: Vectors) -> Any:
    """Return an HNSW graph; made by one thread, so that it is always the same."""
    import faiss

    graph = faiss.IndexHNSWFlat(vectors.shape[1], GRAPH_LINKS)
    graph.hnsw.efConstruction = 80
    graph.hnsw.efSearch = 64
    with _faiss_threads(1):
        graph.add(np.ascontiguousarray(vectors))
    return graph


def _effort(ef: int) -> Any:
    import faiss

    return faiss.SearchParametersHNSW(efSearch=max(64, ef))  # type: ignore[attr-defined]  # FAISS's stubs lack it


@contextmanager
def _faiss_threads(threads: int) -> Iterator[None]:
    """Let FAISS use so many threads when called from this one (OpenMP keeps the number for each calling thread)."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(threads, cores()))  # each has a stack, and OpenMP ends the process if one fails
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
