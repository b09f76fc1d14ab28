"""One search through an index: lists to probe, scan, finer scores. Whatever the metric, larger scores are better."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ipaq_index import scan
from ipaq_index.index.content import Content
from ipaq_index.index.filter import as_words
from ipaq_index.index.finest import finest
from ipaq_index.index.ids import Ids
from ipaq_index.index.partition import Probes
from ipaq_index.index.validation import CHUNK_ROWS
from ipaq_index.interruptible import slices

DIRECT = 50  # with a filter of at most 5 k and so many rows all are scored exactly, as the scan would do at its end

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Search:
    """Queries, ready to be asked.

    Attributes
    ----------
    content : Content
        What is searched.
    q, p : (nq, d) float32
        Queries (unit vectors for cosines), as they are and projected.
    offset : (nq,) float32
        See `Quantizer.project`.
    nprobe : int
        Lists to probe.
    rows : (m,) int64 or None
        The rows that may be found, ascending.
    threads : int
        Threads to use.
    """

    content: Content
    q: Floats
    p: Floats
    offset: Floats
    nprobe: int
    rows: Ids | None
    threads: int

    @classmethod
    def of(cls, content: Content, q: Floats, nprobe: int, rows: Ids | None, threads: int) -> "Search":
        """Project queries."""
        return cls(content, q, *content.quantizer.project(q), nprobe, rows, threads)

    def top(self, k: int, k_factor: int = 1) -> tuple[Floats, Ids]:
        """Return the ``k`` best rows for each query: (nq, k) scores, descending, and rows; -inf and -1 for none.

        Where the index keeps finer vectors, these decide among the best ``k * k_factor`` by codes, of which those are
        looked at that may be among the best ``k``.
        """
        content = self.content
        fine = content.rows.finer
        if fine is None:
            scores, rows = self._coded(k)
            return final(scores, self.q, content.l2), rows
        candidates = content.candidates(k, k_factor)
        heights = content.heights(self.p)
        lift = scan.Lift(heights, k) if content.lifted(k, candidates) else None
        scores, rows = self._coded(candidates, lift)
        best, numbers = np.empty((len(rows), k), dtype=np.float32), np.empty((len(rows), k), dtype=np.int64)
        side, scale_format = content.view.packed.side, content.rows.codebook.meaning.scale_format
        for first, last in slices(len(rows), self.q.shape[1] * candidates):
            part = slice(first, last)
            own = heights[part]
            finest(
                fine, side, scale_format, self.q[part], own, content.l2, scores[part], rows[part], best[part],
                numbers[part],
            )  # fmt: skip
        return best, numbers

    def std(self, rows: Ids) -> Floats:
        """Return the standard deviation of the scores of (nq, k) rows; 0 where there is none."""
        content = self.content
        if not len(content.rows.side):
            return np.zeros(rows.shape, dtype=np.float32)
        held = np.maximum(rows, 0)
        if content.l2:
            std = self._std_of_distances(held)
        else:
            std = content.quantizer.score_std(self.p, content.rows.side[held])
        return np.where(rows < 0, np.float32(0), std)

    def _std_of_distances(self, rows: Ids) -> Floats:
        """Return the standard deviation of the squared distances to (nq, k) rows.

        A squared distance is off by 2 <q - x, error>; see `content._bias`. The scale of a code is that of least error,
        so with rounding to nearest the error is orthogonal to what the code tells. Then only what q - x is beside that
        counts, and the error lies in the other d - 1 dimensions.
        """
        content, flat = self.content, rows.ravel()
        std = np.empty(len(flat), dtype=np.float32)
        d = self.q.shape[1]
        orthogonal = content.quantizer.spec.rounding == "nearest" and d > 1
        factor = np.float32(2 * math.sqrt(d / (d - 1)) if orthogonal else 2)
        for first in range(0, len(flat), CHUNK_ROWS):
            part = flat[first : first + CHUNK_ROWS]
            x = content.decode(part)
            away = self.q[np.arange(first, first + len(part)) // rows.shape[1]] - x
            if orthogonal:
                told = x - content.quantizer.mean
                if content.partition is not None:
                    told -= content.partition.centroids[content.runs.lists(part)]
                squares = np.einsum("ij,ij->i", told, told)
                along = np.einsum("ij,ij->i", away, told) / np.where(squares > 0, squares, 1)
                away -= along[:, None] * told
            p = content.quantizer.project(away)[0]
            std[first : first + len(part)] = content.quantizer.score_std(p, content.rows.side[part][:, None])[:, 0]
        return factor * std.reshape(rows.shape)

    def _coded(self, k: int, lift: scan.Lift | None = None) -> tuple[Floats, Ids]:
        content = self.content
        packed, words = content.view
        if self.rows is not None:
            if len(self.rows) <= 5 * k + DIRECT:
                rows = np.broadcast_to(self.rows, (len(self.q), len(self.rows)))
                return _best(self.scores(self.rows), rows, k)
            words = as_words(self.rows, content.runs.blocks)
        if content.partition is None:
            return scan.top_k(packed, self.p, k, offset=self.offset, allowed=words, threads=self.threads, lift=lift)
        probes = self.probes()
        return scan.top_k_lists(
            packed, self.p, k, self.offset, content.spans, probes.lists, probes.offsets, words, self.threads, lift=lift
        )

    def probes(self) -> Probes:
        """Return the lists to probe.

        A filter takes vectors out of every list. Then more lists are probed, so that as many allowed vectors are seen
        as vectors without the filter, and only lists that have some.
        """
        content = self.content
        assert content.partition is not None
        if self.rows is None:
            return content.partition.probe(self.q, min(self.nprobe, content.partition.nlist))
        among = np.zeros(content.partition.nlist, dtype=bool)
        among[content.runs.lists(self.rows)] = True
        wanted = math.ceil(self.nprobe * content.total / max(1, len(self.rows)))
        return content.partition.probe(self.q, min(wanted, int(among.sum())), among)

    def scores(self, rows: Ids) -> Floats:
        """Return the scores of some rows by their codes, (nq, m); for L2 these are <q, x> - |x|²/2."""
        content = self.content
        scores = scan.score_rows(content.view.packed, self.p, rows)
        if content.partition is None:
            return scores + self.offset[:, None]
        lists, which = np.unique(content.runs.lists(rows), return_inverse=True)
        products = content.partition.dots(self.q, np.tile(lists, (len(self.q), 1)))
        return scores + (self.offset[:, None] + products[:, which])


def final(scores: Floats, q: Floats, l2: bool) -> Floats:
    """Turn <q, x> - |x|²/2 into minus the squared distance, if that is what the index ranks by."""
    if not l2:
        return scores
    squares = np.einsum("ij,ij->i", q, q, dtype=np.float64)
    return np.minimum(2.0 * scores - squares[:, None], 0).astype(np.float32)


def _best(scores: Floats, rows: Ids, k: int) -> tuple[Floats, Ids]:
    """Return the ``k`` best of (nq, m) scored rows, which ascend, as `Search.top` does."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found = np.full((len(scores), k), -1, dtype=np.int64)
    best = np.full((len(scores), k), -np.inf, dtype=np.float32)
    best[:, : order.shape[1]] = np.take_along_axis(scores, order, 1)
    found[:, : order.shape[1]] = np.take_along_axis(rows, order, 1)
    return best, np.where(np.isneginf(best), -1, found)
