"""Finer vectors beside the codes, for a last look at the best candidates."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.interruptible import slices

WALK = 4  # steps of vector code that one dimension of a score takes the time of
Refine = Literal["fp16", "sq8"]
REFINES = get_args(Refine)

Vectors = npt.NDArray[np.float32]


class FineCodec:
    """How finer vectors are kept.

    Parameters
    ----------
    kind : {"fp16", "sq8"}
        Half-precision floats, or bytes on an even grid of each dimension.
    low, step : (dim,) float32
        The grid of "sq8": byte c stands for ``low + c * step``. For "fp16" values are stored as ``(x - low) / step``,
        which keeps those of any size within the range of half precision.
    """

    def __init__(self, kind: Refine, low: Vectors, step: Vectors) -> None:
        self.kind, self.low, self.step = kind, low, step
        self.dim = len(low)
        self.dtype = np.dtype(np.float16 if kind == "fp16" else np.uint8)

    @classmethod
    def fit(cls, kind: Refine, x: Vectors) -> "FineCodec":
        """Fit the grid to the range of a sample; values beyond it are clipped to it ("sq8")."""
        low, high = x.min(0), x.max(0)
        if kind == "fp16":
            middle = (0.5 * low.astype(np.float64) + 0.5 * high).astype(np.float32)
            return cls(kind, middle, _positive(0.5 * high.astype(np.float64) - 0.5 * low))
        return cls(kind, low, _positive((high.astype(np.float64) - low) / 255))

    @property
    def bytes(self) -> int:
        """Bytes a vector takes."""
        return self.dim * self.dtype.itemsize

    def encode(self, x: Vectors) -> np.ndarray:
        """Return the stored form of vectors, (m, dim)."""
        scaled = (x - self.low) / self.step
        if self.kind == "fp16":
            return np.clip(scaled, -65_504, 65_504).astype(np.float16)
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)

    def decode(self, stored: np.ndarray) -> Vectors:
        """Return the vectors that were stored, (m, dim) float32."""
        return stored.astype(np.float32) * self.step + self.low

    def score(self, q: Vectors, stored: np.ndarray, rows: npt.NDArray[np.int64], l2: bool) -> Vectors:
        """Return the scores of candidates.

        Parameters
        ----------
        q : (nq, dim) float32
            Queries.
        stored : (n, dim)
            Stored forms.
        rows : (nq, m) int64
            Candidates, -1 for none.
        l2 : bool
            Whether a score is minus the squared distance rather than the inner product.

        Returns
        -------
        (nq, m) float32
            -inf where there is no candidate.
        """
        raw, table = (stored.view(np.uint16), halves()) if self.kind == "fp16" else (stored, BYTES)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        for first, last in slices(len(q), WALK * self.dim * rows.shape[1]):
            part = slice(first, last)
            score_candidates(q[part], raw, table, self.low, self.step, rows[part], l2, scores[part])
        return scores


BYTES = np.arange(256, dtype=np.float32)


def halves() -> Vectors:
    """Return the float32 of every half-precision float, by its bits: numba knows no float16, and 256 KB stay in L2."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def _positive(step: npt.NDArray[np.float64]) -> Vectors:
    return np.where(step > 0, step, 1).astype(np.float32)


@njit(nogil=True, cache=True)
def score_candidates(
    q: Vectors,
    stored: np.ndarray,
    table: Vectors,
    low: Vectors,
    step: Vectors,
    rows: npt.NDArray[np.int64],
    l2: bool,
    scores: Vectors,
) -> None:
    """Fill ``scores`` where ``rows`` names a candidate; see `FineCodec.score`."""
    for i in range(rows.shape[0]):
        for m in range(rows.shape[1]):
            row = rows[i, m]
            if row < 0:
                continue
            total = np.float32(0)
            for j in range(q.shape[1]):
                value = low[j] + step[j] * table[stored[row, j]]
                if l2:
                    total -= (q[i, j] - value) * (q[i, j] - value)
                else:
                    total += q[i, j] * value
            scores[i, m] = total
