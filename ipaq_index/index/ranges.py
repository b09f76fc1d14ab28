"""All vectors within a range of a query."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ipaq_index.index.finest import score_candidates
from ipaq_index.index.ids import Ids
from ipaq_index.index.search import Search, final
from ipaq_index.interruptible import slices

FIRST_K = 64
GROWTH = 8
LAST_K = 4096  # results beyond which scoring every row exactly is faster than keeping so many candidates

Floats = npt.NDArray[np.float32]


def in_range(search: Search, threshold: float) -> list[tuple[Floats, Ids]]:
    """Return scores (descending, ties by row) and rows of all that score ``threshold`` or more, for each query.

    The best few are searched for, then ever more for the queries that are not through with them, and in the end all.
    """
    found: list[tuple[Floats, Ids]] = [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(search.q)
    left, k = np.arange(len(search.q)), FIRST_K
    while len(left) and k <= LAST_K:
        scores, rows = _part(search, left).top(k)
        inside = (scores >= threshold) & (rows >= 0)
        through = ~inside[:, -1]
        for n in np.flatnonzero(through):
            found[left[n]] = scores[n, inside[n]], rows[n, inside[n]]
        left, k = left[~through], k * GROWTH
    for n in left:
        found[n] = _every(_part(search, np.array([n])), threshold)
    return found


def _part(search: Search, which: Ids) -> Search:
    if len(which) == len(search.q):
        return search
    return replace(search, q=search.q[which], p=search.p[which], offset=search.offset[which])


def _every(search: Search, threshold: float) -> tuple[Floats, Ids]:
    """Score all rows that one query can find."""
    content = search.content
    rows = content.runs.rows() if search.rows is None else search.rows
    if content.partition is not None:
        probed = np.zeros(content.nlist, dtype=bool)
        lists = search.probes().lists[0]
        probed[lists[lists >= 0]] = True
        rows = rows[probed[content.runs.lists(rows)]]
    rows = np.sort(rows)
    fine, codes = content.rows.finer, content.view.packed
    if fine is not None:
        scores = search.scores(rows)[0] if fine.residual else np.empty(len(rows), dtype=np.float32)
        side, scale_format = codes.side, codes.codebook.meaning.scale_format
        for first, last in slices(len(rows), search.q.shape[1]):
            part = slice(first, last)
            score_candidates(fine, side, scale_format, search.q[0], rows[part], content.l2, scores[part])
    else:
        scores = final(search.scores(rows), search.q, search.content.l2)[0]
    inside = scores >= threshold
    order = np.argsort(-scores[inside], kind="stable")
    return scores[inside][order], rows[inside][order]
