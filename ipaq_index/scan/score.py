"""Exact scores of rows that the caller names."""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.scan.kernel import exact
from ipaq_index.scan.packed import Floats, Meaning, PackedCodes, Rows

Ids = npt.NDArray[np.int64]


def score_rows(packed: PackedCodes, p: Floats, rows: Ids) -> Floats:
    """Return ``scale * sum_j p_j level_j (+ bias)`` of some rows, the same bits as `top_k` finds (without offset).

    Parameters
    ----------
    packed : PackedCodes
        The rows.
    p : (nq, d) float32
        Projected queries.
    rows : (m,) int64
        Which rows.

    Returns
    -------
    (nq, m) float32
    """
    scores = np.empty((len(p), len(rows)), dtype=np.float32)
    fill(packed.rows(None), packed.codebook.meaning, p, rows, scores)
    return scores


@njit(nogil=True, cache=True)
def fill(codes: Rows, meaning: Meaning, p: Floats, rows: Ids, scores: Floats) -> None:
    """Fill ``scores``; see `score_rows`."""
    bits = np.empty(1, dtype=np.int32)
    for q in range(len(p)):
        for n in range(len(rows)):
            scores[q, n] = exact(codes, meaning, p[q], rows[n], bits)
