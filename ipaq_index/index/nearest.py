"""The lists that fit a query best, out of the scores of all."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from ipaq_index.arrays import empty, fill, in_rows
from ipaq_index.index.coarse import KEYS, TOGETHER, Coarse, make_sights, multiply_centroid, score_centroids
from ipaq_index.inner import emitted, inner
from ipaq_index.scan.emit import I64, floats, load, spread
from ipaq_index.scan.together import lowest_bit

# Counts of the keys beyond a threshold: two or three as a rule; the threshold decides the time, not the answer.
TRIES = 8
MOST = np.finfo(np.float32).max
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)

Vectors = npt.NDArray[np.float32]
Lists = npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def best_lists(
    isa: Any, coarse: Coarse, q: Vectors, allowed: npt.NDArray[np.bool_], lists: Lists, offsets: Vectors
) -> None:
    """Rank lists, as `rank_lists`."""
    rank_lists(isa, coarse, q, allowed, lists, offsets)


@inner
def rank_lists(
    isa: Any, coarse: Coarse, q: Vectors, allowed: npt.NDArray[np.bool_], lists: Lists, offsets: Vectors
) -> None:
    """Rank lists for (nq, d) queries, as `rank`; ``isa`` is one of `ipaq_index.scan.isa`."""
    sights = make_sights(coarse)
    for first in range(0, len(q), TOGETHER):
        last = min(first + TOGETHER, len(q))
        score_centroids(isa, coarse, q[first:last], sights)
        rank(sights.keys, coarse, q[first:last], allowed, lists[first:last], offsets[first:last])


@njit(nogil=True, cache=True)
def dots(q: Vectors, centroids: Vectors, lists: Lists, out: Vectors) -> None:
    """Fill ``out`` with ``<q, centroid>`` of each query's lists, (nq, m); 0 for list -1."""
    for i in range(len(q)):
        for m in range(lists.shape[1]):
            out[i, m] = multiply_centroid(q[i], centroids, lists[i, m]) if lists[i, m] >= 0 else np.float32(0)


