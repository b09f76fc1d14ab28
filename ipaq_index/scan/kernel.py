"""A search for many queries, by products, and what all searches share. Sees arrays only.

A scan scores all rows from above and from below. Rows wait, and those are scored exactly in the end whose upper
estimate is not below the k-th best lower one.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty, fill, in_rows, recast, zeros
from ipaq_index.inner import inner
from ipaq_index.scan.block import (
    BLOCK,
    GROUP,
    REST,
    Addresses,
    Tile,
    addresses,
    counted,
    decode,
    next_product,
    plain_products,
)
from ipaq_index.scan.exact import fill_known
from ipaq_index.scan.frame import Frame, Weights, fill_weights, lift_weights, make_frame
from ipaq_index.scan.lows import LANES, insert_low
from ipaq_index.scan.packed import QUAD, Floats, Integers, Meaning, Rows
from ipaq_index.scan.reservoir import Best, order, push, raise_least
from ipaq_index.scan.together import lowest_bit
from ipaq_index.scan.waiting import MANY, Asked, Waiting, make_room, settle

TILE_BYTES = (
    1 << 18
)  # decoded levels that all groups of queries read before the next are made: a quarter of an L2 cache
SAMPLED = 128  # neighbours up to which a sample sets the first floors
SAMPLED_LISTS = 4  # of so many lists one is sampled: half the sample costs less, but lets about k log(2) more rows wait


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


@njit(nogil=True, cache=True)
def by_products(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    p: Floats,
    lists: Lists,
    asked: Asked,
    best: Best,
    certain: bool,
    ends: tuple[bool, bool],
) -> None:
    """Scan list by list, decoding each row once for all queries that ask for it.

    Parameters
    ----------
    lists : Lists
        Queries of each list.
    asked : Asked
        What `room_for` made, and the pieces of rows before this one filled.
    certain : bool
        Whether no row may be missed whose exact score is not below its query's floor, which then comes as a score; see
        `fill_weights`.
    ends : (bool, bool)
        Whether this is the first piece of the rows, and the last one.
    others
        As in `few.by_lookups`.
    """
    weights, known, waiting, heights = asked
    if ends[0]:
        fill_weights(p, meaning, certain, weights)
        fill_known(p, meaning, known)
        lift_weights(weights, heights)
        if certain:
            for q in range(len(p)):
                best.floors[q] *= weights.inverse[q]
    quads = len(meaning.active) // QUAD
    longest = 1
    for number in range(len(lists.spans)):
        longest = max(longest, lists.spans[number, 1] - lists.spans[number, 0])
    size = min(longest, max(1, TILE_BYTES // (QUAD * BLOCK * max(1, quads))))
    tile = Tile(
        empty(size, np.int64),
        empty((size + 1, quads, BLOCK, QUAD), np.uint8),
        empty((size + 1, BLOCK), np.float32),
        empty((size + 1, BLOCK), np.float32),
    )
    words = recast(weights.values, np.int32)
    tables = zeros((quads, GROUP, QUAD), np.uint8)
    table_words = recast(tables, np.int32)
    frame = make_frame(tables, GROUP)
    at = addresses(frame, tile)
    spans, begins, blocks, allowed = lists.spans, lists.begins, tile.blocks, rows.words
    if ends[0] and not certain and waiting.wanted <= SAMPLED:
        sample(isa, rows, meaning, tile, frame, lists, waiting.wanted, weights, best)
    for number in range(len(spans)):
        block, last = spans[number, 0], spans[number, 1]
        begin, stop = begins[number], begins[number + 1]
        while block < last and begin < stop:
            count = 0
            while count < size and block < last:
                if not len(allowed) or allowed[block]:
                    blocks[count] = block
                    count += 1
                block += 1
            decode(isa, rows, meaning, tile, count)
            for first in range(begin, stop, GROUP):
                queries = aim_group(frame, table_words, lists, first, stop, words, weights, best.floors)
                group = first, queries
                scan_tile(isa, rows, meaning, tile, count, frame, at, lists, group, p, known, weights, waiting, best)
    if ends[1]:
        settle(0, len(p), rows, meaning, p, known, weights, waiting, best)


@inner(forceinline=True)
def aim_group(
    frame: Frame,
    table_words: npt.NDArray[np.int32],
    lists: Lists,
    first: int,
    stop: int,
    words: npt.NDArray[np.int32],
    weights: Weights,
    floors: Floats,
) -> int:
    """Set a frame for the queries that are members ``first`` to ``stop`` - 1, `GROUP` at the most; return how many."""
    members, shifts, inverse = lists.members, lists.shifts, weights.inverse
    queries = min(GROUP, stop - first)
    for g in range(queries):
        q = members[first + g]
        for quad in range(words.shape[1]):
            table_words[quad, g, 0] = words[q, quad]
        frame.start[g] = weights.start[q]
        frame.bars[0, g], frame.bars[1, g] = inverse[q], shifts[first + g] * inverse[q]
        frame.bars[2, g] = floors[q]
    for g in range(queries, GROUP):
        frame.bars[2, g] = np.inf
    return queries


@inner
def sample(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    tile: Tile,
    frame: Frame,
    lists: Lists,
    k: int,
    weights: Weights,
    best: Best,
) -> None:
    """Raise floors by the first two blocks of some lists, so that fewer rows wait.

    The best lower estimates of ``k`` disjoint parts of the rows are those of ``k`` rows: the least of them is a floor.
    Parts are the 32 places of a block, where need be of every second, third … block. There is no branch a row.
    """
    size, queries = rows.size, len(best.floors)
    turns = -(-2 * k // BLOCK)
    parts, turn = empty((queries, turns, BLOCK), np.float32), zeros(queries, np.int64)
    fill(parts, -np.inf)
    sums, scales, biases, bars, with_bias = frame.sums, tile.scales, tile.biases, frame.bars, len(rows.bias) > 0
    words, table_words = recast(weights.values, np.int32), recast(frame.tables, np.int32)
    levels, signed, hidden = tile.levels, recast(frame.tables, np.int8), zeros((2, BLOCK), np.float32)
    for number in range(0, len(lists.spans), SAMPLED_LISTS):
        begin, stop = lists.begins[number], lists.begins[number + 1]
        count = 0
        for block in range(lists.spans[number, 0], lists.spans[number, 1]):
            word = counted(rows.words, size, block)
            if word and count < min(2, len(tile.blocks)):
                tile.blocks[count] = block
                for i in range(BLOCK):
                    hidden[count, i] = np.float32(0) if word >> np.uint32(i) & np.uint32(1) else np.float32(-np.inf)
                count += 1
        if not count or begin == stop:
            continue
        decode(isa, rows, meaning, tile, count)
        for first in range(begin, stop, GROUP):
            in_group = aim_group(frame, table_words, lists, first, stop, words, weights, best.floors)
            for place in range(count):
                for g in range(0, in_group, REST):
                    plain_products(isa, levels, place, signed, g, frame.start, sums)
                for g in range(in_group):
                    q = lists.members[first + g]
                    part, slack = turn[q], weights.slack[q]
                    turn[q] = part + 1 if part + 1 < turns else 0
                    for i in range(BLOCK):
                        low = scales[place, i] * np.float32(sums[g, i])
                        if with_bias:
                            low += biases[place, i] * bars[0, g]
                        low = (low + bars[1, g]) - scales[place, i] * slack + hidden[place, i]
                        parts[q, part, i] = low if low > parts[q, part, i] else parts[q, part, i]
    reached = empty(turns * BLOCK, np.int32)  # how many parts have as much
    whole = in_rows(parts, turns * BLOCK)
    for q in range(queries):
        of_query = whole[q]
        fill(reached, 0)
        for n in range(len(of_query)):
            low = of_query[n]
            for other in range(len(reached)):
                reached[other] += np.int32(low >= of_query[other])
        for n in range(len(reached)):
            if reached[n] >= k and of_query[n] > best.floors[q]:
                best.floors[q] = of_query[n]


@inner(forceinline=True)
def scan_tile(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    tile: Tile,
    count: int,
    frame: Frame,
    at: Addresses,
    lists: Lists,
    group: tuple[int, int],
    p: Floats,
    known: Floats,
    weights: Weights,
    waiting: Waiting,
    best: Best,
) -> None:
    """Let the promising rows of a tile's first ``count`` blocks wait and raise floors.

    ``frame`` is aimed at the queries of a group: the first one's number among ``lists.members``, and how many. No array
    is taken from a tuple, or cut, inside the loop: numba would count a reference in and out, atomically, which took a
    fifth of the time of a search.
    """
    bars, above_, sums = frame.bars, frame.above, frame.sums
    blocks, scales, biases, bias, with_bias = tile.blocks, tile.scales, tile.biases, rows.bias, len(rows.bias) > 0
    words, members, shifts = rows.words, lists.members, lists.shifts
    table, numbers, counts, floors, slack = waiting.table, waiting.numbers, waiting.counts, best.floors, weights.slack
    lows, in_lows, k, (first, queries) = waiting.lows, waiting.lows.ctypes.data, waiting.wanted, group
    full, size, many = waiting.room - BLOCK, rows.size, k > MANY
    heaps = in_rows(lows, lows.shape[1] * LANES)
    kth = 0 if many else -(-k // LANES) * LANES - k
    place = 0
    while True:
        place, asked = next_product(isa, bias, tile, (place, count), frame, at, queries)
        if place >= count:
            return
        block = blocks[place]
        word = counted(words, size, block)
        while asked:
            g = lowest_bit(asked)
            asked &= asked - 1
            above = above_[g] & word
            above_[g] = 0
            q = members[first + g]
            entry = 3 * counts[q]
            while above:
                i = lowest_bit(above)
                above &= above - np.uint32(1)
                factor = scales[place, i]
                estimate = factor * np.float32(sums[g, i])
                if with_bias:
                    estimate += biases[place, i] * bars[0, g]
                estimate += bars[1, g]
                if estimate >= bars[2, g]:
                    table[q, entry], table[q, entry + 1] = estimate, shifts[first + g]
                    numbers[q, entry + 2] = block * BLOCK + i
                    entry += 3
                    low = estimate - factor * slack[q]
                    if low > heaps[q, kth]:
                        if many:
                            raise_least(heaps, q, k, low)
                        else:
                            insert_low(lows, in_lows, q, low)
                        if heaps[q, kth] > bars[2, g]:
                            bars[2, g] = floors[q] = heaps[q, kth]
            counts[q] = entry // 3
            if counts[q] >= full:
                make_room(q, rows, meaning, p, known, weights, waiting, best)
                bars[2, g] = floors[q]
        place += 1


@inner(forceinline=True)
def aim(frame: Frame, g: int, shift: np.float32, floor: np.float32) -> None:
    """Set what a query's scores are measured by: ``shift`` as it is added to scores, ``floor`` of `Best`."""
    frame.bars[1, g] = shift * frame.bars[0, g]
    frame.bars[2, g] = floor


@njit(nogil=True, cache=True)
def by_member(lists: Integers, queries: Integers, shifts: Floats, count: int) -> tuple[Integers, Integers, Floats]:
    """Return `Lists.begins`, ``members`` and ``shifts`` of ``count`` lists: queries and shifts sorted by their list."""
    begins = zeros(count + 1, np.int64)
    for n in lists:
        begins[n + 1] += 1
    for n in range(count):
        begins[n + 1] += begins[n]
    members, sorted_shifts = empty(len(queries), np.int64), empty(len(shifts), np.float32)
    place = empty(count, np.int64)
    for n in range(count):
        place[n] = begins[n]
    for n in range(len(lists)):
        at = place[lists[n]]
        place[lists[n]] = at + 1
        members[at], sorted_shifts[at] = queries[n], shifts[n]
    return begins, members, sorted_shifts


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
