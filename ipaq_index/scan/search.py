"""The best rows for each query: sharing out queries and rows among threads."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ipaq_index.interruptible import FIRST, mapped, slices
from ipaq_index.scan import few, kernel
from ipaq_index.scan.exact import score_rows as score_exactly
from ipaq_index.scan.isa import Isa, choose
from ipaq_index.scan.kernel import Lists
from ipaq_index.scan.layout import BLOCK
from ipaq_index.scan.packed import Floats, PackedCodes, Words
from ipaq_index.scan.reservoir import Best, Lift
from ipaq_index.scan.waiting import room_for

# Fewer queries a list than this are scanned by look-ups; for more it pays to decode the rows. Measured on GloVe (399k x
# 50): codes of one part cross at 6 queries, of two parts, of which look-ups read the first, at 9, and on Debian (400k x
# 384) at 20. Where look-ups tell little they cross at fewer: see `looked`.
FEW, FEW_OF_TWO_PARTS = 6, 9
# A list is short, and to begin with a query costs look-ups as much as ten lists: they cross at 1.1 queries a list on
# GloVe (399k x 50, 1,024 lists, 4 bits) and at 1.7 on Debian (50k x 384, 256 lists).
FEW_OF_LISTS = 1.5
BATCH = 1024  # queries asked together
BATCH_BYTES = 1 << 24  # of a batch's best rows, a thread: large k makes batches smaller
SMALL = 1 << 22  # dimensions of rows below which threads cost more than they bring (about 0.1 ms)
WALK = 4  # steps of vector code that one dimension of an exact score takes the time of
RANGE_BLOCKS = 256  # blocks that a range search looks at together: all their rows may be in range

NO_HEIGHTS = np.empty(0, dtype=np.float32)

Ids = npt.NDArray[np.int64]


def top_k(
    packed: PackedCodes,
    p: Floats,
    k: int,
    offset: Floats,
    allowed: Words | None = None,
    threads: int = 1,
    isa: Isa | None = None,
    lift: Lift | None = None,
) -> tuple[Floats, Ids]:
    """Return the ``k`` rows of largest score for each query.

    The score of a row is ``offset + scale * sum_j p_j level_j (+ bias)``, exactly, from its codes. Which rows are
    scored so is decided by a scan in whole numbers.

    Parameters
    ----------
    packed : PackedCodes
        The rows.
    p : (nq, d) float32
        Projected queries.
    k : int
        How many rows.
    offset : (nq,) float32
        Added to all scores of a query.
    allowed : (nb,) uint32, optional
        Bit i of word b: whether row 32 b + i may be returned.
    threads : int
        Threads to use; the result does not depend on it.
    isa : Isa, optional
        Instruction set; the result does not depend on it. See `ipaq_index.scan.isa.choose`.
    lift : Lift, optional
        Where finer vectors choose among the rows found: which of them need not be found.

    Returns
    -------
    scores : (nq, k) float32
        Descending, ties by row; -inf where there are fewer rows.
    rows : (nq, k) int64
        -1 where there are fewer.
    """
    spans = np.array([(0, -(-packed.count // BLOCK))], dtype=np.int64)
    probes, shifts = np.zeros((len(p), 1), dtype=np.int64), np.zeros((len(p), 1), dtype=np.float32)
    return top_k_lists(packed, p, k, offset, spans, probes, shifts, allowed, threads, isa, lift)


def top_k_lists(
    packed: PackedCodes,
    p: Floats,
    k: int,
    offset: Floats,
    spans: Ids,
    probes: Ids,
    probe_offset: Floats,
    allowed: Words | None = None,
    threads: int = 1,
    isa: Isa | None = None,
    lift: Lift | None = None,
) -> tuple[Floats, Ids]:
    """Return the ``k`` rows of largest score for each query among the lists that it probes.

    Parameters
    ----------
    spans : (m, 2) int64
        First block of each list, and the one after its last. Rows of these blocks that are in no list are those that
        ``allowed`` does not name.
    probes : (nq, nprobe) int64
        Lists that each query probes, best first; -1 for none.
    probe_offset : (nq, nprobe) float32
        Added to the scores of that list's rows.
    others
        As in `top_k`.

    Returns
    -------
    scores, rows
        As in `top_k`; rows count from the first block.
    """
    isa, lift = isa or choose(), lift or Lift(NO_HEIGHTS, k)
    size = max(1, min(BATCH, BATCH_BYTES // (44 * k)))
    moved = p.any(axis=1)
    if len(p) >= FEW_OF_LISTS and not moved.all():
        # For a query of zeros all rows tie. Look-ups know it, products would have all scored exactly: one at a time.
        scores, rows = np.empty((len(p), k), dtype=np.float32), np.empty((len(p), k), dtype=np.int64)
        for part in (np.flatnonzero(moved), *np.flatnonzero(~moved)[:, None]):
            if len(part):
                scores[part], rows[part] = top_k_lists(
                    packed,
                    p[part],
                    k,
                    offset[part],
                    spans,
                    probes[part],
                    probe_offset[part],
                    allowed,
                    threads,
                    isa,
                    _of_lift(lift, part),
                )
        return scores, rows
    if len(p) <= size:
        best = _search(packed, p, k, spans, probes, probe_offset, allowed, threads, isa, lift)
        return best.scores + offset[:, None], best.rows
    scores, rows = np.empty((len(p), k), dtype=np.float32), np.empty((len(p), k), dtype=np.int64)
    for first in range(0, len(p), size):
        part = slice(first, first + size)
        own = _of_lift(lift, part)
        found = _search(packed, p[part], k, spans, probes[part], probe_offset[part], allowed, threads, isa, own)
        scores[part], rows[part] = found.scores, found.rows
    scores += offset[:, None]
    return scores, rows


def range_search(
    packed: PackedCodes,
    p: Floats,
    threshold: Floats,
    offset: Floats,
    allowed: Words | None = None,
    threads: int = 1,
    isa: Isa | None = None,
) -> tuple[Ids, Floats, Ids]:
    """Return all rows whose score is not below a query's threshold.

    Parameters
    ----------
    threshold : (nq,) float32
    others
        As in `top_k`.

    Returns
    -------
    begins : (nq + 1,) int64
        Where each query's rows begin in the other two.
    scores : (total,) float32
        By query, descending, ties by row.
    rows : (total,) int64
    """
    isa = isa or choose()
    floors = (threshold - offset).astype(np.float32)
    blocks = -(-packed.count // BLOCK)
    size = max(1, BATCH_BYTES // (16 * BLOCK * RANGE_BLOCKS))
    found: list[list[tuple[Floats, Ids]]] = [[] for _ in p]

    def look(job: tuple[int, int]) -> tuple[int, Best]:
        first, block = job
        last = min(block + RANGE_BLOCKS, blocks)
        spans = np.array([(block, last)], dtype=np.int64)
        part = p[first : first + size]
        best = _best(len(part), (last - block) * BLOCK, floors[first : first + size].copy())
        zeros = np.zeros(len(part), dtype=np.float32)
        lists = Lists(spans, np.array([0, len(part)]), np.arange(len(part)), zeros)
        rows, meaning = packed.rows(allowed), packed.codebook.meaning
        asked = room_for(len(part), best.keys.shape[1], meaning, Lift(NO_HEIGHTS, best.keys.shape[1]))
        kernel.by_products(isa, rows, meaning, part, lists, asked, best, True, (True, True))
        return first, best

    jobs = [(first, block) for first in range(0, len(p), size) for block in range(0, blocks, RANGE_BLOCKS)]
    for first, best in mapped(look, jobs, threads):
        for q, count in enumerate(best.counts):
            scores, rows = best.scores[q, :count] + offset[first + q], best.rows[q, :count]
            kept = scores >= threshold[first + q]
            found[first + q].append((scores[kept], rows[kept]))
    answers = [_sorted(parts) for parts in found]
    begins = np.cumsum([0, *(len(rows) for _, rows in answers)])
    scores = np.concatenate([np.empty(0, dtype=np.float32), *(part for part, _ in answers)])
    return begins, scores, np.concatenate([np.empty(0, dtype=np.int64), *(part for _, part in answers)])


def _sorted(parts: list[tuple[Floats, Ids]]) -> tuple[Floats, Ids]:
    scores = np.concatenate([np.empty(0, dtype=np.float32), *(part for part, _ in parts)])
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(part for _, part in parts)])
    order = np.lexsort((rows, -scores))
    return scores[order], rows[order]


def score_rows(packed: PackedCodes, p: Floats, rows: Ids) -> Floats:
    """Return ``scale * sum_j p_j level_j (+ bias)`` of some rows, (nq, r) float32: as `top_k`, without offset."""
    scores = np.empty((len(p), len(rows)), dtype=np.float32)
    arrays, numbers = packed.rows(None), np.asarray(rows, dtype=np.int64)
    for q, last_q in slices(len(p), WALK * p.shape[1] * len(rows)):
        for row, last_row in slices(len(rows), WALK * p.shape[1] * (last_q - q)):
            part = np.empty((last_q - q, last_row - row), dtype=np.float32)
            score_exactly(arrays, packed.codebook.meaning, p[q:last_q], numbers[row:last_row], part)
            scores[q:last_q, row:last_row] = part
    return scores


def _search(
    packed: PackedCodes,
    p: Floats,
    k: int,
    spans: Ids,
    probes: Ids,
    shifts: Floats,
    allowed: Words | None,
    threads: int,
    isa: Isa,
    lift: Lift,
) -> Best:
    """Search one batch of queries."""
    rows, meaning = packed.rows(allowed), packed.codebook.meaning
    one_each = len(spans) == 1 or len(p) == 1  # of the lists that are asked for, each is in a column of its own
    asked = probes.shape[1] if one_each else np.count_nonzero(np.bincount(probes[probes >= 0]))
    by_list = bool(probes.size >= few_queries(packed, len(spans)) * asked)
    work = probes.size * len(rows.blocks) / max(1, len(spans)) * BLOCK * len(meaning.active)
    shares = _shares(spans, probes, shifts, by_list, threads if work >= SMALL else 1)

    def scan(lists: Lists) -> Best:
        best = _best(len(p), k)
        dims = BLOCK * len(meaning.active)
        if by_list:
            asked = room_for(len(p), k, meaning, lift)
            at_once = lists, (True, True)
            for part, ends in [at_once] if work <= FIRST else _pieces(lists, np.diff(lists.begins), dims):
                kernel.by_products(isa, rows, meaning, p, part, asked, best, False, ends)
            return best
        if work <= FIRST:
            few.by_lookups(isa, rows, meaning, p, lists, lift, best)
            return best
        for first, last in slices(len(p), work / len(p)):
            own = lists._replace(begins=lists.begins[first : last + 1])
            chosen = lists.members[lists.begins[first] : lists.begins[last]]
            whole, own_lift = last > first + 1, _of_lift(lift, slice(first, last))
            askers = np.bincount(chosen, minlength=len(spans))
            for part in [own] if whole else (piece for piece, _ in _pieces(own, askers, dims)):
                few.by_lookups(isa, rows, meaning, p[first:last], part, own_lift, _of_queries(best, first, last))
        return best

    best, *others = mapped(scan, shares, threads)
    for other in others:
        kernel.join(best, other)
    kernel.finish(best)
    return best


def few_queries(packed: PackedCodes, lists: int) -> float:
    """Return how many queries a list are scanned by look-ups, at the most less than that."""
    if packed.codebook.discrete:
        return 1
    few_of_all = FEW_OF_TWO_PARTS if packed.rest.shape[1] else FEW
    return min(few_of_all if lists == 1 else FEW_OF_LISTS, packed.codebook.queries)


def _best(queries: int, k: int, floors: Floats | None = None) -> Best:
    keys, scores = np.empty((2, queries, k), dtype=np.float32)  # np.full takes three times as long as to fill
    rows = np.empty((queries, k), dtype=np.int64)
    scores.fill(-np.inf)
    rows.fill(-1)
    if floors is None:
        floors = np.empty(queries, dtype=np.float32)
        floors.fill(-np.inf)
    return Best(keys, rows, scores, np.zeros(queries, dtype=np.int64), floors)


def _of_queries(best: Best, first: int, last: int) -> Best:
    """Return the part of ``best`` that belongs to some queries, in the same memory."""
    keys, rows, scores, counts, floors = best
    part = slice(first, last)
    return Best(keys[part], rows[part], scores[part], counts[part], floors[part])


def _of_lift(lift: Lift, part: slice | Ids) -> Lift:
    """Return the part of ``lift`` that belongs to some queries."""
    return lift._replace(heights=lift.heights[part]) if len(lift.heights) else lift


def _shares(spans: Ids, probes: Ids, shifts: Floats, by_list: bool, threads: int) -> list[Lists]:
    """Share out the work: each thread gets a part of every query's rows."""
    cuts = [spans]
    if threads > 1:
        size = spans[:, 1] - spans[:, 0]
        ends = [spans[:, 0] + size * number // threads for number in range(threads + 1)]
        cuts = [np.stack(pair, axis=1) for pair in pairwise(ends)]
    lists, values = probes.ravel(), shifts.ravel()
    queries, begins = None, np.arange(0, probes.size + 1, probes.shape[1])
    if lists.min() < 0:
        queries = np.repeat(np.arange(len(probes)), probes.shape[1])[lists >= 0]
        begins = np.searchsorted(queries, np.arange(len(probes) + 1))
        lists, values = lists[lists >= 0], values[lists >= 0]
    if by_list:
        queries = np.repeat(np.arange(len(probes)), probes.shape[1]) if queries is None else queries
        begins, lists, values = kernel.by_member(lists, queries, values, len(spans))
    return [Lists(cut, begins, lists, values) for cut in cuts]


def _pieces(lists: Lists, askers: Ids, cost: int) -> Iterator[tuple[Lists, tuple[bool, bool]]]:
    """Cut the blocks of lists into pieces that take about a tenth of a second, so that Ctrl-C is heard in between.

    With each comes whether it is the first, and the last.

    Parameters
    ----------
    askers : (m,) int64
        How many queries ask for each list.
    cost : int
        Of one block for one query.
    """
    begin, end = lists.spans.T
    work = (end - begin) * askers
    before = np.cumsum(work) - work

    def reached(at: int) -> Ids:
        blocks: Ids = begin + np.clip((at - before) // np.maximum(askers, 1), 0, end - begin)
        return blocks

    total = int(work.sum())
    for first, last in slices(total, cost):
        spans = np.stack([reached(first), reached(last)], axis=1)
        yield lists._replace(spans=spans), (first == 0, last == total)
