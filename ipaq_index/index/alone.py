"""One query of a flat index, in one compiled call.

A scan of megabytes drives all else out of the CPU's caches. Python's steps around it then take three times as long as
in a loop of their own: with projection, scan and sorting called one by one, 90 of 530 us on GloVe (399k x 50).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index import scan
from ipaq_index.arrays import empty, read_only, zeros
from ipaq_index.index.validation import LARGEST
from ipaq_index.inner import inner
from ipaq_index.interruptible import FIRST
from ipaq_index.quantizer import Quantizer
from ipaq_index.quantizer.product import accumulate_row
from ipaq_index.scan.few import look_up
from ipaq_index.scan.handle import Parts, handle, mark, marked, opened
from ipaq_index.scan.isa import choose
from ipaq_index.scan.kernel import Best, Lists
from ipaq_index.scan.packed import Rows
from ipaq_index.scan.reservoir import order
from ipaq_index.scan.search import SMALL, few_queries

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Alone:
    """What a query needs of an index.

    Attributes
    ----------
    isa : numpy.integer
        The instruction set's `mark`.
    parts : Parts
        The arrays.
    handle : (m,) int64
        The same, as numbers.
    side, bias : numpy.integer, numpy.float32 or numpy.uint8
        Numbers of the types of these arrays.
    work : float
        Dimensions of all rows; infinite where one query is scanned by products.
    """

    isa: Any
    parts: Parts
    handle: Ids
    side: Any
    bias: Any
    work: float

    @classmethod
    def of(cls, quantizer: Quantizer, packed: scan.PackedCodes, words: npt.NDArray[np.uint32] | None) -> "Alone":
        """Take the arrays of an index."""
        rows, meaning = packed.rows(words), packed.codebook.meaning
        parts = Parts(rows, meaning, read_only(quantizer.dual), read_only(quantizer.mean))
        work = packed.count * len(meaning.active) if few_queries(packed, 1) > 1 else math.inf
        return cls(mark(choose()), parts, handle(parts), rows.side.dtype.type(0), rows.bias.dtype.type(0), work)

    def fits(self, threads: int) -> bool:
        """Return whether a scan is neither worth sharing out nor so long that Ctrl-C must be heard meanwhile."""
        return self.work <= (FIRST if threads == 1 else SMALL)

    def top(self, q: Floats, k: int) -> tuple[Floats, Ids] | None:
        """Return the ``k`` best rows for one query, (1, d), as `Search.top` of an index without finer vectors.

        None if a value is not finite, or the sum of squares so large that one may be larger than `LARGEST`.
        """
        scores, rows = np.empty((1, k), dtype=np.float32), np.empty((1, k), dtype=np.int64)
        query = q if q.flags.writeable else q.copy()  # of one type for numba
        return (scores, rows) if answer(self.isa, self.handle, self.side, self.bias, query, scores, rows) else None


@njit(nogil=True, cache=True)
def answer(mark: Any, handle: Ids, side: Any, bias: Any, q: Floats, scores: Floats, numbers: Ids) -> bool:
    """Project a query, scan, and sort what was found; return whether the query is one; see `Alone.top`."""
    rows, meaning, dual, mean = opened(handle, side, bias)
    squares, offset = np.float32(0), np.float32(0)
    for j in range(len(mean)):
        squares += q[0, j] * q[0, j]
        offset += q[0, j] * mean[j]
    if not squares <= np.float32(LARGEST * LARGEST):  # NaN is not
        return False
    p = zeros((1, len(mean)), np.float32)
    accumulate_row(q[0], dual, p[0])
    k = scores.shape[1]
    for n in range(k):
        scores[0, n], numbers[0, n] = -np.inf, -1
    keys, counts, floors = empty((1, k), np.float32), zeros(1, np.int64), empty(1, np.float32)
    floors[0] = -np.inf
    best = Best(keys, numbers, scores, counts, floors)
    look_up(marked(mark), rows, meaning, p, all_rows(rows), best)
    order(keys[0], numbers[0], scores[0], counts[0])
    for n in range(k):
        scores[0, n] += offset
    return True


@inner
def all_rows(rows: Rows) -> Lists:
    """Return the lists of a query that asks for one, of all rows."""
    spans, begins = zeros((1, 2), np.int64), zeros(2, np.int64)
    spans[0, 1], begins[1] = -(-rows.size // scan.BLOCK), 1
    return Lists(spans, begins, zeros(1, np.int64), zeros(1, np.float32))