@inner
def rank(
    keys: Vectors, coarse: Coarse, q: Vectors, allowed: npt.NDArray[np.bool_], lists: Lists, offsets: Vectors
) -> None:
    """Fill ``lists`` with those of each query's largest keys, best first, ties by list; ``offsets`` with <q, centroid>.

    A threshold is sought that a quarter and 8 more than wanted reach by what is known of their keys: among these are
    nearly always those with the largest ones. Their centroids are multiplied in full, then they are sorted.

    Parameters
    ----------
    keys : (nq or more, nlist or more) float32
        See `Sights`.
    coarse : Coarse
    q : (nq, d) float32
    allowed : (nlist,) bool
        Lists to choose from; empty for all.
    lists, offsets : (nq, nprobe) int64, float32
        Result; -1 and 0 where fewer than ``nprobe`` lists are allowed.
    """
    weights, shifts, centroids, nlist = coarse.weights, coarse.shifts, coarse.centroids, len(coarse.weights)
    columns, count = empty(len(allowed), np.int64), nlist
    if len(allowed):
        count = 0
        for column in range(nlist):
            columns[count] = column
            count += allowed[column]
    room, of_allowed, padded = empty((2, KEYS), np.float32), empty(keys.shape[1], np.float32), count + KEYS
    chosen, exact, products = empty(padded, np.int64), empty(padded, np.float32), empty(padded, np.float32)
    wanted = min(count, lists.shape[1])
    for i in range(len(q)):
        for place in range(lists.shape[1]):
            lists[i, place], offsets[i, place] = -1, 0
        own = keys[i]
        if len(allowed):
            fill(of_allowed, -np.inf)
            for n in range(count):
                of_allowed[n] = own[columns[n]]
            own = of_allowed
        held = beyond(own, count, threshold(own, count, min(count, wanted + wanted // 4 + 8), room), chosen)
        for n in range(held):
            column = columns[chosen[n]] if len(allowed) else chosen[n]
            chosen[n], products[n] = column, multiply_centroid(q[i], centroids, column)
            exact[n] = max(-MOST, min(MOST, weights[column] * products[n] + shifts[column]))
        for n in range(held, -(-held // KEYS) * KEYS):
            exact[n] = -np.inf
        for n in range(held):
            place = better(exact, n, held)
            if place < wanted:
                lists[i, place], offsets[i, place] = chosen[n], products[n]


@inner
def better(keys: Vectors, number: int, count: int) -> int:
    """Return how many of ``count`` keys are larger than one of them, or are equal and stand before it: its place."""
    key, place = keys[number], 0
    for first in range(0, count, KEYS):
        before = min(max(number - first, 0), KEYS)  # of these 64
        above = reached(keys, first, np.nextafter(key, np.float32(np.inf)))
        if before:
            above |= reached(keys, first, key) & ALL >> np.uint64(KEYS - before)
        place += count_bits(above)
    return place


@inner
def threshold(keys: Vectors, count: int, wanted: int, room: Vectors) -> np.float32:
    """Return a number that at least ``wanted`` of ``count`` keys reach, few more if possible; padding is -inf.

    Of normally distributed keys a share of about exp(-z²/2) / 2 is more than z standard deviations above the mean: the
    first guess, which Newton's steps improve within what is known. ``room`` is (2, `KEYS`).
    """
    if 2 * wanted >= count:
        return np.float32(-np.inf)
    sums, squares = room[0], room[1]
    fill(room, 0)
    parts = in_rows(keys, KEYS)
    for part in range(count // KEYS):
        for n in range(KEYS):
            sums[n] += parts[part, n]
            squares[n] += parts[part, n] * parts[part, n]
    seen = max(1, count // KEYS * KEYS)
    total, square = np.float32(0), np.float32(0)
    for n in range(KEYS):
        total, square = total + sums[n], square + squares[n]
    mean = total / seen
    spread = math.sqrt(max(float(square / seen - mean * mean), 0.0))
    if not 0 < spread < np.inf:
        return np.float32(-np.inf)
    low, high, goal = -np.inf, np.inf, wanted + max(4, wanted // 8)
    z = math.sqrt(2 * math.log(count / wanted / 2) + 0.1)
    for _ in range(TRIES):
        found = reaching(keys, np.float32(mean + z * spread))
        if found >= wanted:
            low = z
            if found <= goal + wanted // 4 + 4:
                break
        else:
            high = z
        z += math.log((found + 0.5) / goal) / max(z, 0.7)
        if not low < z < high:
            z = 0.5 * (low + high) if high < np.inf and low > -np.inf else (high - 1 if low == -np.inf else low + 1)
    return np.float32(mean + low * spread) if low > -np.inf else np.float32(-np.inf)


@inner
def reaching(keys: Vectors, least: np.float32) -> int:
    """Return how many keys are not below ``least``."""
    found = 0
    for first in range(0, len(keys), KEYS):
        found += count_bits(reached(keys, first, least))
    return found


@inner
def beyond(keys: Vectors, count: int, least: np.float32, chosen: Lists) -> int:
    """Fill ``chosen`` with the places of those of ``count`` keys that are not below ``least``; return their number."""
    held = 0
    for first in range(0, count, KEYS):
        above: Any = reached(keys, first, least)
        if count - first < KEYS:
            above &= ALL >> np.uint64(KEYS - (count - first))
        while above:
            chosen[held] = first + lowest_bit(above)
            above &= above - np.uint64(1)
            held += 1
    return held


def reached(keys: Vectors, first: int, least: np.float32) -> np.uint64:
    """Return a bit for each of 64 keys, from the one numbered ``first`` on: whether it is not below ``least``."""
    return np.uint64(sum(1 << n for n in range(KEYS) if keys[first + n] >= least))


@emitted(reached, forceinline=True)
def _reached(keys: Vectors, first: int, least: np.float32) -> Any:
    def emitted(keys: Vectors, first: int, least: np.float32) -> Any:
        return emit_reached(keys.ctypes.data + 4 * first, least)

    return emitted


@intrinsic
def emit_reached(_context: Any, keys: Any, least: Any) -> tuple[Any, Any]:
    """`reached` of the keys at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        found = load(builder, floats(KEYS), arguments[0])
        above = builder.fcmp_ordered(">=", found, spread(builder, floats(KEYS), arguments[1]))
        return builder.bitcast(above, I64)

    return types.uint64(types.intp, types.float32), generate


def count_bits(word: np.uint64) -> int:
    """Return how many bits are set."""
    return int(word).bit_count()


@emitted(count_bits, forceinline=True)
def _count_bits(word: Any) -> Any:
    def emitted(word: Any) -> int:
        return emit_count(np.uint64(word))

    return emitted


@intrinsic
def emit_count(_context: Any, word: Any) -> tuple[Any, Any]:
    """`count_bits` as one instruction."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.intp(types.uint64), generate
