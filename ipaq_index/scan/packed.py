"""The arrays that a scan reads, and the tables that follow from them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import lines, read_only
from ipaq_index.scan.known import Floats, Integers
from ipaq_index.scan.layout import NIBBLE, QUAD, Blocks, Layout
from ipaq_index.scan.looked import best
from ipaq_index.scan.walk import Walk

TOP_LEVEL = 127  # levels are rounded to 0 ... 127: products with 8-bit weights then add up in 16 bits on every CPU

FILLED, READ = 64, 32  # levels of a dimension that vector code reads, be they fewer; of up to READ, READ may do

NO_BIAS, ALL_ROWS = read_only(np.empty(0, dtype=np.uint8)), np.empty(0, dtype=np.uint32)

Words = npt.NDArray[np.uint32]


class Meaning(NamedTuple):
    """What bits mean, as kernels take it.

    "Active" dimensions are those of at least one bit, in order, filled up to whole quads with some that are always 0.

    Attributes
    ----------
    places, widths, points, others, shares, variances
        What look-ups add up; see `Known`.
    fixed : (d,) float32
        The level of dimensions without bits, else 0.
    steps : (n, 4) int64
        How to read each piece: pair, shift within the byte, mask, shift within the symbol.
    active : (a, 5) int64
        Dimension (-1: filled up), first and last piece, number of levels, place of the first in ``levels``.
    bytes : (a, >= 64) uint8
        Levels rounded to ``low + width * (0 ... 127)``.
    grid : (6, a) float32
        low and width; mean square and largest error of rounding; mean and variance of the rounded levels.
    levels : (n,) float32
        Those of active dimensions, one after the other, with zeros behind, up to 32 or 64. In rows of 512, as files
        have them, they are spread over 3 MB at 1,536 dimensions: exact scores took a quarter longer.
    feedback : (int, int, int)
        See `CodeBook`: A, B, and 255 where there is a trellis, else 0.
    scale_format : (int, int, int)
        state_bits, base, step; see `CodeBook`.
    looked : int
        Pairs of nibbles that are looked up.
    walk : Walk
        How to make them, where they are not the codes' own.
    """

    places: Integers
    widths: Floats
    points: Floats
    others: Floats
    shares: Floats
    variances: Floats
    fixed: Floats
    steps: Integers
    active: Integers
    bytes: npt.NDArray[np.uint8]
    grid: Floats
    levels: Floats
    feedback: tuple[int, int, int]
    scale_format: tuple[int, int, int]
    looked: int
    walk: Walk


class Rows(NamedTuple):
    """Packed rows, as kernels take them: `PackedCodes` with an empty uint8 array for no bias, and which rows count.

    Only the first ``size`` rows do. Empty ``words``: all of them; else it has bit i of word b set where row 32 b + i
    may be returned.
    """

    blocks: Blocks
    rest: Blocks
    side: np.ndarray
    bias: npt.NDArray[np.float32 | np.uint8]
    words: Words
    size: int


class CodeBook:
    """What the symbols mean.

    Parameters
    ----------
    layout : Layout
        Where each dimension's bits lie.
    levels : (d, L) float32
        Level sets.
    next_state : (S, 2) uint8
        Trellis-coded level sets: symbol c in state s stands for level 2 c + (s & 1), and ``next_state[s, c & 1]``
        follows, which is ``(s >> 1) ^ (s & 1) A ^ (c & 1) B``. With one state, symbols are levels. Dimensions without
        bits leave the state alone.
    scale_format : (int, int, int)
        ``state_bits, base, step``: a scale is the float32 whose bits are ``base + step * (side >> state_bits)``, and 0
        where ``side >> state_bits`` is 0. The low ``state_bits`` of side are the first state.
    discrete : bool
        Whether what look-ups do not tell of a row's levels is not a sum of chances: look-ups take it for one,
        and of counts one query alone then missed 14 % of its neighbours (Poisson, 128-d, 4 bits).

    Raises
    ------
    ValueError
        If ``next_state`` is not of that form.
    """

    def __init__(
        self,
        layout: Layout,
        levels: Floats,
        next_state: npt.NDArray[np.uint8],
        scale_format: tuple[int, int, int],
        discrete: bool = False,
    ) -> None:
        self.layout, self.discrete = layout, discrete
        feedback = _feedback(next_state)
        trellis = feedback[2] > 0
        active, flat = _active(layout, levels, trellis)
        looked = best(layout, levels, feedback, len(next_state))
        self.queries = looked.queries
        self.meaning = Meaning(
            *looked.known,
            np.where(layout.bits == 0, levels[:, 0], np.float32(0)),
            _steps(layout),
            active,
            *_rounded(levels, active),
            flat,
            feedback,
            (int(scale_format[0]), int(scale_format[1]), int(scale_format[2])),
            looked.pairs,
            looked.walk,
        )

    @property
    def trellis(self) -> bool:
        """Whether symbols stand for two levels each."""
        return self.meaning.feedback[2] > 0


@dataclass(frozen=True)
class PackedCodes:
    """Rows 0 to ``count`` - 1 of packed codes; the arrays may have spare room behind them.

    Attributes
    ----------
    codebook : CodeBook
        What the codes mean.
    blocks, rest : (nb, first_pairs, 32), (nb, pairs - first_pairs, 32) uint8
        Codes of 32 rows a block, in two parts; see `Layout`.
    side : (32 nb,) uint8 or uint16
        Scale and start state of each row.
    bias : (32 nb,) float32 or None
        Added to each row's score.
    count : int
        Rows in use.
    """

    codebook: CodeBook
    blocks: Blocks
    rest: Blocks
    side: np.ndarray
    bias: Floats | None
    count: int

    def rows(self, allowed: Words | None) -> Rows:
        """Return the rows as kernels take them."""
        bias = NO_BIAS if self.bias is None else read_only(self.bias)
        words = ALL_ROWS if allowed is None else allowed
        return Rows(read_only(self.blocks), read_only(self.rest), read_only(self.side), bias, words, self.count)


def _feedback(next_state: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    if len(next_state) == 1:
        return 0, 0, 0
    a, b = int(next_state[1, 0]), int(next_state[0, 1])
    state = np.arange(len(next_state))[:, None]
    if not np.array_equal(next_state, (state >> 1) ^ (state & 1) * a ^ np.arange(2) * b):
        raise ValueError("next_state: expected (s >> 1) ^ (s & 1) * A ^ u * B for state s and branch u")
    return a, b, 255


def _steps(layout: Layout) -> Integers:
    _, shift, width, nibble, position = layout.pieces.T
    return np.ascontiguousarray(
        np.stack([nibble // 2, position + NIBBLE * (nibble % 2), (1 << width) - 1, shift], axis=1)
    )


def _active(layout: Layout, levels: Floats, trellis: bool) -> tuple[Integers, Floats]:
    """Return `Meaning`'s active and levels."""
    dimensions = np.flatnonzero(layout.bits)
    first = np.searchsorted(layout.pieces[:, 0], dimensions, "left")
    last = np.searchsorted(layout.pieces[:, 0], dimensions, "right")
    counts = 1 << layout.bits[dimensions].astype(np.int64) + trellis
    ends = np.cumsum(np.where(counts <= READ, READ, np.maximum(counts, FILLED)))
    begins = np.concatenate([[0], ends])[:-1]
    flat = lines((int(ends[-1]) if len(ends) else READ,), np.float32)
    for j, begin, count in zip(dimensions, begins, counts, strict=True):
        flat[begin : begin + count] = levels[j, :count]
    active = np.stack([dimensions, first, last, counts, begins], axis=1)
    fill = -len(active) % QUAD
    return np.concatenate([active, np.tile(np.array([-1, 0, 0, 1, 0]), (fill, 1))]), flat


def _rounded(levels: Floats, active: Integers) -> tuple[npt.NDArray[np.uint8], Floats]:
    size = max(FILLED, int(active[:, 3].max(initial=0)))
    tables = np.zeros((len(active), size), dtype=np.uint8)
    grid = np.zeros((6, len(active)), dtype=np.float32)
    for i, (j, _, _, count, _) in enumerate(active):
        if j < 0:
            continue
        values = levels[j, :count].astype(np.float64)
        low, width = values.min(), (values.max() - values.min()) / TOP_LEVEL
        rounded = np.rint((values - low) / width) if width > 0 else np.zeros(count)
        error = values - low - width * rounded
        tables[i, :count] = rounded
        grid[:, i] = low, width, np.mean(error**2), np.abs(error).max(), rounded.mean(), rounded.var()
    return tables, grid
