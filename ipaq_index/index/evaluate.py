"""How good an index is: its answers against exact search of the raw vectors."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.index.content import normalised
from ipaq_index.index.ids import Ids
from ipaq_index.index.validation import chunks

Floats = npt.NDArray[np.float32]


class Evaluation(NamedTuple):
    """What `Index.evaluate` found.

    Attributes
    ----------
    recall : float
        Share of the exact k nearest that the index returned among its k (recall k@k).
    first : float
        Share of queries whose exact nearest neighbour is among the k returned (recall 1@k).
    score_error : float
        Root mean square difference between returned scores and exact ones, of the vectors that both found.
    k, queries : int
        What was asked.
    """

    recall: float
    first: float
    score_error: float
    k: int
    queries: int


def exact(x: np.ndarray, q: Floats, k: int, metric: str) -> tuple[Floats, Ids]:
    """Return scores and rows of the ``k`` best of ``x``, best first, by FAISS's exact search of a chunk at a time."""
    import faiss

    l2 = metric == "l2"
    scores, rows = np.empty((len(q), 0), np.float32), np.empty((len(q), 0), np.int64)
    for first, chunk in chunks(x):
        found = faiss.knn(
            q, normalised(chunk, metric), min(k, len(chunk)), faiss.METRIC_L2 if l2 else faiss.METRIC_INNER_PRODUCT
        )
        scores, rows = np.hstack([scores, found[0]]), np.hstack([rows, found[1] + first])
        best = np.argsort(scores if l2 else -scores, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return scores, rows


def compare(found: tuple[Floats, Ids], truth: tuple[Floats, Ids]) -> Evaluation:
    """Compare (nq, k) answers of the index with exact ones, both as scores and ids."""
    same = found[1][:, :, None] == truth[1][:, None, :]
    errors = (found[0][:, :, None] - truth[0][:, None, :])[same].astype(np.float64)
    return Evaluation(
        recall=float(same.any(1).mean()),
        first=float(same[:, :, 0].any(1).mean()),
        score_error=float(np.sqrt(np.mean(errors**2))) if len(errors) else float("nan"),
        k=found[1].shape[1],
        queries=len(found[1]),
    )
