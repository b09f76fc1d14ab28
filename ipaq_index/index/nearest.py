"""The lists that fit a query best, out of the scores of all."""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty, in_rows, recast, zeros
from ipaq_index.inner import inner

LANES = 64  # sums kept apart, so that numba adds vectors
STEP = 16  # lists compared at once
TRIES = (
    8  # counts of the lists beyond a threshold: two or three as a rule; the threshold decides the time, not the answer
)
SORTED = 128  # candidates from which on sorting is faster than counting, for each, how many are better

Vectors = npt.NDArray[np.float32]
Lists = npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def best_lists(
    scores: Vectors, weights: Vectors, shifts: Vectors, allowed: npt.NDArray[np.bool_], lists: Lists, offsets: Vectors
) -> None:
    """Rank lists, as `rank`."""
    rank(scores, weights, shifts, allowed, lists, offsets)


@inner
def rank(
    scores: Vectors, weights: Vectors, shifts: Vectors, allowed: npt.NDArray[np.bool_], lists: Lists, offsets: Vectors
) -> None:
    """Fill ``lists`` with the columns of each row's largest keys, best first, ties by column; ``offsets`` with scores.

    A key is ``weight * score + shift``. A threshold is sought that a few more keys than wanted reach, and these are
    sorted: 1 us for the best 20 of 1,024, 4 us for the best 100.

    Parameters
    ----------
    scores : (nq, nlist) float32
    weights, shifts : (nlist,) float32
    allowed : (nlist,) bool
        Columns to choose from; empty for all.
    lists, offsets : (nq, nprobe) int64, float32
        Result; -1 and 0 where fewer than ``nprobe`` columns are allowed.
    """
    columns, count = empty(scores.shape[1], np.int64), 0
    for column in range(len(columns)):
        if len(allowed) == 0 or allowed[column]:
            columns[count] = column
            count += 1
    wanted = min(count, lists.shape[1])
    keys = empty(-(-count // LANES) * LANES, np.float32)
    for n in range(count, len(keys)):
        keys[n] = -np.inf
    order, chosen, bits = empty(count, np.int64), empty(count + 1, np.int64), recast(keys, np.int32)
    for q in range(scores.shape[0]):
        for place in range(wanted, lists.shape[1]):
            lists[q, place], offsets[q, place] = -1, 0
        if len(allowed) == 0:
            for n in range(count):
                keys[n] = scores[q, n] * weights[n] + shifts[n] + np.float32(0)  # which is never minus zero
        else:
            for n in range(count):
                column = columns[n]
                keys[n] = scores[q, column] * weights[column] + shifts[column] + np.float32(0)
        held = beyond(keys, threshold(keys, count, wanted), chosen)
        for n in range(held):
            place = chosen[n]
            value = np.int64(bits[place])
            order[n] = (value if value >= 0 else value ^ 0x7FFFFFFF) * (1 << 32) + (count - place)
        in_order = held > SORTED
        if in_order:
            merge_sort(order, held, chosen)
        for n in range(held):
            place = n if in_order else larger(order, held, order[n])
            if place < wanted:
                column = columns[count - (order[n] & 0xFFFFFFFF)]
                lists[q, place], offsets[q, place] = column, scores[q, column]


@inner(forceinline=True)
def larger(numbers: Lists, count: int, number: int) -> int:
    """Return how many of the first ``count`` numbers are larger than one of them: its place in order."""
    place = np.int64(0)
    for n in range(count):
        place += np.int64(numbers[n] > number)
    return int(place)


@inner
def merge_sort(numbers: Lists, count: int, room: Lists) -> None:
    """Sort the first ``count`` numbers, largest first; ``room`` is for as many. No branch depends on the numbers."""
    width = 1
    while width < count:
        for first in range(0, count, 2 * width):
            middle, last = min(first + width, count), min(first + 2 * width, count)
            left, right = first, middle
            for place in range(first, last):
                if left < middle and right < last:
                    one, other = numbers[left], numbers[right]
                    room[place] = max(one, other)
                    left += one > other
                    right += one <= other
                elif left < middle:
                    room[place] = numbers[left]
                    left += 1
                else:
                    room[place] = numbers[right]
                    right += 1
        for place in range(count):
            numbers[place] = room[place]
        width *= 2


@inner
def threshold(keys: Vectors, count: int, wanted: int) -> np.float32:
    """Return a number that at least ``wanted`` of ``count`` keys reach, few more if possible; padding is -inf.

    Of normally distributed keys a share of about exp(-z²/2) / 2 is more than z standard deviations above the mean: the
    first guess, which Newton's steps improve within what is known.
    """
    if 2 * wanted >= count:
        return np.float32(-np.inf)
    sums, squares = zeros(LANES, np.float32), zeros(LANES, np.float32)
    parts = in_rows(keys, LANES)
    for part in range(count // LANES):
        for n in range(LANES):
            sums[n] += parts[part, n]
            squares[n] += parts[part, n] * parts[part, n]
    seen = max(1, count // LANES * LANES)
    total, square = np.float32(0), np.float32(0)
    for n in range(LANES):
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
    counts, parts = zeros(LANES, np.int32), in_rows(keys, LANES)
    for part in range(len(parts)):
        for n in range(LANES):
            counts[n] += np.int32(parts[part, n] >= least)
    total = 0
    for n in range(LANES):
        total += counts[n]
    return total


@inner
def beyond(keys: Vectors, least: np.float32, chosen: Lists) -> int:
    """Fill ``chosen`` with the places of keys that are not below ``least``; return their number. Padding stays out."""
    held, steps, last = 0, in_rows(keys, STEP), len(chosen) - 1
    for step in range(len(steps)):
        promising = np.int32(0)
        for n in range(STEP):
            promising |= np.int32(steps[step, n] >= least)
        if promising:
            for n in range(STEP * step, min(STEP * step + STEP, last)):
                chosen[held] = n
                held += keys[n] >= least
    return held
