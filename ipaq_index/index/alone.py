"""One query, in one compiled call.

A scan of megabytes drives all else out of the CPU's caches. Python's steps around it then take three times as long as
in a loop of their own: with projection, scan and sorting called one by one, 90 of 530 us on GloVe (399k x 50).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.core import types

from ipaq_index import scan
from ipaq_index.arrays import empty, zeros
from ipaq_index.index.nearest import rank
from ipaq_index.index.partition import Partition
from ipaq_index.index.validation import LARGEST
from ipaq_index.inner import instructions
from ipaq_index.interruptible import FIRST
from ipaq_index.quantizer import Quantizer
from ipaq_index.quantizer.narrow import NO_PANELS, Panels, accumulate_panels
from ipaq_index.quantizer.product import accumulate_row
from ipaq_index.scan.few import look_up
from ipaq_index.scan.handle import array_type, emit_from_numbers, from_numbers, handle, mark, marked, opened
from ipaq_index.scan.isa import choose
from ipaq_index.scan.kernel import Best, Lists
from ipaq_index.scan.packed import Meaning, Rows
from ipaq_index.scan.reservoir import order
from ipaq_index.scan.search import SMALL, few_queries

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class Way(NamedTuple):
    """From a query to lists of rows.

    Attributes
    ----------
    dual, mean : (d, d), (d,) float32
        See `Quantizer.project`; (0, 0) where there are panels.
    panels : Panels
        ``dual`` in fewer bytes, or none.
    spans : (nlist, 2) int64
        First block of each list, and the one after its last.
    columns : (d, nlist) float32
        Centroids; (d, 0) for a flat index.
    weights, shifts : (nlist,) float32
        See `Partition`.
    """

    dual: Floats
    mean: Floats
    panels: Panels
    spans: Ids
    columns: Floats
    weights: Floats
    shifts: Floats


@dataclass(frozen=True, eq=False)
class Alone:
    """What a query needs of an index.

    Attributes
    ----------
    isa : numpy.integer
        The instruction set's `mark`.
    codes : (Rows, Meaning)
        The rows, and what their codes mean.
    way : Way
        How to get there.
    handles : ((m,) int64, (n,) int64)
        Of these two.
    side, bias : numpy.integer, numpy.float32 or numpy.uint8
        Numbers of the types of these arrays.
    work : float
        Dimensions of the rows of one list; infinite where one query is scanned by products.
    """

    isa: Any
    codes: tuple[Rows, Meaning]
    way: Way
    handles: tuple[Ids, Ids]
    side: Any
    bias: Any
    work: float

    @classmethod
    def of(
        cls,
        quantizer: Quantizer,
        partition: Partition | None,
        spans: Ids,
        packed: scan.PackedCodes,
        words: npt.NDArray[np.uint32] | None,
    ) -> "Alone":
        """Take the arrays of an index."""
        none = np.empty((len(quantizer.mean), 0), dtype=np.float32), *np.empty((2, 0), dtype=np.float32)
        lists = none if partition is None else (partition.columns, partition.weights, partition.shifts)
        panels = quantizer.panels
        dual = quantizer.dual if panels is None else none[0][:0, :0]
        way = Way(dual, quantizer.mean, panels or NO_PANELS, np.ascontiguousarray(spans), *lists)
        codes = packed.rows(words), packed.codebook.meaning
        side, bias = codes[0].side.dtype.type(0), codes[0].bias.dtype.type(0)
        work = packed.count * len(codes[1].active) / len(spans) if few_queries(packed, len(spans)) > 1 else math.inf
        return cls(mark(choose()), codes, way, (handle(codes), handle(way)), side, bias, work)

    def fits(self, nprobe: int, threads: int) -> bool:
        """Return whether a scan is neither worth sharing out nor so long that Ctrl-C must be heard meanwhile."""
        return nprobe * self.work <= (FIRST if threads == 1 else SMALL)

    def top(self, q: Floats, k: int, nprobe: int) -> tuple[Floats, Ids] | None:
        """Return the ``k`` best rows for one query, (1, d), as `Search.top` of an index without finer vectors.

        None if a value is not finite, or the sum of squares so large that one may be larger than `LARGEST`.
        """
        scores, rows = np.empty((1, k), dtype=np.float32), np.empty((1, k), dtype=np.int64)
        query = q if q.flags.writeable else q.copy()  # of one type for numba
        whole = answer(self.isa, *self.handles, self.side, self.bias, query, nprobe, scores, rows)
        return (scores, rows) if whole else None


@njit(nogil=True, cache=True)
def answer(
    mark: Any, codes: Ids, way: Ids, side: Any, bias: Any, q: Floats, nprobe: int, scores: Floats, numbers: Ids
) -> bool:
    """Project a query, choose lists, scan, and sort what was found; see `Alone.top`.

    Parameters
    ----------
    mark, codes, way, side, bias
        See `Alone`.
    q : (1, d) float32
        The query.
    nprobe : int
        Lists to scan, at most all.
    scores, numbers : (1, k) float32, int64
        Result.

    Returns
    -------
    bool
        Whether the values of the query are as they should be.
    """
    rows, meaning = opened(codes, side, bias)
    dual, mean, panels, spans, columns, weights, shifts = opened_way(way)
    squares, offset = np.float32(0), np.float32(0)
    for j in range(len(mean)):
        squares += q[0, j] * q[0, j]
        offset += q[0, j] * mean[j]
    if not squares <= np.float32(LARGEST * LARGEST):  # NaN is not
        return False
    p = zeros((1, len(mean)), np.float32)
    if len(dual):
        accumulate_row(q[0], dual, p[0])
    else:
        accumulate_panels(q[0], panels, p[0])
    begins, probes, probe_shifts = zeros(2, np.int64), zeros((1, nprobe), np.int64), zeros((1, nprobe), np.float32)
    begins[1] = nprobe
    if len(weights):
        products = zeros((1, len(weights)), np.float32)
        accumulate_row(q[0], columns, products[0])
        rank(products, weights, shifts, empty(0, np.bool_), probes, probe_shifts)
    k = scores.shape[1]
    for n in range(k):
        scores[0, n], numbers[0, n] = -np.inf, -1
    keys, counts, floors = empty((1, k), np.float32), zeros(1, np.int64), empty(1, np.float32)
    floors[0] = -np.inf
    best = Best(keys, numbers, scores, counts, floors)
    look_up(marked(mark), rows, meaning, p, Lists(spans, begins, probes[0], probe_shifts[0]), best)
    order(keys[0], numbers[0], scores[0], counts[0])
    for n in range(k):
        scores[0, n] += offset
    return True


def opened_way(numbers: Ids) -> Way:
    """Return what a `Way`'s handle was made of."""
    found: Way = from_numbers(way_type(), numbers)
    return found


@instructions(opened_way)
def _emit_opened_way(_context: Any, numbers: Any) -> Any:
    return way_type()(numbers), emit_from_numbers(way_type())


@cache
def way_type() -> Any:
    """Return numba's type of a `Way`."""
    vector, matrix = array_type(types.float32), array_type(types.float32, 2)
    stacks = array_type(types.int8, 3), array_type(types.int16, 3)
    panels = types.NamedTuple((*stacks, array_type(types.int64), matrix), Panels)
    return types.NamedTuple((matrix, vector, panels, array_type(types.int64, 2), matrix, vector, vector), Way)
