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
from numba import njit, typeof
from numba.core import types

from ipaq_index import scan
from ipaq_index.arrays import empty, zeros
from ipaq_index.index.coarse import Coarse
from ipaq_index.index.fine_scores import Fine
from ipaq_index.index.finest import choose_finest
from ipaq_index.index.nearest import rank_lists
from ipaq_index.index.partition import Partition
from ipaq_index.index.validation import LARGEST
from ipaq_index.inner import emitted, inner, instructions
from ipaq_index.interruptible import FIRST
from ipaq_index.quantizer import Quantizer
from ipaq_index.quantizer.narrow import NO_PANELS, Panels, accumulate_panels
from ipaq_index.quantizer.product import accumulate_row
from ipaq_index.scan.few import look_up
from ipaq_index.scan.handle import array_type, emit_from_numbers, from_numbers, handle, mark, marked, opened
from ipaq_index.scan.isa import choose
from ipaq_index.scan.kernel import Lists
from ipaq_index.scan.packed import Meaning, Rows
from ipaq_index.scan.reservoir import Best, Lift, order
from ipaq_index.scan.search import SMALL, few_queries

# Standard deviations of the codes' error by which finer vectors may raise a score. With 4 no more neighbours are missed
# than with all candidates; with 3 up to 0.0005 of recall, with 2 up to 0.004 (GloVe, Debian, synthetic sets, 1 to 8
# bits).
REACH = 4

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
    coarse : Coarse or int
        Centroids; a flat index has none, and its kernel no code for them: it is compiled in three quarters of the time.
    """

    dual: Floats
    mean: Floats
    panels: Panels
    spans: Ids
    coarse: Coarse | int


class Finer(NamedTuple):
    """From candidates to the best of them.

    Attributes
    ----------
    fine : Fine
        Finer vectors.
    variances : (d,) float32
        Of the codes' error; see `Quantizer`. Empty for distances.
    """

    fine: Fine
    variances: Floats


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
    finer : Finer or None
        What decides among those found.
    handles : tuple of (m,) int64
        Of these.
    listed : numpy.int8 or numpy.int64
        Whether there are lists, by its type.
    side, bias, fine : numpy.integer, numpy.float32 or numpy.uint8
        Numbers of the types of these arrays.
    work : float
        Dimensions of the rows of one list; infinite where one query is scanned by products.
    """

    isa: Any
    codes: tuple[Rows, Meaning]
    way: Way
    finer: Finer | None
    handles: tuple[Ids, ...]
    listed: Any
    side: Any
    bias: Any
    fine: Any
    work: float

    @classmethod
    def of(
        cls,
        quantizer: Quantizer,
        partition: Partition | None,
        spans: Ids,
        packed: scan.PackedCodes,
        words: npt.NDArray[np.uint32] | None,
        finer: Finer | None,
    ) -> "Alone":
        """Take the arrays of an index."""
        none = np.empty((0, len(quantizer.mean)), dtype=np.float32)
        coarse, listed = (0, np.int8(0)) if partition is None else (partition.coarse, np.int64(0))
        panels = quantizer.panels
        dual = quantizer.dual if panels is None else none[:, :0]
        way = Way(dual, quantizer.mean, panels or NO_PANELS, np.ascontiguousarray(spans), coarse)
        codes = packed.rows(words), packed.codebook.meaning
        side, bias = codes[0].side.dtype.type(0), codes[0].bias.dtype.type(0)
        work = packed.count * len(codes[1].active) / len(spans) if few_queries(packed, len(spans)) > 1 else math.inf
        handles = tuple(handle(part) for part in (codes, way, finer) if part is not None)
        fine = None if finer is None else finer.fine.stored.dtype.type(0)
        return cls(mark(choose()), codes, way, finer, handles, listed, side, bias, fine, work)

    def fits(self, nprobe: int, threads: int) -> bool:
        """Return whether a scan is neither worth sharing out nor so long that Ctrl-C must be heard meanwhile."""
        return nprobe * self.work <= (FIRST if threads == 1 else SMALL)

    def top(self, q: Floats, k: int, nprobe: int) -> tuple[Floats, Ids] | None:
        """Return the ``k`` best rows by their codes for one query, (1, d), as `Search.top` does before `final`.

        None if a value is not finite, or the sum of squares so large that one may be larger than `LARGEST`.
        """
        scores, rows = np.empty((1, k), dtype=np.float32), np.empty((1, k), dtype=np.int64)
        index = self.isa, *self.handles, self.listed, self.side, self.bias
        return (scores, rows) if answer(*index, _writeable(q), nprobe, scores, rows) else None

    def finest(self, q: Floats, k: int, nprobe: int, candidates: int, lifted: bool) -> tuple[Floats, Ids] | None:
        """Do it by finer vectors, among so many candidates; scores are those of `Search.top`."""
        scores, rows = np.empty((1, k), dtype=np.float32), np.empty((1, k), dtype=np.int64)
        index = self.isa, *self.handles, self.listed, self.side, self.bias, self.fine
        return (scores, rows) if answer_finer(*index, _writeable(q), nprobe, candidates, lifted, scores, rows) else None


def _writeable(q: Floats) -> Floats:
    return q if q.flags.writeable else q.copy()  # of one type for numba


