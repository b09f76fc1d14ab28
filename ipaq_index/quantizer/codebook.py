"""Level sets and bits for coordinates of known distribution."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.interruptible import mapped
from ipaq_index.quantizer import patterns, search
from ipaq_index.quantizer.allocation import MAX_BITS, NIBBLE, allocate
from ipaq_index.quantizer.lines import fit_lines
from ipaq_index.quantizer.search import Lengths
from ipaq_index.quantizer.sharing import LEAST_STATES, ORDER, SHRUNK, all_ways, groups, share
from ipaq_index.quantizer.trellis import Trellis
from ipaq_index.quantizer.viterbi import FAR, MOST, SUBSETS, UNITS, Tables

# Values that levels are refitted to, at most: for a trellis half as many add 0.3 to 1 % to the error of inner products
# (Debian, 2 and 1 bits a dimension).
FIT_VALUES, SCALAR_FIT_VALUES = 1 << 22, 1 << 21
ROUNDS = 5  # of refitting: the sixth takes less than 0.2 % off the error
PART_ROWS = 8_192  # rows that a thread refits to at a time
MANY_ZEROS = 0.1  # share of a dimension's values from which on 0 gets two levels
UNEVEN = 4.0  # how many times the median of squared gaps their mean may be
FLOOR = 0.6  # share of the mean error that does not come from leaving the range of levels; see `Lengths.floor`

# How far the error of a trellis with b bits lies from that of rounding to nearest with b bits towards b + 1: what
# trellis-coded quantization of a normal variable reaches with 256 states (Marcellin and Fischer, 1990, table III).
# Against plain errors of b bits this is worth 3 % of the error at 1 bit a dimension, 5 % at 4 (64 states).
WAY = np.array([0, 0.24, 0.33, 0.35, 0.37, 0.4, 0.4, 0.4, 0.4])

PATTERN_ERROR = 0.6  # of what patterns leave without a trellis is left with one, about

NOT_SHARED = np.empty((0, 1, 2, 2), dtype=np.int64)

Floats = npt.NDArray[np.float32]


class LevelSets(NamedTuple):
    """Bits and levels of each dimension.

    Attributes
    ----------
    bits : (d,) uint8
    levels : (d, L) float32
        Sorted, but where a bit is shared; the last level is repeated to the end.
    shared : (d,) uint8, optional
        1 where a dimension has the bit of the one before it; see `ipaq_index.quantizer.sharing`.
    """

    bits: npt.NDArray[np.uint8]
    levels: Floats
    shared: npt.NDArray[np.uint8] | None = None

    @property
    def second(self) -> npt.NDArray[np.uint8]:
        """``shared``, or zeros."""
        return np.zeros(len(self.bits), dtype=np.uint8) if self.shared is None else self.shared


def fit_scalar(y: Floats, code_bits: int, threads: int) -> tuple[LevelSets, tuple[float, float]]:
    """Fit level sets for rounding to nearest: k-means, then refitted to the codes they are given.

    Parameters
    ----------
    y : (m, d) float32
        Sample of coordinates.
    code_bits : int
        Bits of all dimensions together.
    threads : int
        Threads to use; the result does not depend on it.

    Returns
    -------
    sets : LevelSets
    (reference, floor) : (float, float)
        See `Lengths`.
    """
    table = fit_lines(y, threads)
    # The dual coordinates of a query have, by the choice of F, the same mean square in every dimension that errors
    # are weighed with already: F carries the weights, so plain errors add up.
    errors = table.costs / len(y)
    bits = allocate(errors, code_bits)
    levels = np.empty((y.shape[1], 1 << MAX_BITS), dtype=np.float32)
    for j in range(len(levels)):
        fill(levels[j], table.set(j, int(bits[j])))
    error = float(errors[np.arange(len(bits)), bits].sum())
    return _refitted(y, LevelSets(bits, levels), error, None, threads)


def fit_trellis(y: Floats, code_bits: int, trellis: Trellis, threads: int) -> tuple[LevelSets, tuple[float, float]]:
    """Fit level sets for a trellis: k-means for one bit more, then refitted to the codes they are given.

    Parameters and results are those of `fit_scalar`, and ``trellis``.
    """
    table = fit_lines(y, threads)
    errors = table.costs / len(y)
    coded = trellis_errors(errors)
    bits, shared = allocate(coded, code_bits), None
    zeros = np.count_nonzero(y == 0, axis=0) > MANY_ZEROS * len(y)
    if code_bits < y.shape[1] and trellis.states >= LEAST_STATES and not zeros.any():
        bits, shared = share(bits, coded)
    levels = np.empty((y.shape[1], 2 << MAX_BITS), dtype=np.float32)
    for j in range(len(levels)):
        b = int(bits[j])
        chosen = table.set(j, min(b + 1, MAX_BITS) if b else 0)
        if b:
            chosen = _two_zeros(chosen, 2 << b) if zeros[j] else _stretched(chosen, 2 << b)
        fill(levels[j], chosen)
    if shared is not None:
        second = shared > 0
        levels[second | np.append(second[1:], False)] *= np.float32(SHRUNK)
        levels[second, : len(ORDER)] = levels[second][:, ORDER]
        levels[second, len(ORDER) :] = levels[second, len(ORDER) - 1, None]
    error = float(errors[np.arange(len(bits)), np.minimum(bits + 1, MAX_BITS)].sum())
    return _refitted(y, LevelSets(bits, levels, shared), error, trellis, threads)


def fit_joint(y: Floats, together: list[int], trellis: Trellis, threads: int) -> tuple[LevelSets, tuple[float, float]]:
    """Fit patterns for a trellis: k-means, then refitted to the codes they are given.

    Parameters and results are those of `fit_trellis`, and ``together``, how many coordinates share each symbol.
    """
    d = y.shape[1]
    found = patterns.fit_patterns(y, together, threads)
    bits, shared = np.zeros(d, dtype=np.uint8), np.zeros(d, dtype=np.uint8)
    coded = sum(together)
    bits[:coded], shared[:coded] = NIBBLE, 1
    shared[np.cumsum([0, *together[:-1]])] = 0
    levels = np.empty((d, 2 << MAX_BITS), dtype=np.float32)
    for j, row in enumerate(patterns.levels(found)):
        fill(levels[j], row if shared[j] or (j + 1 < d and shared[j + 1]) else np.sort(row))
    levels[coded:] = y[:, coded:].mean(0)[:, None]
    error = float(np.square(y - patterns.nearest(y, found, together), dtype=np.float64).sum(1).mean())
    return _refitted(y, LevelSets(bits, levels, shared), PATTERN_ERROR * error, trellis, threads)


def _refitted(
    y: Floats, sets: LevelSets, error: float, trellis: Trellis | None, threads: int
) -> tuple[LevelSets, tuple[float, float]]:
    """Refit levels some times; ``error`` is what they are expected to leave of a vector."""
    reference = float(np.sqrt(np.square(y, dtype=np.float64).sum(1).mean())) or 1.0
    rows = max(1, (FIT_VALUES if trellis else SCALAR_FIT_VALUES) // y.shape[1])
    sample = np.ascontiguousarray(y[:: -(-len(y) // rows)])
    for _ in range(ROUNDS):
        sets, error = _moved(sample, sets, trellis, lengths(sets, reference, FLOOR * error, 1), threads)
    return sets, (reference, FLOOR * error)


def trellis_errors(errors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Estimate the errors that a trellis leaves: on a logarithmic scale, so far towards those of one bit more."""
    ratio = np.ones_like(errors)
    np.divide(errors[:, 2:], errors[:, 1:-1], out=ratio[:, 1:-1], where=errors[:, 1:-1] > 0)
    ratio[:, -1] = ratio[:, -2]
    return errors * ratio**WAY


