"""Joining the answers of shards to the answer that one index would have given."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def merge(parts: Sequence[tuple[Scores, Ids]], queries: int, k: int, *, ascending: bool) -> tuple[Scores, Ids]:
    """Return the ``k`` best of all parts for each query; equal scores stand by id.

    Parameters
    ----------
    parts : sequence of (scores (nq, any) float32, ids (nq, any) int64)
        What the shards gave; id -1 marks an empty place.
    queries : int
        nq, needed where there are no parts.
    k : int
        How many to return.
    ascending : bool
        Whether small scores are the good ones (squared distances).

    Returns
    -------
    scores : (nq, k) float32
    ids : (nq, k) int64
        Filled up with the worst score and -1 where the parts have fewer than ``k`` in all.
    """
    worst = np.float32(np.inf if ascending else -np.inf)
    spare_scores = np.full((queries, k), worst, dtype=np.float32)
    spare_ids = np.full((queries, k), -1, dtype=np.int64)
    scores = np.concatenate([*(scores for scores, _ in parts), spare_scores], axis=1)
    ids = np.concatenate([*(ids for _, ids in parts), spare_ids], axis=1)
    order = np.lexsort((ids, scores if ascending else -scores, ids < 0), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