@njit(nogil=True, cache=True)
def answer(
    mark: Any,
    codes: Ids,
    way: Ids,
    listed: Any,
    side: Any,
    bias: Any,
    q: Floats,
    nprobe: int,
    scores: Floats,
    numbers: Ids,
) -> bool:
    """Project a query, choose lists, scan, and sort what was found; see `Alone.top`.

    Parameters
    ----------
    mark, codes, way, listed, side, bias
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
    none = empty(0, np.float32)
    there = opened_way(way, listed)
    return find(marked(mark), rows, meaning, there, none, q, nprobe, scores.shape[1], none, scores, numbers)


@njit(nogil=True, cache=True)
def answer_finer(
    mark: Any,
    codes: Ids,
    way: Ids,
    finer: Ids,
    listed: Any,
    side: Any,
    bias: Any,
    kind: Any,
    q: Floats,
    nprobe: int,
    candidates: int,
    lifted: bool,
    scores: Floats,
    numbers: Ids,
) -> bool:
    """Do the same where finer vectors decide among ``candidates`` rows; see `Search.top`."""
    rows, meaning = opened(codes, side, bias)
    fine, variances = opened_finer(finer, kind)
    k, heights = scores.shape[1], empty(min(1, len(variances)), np.float32)
    coded, found = empty((1, candidates), np.float32), empty((1, candidates), np.int64)
    wanted = k if lifted else candidates
    there = opened_way(way, listed)
    if not find(marked(mark), rows, meaning, there, variances, q, nprobe, wanted, heights, coded, found):
        return False
    choose_finest(fine, rows.side, meaning.scale_format, q, heights, len(variances) == 0, coded, found, scores, numbers)
    return True


@inner
def find(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    way: Way,
    variances: Floats,
    q: Floats,
    nprobe: int,
    wanted: int,
    heights: Floats,
    scores: Floats,
    numbers: Ids,
) -> bool:
    """Do what `answer` says.

    ``heights``, of one element or none, is set to what finer vectors may add, by ``variances``; the scan makes use of
    it if fewer rows are ``wanted`` than there is room for.
    """
    dual, mean, panels, spans, coarse = way
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
    if len(heights):
        variance = 0.0
        for j in range(len(variances)):
            variance += np.float64(p[0, j]) * p[0, j] * variances[j]
        heights[0] = REACH * math.sqrt(variance)
    begins, probes, probe_shifts = zeros(2, np.int64), zeros((1, nprobe), np.int64), zeros((1, nprobe), np.float32)
    begins[1] = nprobe
    choose_lists(isa, coarse, q, probes, probe_shifts)
    k = scores.shape[1]
    for n in range(k):
        scores[0, n], numbers[0, n] = -np.inf, -1
    keys, counts, floors = empty((1, k), np.float32), zeros(1, np.int64), empty(1, np.float32)
    floors[0] = -np.inf
    best = Best(keys, numbers, scores, counts, floors)
    lift = Lift(heights if wanted < k else empty(0, np.float32), wanted)
    look_up(isa, rows, meaning, p, Lists(spans, begins, probes[0], probe_shifts[0]), lift, best)
    order(keys[0], numbers[0], scores[0], counts[0])
    for n in range(k):
        scores[0, n] += offset
    return True


def opened_finer(numbers: Ids, kind: Any) -> Finer:
    """Return what a `Finer`'s handle was made of; ``kind`` is a number of the type of its stored vectors."""
    found: Finer = from_numbers(finer_type(typeof(kind)), numbers)
    return found


@instructions(opened_finer)
def _emit_opened_finer(_context: Any, numbers: Any, kind: Any) -> Any:
    return finer_type(kind)(numbers, kind), emit_from_numbers(finer_type(kind))


@cache
def finer_type(kind: Any) -> Any:
    """Return numba's type of a `Finer`."""
    vector = array_type(types.float32)
    fine = types.NamedTuple((array_type(kind, 2), vector, vector, types.intp), Fine)
    return types.NamedTuple((fine, vector), Finer)


def choose_lists(isa: Any, coarse: Coarse | int, q: Floats, lists: Ids, offsets: Floats) -> None:
    """Choose lists to probe, as `rank_lists`; of a flat index there is one."""
    if isinstance(coarse, Coarse):
        rank_lists(isa, coarse, q, empty(0, np.bool_), lists, offsets)


@emitted(choose_lists)
def _choose_lists(isa: Any, coarse: Any, q: Any, lists: Any, offsets: Any) -> Any:
    def flat(isa: Any, coarse: Any, q: Any, lists: Any, offsets: Any) -> None:
        pass

    def listed(isa: Any, coarse: Any, q: Any, lists: Any, offsets: Any) -> None:
        rank_lists(isa, coarse, q, empty(0, np.bool_), lists, offsets)

    return flat if isinstance(coarse, types.Integer) else listed


def opened_way(numbers: Ids, listed: Any) -> Way:
    """Return what a `Way`'s handle was made of; ``listed`` is of another type where it has lists."""
    found: Way = from_numbers(way_type(typeof(listed)), numbers)
    return found


@instructions(opened_way)
def _emit_opened_way(_context: Any, numbers: Any, listed: Any) -> Any:
    return way_type(listed)(numbers, listed), emit_from_numbers(way_type(listed))


@cache
def way_type(listed: Any) -> Any:
    """Return numba's type of a `Way`."""
    vector, matrix, many = array_type(types.float32), array_type(types.float32, 2), array_type(types.uint8, 4)
    stacks = array_type(types.int8, 3), array_type(types.int16, 3)
    panels = types.NamedTuple((*stacks, array_type(types.int64), matrix), Panels)
    coarse = types.NamedTuple((many, matrix, matrix, matrix, vector, matrix, vector, vector), Coarse)
    way = matrix, vector, panels, array_type(types.int64, 2), types.intp if listed == types.int8 else coarse
    return types.NamedTuple(way, Way)
