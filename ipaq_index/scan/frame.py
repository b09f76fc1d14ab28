"""What queries bring to a scan: tables for look-ups, weights for products, and by what scores are measured.

A row's score is ``step * ((scale * sum + bias * inverse) + shift)``, where the sum begins at ``start`` and adds up
look-ups or products of whole numbers: the same on every instruction set.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import fill, zeros
from ipaq_index.inner import inner
from ipaq_index.scan.emit_lookups import BAR_BITS, SHARED
from ipaq_index.scan.known import ENTRIES, doubt
from ipaq_index.scan.layout import BLOCK
from ipaq_index.scan.nibble import POWER, add_expected, round_entries, start_at_zero
from ipaq_index.scan.packed import Floats, Meaning

TOP = 255  # largest sum of look-ups that are added up as bytes: those of `SHARED` pairs
TOP_SUM = 65535  # largest sum of all look-ups
TOP_WEIGHT = 127
MARGIN = np.float32(4)  # standard deviations by which products may be below a row's exact score: 3 in 100,000 are more
FEW_DIMENSIONS = np.float32(3)  # whose errors are no chance: so many may be off by the most there is
FEW_NIBBLES = 16  # tables of so few have their roundings taken at the worst: where values repeat, these are no chance
FAR = np.float32(1 << 30)
STEEP = 1e30  # largest tilt: that of subnormal scores would be infinite, and times 0 not a number
LANES = 16  # dimensions that weights are made of together
TINY = np.float32(1e-22)  # least step, so that biases up to 10^16 times its inverse are finite

Bytes = npt.NDArray[np.uint8]


class Frame(NamedTuple):
    """Input and results of the kernels for a group of queries.

    Attributes
    ----------
    tables : (pairs, 2, 64) or (quads, group, 4) uint8
        Look-ups by half of the byte and its value, four times the same; or weights, whose bytes are signed.
    start : (group,) int32
        Where sums begin. The margin for errors is in it, so that scores are upper estimates.
    bars : (3, group) float32
        inverse (1 / step), shift and floor, the latter two in units of the step. Rows whose score is not below the
        floor are what a query is interested in.
    passing : (33,) uint16
        Bars by range of side, and a slope: see `ipaq_index.scan.bars`. Rows whose ``look-ups + (slope * side >> 16)``
        are below their bar have scores below the floor.
    sums : (group, 32) int32
        Result of products: sums for the rows of a block. The plain twin of look-ups adds up here.
    above : (group,) uint32
        Result of products: bit i is set where row i's score is not below the floor; zero before and afterwards.
    """

    tables: Bytes
    start: npt.NDArray[np.int32]
    bars: Floats
    passing: npt.NDArray[np.uint16]
    sums: npt.NDArray[np.int32]
    above: npt.NDArray[np.uint32]


class Weights(NamedTuple):
    """Weights of all queries of a batch.

    Attributes
    ----------
    values : (nq, 4 quads) int8
    start : (nq,) int32
        Where sums begin.
    inverse : (nq,) float32
        1 / step.
    slack : (nq,) float32
        What to take off a sum for a lower estimate.
    heights : (nq,) float32
        What lifts sums, see `lift_weights`: in start and slack already.
    """

    values: npt.NDArray[np.int8]
    start: npt.NDArray[np.int32]
    inverse: Floats
    slack: Floats
    heights: Floats


@inner
def make_frame(tables: Bytes, group: int) -> Frame:
    """Return a frame whose queries accept nothing yet."""
    bars = zeros((3, group), np.float32)
    bars[2] = np.inf
    start, sums = zeros(group, np.int32), zeros((group, BLOCK), np.int32)
    passing, above = zeros((1 << BAR_BITS) + 1, np.uint16), zeros(group, np.uint32)
    return Frame(tables, start, bars, passing, sums, above)


@inner
def as_start(value: np.float32) -> int:
    """Round up to a whole number that leaves room for the sum."""
    return int(np.ceil(min(max(value, -FAR), FAR)))


@inner
def fill_lookups(
    p: Floats, meaning: Meaning, far: float, height: float, lookups: Bytes
) -> tuple[int, np.float32, np.float32]:
    """Fill one query's tables; return start, step, and by how many steps estimates are lifted.

    Each table's minimum goes into the start; all share one step, so that look-ups add up without weights.

    What look-ups do not tell is taken for a sum of chances x_j, of variance V in all for a row of
    average levels. By Chernoff's bound it exceeds ``D / t + sum_j log E[exp(t p_j x_j)] / t`` with probability
    ``exp(-D)`` at most, for any t; that which is best for V is taken. The logarithms depend on the pieces' values:
    they go into the tables, so rows whose levels stand far apart have a larger margin than others.

    The best rows are not any rows. They lie towards the query, in what is known as in what is not: levels are weighed
    by ``exp(u p_j x_j)``, under which the mean score is ``far`` standard deviations out (exponential tilting).
    What finer vectors may add is another chance: that both go far at once is rarer, so margins add up by their squares.

    Three levels stand for all of a group: of 8 bits, tables that take 0.08 ms took 2.4 (1,536-d).

    Parameters
    ----------
    p : (d,) float32
    meaning : Meaning
    far : float
        How far out the best rows are.
    height : float
        See `Lift`; 0 for none.
    lookups : (pairs, 2, 64) uint8
    """
    nibbles = 2 * len(lookups)
    table, spans = zeros((nibbles + 1, ENTRIES), np.float32), zeros(nibbles + 1, np.float32)
    places, points = meaning.places, meaning.points
    whole, unknown, base = 0.0, 0.0, 0.0
    for j in range(len(p)):
        weight = np.float64(p[j])
        whole += weight * weight * meaning.variances[0, j]
        unknown += weight * weight * meaning.variances[1, j]
        base += weight * meaning.fixed[j]
    for n in range(len(places)):
        spans[places[n, 1]] += abs(p[places[n, 0]]) * meaning.widths[n]
    step = _step(spans, nibbles)
    certain = 0.0
    rounding = np.float64(step) ** 2 * nibbles / 12  # an entry's rounding is uniform in a step
    if nibbles <= FEW_NIBBLES or step == TINY:  # of a query of zeros all rows tie, and their look-ups are exact
        certain, rounding = 0.5 * step * nibbles * (step > TINY), np.float64(0)
    raised = height
    variance, t, u, inverse = unknown + rounding, 0.0, far / np.sqrt(whole) if whole > 0 else 0.0, 0.0
    if variance > 0:
        allowed = doubt(variance, whole)
        t = np.sqrt(2 * allowed / variance)
        inverse = 1 / t
        margin = 2 * allowed / t
        raised = math.sqrt(margin * margin + height * height) - margin
        base += allowed / t
    for n in range(len(points)):
        weight = np.float64(p[places[n, 0]])
        rates = np.float32((t + u) * weight / POWER), np.float32(u * weight / POWER)
        add_expected(table, places[n, 1], points, n, np.float32(weight), rates, np.float32(inverse))
    for n in range(len(points), len(places)):
        j, nibble = places[n]
        for value in range(ENTRIES):
            table[nibble, value] += p[j] * meaning.others[n - len(points), value]
    base += table[nibbles, 0]
    for nibble in range(nibbles):
        least, spans[nibble] = start_at_zero(table, nibble)
        base += least
    step, tilt, bias, spread = _step(spans, nibbles), np.float32(min(u / POWER, STEEP)), 0.0, 0.0
    for nibble in range(nibbles):
        total, once, twice = round_entries(table, nibble, spans[nibble], step, tilt, meaning.shares, lookups)
        mean = np.float64(once / total)
        bias, spread = bias + mean, spread + max(np.float64(twice / total) - mean * mean, 0.0)
    base += (certain if certain > 0 else bias + 0.5 * t * spread) + raised
    return as_start(np.float32(base / step)), step, np.float32(raised / step)


@inner
def _step(spans: Floats, nibbles: int) -> np.float32:
    """Return the step in which tables, less their minima, span at most `TOP` where they share bytes, `TOP_SUM` in all.

    Each entry may be rounded up by a half.
    """
    widest, whole, shared = np.float32(0), np.float32(0), np.float32(0)
    for nibble in range(nibbles):
        shared = np.float32(0) if nibble % (2 * SHARED) == 0 else shared
        shared += spans[nibble]
        whole += spans[nibble]
        widest = max(widest, shared)
    return max(widest / np.float32(TOP - SHARED), whole / np.float32(TOP_SUM - nibbles / 2), TINY)


def make_weights(queries: int, meaning: Meaning) -> Weights:
    """Return room for the weights of queries."""
    values, (inverse, slack) = np.empty((queries, len(meaning.active)), np.int8), np.empty((2, queries), np.float32)
    return Weights(values, np.empty(queries, np.int32), inverse, slack, np.zeros(queries, np.float32))


@inner
def fill_weights(p: Floats, meaning: Meaning, certain: bool, weights: Weights) -> None:
    """Set the weights of queries: a level is ``low + width u``, so its product with p is ``p low + (p width) u``.

    Parameters
    ----------
    p : (nq, d) float32
    meaning : Meaning
    certain : bool
        Whether scores shall be no less than the exact ones; else, no less but for errors of `MARGIN`, and in a few
        dimensions certainly.
    weights : Weights
        Result.
    """
    given, active, fixed = meaning.grid, meaning.active, meaning.fixed
    count = given.shape[1]
    parts = -(-count // LANES)
    grid, own = zeros((6, parts, LANES), np.float32), zeros((parts, LANES), np.float32)
    whole, lanes = zeros((parts, LANES), np.int8), zeros((5, LANES), np.float32)
    values, start, inverse, slack, _ = weights
    for i in range(count):
        for row in range(6):
            grid[row, i // LANES, i % LANES] = given[row, i]
    low, width, square, largest, mean, variance = grid
    tops, bases, uncertains, bounds, mosts = lanes
    for q in range(len(p)):
        for i in range(count):
            j = active[i, 0]
            own[i // LANES, i % LANES] = p[q, j] if j >= 0 else np.float32(0)
        fill(lanes, 0)
        for part in range(parts):
            for n in range(LANES):
                most = abs(own[part, n] * width[part, n])
                tops[n] = most if most > tops[n] else tops[n]
        step = np.float32(0)
        for n in range(LANES):
            step = max(step, tops[n])
        step = max(step / np.float32(TOP_WEIGHT), TINY)
        for part in range(parts):
            for n in range(LANES):
                value = own[part, n]
                exact = value * width[part, n] / step
                weight = np.rint(exact)
                whole[part, n] = np.int8(weight)
                error = (exact - weight) * step  # of a unit of u; its mean is known, what is left varies with u
                bases[n] += value * low[part, n] + error * mean[part, n]
                uncertains[n] += error * error * variance[part, n] + value * value * square[part, n]
                off = abs(error) * np.float32(TOP_WEIGHT) + abs(value) * largest[part, n]
                bounds[n] += off
                mosts[n] = off if off > mosts[n] else mosts[n]
        for i in range(count):
            values[q, i] = whole[i // LANES, i % LANES]
        base, uncertain, bound, most = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for j in range(len(fixed)):
            base += p[q, j] * fixed[j]
        for n in range(LANES):
            base, uncertain, bound = base + bases[n], uncertain + uncertains[n], bound + bounds[n]
            most = max(most, mosts[n])
        margin = bound if certain else min(bound, max(MARGIN * np.sqrt(uncertain), FEW_DIMENSIONS * most))
        start[q], inverse[q] = as_start((base + margin) / step + np.float32(1)), np.float32(1) / step
        slack[q] = np.float32(2) * margin / step + np.float32(2)  # the start was rounded up by less than 1, and has 1


@inner
def lift_weights(weights: Weights, lift: Floats) -> None:
    """Let upper estimates be those of what rows may be worth: their scores and ``scale * lift``."""
    for q in range(len(lift)):
        height = lift[q] * weights.inverse[q]
        weights.start[q] = as_start(np.float32(weights.start[q] + np.float64(height)))
        weights.slack[q] += height + np.float32(1)  # the start is rounded up once more
        weights.heights[q] = height
