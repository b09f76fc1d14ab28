"""A search for few queries, one after the other: look-ups by nibble give upper estimates, the best are scored exactly.

Rows whose upper estimate is not below the floor become candidates. An exact score costs a hundred times what the
look-ups of a row do, so they are made best estimate first: those raise the floor, and most candidates fall below it
unscored.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ipaq_index.arrays import empty, in_rows, lines
from ipaq_index.inner import inner
from ipaq_index.scan.bars import bend, fill_bars, make_curve
from ipaq_index.scan.block import scale
from ipaq_index.scan.emit_lookups import TABLE
from ipaq_index.scan.exact import known_parts
from ipaq_index.scan.frame import fill_lookups, make_frame
from ipaq_index.scan.kernel import Lists, aim
from ipaq_index.scan.layout import BLOCK
from ipaq_index.scan.lookup import CHUNK, Candidates, collect, make_candidates, places
from ipaq_index.scan.lows import LANES, clear_lows, insert_low
from ipaq_index.scan.packed import Floats, Integers, Meaning, Rows
from ipaq_index.scan.reservoir import Best, Lift, before, push
from ipaq_index.scan.together import ROWS, Together, fetch, make_together, row_totals

FIRST_CHUNK = 8  # blocks looked at without a floor
FIRST = 256  # candidates after which some are scored for the first time, so that there is a floor
CANDIDATES = 4096  # that wait for their exact scores, at the most; four times k if that is more
LEAST = ROWS  # candidates scored together
MANY, PART = 512, 8  # of so many more that wait one is scored, at the least: to choose takes as long as many wait
LEAST_KEY = np.finfo(np.float32).min
NEAR = 1 << 18  # bytes of codes that are in the second-level cache: to fetch them would take a tenth of exact scores
HALVINGS = 20  # of the range of keys, to choose the best
ROUNDS = 2  # of these, before all that are left are scored


class Query(NamedTuple):
    """Number of a query, its projection, what dimensions without bits add to its scores, 1 / step, and its `Lift`.

    ``height`` is in units of the step, as is ``raised``: by how much of it estimates are lifted.
    """

    number: int
    p: Floats
    known: np.float32
    inverse: np.float32
    height: np.float32
    raised: np.float32
    wanted: int


class Room(NamedTuple):
    """Room to choose and score candidates in.

    Attributes
    ----------
    chosen : (size,) int64
        Places of candidates.
    together : Together
        Room for those that are being scored.
    now, ahead : (16,) int64
        Their places, and those of the next.
    lows : (1, parts + 1, 16) float32
        The best keys where not so many are wanted as are kept; see `ipaq_index.scan.lows`.
    """

    chosen: Integers
    together: Together
    now: Integers
    ahead: Integers
    lows: Floats


@njit(nogil=True, cache=True)
def by_lookups(isa: Any, rows: Rows, meaning: Meaning, p: Floats, lists: Lists, lift: Lift, best: Best) -> None:
    """Scan query by query, as `look_up`."""
    look_up(isa, rows, meaning, p, lists, lift, best)


@inner
def look_up(isa: Any, rows: Rows, meaning: Meaning, p: Floats, lists: Lists, lift: Lift, best: Best) -> None:
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
    lift : Lift
        Upper estimates are those of what rows may be worth.
    best : Best
        Result.
    """
    k = best.keys.shape[1]
    size = max(CANDIDATES, 4 * k)
    most = size + CHUNK * BLOCK + 1  # one more is written, and counted only if it reaches the floor
    candidates = make_candidates(most, meaning.looked)
    places_ = empty((2, ROWS), np.int64)
    lows = empty((1, -(-lift.wanted // LANES) + 1, LANES), np.float32)
    room = Room(empty(most, np.int64), make_together(rows, meaning), places_[0], places_[1], lows)
    known = known_parts(p, meaning)
    curve = make_curve(rows, meaning)
    far = np.sqrt(2 * np.log(max(rows.size / k, math.e)))  # a k-th of so many normal scores is hardly further out
    for q in range(len(p)):
        tables = lines((meaning.looked, 2, TABLE), np.uint8)
        frame = make_frame(tables, 1)
        height = lift.heights[q] if len(lift.heights) else np.float32(0)
        frame.start[0], step, raised = fill_lookups(p[q], meaning, far, height, tables)
        inverse = np.float32(1) / step
        query = Query(q, p[q], known[q], inverse, height * inverse, raised, lift.wanted)
        frame.bars[0, 0] = inverse
        if lift.wanted < k:
            clear_lows(room.lows)
        at = places(rows, meaning, frame, candidates)
        count, enough, seen = 0, FIRST, 0
        bend(rows, best, q, curve)
        alone = lists.begins[q + 1] - lists.begins[q] == 1
        for member in range(lists.begins[q], lists.begins[q + 1]):
            block, last = lists.spans[lists.members[member]]
            shift = lists.shifts[member]
            fresh = True
            while block < last:
                if fresh:
                    aim(frame, 0, shift, floor(best, q, alone))
                    fill_bars(frame, curve)
                    fresh = False
                old, stop = count, min(last, block + min(CHUNK, max(FIRST_CHUNK, seen)))
                count = collect(isa, rows, meaning, (block, stop), frame, at, candidates, count)
                candidates.shifts[old:count] = shift
                seen, block = seen + stop - block, stop
                if count > enough:
                    count = settle(rows, meaning, query, candidates, count, size // 2, room, best)
                    enough = min(size, 2 * count + FIRST)
                    bend(rows, best, q, curve)
                    fresh = True
        settle(rows, meaning, query, candidates, count, 0, room, best)


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
        held = choose(
            candidates.keys,
            count,
            count if last else max(LEAST, query.wanted, (count - MANY) // PART),
            room.chosen,
        )
        score(rows, meaning, query, candidates, held, room, best)
        count = forget(candidates, count, room.chosen[:held], best.floors[query.number], room.chosen)
        rounds += 1
        if count <= left:
            return count


@inner(forceinline=True)
def choose(keys: Floats, count: int, least: int, chosen: Integers) -> int:
    """Put the places of the best estimates into ``chosen``; return how many: ``least`` or up to twice as many.

    The bar that so many reach is found by halving: ten times as fast as a heap, for no CPU foresees what enters one.
    Where many are equal there is no such bar; then it is twice ``least`` of those that reach the last one.
    """
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for n in range(count):
        low, high = min(low, keys[n]), max(high, keys[n])
    for _ in range(HALVINGS if count > 2 * least else 0):
        bar = (low + high) / np.float32(2)
        reach = np.int32(0)
        for n in range(count):
            reach += np.int32(keys[n] >= bar)
        if reach >= least:
            low = bar
            if reach <= 2 * least:
                break
        else:
            high = bar
    held = 0
    for n in range(count):
        chosen[held] = n
        held += keys[n] >= low
        if held == 2 * least:
            break
    return held


@inner(forceinline=True)
def forget(candidates: Candidates, count: int, chosen: Integers, floor: np.float32, room: Integers) -> int:
    """Take out those that were chosen, and all below the floor; return how many are left. ``room`` is for ``count``."""
    keys, numbers, shifts = candidates.keys, candidates.rows, candidates.shifts
    for place in chosen:
        keys[place] = -np.inf
    kept, least = 0, max(floor, LEAST_KEY)
    for n in range(count):
        room[kept] = n
        kept += keys[n] >= least
    for place in range(kept):  # most are forgotten: not to move these takes half of the time off
        n = room[place]
        keys[place], numbers[place], shifts[place] = keys[n], numbers[n], shifts[n]
    return kept


@inner
def score(
    rows: Rows, meaning: Meaning, query: Query, candidates: Candidates, count: int, room: Room, best: Best
) -> None:
    """Score the first ``count`` chosen candidates exactly, but those that are below the floor by then."""
    keys, numbers, shifts = candidates.keys, candidates.rows, candidates.shifts
    q, p, together, places, later, at = query.number, query.p, room.together, room.now, room.ahead, room.together.at
    best_keys, best_rows, best_scores, floors = best.keys[q], best.rows[q], best.scores[q], best.floors
    side, bias, scale_format, chosen_rows, totals = (
        rows.side,
        rows.bias,
        meaning.scale_format,
        together.numbers,
        together.totals,
    )
    held, k, far = best.counts[q], len(best_keys), rows.blocks.nbytes > NEAR
    lows, in_lows, fewer = room.lows, room.lows.ctypes.data, query.wanted < k
    least = in_rows(lows, lows.shape[1] * LANES)
    nth = -(-query.wanted // LANES) * LANES - query.wanted
    next_, taken = 0, 0
    while True:
        ahead = 0
        while next_ < count and ahead < ROWS:
            place = room.chosen[next_]
            if keys[place] >= floors[q]:
                later[ahead] = place
                if far:
                    fetch(at, numbers[place])
                ahead += 1
            next_ += 1
        if taken:
            row_totals(rows, meaning, p, together)
            for n in range(taken):
                row, place = chosen_rows[n], places[n]
                factor = scale(side[row], scale_format)
                value = factor * (totals[n] + query.known)
                if len(bias):
                    value += bias[row]
                value += shifts[place]
                key = min(keys[place] - factor * query.raised, value * query.inverse)
                if fewer and key > least[0, nth]:
                    insert_low(lows, in_lows, 0, key)
                    floors[q] = max(floors[q], least[0, nth])
                if fewer and key + factor * query.height < floors[q]:
                    continue
                if held == k and not before(key, row, best_keys[0], best_rows[0]):
                    continue  # as `push` would; not to call it for rows that stay out saves 2 % of a lone query
                held = push(best_keys, best_rows, best_scores, held, key, row, value)
                if held == k:
                    floors[q] = max(floors[q], best_keys[0])
        taken = ahead
        if not taken:
            break
        for n in range(taken):
            places[n], chosen_rows[n] = later[n], numbers[later[n]]
    best.counts[q] = held
