"""A search for few queries, one after the other: look-ups by nibble give upper estimates, the best are scored exactly.

Rows whose upper estimate is not below the floor become candidates. An exact score costs a hundred times what the
look-ups of a row do, so they are made best estimate first: those raise the floor, and most candidates fall below it
unscored.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty, zeros
from ipaq_index.inner import inner
from ipaq_index.scan.block import BLOCK, scale
from ipaq_index.scan.eight import ROWS, Eight, fetch, make_eight, row_totals
from ipaq_index.scan.frame import fill_lookups, make_frame
from ipaq_index.scan.kernel import Best, Lists, aim, known_parts
from ipaq_index.scan.lookup import Candidates, collect, places
from ipaq_index.scan.packed import QUAD, Floats, Integers, Meaning, Rows
from ipaq_index.scan.reservoir import push

FIRST = 256  # candidates after which some are scored for the first time, so that there is a floor
CANDIDATES = 4096  # that wait for their exact scores, at the most; four times k if that is more
LEAST = 2 * ROWS  # candidates scored together
LEAST_KEY = np.finfo(np.float32).min
ROUNDS = 2  # of these, before all that are left are scored


class Query(NamedTuple):
    """Number of a query, its projection, what dimensions without bits add to its scores, and 1 / step."""

    number: int
    p: Floats
    known: np.float32
    inverse: np.float32


class Room(NamedTuple):
    """Room to choose and score candidates in.

    Attributes
    ----------
    keys, places, unused : (m,) float32, int64, float32
        A heap of the best candidates.
    all : (size,) int64
        The places of all candidates: 0, 1, 2, ….
    eight : Eight
        Room for those that are being scored.
    now, ahead : (8,) int64
        Their places, and those of the next.
    bits : (1,) int32
        Room for `scale`.
    """

    keys: Floats
    places: Integers
    unused: Floats
    all: Integers
    eight: Eight
    now: Integers
    ahead: Integers
    bits: npt.NDArray[np.int32]


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
    k = best.keys.shape[1]
    size, chosen = max(CANDIDATES, 4 * k), max(LEAST, k)
    candidates = Candidates(
        empty(size + BLOCK, np.float32),
        empty(size + BLOCK, np.int32),
        empty(size + BLOCK, np.float32),
    )
    room = Room(
        empty(chosen, np.float32),
        empty(chosen, np.int64),
        empty(chosen, np.float32),
        count_up(size + BLOCK),
        make_eight(rows, meaning),
        empty(ROWS, np.int64),
        empty(ROWS, np.int64),
        empty(1, np.int32),
    )
    known = known_parts(p, meaning)
    far = np.sqrt(2 * np.log(max(rows.size / k, math.e)))  # a k-th of so many normal scores is hardly further out
    for q in range(len(p)):
        tables = zeros((-(-meaning.first_pairs // QUAD), 2, QUAD, 16), np.uint8)
        frame = make_frame(tables, 1)
        frame.start[0], step = fill_lookups(p[q], meaning, far, tables)
        query = Query(q, p[q], known[q], np.float32(1) / step)
        frame.bars[0, 0] = query.inverse
        at = places(rows, frame, candidates)
        count, enough = 0, FIRST
        alone = lists.begins[q + 1] - lists.begins[q] == 1
        for member in range(lists.begins[q], lists.begins[q + 1]):
            block, last = lists.spans[lists.members[member]]
            shift = lists.shifts[member]
            while block < last:
                aim(frame, 0, shift, floor(best, q, alone))
                old = count
                block, count = collect(isa, rows, meaning, (block, last), frame, at, candidates, count, enough)
                candidates.shifts[old:count] = shift
                if count > enough:
                    count = settle(rows, meaning, query, candidates, count, size // 2, room, best)
                    enough = min(size, 2 * count + FIRST)
        settle(rows, meaning, query, candidates, count, 0, room, best)


@inner
def count_up(count: int) -> Integers:
    """Return 0, 1, 2, …."""
    numbers = empty(count, np.int64)
    for n in range(count):
        numbers[n] = n
    return numbers


@inner(forceinline=True)
def floor(best: Best, q: int, alone: bool) -> np.float32:
    """Return the floor of a query; with one list only, for rows behind all that were seen.

    Of equal keys, the first k stay: so of rows that follow, those with a key equal to the floor don't count. For a
    query of zeros, all rows are equal.
    """
    least = best.floors[q]
    full = alone and best.counts[q] == best.keys.shape[1]
    return np.nextafter(least, np.float32(np.inf)) if full else least


@inner
def settle(
    rows: Rows, meaning: Meaning, query: Query, candidates: Candidates, count: int, left: int, room: Room, best: Best
) -> int:
    """Score the best candidates exactly, then forget those below the floor, until at most ``left`` are left.

    Return how many are. To leave none, all are scored after two such rounds: the floor hardly rises any more.
    """
    rounds = 0
    while True:
        last = left == 0 and rounds == ROUNDS
        chosen = room.all if last else room.places
        held = count if last else choose(candidates.keys, count, room)
        score(rows, meaning, query, candidates, chosen, held, room, best)
        count = forget(candidates, count, chosen, held, best.floors[query.number])
        rounds += 1
        if count <= left:
            return count


@inner
def choose(keys: Floats, count: int, room: Room) -> int:
    """Put the places of the best estimates into ``room.places``; return how many they are."""
    top, places, unused, held = room.keys, room.places, room.unused, 0
    for n in range(count):
        if held < len(top) or keys[n] > top[0]:
            held = push(top, places, unused, held, keys[n], n, np.float32(0))
    return held


@inner
def forget(candidates: Candidates, count: int, chosen: Integers, held: int, floor: np.float32) -> int:
    """Take out the first ``held`` that were chosen, and all below the floor; return how many are left."""
    keys, numbers, shifts = candidates
    for n in range(held):
        keys[chosen[n]] = -np.inf
    kept, least = 0, max(floor, LEAST_KEY)
    for n in range(count):
        if keys[n] >= least:
            keys[kept], numbers[kept], shifts[kept] = keys[n], numbers[n], shifts[n]
            kept += 1
    return kept


@inner
def score(
    rows: Rows,
    meaning: Meaning,
    query: Query,
    candidates: Candidates,
    chosen: Integers,
    count: int,
    room: Room,
    best: Best,
) -> None:
    """Score the first ``count`` chosen candidates exactly, but those that are below the floor by then."""
    keys, numbers, shifts = candidates
    q, p, eight, bits, places, later = query.number, query.p, room.eight, room.bits, room.now, room.ahead
    best_keys, best_rows, best_scores, floors = best.keys[q], best.rows[q], best.scores[q], best.floors
    side, bias, scale_format, eight_rows, totals = (
        rows.side,
        rows.bias,
        meaning.scale_format,
        eight.numbers,
        eight.totals,
    )
    held, k = best.counts[q], len(best_keys)
    next_, taken = 0, 0
    while True:
        ahead = 0
        while next_ < count and ahead < ROWS:
            place = chosen[next_]
            if keys[place] >= floors[q]:
                later[ahead] = place
                fetch(eight, numbers[place])
                ahead += 1
            next_ += 1
        if taken:
            row_totals(rows, meaning, p, eight)
            for n in range(taken):
                row, place = eight_rows[n], places[n]
                value = scale(side[row], scale_format, bits) * (totals[n] + query.known)
                if len(bias):
                    value += bias[row]
                value += shifts[place]
                key = min(keys[place], value * query.inverse)
                held = push(best_keys, best_rows, best_scores, held, key, row, value)
                if held == k:
                    floors[q] = max(floors[q], best_keys[0])
        taken = ahead
        if not taken:
            break
        for n in range(taken):
            places[n], eight_rows[n] = later[n], numbers[later[n]]
    best.counts[q] = held
