"""k-means level sets of many lines at once: the table that bits are shared out by.

`ipaq_index.levels.solve_many` finds the optimum and proves it; here 384 lines of 17,000 values at nine sizes have to
take less time than encoding does: 0.5 s against 90 s. Values are cut into cells of equal error, what an optimum has
in the limit of many levels, so that the tails are followed. Up to 16 levels, the best path over the ends of 128 such
cells is taken; Lloyd's iteration refines both. On values that were not fitted (11 kinds of lines,
normal to Cauchy), the error is within 4 % of what the optimum for the sample leaves there, and as often below it.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import empty, zeros
from ipaq_index.inner import inner
from ipaq_index.interruptible import mapped
from ipaq_index.quantizer.allocation import MAX_BITS

TRIALS = 24  # of an error that cells have in common; bisection ends earlier where the number of cells is met
ITERATIONS = 40  # of Lloyd's at most
NOISE = 1e-13  # of the squared length of a line: errors below it are rounding
SETTLED = 1e-4  # relative fall of the error by an iteration at which it ends
PATH_BITS = 4  # bits up to which the best path is looked for
END_BITS = 7  # logarithm of the number of cells over whose ends: twice as many leave 0.05 % less error
PART_LINES = 16  # that a thread takes at a time
LEVELS = (2 << MAX_BITS) - 1  # of all sizes together

Doubles = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]


class LineTable(NamedTuple):
    """Level sets of 1, 2, 4, …, 256 levels for each line.

    Attributes
    ----------
    costs : (lines, 9) float64
        Sum of squared distances to the nearest level.
    levels : (lines, 511) float32
        2^b levels, sorted, from 2^b - 1 on; the last is repeated where there are fewer different values.
    """

    costs: Doubles
    levels: npt.NDArray[np.float32]

    def set(self, line: int, bits: int) -> npt.NDArray[np.float32]:
        """Return the 2^bits levels of a line."""
        return self.levels[line, (1 << bits) - 1 : (2 << bits) - 1]


def fit_lines(y: npt.NDArray[np.float32], threads: int) -> LineTable:
    """Fit level sets to every column.

    Parameters
    ----------
    y : (m, lines) float32
        Values, finite.
    threads : int
        Threads to use; the result does not depend on it.

    Returns
    -------
    LineTable
    """
    table = LineTable(np.empty((y.shape[1], MAX_BITS + 1)), np.empty((y.shape[1], LEVELS), dtype=np.float32))

    def part(first: int) -> None:
        lines = slice(first, first + PART_LINES)
        fit_sorted(np.sort(y[:, lines].T, axis=1), table.costs[lines], table.levels[lines])

    mapped(part, range(0, y.shape[1], PART_LINES), threads)
    return table


@njit(nogil=True, cache=True)
def fit_sorted(values: npt.NDArray[np.float32], costs: Doubles, levels: npt.NDArray[np.float32]) -> None:
    """Fill ``costs`` and ``levels`` of `LineTable` from ``values`` (lines, m), each line sorted."""
    m = values.shape[1]
    x, first, second = empty(m, np.float64), zeros(m + 1, np.float64), zeros(m + 1, np.float64)
    cuts = empty((1 << MAX_BITS) + 1, np.int64)
    ends = empty((1 << END_BITS) + 1, np.int64)
    path_costs = empty((2, len(ends)), np.float64)
    before = zeros(((1 << PATH_BITS) + 1, len(ends)), np.int64)
    for line in range(len(values)):
        # Centred, so that a common offset does not use up the digits of the sums of squares.
        total = 0.0
        for i in range(m):
            total += np.float64(values[line, i])
        centre = total / m
        for i in range(m):
            x[i] = values[line, i] - centre
            first[i + 1], second[i + 1] = first[i] + x[i], second[i] + x[i] * x[i]
        share = 0.0
        for b in range(MAX_BITS, -1, -1):
            s = 1 << b
            if b <= PATH_BITS:
                cuts[s] = m
                place = len(ends) - 1
                for k in range(s, 0, -1):
                    place = before[k, place]
                    cuts[k - 1] = ends[place]
            else:
                share = equal_errors(first, second, s, 8 * share, cuts)
            if b == END_BITS:
                for k in range(len(ends)):
                    ends[k] = cuts[k]
                best_paths(first, second, ends, path_costs, before)
            costs[line, b] = lloyd(x, first, second, s, cuts)
            where, last = s - 1, -np.inf
            for k in range(s):
                count = cuts[k + 1] - cuts[k]
                if count:
                    last = (first[cuts[k + 1]] - first[cuts[k]]) / count
                levels[line, where + k] = last + centre
            for k in range(s - 1, -1, -1):  # cells without values before the first that has some
                if levels[line, where + k] == -np.inf:
                    levels[line, where + k] = levels[line, where + k + 1]


@inner
def cell_error(first: Doubles, second: Doubles, i: int, j: int) -> float:
    """Return the squared error of values i to j - 1 about their mean."""
    total = first[j] - first[i]
    return max(second[j] - second[i] - total * total / (j - i), 0.0)


@inner
def fits(first: Doubles, second: Doubles, i: int, j: int, most: float) -> bool:
    """Return whether `cell_error` is at most ``most``, without dividing: that is what searches wait for."""
    total, count = first[j] - first[i], j - i
    return (second[j] - second[i]) * count - total * total <= most * count


@inner
def cut(first: Doubles, second: Doubles, s: int, most: float, cuts: Ranks) -> int:
    """Cut values from the left into cells of error ``most`` at most; return how many it takes, up to ``2 s``.

    ``cuts`` gets the first ``s`` of them.
    """
    n = len(first) - 1
    i, width, cells = 0, max(1, n // s), 0
    cuts[0] = 0
    while i < n and cells < 2 * s:
        # Twice as far until it is too far, then bisect; the cell before is a good guess.
        good, bad, step = i + 1, n + 1, width
        while good < n and bad > n:
            there = min(good + step, n)
            if fits(first, second, i, there, most):
                good = there
                step *= 2
            else:
                bad = there
        while bad - good > 1:
            middle = (good + bad) // 2
            if middle <= n and fits(first, second, i, middle, most):
                good = middle
            else:
                bad = middle
        cells += 1
        if cells <= s:
            cuts[cells] = good
        width, i = good - i, good
    for k in range(cells + 1, s + 1):
        cuts[k] = n
    return cells if i == n else 2 * s + 1


@inner
def equal_errors(first: Doubles, second: Doubles, s: int, guess: float, cuts: Ranks) -> float:
    """Set ``cuts`` to ``s`` cells whose largest error is least, nearly; return that error.

    The number of cells falls with the cube root of the error where values are dense, which tells the next trial; every
    third one halves what is left.
    """
    n = len(first) - 1
    low, high = 0.0, second[n]
    if cut(first, second, s, NOISE * high, cuts) <= s:
        return 0.0
    trial = guess if 0 < guess < high else high / s**3
    for number in range(TRIALS):
        cells = cut(first, second, s, trial, cuts)
        if cells <= s:
            high = trial
        else:
            low = trial
        if high < 1.02 * low:
            break
        trial *= (cells / s) ** 3 if cells != s else 0.985
        if low > 0 and (number % 3 == 2 or not low < trial < high):
            trial = np.sqrt(low * high) if high < 100 * low else min(4 * low, high)
        elif not trial < high:
            trial = high / 4
    if high != trial:
        cut(first, second, s, high, cuts)
    return high


@inner
def best_paths(first: Doubles, second: Doubles, ends: Ranks, costs: Doubles, before: Ranks) -> None:
    """Fill ``before[k, i]``: where the last of the k best cells that end at ``ends[i]`` begins.

    Errors of cells obey the quadrangle inequality, so beginnings grow with i and with k (Yao, 1980): all i of one k
    take O(ends) steps.

    Parameters
    ----------
    first, second : (m + 1,) float64
        Sums of values and of squares.
    ends : (e,) int64
        Where cells may end.
    costs : (2, e) float64
        Overwritten.
    before : (k + 1, e) int64
        Result; row 0 is zero.
    """
    last = len(ends) - 1
    costs[0, :] = np.inf
    costs[0, 0] = 0.0
    for k in range(1, len(before)):
        old, new = costs[(k - 1) & 1], costs[k & 1]
        new[0], before[k, 0] = 0.0, 0  # empty cells are free
        most = last
        for i in range(last, 0, -1):
            best, chosen = np.inf, before[k - 1, i]
            for h in range(before[k - 1, i], min(most, i) + 1):
                error = old[h]
                if ends[h] < ends[i]:
                    error += cell_error(first, second, ends[h], ends[i])
                if error < best:
                    best, chosen = error, h
            new[i], before[k, i] = best, chosen
            most = chosen


@inner
def lloyd(x: Doubles, first: Doubles, second: Doubles, s: int, cuts: Ranks) -> float:
    """Move the ends of cells half way between the means of their values until that gains little; return the error."""
    n = len(x)
    before = np.inf
    error = 0.0
    for turn in range(ITERATIONS + 1):
        error = 0.0
        for k in range(s):
            if cuts[k + 1] > cuts[k]:
                error += cell_error(first, second, cuts[k], cuts[k + 1])
        if turn == ITERATIONS or error >= before * (1 - SETTLED):
            break
        before = error
        previous = np.nan
        held = cuts[0]
        for k in range(s):
            end = cuts[k + 1]
            if end == held:
                continue
            mean = (first[end] - first[held]) / (end - held)
            if k and not np.isnan(previous):
                cuts[k] = place(x, 0.5 * (previous + mean), held)
            held, previous = end, mean
        for k in range(1, s + 1):
            cuts[k] = min(max(cuts[k], cuts[k - 1]), n)
    return error


@inner
def place(x: Doubles, value: float, guess: int) -> int:
    """Return how many of the sorted ``x`` are at most ``value``; looked for around ``guess``."""
    n = len(x)
    step = 1
    if guess < n and x[guess] <= value:
        low = guess
        while low + step < n and x[low + step] <= value:
            low += step
            step *= 2
        high = min(low + step, n)
    else:
        high = min(guess, n)
        low = high - 1
        while low >= 0 and x[low] > value:
            high = low
            low -= step
            step *= 2
        low = max(low, -1)
    # x[low] <= value (or low = -1) and x[high] > value (or high = n)
    while high - low > 1:
        middle = (low + high) // 2
        if x[middle] <= value:
            low = middle
        else:
            high = middle
    return high
