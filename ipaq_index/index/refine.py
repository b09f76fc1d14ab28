"""Finer vectors beside the codes, for a last look at the best candidates.

For inner products it is what codes leave of vectors that is kept, in units of their scales: a few bits of a vector and
8 of that are as precise as 11 of the vector, so of neighbours that raw vectors would choose 0.998 are found instead of
0.983 (clustered, 96-d, 4 bits). A distance, for which codes keep no more than a product, is told by the vector itself.
"""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import read_only
from ipaq_index.index.fine_scores import Fine

ROOM = 0.15  # of the range, on either side
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
    residual : bool
        Whether x is what codes leave of a vector, in units of its scale, rather than the vector.
    """

    def __init__(self, kind: Refine, low: Vectors, step: Vectors, residual: bool) -> None:
        self.kind, self.low, self.step, self.residual = kind, low, step, residual
        self.dim = len(low)
        self.dtype = np.dtype(np.float16 if kind == "fp16" else np.uint8)

    @classmethod
    def fit(cls, kind: Refine, x: Vectors, residual: bool) -> "FineCodec":
        """Fit the grid to the range of a sample; values beyond it are clipped to it ("sq8").

        The sample of residuals is small, so that others lie further out: they have room.
        """
        low, high = x.min(0), x.max(0)
        if residual:
            low, high = low - ROOM * (high - low), high + ROOM * (high - low)
        if kind == "fp16":
            middle = (0.5 * low.astype(np.float64) + 0.5 * high).astype(np.float32)
            return cls(kind, middle, _positive(0.5 * high.astype(np.float64) - 0.5 * low), residual)
        return cls(kind, low, _positive((high.astype(np.float64) - low) / 255), residual)

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

    def fine(self, stored: np.ndarray) -> Fine:
        """Return what kernels take: numba knows no float16."""
        bits = stored.view(np.uint16) if self.kind == "fp16" else stored
        return Fine(read_only(bits), read_only(self.low), read_only(self.step), int(self.residual))


def _positive(step: npt.NDArray[np.float64]) -> Vectors:
    return np.where(step > 0, step, 1).astype(np.float32)
