"""A search for many queries, by products, and what all searches share. Sees arrays only.

A scan scores all rows from above and from below. Rows wait, and those are scored exactly in the end whose upper
estimate is not below the k-th best lower one.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ipaq_index.scan.block import BLOCK, GROUP, Tile, addresses, decode, next_product, scale
from ipaq_index.scan.eight import ROWS, lowest_bit, make_eight, row_totals
from ipaq_index.scan.frame import Frame, Weights, make_frame, make_weights
from ipaq_index.scan.packed import QUAD, Floats, Integers, Meaning, Rows
from ipaq_index.scan.reservoir import order, push, raise_least

TILE_BYTES = (
    1 << 18
)  # decoded levels that all groups of queries read before the next are made: a quarter of an L2 cache
SPARE = 96  # rows beyond k that may wait: three blocks


class Lists(NamedTuple):
    """Which rows which queries ask for.

    Attributes
    ----------
    spans : (m, 2) int64
        First block of each list, and the one after its last.
    begins : (m + 1,) or (nq + 1,) int64
        Where each list's queries begin in ``members``, or each query's lists.
    members : (p,) int64
        Queries, or lists.
    shifts : (p,) float32
        Added to the scores that this query gives to the rows of this list.
    """

    spans: Integers
    begins: Integers
    members: Integers
    shifts: Floats


class Best(NamedTuple):
    """The best rows of each query: heaps until `finish`.

    Attributes
    ----------
    keys, rows, scores : (nq, k) float32, int64, float32
        The key of a row is its exact score, but no more than the upper estimate and no less than the lower one, in
        units of the query's step. Where an estimate is wrong, a row counts for less or more than it should, but alike
        in whatever order rows come.
    counts : (nq,) int64
    floors : (nq,) float32
        Rows whose key is below it don't count.
    """

    keys: Floats
    rows: Integers
    scores: Floats
    counts: Integers
    floors: Floats


class Waiting(NamedTuple):
    """Rows that may be among the best, not scored exactly yet.

    Of 8,600 rows of GloVe that a query of 22 lists looks at, 104 were once among the best 10; 20 are never below the
    tenth best lower estimate, and only these are decoded one by one.

    Attributes
    ----------
    least : (nq, k) float32
        Heaps of the best lower estimates, at first all -inf.
    estimates : (nq, room, 3) float32
        Upper and lower estimate of each row, and what is added to its exact score.
    rows : (nq, room) int64
    counts : (nq,) int64
    """

    least: Floats
    estimates: Floats
    rows: Integers
    counts: Integers


@njit(nogil=True, cache=True)
def by_products(isa: Any, rows: Rows, meaning: Meaning, p: Floats, lists: Lists, best: Best, certain: bool) -> None:
    """Scan list by list, decoding each row once for all queries that ask for it.

    Parameters
    ----------
    lists : Lists
        Queries of each list.
    certain : bool
        Whether no row may be missed whose exact score is not below its query's floor, which then comes as a score; see
        `make_weights`.
    others
        As in `few.by_lookups`.
    """
    quads = len(meaning.active) // QUAD
    size = max(1, TILE_BYTES // (QUAD * BLOCK * max(1, quads)))
    size = min(size, max(1, (lists.spans[:, 1] - lists.spans[:, 0]).max()))
    tile = Tile(
        np.empty(size, dtype=np.int64),
        np.empty((size + 1, quads, BLOCK, QUAD), dtype=np.uint8),
        np.empty((size + 1, BLOCK), dtype=np.float32),
        np.empty((size + 1, BLOCK), dtype=np.float32),
    )
    weights, known = make_weights(p, meaning, certain), known_parts(p, meaning)
    waiting = make_waiting(len(p), best.keys.shape[1])
    if certain:
        best.floors[:] *= weights.inverse
    words = weights.values.view(np.int32)
    tables = np.zeros((quads, GROUP, QUAD), dtype=np.uint8)
    table_words = tables.reshape(quads, GROUP * QUAD).view(np.int32)
    frame = make_frame(tables, GROUP)
    at = addresses(frame, tile)
    for number in range(len(lists.spans)):
        block, last = lists.spans[number]
        begin, stop = lists.begins[number], lists.begins[number + 1]
        while block < last and begin < stop:
            count = 0
            while count < size and block < last:
                if not len(rows.words) or rows.words[block]:
                    tile.blocks[count] = block
                    count += 1
                block += 1
            decode(isa, rows, meaning, tile, count)
            for first in range(begin, stop, GROUP):
                queries, shifts = lists.members[first : min(first + GROUP, stop)], lists.shifts[first:]
                for g in range(GROUP):
                    if g < len(queries):
                        q = queries[g]
                        for quad in range(quads):
                            table_words[quad, g] = words[q, quad]
                        frame.start[g], frame.bars[0, g] = weights.start[q], weights.inverse[q]
                        aim(frame, g, shifts[g], best.floors[q])
                    else:
                        frame.bars[2, g] = np.inf
                place = 0
                while place < count:
                    place = next_product(isa, rows.bias, tile, (place, count), frame, at)
                    if place < count:
                        hold(frame, rows, meaning, tile.blocks[place], queries, shifts, weights, waiting, best)
                        for g in range(len(queries)):
                            q = queries[g]
                            if waiting.counts[q] >= waiting.rows.shape[1] - BLOCK:
                                make_room(q, rows, meaning, p[q], known[q], weights.inverse[q], waiting, best)
                                frame.bars[2, g] = best.floors[q]
                        place += 1
    for q in range(len(p)):
        settle(q, rows, meaning, p[q], known[q], weights.inverse[q], waiting, best)


@njit(nogil=True, cache=True)
def make_waiting(queries: int, k: int) -> Waiting:
    """Return room for rows that wait."""
    room = k + SPARE
    return Waiting(
        np.full((queries, k), -np.inf, dtype=np.float32),
        np.empty((queries, room, 3), dtype=np.float32),
        np.empty((queries, room), dtype=np.int64),
        np.zeros(queries, dtype=np.int64),
    )


@njit(nogil=True, cache=True, forceinline=True)
def hold(
    frame: Frame,
    rows: Rows,
    meaning: Meaning,
    block: int,
    queries: Integers,
    shifts: Floats,
    weights: Weights,
    waiting: Waiting,
    best: Best,
) -> None:
    """Let a block's promising rows wait and raise floors. There is room for a block's."""
    inverse, shift, floor = frame.bars
    count_them = np.uint32(0xFFFFFFFF) if not len(rows.words) else rows.words[block]
    if rows.size - block * BLOCK < BLOCK:
        count_them &= (np.uint32(1) << np.uint32(rows.size - block * BLOCK)) - np.uint32(1)
    for g in range(len(queries)):
        above = frame.above[g] & count_them
        frame.above[g] = 0
        if not above:
            continue
        q = queries[g]
        held, slack, added = waiting.counts[q], weights.slack[q], shifts[g]
        while above:
            i = lowest_bit(above)
            above &= above - np.uint32(1)
            row = block * BLOCK + i
            factor = scale(rows.side[row], meaning.scale_format, frame.bits)
            estimate = factor * np.float32(frame.sums[g, i])
            if len(rows.bias):
                estimate += rows.bias[row] * inverse[g]
            estimate += shift[g]
            if estimate >= floor[g]:
                low = estimate - factor * slack
                entry = waiting.estimates[q, held]
                entry[0], entry[1], entry[2] = estimate, low, added
                waiting.rows[q, held] = row
                held += 1
                if low > waiting.least[q, 0]:
                    raise_least(waiting.least[q], low)
                    if waiting.least[q, 0] > floor[g]:
                        floor[g] = best.floors[q] = waiting.least[q, 0]
        waiting.counts[q] = held


@njit(nogil=True, cache=True)
def make_room(
    q: int,
    rows: Rows,
    meaning: Meaning,
    p: Floats,
    known: np.float32,
    inverse: np.float32,
    waiting: Waiting,
    best: Best,
) -> None:
    """Forget waiting rows of query ``q`` that are below its floor by now; if few are, score all that wait."""
    kept = 0
    for n in range(waiting.counts[q]):
        if waiting.estimates[q, n, 0] >= best.floors[q]:
            waiting.estimates[q, kept], waiting.rows[q, kept] = waiting.estimates[q, n], waiting.rows[q, n]
            kept += 1
    waiting.counts[q] = kept
    if kept > waiting.rows.shape[1] - 2 * BLOCK:
        settle(q, rows, meaning, p, known, inverse, waiting, best)


@njit(nogil=True, cache=True)
def settle(
    q: int,
    rows: Rows,
    meaning: Meaning,
    p: Floats,
    known: np.float32,
    inverse: np.float32,
    waiting: Waiting,
    best: Best,
) -> None:
    """Score the waiting rows of query ``q`` exactly and keep the best."""
    bits, eight = np.empty(1, dtype=np.int32), make_eight(rows)
    places = np.empty(ROWS, dtype=np.int64)
    gathered, last = 0, waiting.counts[q]
    for n in range(last + 1):
        if n < last and waiting.estimates[q, n, 0] >= best.floors[q]:
            places[gathered], eight.numbers[gathered] = n, waiting.rows[q, n]
            gathered += 1
        if gathered < ROWS and (n < last or not gathered):
            continue
        row_totals(rows, meaning, p, eight)
        for g in range(gathered):
            high, low, shift = waiting.estimates[q, places[g]]
            row = eight.numbers[g]
            score = scale(rows.side[row], meaning.scale_format, bits) * (eight.totals[g] + known)
            if len(rows.bias):
                score += rows.bias[row]
            score += shift
            key = max(low, min(high, score * inverse))
            count = push(best.keys[q], best.rows[q], best.scores[q], best.counts[q], key, row, score)
            best.counts[q] = count
            if count == best.keys.shape[1]:
                best.floors[q] = max(best.floors[q], best.keys[q, 0])
        gathered = 0
    waiting.counts[q] = 0


@njit(nogil=True, cache=True)
def known_parts(p: Floats, meaning: Meaning) -> Floats:
    """Return what dimensions without bits add to each query's sums."""
    known = np.zeros(len(p), dtype=np.float32)
    for q in range(len(p)):
        for j in range(p.shape[1]):
            known[q] += p[q, j] * meaning.fixed[j]
    return known