def lengths(
    sets: LevelSets,
    reference: float,
    floor: float,
    tries: int,
    scales: tuple[float, float] = (0.0, np.inf),
    cosine: float = 1.0,
) -> Lengths:
    """Return how lengths of targets are chosen; a dimension without bits has no range that it could leave."""
    coded = sets.bits > 0
    low = np.where(coded, sets.levels.min(1), -np.inf).astype(np.float32)
    high = np.where(coded, sets.levels.max(1), np.inf).astype(np.float32)
    return Lengths(low, high, reference, floor, tries, *scales, cosine)


def presumed_length(sets: LevelSets, variances: Floats) -> tuple[float, float]:
    """Return what level sets of unknown origin were made for, roughly: the range of lengths tried is wide.

    Levels of equal errors lie as the cube root of the density does; for a normal one, their variance is three times
    that of the values (Panter and Dite, 1951).
    """
    spread = [float(np.square(row[: 1 << int(b)]).mean()) for row, b in zip(sets.levels, sets.bits, strict=True) if b]
    reference = float(np.sqrt(sum(spread) / 3)) or 1.0
    return reference, FLOOR * float(variances.sum())


def scalar_tables(sets: LevelSets) -> Tables:
    """Return what `ipaq_index.quantizer.scalar` needs."""
    middles = np.zeros_like(sets.levels)
    middles[:, :-1] = np.float32(0.5) * (sets.levels[:, 1:] + sets.levels[:, :-1])
    return Tables(sets.bits, sets.levels, middles, 1, 0, 0, 1, np.zeros(3, dtype=np.float32), sets.second, NOT_SHARED)


