"""What an index answers: the part of the public `Index` that changes nothing."""

from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from ipaq_index.index.config import IndexConfig, Metric, thread_count
from ipaq_index.index.content import Content, normalised
from ipaq_index.index.errors import NotTrainedError, UnknownIdError
from ipaq_index.index.evaluate import Evaluation, compare, exact
from ipaq_index.index.filter import allowed_rows
from ipaq_index.index.info import info
from ipaq_index.index.ranges import in_range
from ipaq_index.index.search import Search, final
from ipaq_index.index.stored import Stored
from ipaq_index.index.tune import recall_by_nprobe
from ipaq_index.index.validation import as_count, as_id_array, as_real, as_vectors, listed, plain

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
NProbe = int | Literal["auto"] | None

K_FACTOR = 4  # candidates a neighbour wanted, which the finer vectors choose from
MOST_K = 1 << 20  # of an index that holds fewer vectors: answers are filled up to k, and k must not fill the memory
FLOAT32 = np.finfo(np.float32)
DEFAULT_SHARE = 16  # a search probes every 16th list if nothing else is said


class Asking(Stored):
    """Searches and properties of an index; see `ipaq_index.Index`."""

    _config: IndexConfig
    _nprobe: int | None
    _tuned: int | None

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._config.dim

    @property
    def metric(self) -> Metric:
        """The metric: "ip", "cosine" or "l2"."""
        return self._config.metric

    @property
    def is_trained(self) -> bool:
        """Whether `train` (or `build`) has been called."""
        announced = self._announced
        return self._content is not None if announced is None else "quantizer" in announced

    @property
    def ntotal(self) -> int:
        """Number of vectors in the index."""
        announced = self._announced
        if announced is not None:
            return int(announced.get("count", 0))
        return self._content.total if self._content is not None else 0

    def __len__(self) -> int:
        return self.ntotal

    def __repr__(self) -> str:
        lists = "" if self._config.nlist is None else f"nlist={self.nlist or 'auto'}, "
        state = f"ntotal={self.ntotal}" if self.is_trained else "not trained"
        return (
            f"Index(dim={self.dim}, metric={self.metric!r}, {lists}bytes_per_vector={self.bytes_per_vector}, {state})"
        )

    @property
    def bytes_per_vector(self) -> int:
        """Bytes a vector costs in memory and on disk: codes, scale, norm and finer vector.

        Ids are apart: 8 bytes each in a partitioned index or where they are given, and in memory 7 to 13 more once one
        is looked up.
        """
        return self._config.code_bytes() + self._config.side_bytes

    @property
    def nlist(self) -> int | None:
        """Number of inverted lists; None for a flat index, and for "auto" before training."""
        announced = self._announced
        if announced is not None and "nlist" in announced:
            return None if announced["nlist"] is None else int(announced["nlist"])
        if self._content is not None:
            return None if self._content.partition is None else int(self._content.nlist)
        return self._config.nlist if isinstance(self._config.nlist, int) else None

    @property
    def nprobe(self) -> int | None:
        """Lists that a search probes unless its call says otherwise; None for a flat index.

        What was set here, else what `tune` found, else every 16th.
        """
        if self.nlist is None:
            return None
        return min(self.nlist, self._nprobe or self._tuned or -(-self.nlist // DEFAULT_SHARE))

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self._nprobe = as_count(value, "nprobe")

    def _set_probes(self, state: dict[str, Any]) -> None:
        self._nprobe, self._tuned = (
            None if state.get(name) is None else as_count(state[name], name) for name in ("nprobe", "tuned")
        )

    @overload
    def search(
        self,
        q: npt.ArrayLike,
        k: int = 10,
        *,
        nprobe: NProbe = None,
        filter: npt.ArrayLike | None = None,
        k_factor: int = K_FACTOR,
        return_std: Literal[False] = False,
        threads: int | None = None,
    ) -> tuple[Scores, Ids]: ...

    @overload
    def search(
        self,
        q: npt.ArrayLike,
        k: int = 10,
        *,
        nprobe: NProbe = None,
        filter: npt.ArrayLike | None = None,
        k_factor: int = K_FACTOR,
        return_std: Literal[True],
        threads: int | None = None,
    ) -> tuple[Scores, Ids, Scores]: ...

    def search(
        self,
        q: npt.ArrayLike,
        k: int = 10,
        *,
        nprobe: NProbe = None,
        filter: npt.ArrayLike | None = None,
        k_factor: int = K_FACTOR,
        return_std: bool = False,
        threads: int | None = None,
    ) -> tuple[Scores, Ids] | tuple[Scores, Ids, Scores]:
        """Find the ``k`` best vectors for each query.

        Parameters
        ----------
        q : (nq, dim) array_like
            The queries; one query may be given as (dim,).
        k : int
            How many neighbours; not more than 1,048,576, or than there are vectors if that is more.
        nprobe : int or "auto", optional
            Lists to look into; "auto": what `tune` found; by default `nprobe`. A flat index has no use for it.
        filter : array_like, optional
            Which vectors may be returned: an array of allowed ids, or a boolean mask over the vectors in the order in
            which they were added (that of `ids`). The answer is the best ``k`` among these. Of a partitioned index more
            lists are probed then, in proportion, and if only some ``5 k`` vectors are allowed, all that have one.
        k_factor : int
            With ``refine``: candidates a neighbour, at most, among which the finer vectors decide.
        return_std : bool
            Whether to return also by how much each score may be off.
        threads : int, optional
            Threads of this call.

        Returns
        -------
        scores : (nq, k) float32
            Inner products or cosines, descending; squared distances, ascending, for metric "l2".
        ids : (nq, k) int64
            Ids of the neighbours. Equal scores stand in the order of their places in memory, which is that of adding
            while nothing was removed. Where there are fewer than ``k``: id -1 and score -inf (+inf for "l2").
        std : (nq, k) float32
            If ``return_std``: standard deviation of the error that codes make in the score; 0 where there is no
            neighbour. With ``refine`` it is that of the score before refinement. It is for a vector of which nothing is
            known: the best ``k`` of many are those whose errors helped them, most with ``rounding="stochastic"``.

        Raises
        ------
        NotTrainedError
            If the index is not trained.
        """
        content = self._trained("search")
        k, k_factor = _neighbours(k, content), as_count(k_factor, "k_factor")
        unseen = plain(q, self.dim) if self.metric != "cosine" else None
        table = self._queries(q, "q") if unseen is None else unseen
        if len(table) == 1 and filter is None and not return_std:
            found = self._found_alone(content, table, k, k_factor, nprobe, threads)
            if found is not None:
                return self._told(content, *found)
        if unseen is not None:
            table = self._queries(q, "q")
        search = self._asked(content, table, nprobe, filter, threads)
        scores, rows = search.top(k, k_factor)
        return self._told(content, scores, rows, search.std(rows) if return_std else None)

    @overload
    def search_ids(
        self,
        ids: npt.ArrayLike,
        k: int = 10,
        *,
        nprobe: NProbe = None,
        filter: npt.ArrayLike | None = None,
        k_factor: int = K_FACTOR,
        return_std: Literal[False] = False,
        threads: int | None = None,
    ) -> tuple[Scores, Ids]: ...

    @overload
    def search_ids(
        self,
        ids: npt.ArrayLike,
        k: int = 10,
        *,
        nprobe: NProbe = None,
        filter: npt.ArrayLike | None = None,
        k_factor: int = K_FACTOR,
        return_std: Literal[True],
        threads: int | None = None,
    ) -> tuple[Scores, Ids, Scores]: ...

    def search_ids(
        self,
        ids: npt.ArrayLike,
        k: int = 10,
        *,
        nprobe: NProbe = None,
        filter: npt.ArrayLike | None = None,
        k_factor: int = K_FACTOR,
        return_std: bool = False,
        threads: int | None = None,
    ) -> tuple[Scores, Ids] | tuple[Scores, Ids, Scores]:
        """Find the ``k`` best vectors for each of some vectors in the index, these themselves left out.

        Parameters
        ----------
        ids : int or (m,) array_like of int
            Ids in the index; their decoded vectors are the queries.
        k, nprobe, filter, k_factor, return_std, threads
            As in `search`.

        Returns
        -------
        scores, ids, std
            As in `search`.

        Raises
        ------
        UnknownIdError
            If an id is not in the index; the message lists those.
        """
        content = self._trained("search_ids")
        k, k_factor = _neighbours(k, content), as_count(k_factor, "k_factor")
        own = self._rows(content, as_id_array(ids))
        if not len(own):
            raise ValueError("ids: expected at least one id, got none")
        search = self._asked(content, normalised(content.decode(own), self.metric), nprobe, filter, threads)
        scores, rows = search.top(k + 1, k_factor)
        others = np.argsort(rows == own[:, None], axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(scores, others, 1), np.take_along_axis(rows, others, 1)
        return self._told(content, scores, rows, search.std(rows) if return_std else None)

    def range_search(
        self,
        q: npt.ArrayLike,
        threshold: float,
        *,
        nprobe: NProbe = None,
        filter: npt.ArrayLike | None = None,
        threads: int | None = None,
    ) -> tuple[Ids, Scores, Ids]:
        """Find all vectors that score at least ``threshold`` (for "l2": that are at most so far away).

        Parameters
        ----------
        q : (nq, dim) array_like
            The queries; one query may be given as (dim,).
        threshold : float
            Inner product, cosine or squared distance.
        nprobe, filter, threads
            As in `search`.

        Returns
        -------
        lims : (nq + 1,) int64
            What belongs to query i stands at ``lims[i]:lims[i + 1]`` of the others, as in FAISS.
        scores : (lims[-1],) float32
            Best first for each query.
        ids : (lims[-1],) int64

        Raises
        ------
        NotTrainedError
            If the index is not trained.
        """
        content = self._trained("range_search")
        threshold = float(np.clip(as_real(threshold, "threshold"), FLOAT32.min, FLOAT32.max))
        sign = -1 if self.metric == "l2" else 1
        found = in_range(self._asked(content, self._queries(q, "q"), nprobe, filter, threads), sign * threshold)
        lims = np.cumsum([0] + [len(rows) for _, rows in found], dtype=np.int64)
        scores, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return lims, (sign * scores).astype(np.float32), content.ids.of_rows(rows)

    def tune(
        self, queries: npt.ArrayLike, target_recall: float = 0.95, k: int = 10, *, threads: int | None = None
    ) -> int | None:
        """Find how many lists to probe, and let searches do so from now on (unless `nprobe` is set).

        Parameters
        ----------
        queries : (m, dim) array_like
            Typical queries, a few hundred.
        target_recall : float
            Share, of the ``k`` neighbours that are found with all lists probed, that shall be found on average.
        k : int
            Neighbours.

        Returns
        -------
        int or None
            Lists to probe; None for a flat index.
        """
        content = self._trained("tune")
        table, k = self._queries(queries, "queries"), _neighbours(k, content)
        target = as_real(target_recall, "target_recall")
        if not 0 < target <= 1:
            raise ValueError(f"target_recall: expected more than 0 and at most 1, got {target_recall}")
        if content.partition is None:
            return None
        if not content.total:
            raise ValueError("tune: expected an index with vectors, got an empty one")
        curve = recall_by_nprobe(self._asked(content, table, content.nlist, None, threads), k)
        found = int(np.argmax(curve >= target - 1e-9)) + 1
        with self._writer:
            self._tuned = found
        return found

    def evaluate(
        self,
        q: npt.ArrayLike,
        x: npt.ArrayLike,
        k: int = 10,
        *,
        nprobe: NProbe = None,
        threads: int | None = None,
    ) -> Evaluation:
        """Tell how good the index is: compare its answers with exact search of the raw vectors.

        Parameters
        ----------
        q : (nq, dim) array_like
            Queries, unlike those trained on.
        x : (ntotal, dim) array_like
            The raw vectors in the order of adding, that of `ids`.
        k : int
            Neighbours.
        nprobe, threads
            As in `search`.

        Returns
        -------
        Evaluation
            ``recall`` (k of k), ``first`` (the best among k), ``score_error`` (root mean square), ``k``, ``queries``.
        """
        content = self._trained("evaluate")
        raw, queries, k = as_vectors(x, self.dim, "x"), self._queries(q, "q"), as_count(k, "k")
        if len(raw) != content.total:
            raise ValueError(f"x: expected the {content.total} vectors of the index, got {len(raw)}")
        scores, rows = self._asked(content, queries, nprobe, None, threads).top(min(k, len(raw)), K_FACTOR)
        truth = exact(raw, queries, min(k, len(raw)), self.metric)
        found = (np.float32(0) - scores if self.metric == "l2" else scores), rows
        return compare(found, (truth[0], content.ids.in_order()[truth[1]]))

    def info(self) -> dict[str, Any]:
        """Return what there is to know about the index, JSON-able: parameters, sizes, lists, bytes of memory."""
        return info(self._config, self._content, self.nprobe)

    def _found_alone(
        self, content: Content, q: Scores, k: int, k_factor: int, nprobe: NProbe, threads: int | None
    ) -> tuple[Scores, Ids] | None:
        """Return scores and rows for one query; None where it is better asked like more, or a value may be wrong."""
        alone, lists = content.alone, 1
        if content.partition is not None or nprobe is not None:
            lists = min(self._lists_to_probe(nprobe), content.nlist)
        if alone is None or not alone.fits(lists, thread_count(threads, self._config.threads)):
            return None
        if alone.finer is not None:
            candidates = content.candidates(k, k_factor)
            return alone.finest(q, k, lists, candidates, content.lifted(k, candidates))
        found = alone.top(q, k, lists)
        return None if found is None else (final(found[0], q, content.l2), found[1])

    def _asked(
        self, content: Content, q: Scores, nprobe: NProbe, filter: npt.ArrayLike | None, threads: int | None
    ) -> Search:
        lists = self._lists_to_probe(nprobe)
        rows = None if filter is None else allowed_rows(filter, content)
        return Search.of(content, q, lists, rows, thread_count(threads, self._config.threads))

    def _told(
        self, content: Content, scores: Scores, rows: Ids, std: Scores | None = None
    ) -> tuple[Scores, Ids] | tuple[Scores, Ids, Scores]:
        """Return scores and ids as users take them."""
        found = content.ids.of_rows(rows)
        if content.l2:
            scores = np.float32(0) - scores  # unlike -scores without minus zero
        return (scores, found) if std is None else (scores, found, std)

    def _lists_to_probe(self, nprobe: NProbe) -> int:
        if nprobe is None:
            return self.nprobe or 1
        if nprobe == "auto":
            if self.nlist is not None and self._tuned is None:
                raise ValueError("nprobe: 'auto' expects that tune(queries) was called, got an index not tuned yet")
            return self._tuned or 1
        if isinstance(nprobe, str):
            raise ValueError(f"nprobe: expected a number of lists, 'auto' or None, got {nprobe!r}")
        return as_count(nprobe, "nprobe")

    def _queries(self, q: npt.ArrayLike, name: str) -> Scores:
        return normalised(
            np.ascontiguousarray(as_vectors(q, self.dim, name, single=True), dtype=np.float32), self.metric
        )

    def _rows(self, content: Content, ids: Ids) -> Ids:
        rows = content.ids.rows_of(ids)
        if len(rows) and rows.min() < 0:
            raise UnknownIdError(f"ids: not in the index: {listed(ids[rows < 0])}")
        return rows

    def _trained(self, action: str) -> Content:
        content: Content | None = self._content
        if content is None:
            raise NotTrainedError(
                f"{action}: expected a trained index, got one without level sets; call build(x) or train(x) first"
            )
        return content


def _neighbours(k: Any, content: Content) -> int:
    count = as_count(k, "k")
    return count if count <= MOST_K else as_count(k, "k", most=max(MOST_K, content.total))
