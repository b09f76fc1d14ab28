"""The k best rows so far: a heap whose root is the worst of them.

Rows are ordered by key, descending, then by number, so what is kept does not depend on the order in which they come.
Each carries a score.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.inner import inner

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class Best(NamedTuple):
    """The best rows of each query: heaps until they are put in order.

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
    rows: Ids
    scores: Floats
    counts: Ids
    floors: Floats


class Lift(NamedTuple):
    """What finer vectors may add to scores, where they choose among the rows found.

    Attributes
    ----------
    heights : (nq,) float32
        A row may be worth its score and ``scale * height``; empty for its score alone.
    wanted : int
        A row need not be found that may not be worth the so many best scores.
    """

    heights: Floats
    wanted: int


@inner
def before(key: np.float32, row: int, other_key: np.float32, other_row: int) -> bool:
    """Return whether the first row is better than the second."""
    return bool(key > other_key or (key == other_key and row < other_row))


@inner
def push(keys: Floats, rows: Ids, scores: Floats, count: int, key: np.float32, row: int, score: np.float32) -> int:
    """Offer a row to a heap of ``count`` rows with room for ``len(rows)``; return how many it holds then."""
    if count == len(rows):
        if before(key, row, keys[0], rows[0]):
            sift(keys, rows, scores, count, 0, key, row, score)
        return count
    place = count
    while place:
        parent = (place - 1) // 2
        if not before(keys[parent], rows[parent], key, row):
            break
        keys[place], rows[place], scores[place] = keys[parent], rows[parent], scores[parent]
        place = parent
    keys[place], rows[place], scores[place] = key, row, score
    return count + 1


@inner
def sift(
    keys: Floats, rows: Ids, scores: Floats, count: int, place: int, key: np.float32, row: int, score: np.float32
) -> None:
    """Put a row in ``place``, or below where those are worse, in a heap of ``count`` rows."""
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        if child + 1 < count and before(keys[child], rows[child], keys[child + 1], rows[child + 1]):
            child += 1
        if not before(key, row, keys[child], rows[child]):
            break
        keys[place], rows[place], scores[place] = keys[child], rows[child], scores[child]
        place = child
    keys[place], rows[place], scores[place] = key, row, score


@inner
def order(keys: Floats, rows: Ids, scores: Floats, count: int) -> None:
    """Turn a heap of ``count`` rows into a list by score, best first (heapsort; Williams, 1964); keys become scores."""
    for n in range(count):
        keys[n] = scores[n]
    for place in range(count // 2 - 1, -1, -1):
        sift(keys, rows, scores, count, place, keys[place], rows[place], scores[place])
    for last in range(count - 1, 0, -1):
        key, row, score = keys[last], rows[last], scores[last]
        keys[last], rows[last], scores[last] = keys[0], rows[0], scores[0]
        sift(keys, rows, scores, last, 0, key, row, score)


@inner
def raise_least(heaps: Floats, q: int, size: int, value: np.float32) -> None:
    """Put ``value`` in the place of the least of a heap, ``heaps[q, :size]``, which is its root and less."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heaps[q, child + 1] < heaps[q, child]:
            child += 1
        if value <= heaps[q, child]:
            break
        heaps[q, place] = heaps[q, child]
        place = child
    heaps[q, place] = value