def trellis_tables(sets: LevelSets, trellis: Trellis, starts: int) -> Tables:
    """Return what `ipaq_index.quantizer.viterbi` needs."""
    middles = np.zeros_like(sets.levels)
    middles[:, :-SUBSETS] = np.float32(0.5) * (sets.levels[:, SUBSETS:] + sets.levels[:, :-SUBSETS])
    # Heavy tails may leave one dimension with an outlier for a level: its gap must not coarsen all others' costs. Of
    # 10,000 vectors of 64-d at 2 bits, one such multiplied the error by three.
    squares = np.square(_pattern_gaps(sets) if _joint(sets.bits, sets.second).any() else _gaps(sets))
    typical = min(float(squares.mean()), UNEVEN * float(np.median(squares))) or float(squares.mean()) or 1.0
    shared = sets.second
    early = min(MOST, (FAR - 1) // ((trellis.states.bit_length() - 1) * (2 if shared.any() else 1)))
    scale = np.array([min(UNITS / typical, 1e30), early, MOST], dtype=np.float32)
    code = trellis.states, trellis.feedback, trellis.tap
    return Tables(sets.bits, sets.levels, middles, *code, starts, scale, shared, all_ways(trellis, shared))


def _joint(bits: npt.NDArray[np.uint8], shared: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which dimensions have patterns together with others."""
    return (bits == NIBBLE) & ((shared > 0) | np.append(shared[1:] > 0, False))


def _pattern_gaps(sets: LevelSets) -> npt.NDArray[np.float64]:
    """Return, for groups with patterns, the median distance from one to the nearest other, halved.

    Half, as of levels of one dimension those of a symbol's neighbour are two gaps away.
    """
    found = []
    for first, size in groups(sets.second):
        if sets.bits[first] == NIBBLE:
            own = sets.levels[first : first + size, : 2 << NIBBLE].astype(np.float64)
            centres = 0.5 * (own[:, ::2] + own[:, 1::2])
            apart = np.sqrt(np.square(centres[:, :, None] - centres[:, None]).sum(0))
            np.fill_diagonal(apart, np.inf)
            found.append(0.5 * float(np.median(apart.min(1))))
    return np.array(found)


def _gaps(sets: LevelSets) -> npt.NDArray[np.float64]:
    """Return the median gap of each dimension's levels.

    Not the mean: outer levels of a heavy-tailed dimension are far apart, and few values lie there. Where many levels
    stand for one value their gaps do not count: those below an eighth of the mean in the middle three quarters.
    """
    gaps = np.zeros(len(sets.bits))
    for b in np.unique(sets.bits[sets.bits > 0]):
        apart = np.diff(np.sort(sets.levels[sets.bits == b, : 2 << int(b)]).astype(np.float64))
        between = np.sort(apart, axis=1)
        count = between.shape[1]
        middle = apart[:, count // 8 : count - count // 8].mean(1)
        short = np.count_nonzero(between < middle[:, None] / 8, axis=1)
        places = np.stack([short + count - 1, short + count], axis=1) // 2
        gaps[sets.bits == b] = np.take_along_axis(between, places, 1).mean(1)
    return gaps[sets.bits > 0] if sets.bits.any() else gaps[:1]


def _moved(
    y: Floats, sets: LevelSets, trellis: Trellis | None, chosen: Lengths, threads: int
) -> tuple[LevelSets, float]:
    """Return each level moved to the centre of the values that are coded with it, and the mean error of a vector.

    A level without any values stays where it is.
    """
    bits, levels, shared = sets
    tables = trellis_tables(sets, trellis, trellis.states) if trellis else scalar_tables(sets)
    next_state = trellis.next_state if trellis else np.zeros((1, 2), dtype=np.uint8)

    def part(rows: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
        codes = search.choose_codes(rows, tables, chosen)
        sums, weights = np.zeros(levels.shape), np.zeros(levels.shape)
        error = search.gather(rows, *codes, tables, next_state, sums, weights)
        return sums, weights, error

    # Parts of a fixed number of rows, added up in their order: the same sums whatever the number of threads.
    parts = mapped(part, [y[i : i + PART_ROWS] for i in range(0, len(y), PART_ROWS)], threads)
    sums, weights = sum(part[0] for part in parts), sum(part[1] for part in parts)
    moved = np.divide(sums, weights, out=levels.astype(np.float64), where=weights > 0)
    joint = np.zeros(len(bits), dtype=bool) if shared is None else _joint(bits, shared)
    for j, b in enumerate(bits):
        count = (2 << int(b) if b else 1) if trellis else 1 << int(b)
        if not joint[j] and (shared is None or not shared[j]):
            moved[j, :count].sort()
        moved[j, count:] = moved[j, count - 1]
    return LevelSets(bits, moved.astype(np.float32), shared), float(sum(error for _, _, error in parts)) / len(y)


def fill(row: Floats, chosen: Floats) -> None:
    """Set a row of the table of levels, the last level repeated to its end."""
    row[: len(chosen)], row[len(chosen) :] = chosen, chosen[-1]


def _stretched(chosen: Floats, count: int) -> Floats:
    """Return ``count`` levels: where k-means gave fewer, some stand twice, side by side, so that any state has them."""
    return chosen[np.arange(count) * len(chosen) // count]


def _two_zeros(chosen: Floats, count: int) -> Floats:
    """Return ``count`` levels for a dimension of many zeros: two of them 0, so that every state has one.

    With one, a path through the zeros of a sparse vector has no choice left, and one that leaves it is eight dimensions
    from finding back. Of 128-d bags of words (4 bits) two take 86 % off the error, of 64-d binary vectors (2 bits) all.
    """
    others = np.delete(chosen, np.abs(chosen).argmin())
    places = np.linspace(0, len(others) - 1, count - 2)
    return np.sort(np.append(np.interp(places, np.arange(len(others)), others), (0, 0))).astype(np.float32)
