"""The best of some candidates by their finer vectors, in compiled code."""

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty, fill, recast, zeros
from ipaq_index.index.fine_scores import TOGETHER, Fine, fetch_row, fill_table, make_table, score_four
from ipaq_index.inner import inner
from ipaq_index.scan.block import ScaleFormat, scale

AHEAD = 16  # rows on their way to the cache
SORTED = 128  # candidates from which on sorting is faster than counting, for each, how many are better

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def finest(
    fine: Fine,
    side: np.ndarray,
    scale_format: ScaleFormat,
    q: Floats,
    heights: Floats,
    l2: bool,
    scores: Floats,
    rows: Ids,
    best: Floats,
    numbers: Ids,
) -> None:
    """Let finer vectors choose, as `choose_finest`."""
    choose_finest(fine, side, scale_format, q, heights, l2, scores, rows, best, numbers)


@inner
def choose_finest(
    fine: Fine,
    side: np.ndarray,
    scale_format: ScaleFormat,
    q: Floats,
    heights: Floats,
    l2: bool,
    scores: Floats,
    rows: Ids,
    best: Floats,
    numbers: Ids,
) -> None:
    """Find the ``k`` best candidates of each query by their finer vectors.

    Parameters
    ----------
    fine : Fine
        Finer vectors.
    side, scale_format
        Of all rows; see `ipaq_index.scan.packed`.
    q : (nq, d) float32
        Queries.
    heights : (nq,) float32
        Candidates are looked at which may be worth the ``k`` best scores: see `ipaq_index.scan.Lift`. Empty for all.
    l2 : bool
        Whether a score is minus the squared distance rather than the inner product.
    scores, rows : (nq, m) float32, int64
        Candidates, best first; rows -1 behind the last.
    best, numbers : (nq, k) float32, int64
        Result: scores, descending, ties by row, and rows; -inf and -1 for none.
    """
    k, most = best.shape[1], rows.shape[1]
    stored, address, table = fine.stored, fine.stored.ctypes.data, make_table(q.shape[1])
    chosen, keys, room = empty(most, np.int64), empty(most, np.int64), empty(most, np.int64)
    value, place_bits = empty(1, np.float32), recast(best, np.int32)
    bits, out, residual = recast(value, np.int32), table.out, fine.residual
    told, units = zeros(most, np.float32), empty(most, np.float32)
    fill(units, 1)
    for i in range(len(q)):
        for following in range(i if i == 0 else i + 1, min(i + 2, len(q))):
            for m in range(min(k, AHEAD, most)):
                if rows[following, m] >= 0:
                    fetch_row(stored, address, rows[following, m])
        base = fill_table(q[i], fine, l2, table)
        count = 0
        for m in range(most):
            row = rows[i, m]
            if row < 0:
                break
            if residual or (m >= k and len(heights)):
                factor = scale(side[row], scale_format)
                if m >= k and len(heights) and scores[i, m] + factor * heights[i] < scores[i, k - 1]:
                    continue
                if residual:
                    told[count], units[count] = scores[i, m], unit(factor)
            if k <= m and count < AHEAD:
                fetch_row(stored, address, row)
            chosen[count] = row
            count += 1
        for first in range(0, count, TOGETHER):
            for n in range(first + AHEAD, min(first + AHEAD + TOGETHER, count)):
                fetch_row(stored, address, chosen[n])
            score_four(stored, address, chosen[:count], first, l2, table)
            for n in range(first, min(first + TOGETHER, count)):
                value[0] = told[n] + units[n] * (out[n - first] + base) + np.float32(0)  # which is never minus zero
                number = np.int64(bits[0])
                number = number if number >= 0 else number ^ 0x7FFFFFFF
                keys[n] = number * (1 << 32) + (0x7FFFFFFF - chosen[n])
        in_order = count > SORTED
        if in_order:
            merge_sort(keys, count, room)
        for n in range(min(count, k), k):
            best[i, n], numbers[i, n] = -np.inf, -1
        for n in range(count):
            place = n if in_order else larger(keys, count, keys[n])
            if place < k:
                number = keys[n] >> 32
                place_bits[i, place] = number if number >= 0 else number ^ 0x7FFFFFFF
                numbers[i, place] = 0x7FFFFFFF - (keys[n] & 0xFFFFFFFF)


@inner(forceinline=True)
def larger(numbers: Ids, count: int, number: int) -> int:
    """Return how many of the first ``count`` numbers are larger than one of them: its place in order."""
    place = np.int64(0)
    for n in range(count):
        place += np.int64(numbers[n] > number)
    return int(place)


@inner
def merge_sort(numbers: Ids, count: int, room: Ids) -> None:
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


@njit(nogil=True, cache=True)
def score_candidates(
    fine: Fine, side: np.ndarray, scale_format: ScaleFormat, q: Floats, rows: Ids, l2: bool, scores: Floats
) -> None:
    """Set ``scores`` of ``rows``, (m,), as `choose_finest`; with residuals, they come as codes tell them."""
    stored, address, table = fine.stored, fine.stored.ctypes.data, make_table(len(q))
    base, out = fill_table(q, fine, l2, table), table.out
    for first in range(0, len(rows), TOGETHER):
        score_four(stored, address, rows, first, l2, table)
        for n in range(first, min(first + TOGETHER, len(rows))):
            score = out[n - first] + base
            if fine.residual:
                score = scores[n] + unit(scale(side[rows[n]], scale_format)) * score
            scores[n] = score + np.float32(0)


@inner(forceinline=True)
def unit(factor: np.float32) -> np.float32:
    """Return in what unit a row's residual is kept, by its scale."""
    return factor if factor > 0 else np.float32(1)
