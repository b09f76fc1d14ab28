"""Rows that may be among the best of a batch's queries, and their exact scores in the end."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import empty, recast
from ipaq_index.inner import inner
from ipaq_index.scan.block import BLOCK, scale
from ipaq_index.scan.frame import Weights, make_weights
from ipaq_index.scan.lows import make_lows
from ipaq_index.scan.packed import Floats, Integers, Meaning, Rows
from ipaq_index.scan.reservoir import Best, Lift, push
from ipaq_index.scan.together import ROWS, fetch, make_together, row_totals

MANY = 256  # neighbours up to which lower estimates are kept in order: inserting takes as long as in a heap then
SPARE = 64  # rows beyond 2 k that may wait: two blocks
RANKED = 64  # neighbours up to which the best rows that wait are scored first


class Waiting(NamedTuple):
    """Rows that may be among the best, not scored exactly yet.

    Of 8,600 rows of GloVe that a query of 22 lists looks at, 104 were once among the best 10; 20 are never below the
    tenth best lower estimate, and only these are decoded one by one.

    Attributes
    ----------
    table : (nq, 3 room) float32
        Of each row its upper estimate, what is added to its exact score, and (in ``numbers``) its number.
    numbers : (nq, 3 room) int32
        The same memory.
    lows : (nq, parts + 1, 16) float32
        The best lower estimates, at first -inf, ascending; see `lows`. For more than `MANY` neighbours a heap.
    counts : (nq,) int64
        How many rows wait.
    room, wanted : int
        How many may, and how many lower estimates are kept.
    """

    table: Floats
    numbers: npt.NDArray[np.int32]
    lows: Floats
    counts: Integers
    room: int
    wanted: int


class Asked(NamedTuple):
    """What goes with queries from one piece of the rows to the next.

    To begin anew with each cost a third of the time of 1,000 queries of 10,000 rows (1,536-d): what waited was scored.

    Attributes
    ----------
    weights : Weights
    known : (nq,) float32
        See `known_parts`.
    waiting : Waiting
    heights : (nq,) float32
        See `Lift`.
    """

    weights: Weights
    known: Floats
    waiting: Waiting
    heights: Floats


def room_for(queries: int, k: int, meaning: Meaning, lift: Lift) -> Asked:
    """Return room for queries and for rows that wait."""
    room = 2 * k + SPARE
    table, counts = np.empty((queries, 3 * room), dtype=np.float32), np.zeros(queries, dtype=np.int64)
    waiting = Waiting(table, recast(table, np.int32), make_lows(queries, lift.wanted), counts, room, lift.wanted)
    return Asked(make_weights(queries, meaning), np.empty(queries, dtype=np.float32), waiting, lift.heights)


@inner
def make_room(
    q: int,
    rows: Rows,
    meaning: Meaning,
    p: Floats,
    known: Floats,
    weights: Weights,
    waiting: Waiting,
    best: Best,
) -> None:
    """Forget waiting rows of query ``q`` that are below its floor by now; if few are, score all that wait."""
    table, kept = waiting.table[q], 0
    for place in range(0, 3 * waiting.counts[q], 3):
        if table[place] >= best.floors[q]:
            table[kept], table[kept + 1] = table[place], table[place + 1]
            waiting.numbers[q, kept + 2] = waiting.numbers[q, place + 2]
            kept += 3
    waiting.counts[q] = kept // 3
    if waiting.counts[q] > waiting.room - BLOCK - BLOCK // 2:
        settle(q, q + 1, rows, meaning, p, known, weights, waiting, best)


@inner
def settle(
    begin: int,
    end: int,
    rows: Rows,
    meaning: Meaning,
    p: Floats,
    known: Floats,
    weights: Weights,
    waiting: Waiting,
    best: Best,
) -> None:
    """Score the waiting rows of queries ``begin`` to ``end`` - 1 exactly and keep the best."""
    together, places = make_together(rows, meaning), empty(ROWS, np.int64)
    room, numbers, counts = waiting.room, waiting.numbers, waiting.counts
    best_first = best.keys.shape[1] <= RANKED
    now, ahead, estimates = empty(room, np.int64), empty(room, np.int64), empty(room, np.float32)
    held = chosen(begin, waiting, best, best_first, estimates, now) if begin < end else 0
    for q in range(begin, end):
        next_held = 0
        if q + 1 < end:  # its codes come while those of this query are scored
            next_held = chosen(q + 1, waiting, best, best_first, estimates, ahead)
            for n in range(min(ROWS, next_held)):
                fetch(together.at, numbers[q + 1, ahead[n] + 2])
        table, keys, kept, scores, query = waiting.table[q], best.keys[q], best.rows[q], best.scores[q], p[q]
        for first in range(0, held, ROWS):
            gathered = 0
            for n in range(first, min(held, first + ROWS)):
                places[gathered], together.numbers[gathered] = now[n], numbers[q, now[n] + 2]
                gathered += table[now[n]] >= best.floors[q]
            if not gathered:
                continue
            row_totals(rows, meaning, query, together)
            for g in range(gathered):
                high, shift = table[places[g]], table[places[g] + 1]
                row = together.numbers[g]
                factor = scale(rows.side[row], meaning.scale_format)
                score = factor * (together.totals[g] + known[q])
                if len(rows.bias):
                    score += rows.bias[row]
                score += shift
                low, high = high - factor * weights.slack[q], high - factor * weights.heights[q]
                key = max(low, min(high, score * weights.inverse[q]))
                if weights.heights[q] > 0 and key + factor * weights.heights[q] < best.floors[q]:
                    continue
                best.counts[q] = push(keys, kept, scores, best.counts[q], key, row, score)
                if best.counts[q] == len(keys):
                    best.floors[q] = max(best.floors[q], keys[0])
        counts[q] = 0
        now, ahead, held = ahead, now, next_held


@inner
def chosen(q: int, waiting: Waiting, best: Best, best_first: bool, estimates: Floats, places: Integers) -> int:
    """Fill ``places`` with those of the waiting rows of query ``q`` that reach its floor; return how many do.

    The best 16 first, by upper estimates: they are scored together, and the floor is above most others then.
    """
    table, held = waiting.table[q], 0
    for place in range(0, 3 * waiting.counts[q], 3):
        places[held], estimates[held] = place, table[place]
        held += table[place] >= best.floors[q]
    if best_first and held > ROWS:
        first = 0
        for n in range(held):
            better = np.int32(0)
            for other in range(held):
                better += np.int32(estimates[other] > estimates[n])
            if better < ROWS and first < ROWS:
                places[first], places[n] = places[n], places[first]
                first += 1
    return held
