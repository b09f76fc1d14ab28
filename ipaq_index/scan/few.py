"""A search for few queries, one after the other: look-ups by nibble give upper estimates, the best are scored exactly.

Rows whose upper estimate is not below the floor become candidates. An exact score costs a hundred times what the
look-ups of a row do, so they are made best estimate first: those raise the floor, and most candidates fall below it
unscored.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.scan.block import BLOCK, next_lookup, places, scale
from ipaq_index.scan.eight import ROWS, Eight, lowest_bit, make_eight, row_totals
from ipaq_index.scan.frame import fill_lookups, make_frame
from ipaq_index.scan.kernel import Best, Lists, aim, known_parts
from ipaq_index.scan.packed import QUAD, Floats, Integers, Meaning, Rows
from ipaq_index.scan.reservoir import push, sift

FIRST = 512  # candidates after which some are scored for the first time, so that there is a floor
CANDIDATES = 4096  # that wait for their exact scores, at the most; four times k if that is more


class Candidates(NamedTuple):
    """Rows of one query that wait for their exact scores.

    Attributes
    ----------
    keys : (size,) float32
        Negated upper estimates: the root of a heap of them, the worst to `sift`, is the best candidate.
    rows : (size,) int64
    shifts : (size,) float32
        Added to their exact scores.
    eight : Eight
        Room for those that are being scored.
    bits : (1,) int32
        Room for `scale`.
    """

    keys: Floats
    rows: Integers
    shifts: Floats
    eight: Eight
    bits: npt.NDArray[np.int32]


class Query(NamedTuple):
    """Number of a query, its projection, what dimensions without bits add to its scores, and 1 / step."""

    number: int
    p: Floats
    known: np.float32
    inverse: np.float32


@njit(nogil=True, cache=True)
def by_lookups(isa: Any, rows: Rows, meaning: Meaning, p: Floats, lists: Lists, best: Best) -> None:
    """Scan query by query.

    Parameters
    ----------
    isa : Isa
        See `ipaq_index.scan.isa`.
    rows, meaning : Rows, Meaning
        Codes and what they mean.
    p : (nq, d) float32
        Projected queries.
    lists : Lists
        Of each query.
    best : Best
        Result.
    """
    size = max(CANDIDATES, 4 * best.keys.shape[1])
    candidates = Candidates(
        np.empty(size, dtype=np.float32),
        np.empty(size, dtype=np.int64),
        np.empty(size, dtype=np.float32),
        make_eight(rows),
        np.empty(1, dtype=np.int32),
    )
    known = known_parts(p, meaning)
    for q in range(len(p)):
        tables = np.zeros((-(-meaning.first_pairs // QUAD), 2, QUAD, 16), dtype=np.uint8)
        frame = make_frame(tables, 1)
        frame.start[0], step = fill_lookups(p[q], meaning, tables)
        query = Query(q, p[q], known[q], np.float32(1) / step)
        frame.bars[0, 0] = query.inverse
        at, scores = places(rows, frame), frame.sums.view(np.float32)[0]
        count, enough = 0, FIRST
        ascending = lists.begins[q + 1] - lists.begins[q] == 1
        for member in range(lists.begins[q], lists.begins[q + 1]):
            block, last = lists.spans[lists.members[member]]
            aim(frame, 0, lists.shifts[member], best.floors[q])
            if ascending:
                frame.bars[2, 0] = above_ties(best, q)
            while block < last:
                stop = last
                if len(rows.words):
                    while block < last and not rows.words[block]:
                        block += 1
                    stop = min(block + 1, last)
                block = next_lookup(isa, rows, meaning, (block, stop), frame, at)
                if block == stop:
                    continue
                if count > enough - BLOCK:
                    count = settle(rows, meaning, query, candidates, count, size // 2, best)
                    enough = min(size, 2 * count + FIRST)
                    frame.bars[2, 0] = above_ties(best, q) if ascending else best.floors[q]
                above = frame.above[0]
                frame.above[0] = 0
                if len(rows.words):
                    above &= rows.words[block]
                if rows.size - block * BLOCK < BLOCK:
                    above &= (np.uint32(1) << np.uint32(rows.size - block * BLOCK)) - np.uint32(1)
                count = gather(scores, frame.bars[2, 0], above, block * BLOCK, lists.shifts[member], candidates, count)
                block += 1
        settle(rows, meaning, query, candidates, count, 0, best)


@njit(nogil=True, cache=True, forceinline=True)
def above_ties(best: Best, q: int) -> np.float32:
    """Return the floor for rows behind all that were seen: of equal keys, the first k stay.

    For a query of zeros, all rows are equal.
    """
    floor = best.floors[q]
    return np.nextafter(floor, np.float32(np.inf)) if best.counts[q] == best.keys.shape[1] else floor


@njit(nogil=True, cache=True, forceinline=True)
def gather(
    scores: Floats, floor: np.float32, above: Any, first: int, shift: np.float32, candidates: Candidates, count: int
) -> int:
    """Append a block's rows whose bits in ``above`` are set; return how many candidates there are then."""
    while above:
        i = lowest_bit(above)
        above &= above - np.uint32(1)
        if scores[i] >= floor:  # the block was compared with an older one
            candidates.keys[count], candidates.rows[count], candidates.shifts[count] = -scores[i], first + i, shift
            count += 1
    return count


@njit(nogil=True, cache=True)
def settle(
    rows: Rows, meaning: Meaning, query: Query, candidates: Candidates, count: int, left: int, best: Best
) -> int:
    """Score candidates exactly, best estimate first, until at most ``left`` can be among the best; return how many."""
    keys, numbers, shifts = candidates.keys, candidates.rows, candidates.shifts
    q, k = query.number, best.keys.shape[1]
    while True:
        for place in range(count // 2 - 1, -1, -1):
            sift(keys, numbers, shifts, count, place, keys[place], numbers[place], shifts[place])
        scored = 0
        while count and -keys[0] >= best.floors[q] and (left == 0 or scored < k):
            count = score_some(rows, meaning, query, candidates, count, best)
            scored += ROWS
        kept = 0
        for n in range(count):
            if -keys[n] >= best.floors[q]:
                keys[kept], numbers[kept], shifts[kept] = keys[n], numbers[n], shifts[n]
                kept += 1
        count = kept
        if count <= left:
            return count


@njit(nogil=True, cache=True)
def score_some(rows: Rows, meaning: Meaning, query: Query, candidates: Candidates, count: int, best: Best) -> int:
    """Take the best few candidates from their heap and keep them by their exact scores; return how many are left."""
    keys, numbers, shifts, eight, bits = candidates
    q, taken = query.number, 0
    estimates, added = np.empty(ROWS, dtype=np.float32), np.empty(ROWS, dtype=np.float32)
    while taken < ROWS and count and -keys[0] >= best.floors[q]:
        eight.numbers[taken], estimates[taken], added[taken] = numbers[0], -keys[0], shifts[0]
        taken += 1
        count -= 1
        sift(keys, numbers, shifts, count, 0, keys[count], numbers[count], shifts[count])
    row_totals(rows, meaning, query.p, eight)
    for n in range(taken):
        row = eight.numbers[n]
        score = scale(rows.side[row], meaning.scale_format, bits) * (eight.totals[n] + query.known)
        if len(rows.bias):
            score += rows.bias[row]
        score += added[n]
        key = min(estimates[n], score * query.inverse)
        held = push(best.keys[q], best.rows[q], best.scores[q], best.counts[q], key, row, score)
        best.counts[q] = held
        if held == best.keys.shape[1]:
            best.floors[q] = max(best.floors[q], best.keys[q, 0])
    return count
