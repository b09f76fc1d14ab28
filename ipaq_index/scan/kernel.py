"""The compiled part of a search. Sees arrays only.

A scan scores all rows from above; each row whose score is not below the k-th best exact score so far is scored exactly.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.scan.block import BLOCK, GROUP, Tile, addresses, decode, next_lookup, next_product, row_total, scale
from ipaq_index.scan.frame import Frame, fill_lookups, make_frame, make_weights
from ipaq_index.scan.packed import QUAD, Floats, Integers, Meaning, Rows
from ipaq_index.scan.reservoir import order, push

TILE_BYTES = (
    1 << 18
)  # decoded levels that all groups of queries read before the next are made: a quarter of an L2 cache


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
        The key of a row is its exact score or the upper estimate, whichever is less, in units of the query's step.
        Where the estimate is too low, a row counts for less than it should, but alike in whatever order rows come.
    counts : (nq,) int64
    floors : (nq,) float32
        Rows whose key is below it don't count.
    """

    keys: Floats
    rows: Integers
    scores: Floats
    counts: Integers
    floors: Floats


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
    queries, known = np.zeros(1, dtype=np.int64), known_parts(p, meaning)
    for q in range(len(p)):
        tables = np.zeros((-(-meaning.first_pairs // QUAD), 2, QUAD, 16), dtype=np.uint8)
        frame = make_frame(tables, 1)
        frame.start[0], step = fill_lookups(p[q], meaning, tables)
        frame.bars[0, 0] = np.float32(1) / step
        queries[0] = q
        for member in range(lists.begins[q], lists.begins[q + 1]):
            block, last = lists.spans[lists.members[member]]
            aim(frame, 0, lists.shifts[member], best.floors[q])
            while block < last:
                stop = last
                if len(rows.words):
                    while block < last and not rows.words[block]:
                        block += 1
                    stop = min(block + 1, last)
                found = next_lookup(isa, rows, meaning, (block, stop), frame)
                if found < stop:
                    collect(frame, 1, rows, meaning, p, known, found, queries, lists.shifts[member : member + 1], best)
                    found += 1
                block = found


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
        As in `by_lookups`.
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
                        collect(frame, len(queries), rows, meaning, p, known, tile.blocks[place], queries, shifts, best)
                        place += 1


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


@njit(nogil=True, cache=True, forceinline=True)
def collect(
    frame: Frame,
    size: int,
    rows: Rows,
    meaning: Meaning,
    p: Floats,
    known: Floats,
    block: int,
    queries: Integers,
    shifts: Floats,
    best: Best,
) -> None:
    """Score a block's promising rows exactly, keep the best of them and raise floors."""
    inverse, shift, floor = frame.bars
    for g in range(size):
        above = frame.above[g]
        frame.above[g] = 0
        if len(rows.words):
            above &= rows.words[block]
        q = queries[g]
        row = block * BLOCK
        while above and row < rows.size:
            if above & np.uint32(1):
                estimate = scale(rows.side[row], meaning.scale_format, frame.bits) * np.float32(
                    frame.sums[g, row - block * BLOCK]
                )
                if len(rows.bias):
                    estimate += rows.bias[row] * inverse[g]
                estimate += shift[g]
                if estimate >= floor[g]:
                    score = exact(rows, meaning, p[q], known[q], row, frame.bits) + shifts[g]
                    key = min(estimate, score * inverse[g])
                    count = push(best.keys[q], best.rows[q], best.scores[q], best.counts[q], key, row, score)
                    best.counts[q] = count
                    if count == best.keys.shape[1]:
                        floor[g] = best.floors[q] = best.keys[q, 0]
            above >>= np.uint32(1)
            row += 1


@njit(nogil=True, cache=True, forceinline=True)
def exact(
    rows: Rows, meaning: Meaning, p: Floats, known: np.float32, row: int, bits: npt.NDArray[np.int32]
) -> np.float32:
    """Return ``scale * sum_j p_j level_j + bias`` of one row, walking the trellis where there is one.

    ``known`` is the part of the sum that dimensions without bits make up; ``bits`` is room for an int32.
    """
    score = scale(rows.side[row], meaning.scale_format, bits) * (row_total(rows, meaning, p, row) + known)
    if len(rows.bias):
        score += rows.bias[row]
    return score


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
    bits, known = np.empty(1, dtype=np.int32), known_parts(p, meaning)
    for q in range(len(p)):
        for n in range(len(numbers)):
            scores[q, n] = exact(rows, meaning, p[q], known[q], numbers[n], bits)
