"""Nearest neighbours for scikit-learn: `IPAQTransformer` stands where its `KNeighborsTransformer` does."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ipaq_index.index import Index
from ipaq_index.index.config import Metric

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(f"{error}; scikit-learn comes with: pip install 'ipaq-index[sklearn]'") from error

Distances = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Mode = Literal["connectivity", "distance"]


class IPAQTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Neighbours among the fitted samples, from compressed codes; the samples themselves are not kept.

    The methods are those of `sklearn.neighbors.KNeighborsTransformer` and mean the same. Distances are those of the
    codes, and neighbours nearly always the nearest, not always: more ``bits``, ``refine`` and ``nprobe`` make both more
    exact. What `transform` returns goes into estimators with ``metric="precomputed"``.

    Parameters
    ----------
    n_neighbors : int
        Neighbours of a sample unless a call says otherwise.
    mode : {"distance", "connectivity"}
        What `transform` returns: distances, to one neighbour more, for which a fitted sample counts itself; or ones.
    metric : {"l2", "cosine", "ip"}
        Distances are made of an index's scores: Euclidean distances for "l2" (roots of its scores), ``1 - cosine`` for
        "cosine", ``1 - <q, x>`` for "ip". The last are negative where an inner product exceeds 1, which estimators with
        ``metric="precomputed"`` refuse.
    bits, nlist, refine, seed, threads
        As in `ipaq_index.Index`. The same seed, samples and parameters give the same answers.
    nprobe : int, optional
        Lists to look into, if there are lists; a sample that has too few neighbours in them has all lists looked into.

    Attributes
    ----------
    index_ : ipaq_index.Index
        What was built; ids are the numbers of the samples.
    n_features_in_, n_samples_fit_ : int
        Dimension and number of the fitted samples.
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        mode: Mode = "distance",
        metric: Metric = "l2",
        bits: float = 4,
        nlist: int | Literal["auto"] | None = None,
        nprobe: int | None = None,
        refine: Literal["fp16", "sq8"] | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.mode = mode
        self.metric = metric
        self.bits = bits
        self.nlist = nlist
        self.nprobe = nprobe
        self.refine = refine
        self.seed = seed
        self.threads = threads

    def fit(self, X: npt.ArrayLike, y: Any = None) -> "IPAQTransformer":
        """Build the index.

        Parameters
        ----------
        X : (n, d) array_like
            The samples.
        y : ignored

        Returns
        -------
        IPAQTransformer
            This estimator.

        Raises
        ------
        ValueError, TypeError
            If ``X`` is no table of finite numbers, or a parameter is outside its range.
        """
        table = validate_data(self, X, dtype=[np.float32, np.float64])
        self.index_ = Index(
            table.shape[1],
            self.bits,
            metric=self.metric,
            nlist=self.nlist,
            refine=self.refine,
            seed=self.seed,
            threads=self.threads,
        ).build(table)
        self.n_samples_fit_ = self._n_features_out = len(table)
        return self

    def kneighbors(
        self, X: npt.ArrayLike | None = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[Distances, Ids] | Ids:
        """Return the nearest of the fitted samples.

        Parameters
        ----------
        X : (nq, d) array_like, optional
            The queries. Without them the fitted samples are, as their codes tell them; none is its own neighbour then.
        n_neighbors : int, optional
            How many; at most the number of fitted samples.
        return_distance : bool
            Whether to return distances too.

        Returns
        -------
        distances : (nq, n_neighbors) float64
            Ascending; see ``metric``.
        numbers : (nq, n_neighbors) int64
            Of the neighbours among the fitted samples.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError
            If there are fewer samples than neighbours wanted.
        """
        check_is_fitted(self)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        others = self.n_samples_fit_ - (X is None)
        if k > others:
            raise ValueError(f"n_neighbors: expected at most {others}, the samples that may be neighbours, got {k}")
        ask: Any
        if X is None:
            queries, ask = np.arange(self.n_samples_fit_), self.index_.search_ids
        else:
            queries, ask = validate_data(self, X, reset=False, dtype=[np.float32, np.float64]), self.index_.search
        scores, numbers = ask(queries, k, nprobe=self.nprobe, threads=self.threads)
        few = np.flatnonzero(numbers[:, -1] < 0)
        if len(few):
            scores[few], numbers[few] = ask(queries[few], k, nprobe=self.index_.nlist, threads=self.threads)
        return (self._distances(scores), numbers) if return_distance else numbers

    def _distances(self, scores: npt.NDArray[np.float32]) -> Distances:
        if self.index_.metric == "l2":
            return np.sqrt(scores.astype(np.float64))
        distances = 1 - scores.astype(np.float64)
        return np.maximum(distances, 0) if self.index_.metric == "cosine" else distances

    def kneighbors_graph(
        self, X: npt.ArrayLike | None = None, n_neighbors: int | None = None, mode: Mode = "connectivity"
    ) -> Any:
        """Return the neighbours as a graph.

        Parameters
        ----------
        X, n_neighbors
            As in `kneighbors`.
        mode : {"connectivity", "distance"}
            Whether neighbours are marked by ones or by their distances.

        Returns
        -------
        scipy.sparse.csr_matrix
            (nq, n) float64, each row in ascending order of distances.

        Raises
        ------
        ValueError
            If ``mode`` is neither, and as in `kneighbors`.
        """
        from scipy.sparse import csr_matrix

        if mode not in ("connectivity", "distance"):
            raise ValueError(f"mode: expected 'connectivity' or 'distance', got {mode!r}")
        distances, numbers = self.kneighbors(X, n_neighbors)
        rows, k = numbers.shape
        data = distances if mode == "distance" else np.ones((rows, k))
        ends = np.arange(0, rows * k + 1, k)
        return csr_matrix((data.ravel(), numbers.ravel(), ends), shape=(rows, self.n_samples_fit_))

    def transform(self, X: npt.ArrayLike) -> Any:
        """Return the graph of the neighbours of ``X``, (nq, n); see ``mode``."""
        check_is_fitted(self)
        return self.kneighbors_graph(X, self.n_neighbors + (self.mode == "distance"), self.mode)

    def __sklearn_tags__(self) -> Any:
        """Tell that distances have a precision of their own."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