@njit(nogil=True, cache=True, forceinline=True)
def aim(frame: Frame, g: int, shift: np.float32, floor: np.float32) -> None:
    """Set what a query's scores are measured by: ``shift`` as it is added to scores, ``floor`` of `Best`."""
    frame.bars[1, g] = shift * frame.bars[0, g]
    frame.bars[2, g] = floor


@njit(nogil=True, cache=True)
def finish(best: Best) -> None:
    """Sort the best rows of every query, best first."""
    for q in range(len(best.counts)):
        order(best.keys[q], best.rows[q], best.scores[q], best.counts[q])


@njit(nogil=True, cache=True)
def join(best: Best, other: Best) -> None:
    """Add what another scan found for the same queries."""
    for q in range(len(best.counts)):
        for n in range(other.counts[q]):
            best.counts[q] = push(
                best.keys[q],
                best.rows[q],
                best.scores[q],
                best.counts[q],
                other.keys[q, n],
                other.rows[q, n],
                other.scores[q, n],
            )


@njit(nogil=True, cache=True)
def score_rows(rows: Rows, meaning: Meaning, p: Floats, numbers: Integers, scores: Floats) -> None:
    """Score some rows exactly for each query: ``scores`` is (nq, rows)."""
    bits, known, eight = np.empty(1, dtype=np.int32), known_parts(p, meaning), make_eight(rows)
    for q in range(len(p)):
        for first in range(0, len(numbers), ROWS):
            gathered = min(ROWS, len(numbers) - first)
            eight.numbers[:gathered] = numbers[first : first + gathered]
            row_totals(rows, meaning, p[q], eight)
            for g in range(gathered):
                row = eight.numbers[g]
                score = scale(rows.side[row], meaning.scale_format, bits) * (eight.totals[g] + known[q])
                if len(rows.bias):
                    score += rows.bias[row]
                scores[q, first + g] = score
