"""The arrays that a scan reads, and the tables that follow from them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.scan.layout import NIBBLE, Blocks, Layout, Pieces

QUAD = 4  # dimensions, or pairs of nibbles, that one instruction adds up
TOP_LEVEL = 127  # levels are rounded to 0 ... 127: products with 8-bit weights then add up in 16 bits on every CPU

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]
Integers = npt.NDArray[np.int64]


class Meaning(NamedTuple):
    """What bits mean, as kernels take it.

    "Active" dimensions are those of at least one bit, in order, filled up to whole quads with some that are always 0.

    Attributes
    ----------
    pieces : (n, 5) int64
        See `Layout`.
    piece_values : (n, 16) float32
        What a scan by look-ups adds, times the query's coordinate, for each value of a piece; 0 in the second part.
    piece_spread : (n, 3, 16) float32
        What is not known of a level when the piece is, the level less the sum of the dimension's piece values: mean
        square, least and most; 0 but for a dimension's first piece.
    unread : (4, d) float32
        Of dimensions that have no bits in the first part: mean level, and mean square, least and most of what is not
        known; else 0.
    fixed : (d,) float32
        The level of dimensions without bits, else 0.
    steps : (n, 4) int64
        How to read each piece: pair, shift within the byte, mask, shift within the symbol.
    active : (a, 4) int64
        Dimension (-1: filled up), first and last piece, number of levels.
    bytes : (a, >= 64) uint8
        Levels rounded to ``low + width * (0 ... 127)``.
    grid : (6, a) float32
        low and width; mean square and largest error of rounding; mean and variance of the rounded levels.
    levels : (d, L) float32
    feedback : (int, int, int)
        See `CodeBook`: A, B, and 255 where there is a trellis, else 0.
    scale_format : (int, int, int)
        state_bits, base, step; see `CodeBook`.
    first_pairs : int
        See `Layout`.
    """

    pieces: Pieces
    piece_values: Floats
    piece_spread: Floats
    unread: Floats
    fixed: Floats
    steps: Integers
    active: Integers
    bytes: npt.NDArray[np.uint8]
    grid: Floats
    levels: Floats
    feedback: tuple[int, int, int]
    scale_format: tuple[int, int, int]
    first_pairs: int


class Rows(NamedTuple):
    """Packed rows, as kernels take them: `PackedCodes` with an empty uint8 array for no bias, and which rows count.

    Only the first ``size`` rows do. Empty ``words``: all of them; else it has bit i of word b set where row 32 b + i
    may be returned.
    """

    blocks: Blocks
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
    symbol_levels : (d, 256) float32
        The value that the scan takes for a symbol before exact scoring.
    next_state : (S, 2) uint8
        Trellis-coded level sets: symbol c in state s stands for level 2 c + (s & 1), and ``next_state[s, c & 1]``
        follows, which is ``(s >> 1) ^ (s & 1) A ^ (c & 1) B``. With one state, symbols are levels. Dimensions without
        bits leave the state alone.
    scale_format : (int, int, int)
        ``state_bits, base, step``: a scale is the float32 whose bits are ``base + step * (side >> state_bits)``, and 0
        where ``side >> state_bits`` is 0. The low ``state_bits`` of side are the first state.

    Raises
    ------
    ValueError
        If ``next_state`` is not of that form.
    """

    def __init__(
        self,
        layout: Layout,
        levels: Floats,
        symbol_levels: Floats,
        next_state: npt.NDArray[np.uint8],
        scale_format: tuple[int, int, int],
    ) -> None:
        self.layout = layout
        self.bits = float(np.mean(layout.bits))
        feedback = _feedback(next_state)
        trellis = feedback[2] > 0
        values = _piece_values(layout, symbol_levels)
        active = _active(layout, trellis)
        self.meaning = Meaning(
            layout.pieces,
            values,
            *_spread(layout, values, levels, trellis),
            np.where(layout.bits == 0, levels[:, 0], np.float32(0)),
            _steps(layout),
            active,
            *_rounded(levels, active),
            np.ascontiguousarray(levels),
            feedback,
            (int(scale_format[0]), int(scale_format[1]), int(scale_format[2])),
            layout.first_pairs,
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
    blocks : (nb, pairs, 32) uint8
        Codes of 32 rows a block.
    side : (32 nb,) uint8 or uint16
        Scale and start state of each row.
    bias : (32 nb,) float32 or None
        Added to each row's score.
    count : int
        Rows in use.
    """

    codebook: CodeBook
    blocks: Blocks
    side: np.ndarray
    bias: Floats | None
    count: int

    def rows(self, allowed: Words | None) -> Rows:
        """Return the rows as kernels take them."""
        bias = np.empty(0, dtype=np.uint8) if self.bias is None else self.bias
        words = np.empty(0, dtype=np.uint32) if allowed is None else allowed
        return Rows(self.blocks, self.side, bias, words, self.count)


def _feedback(next_state: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    if len(next_state) == 1:
        return 0, 0, 0
    a, b = int(next_state[1, 0]), int(next_state[0, 1])
    state = np.arange(len(next_state))[:, None]
    if not np.array_equal(next_state, (state >> 1) ^ (state & 1) * a ^ np.arange(2) * b):
        raise ValueError("next_state: expected (s >> 1) ^ (s & 1) * A ^ u * B for state s and branch u")
    return a, b, 255


def _piece_values(layout: Layout, symbol_levels: Floats) -> Floats:
    """Return the value of each piece's bits: the sum over a dimension's pieces is the best by least squares.

    A dimension of one piece has its levels. Of several, the first has the mean level of the symbols that share its
    bits, and the others mean offsets from the mean of all; exact scoring takes the level itself.
    """
    values = np.zeros((len(layout.pieces), 1 << NIBBLE), dtype=np.float32)
    seen = set()
    for n, (j, shift, width, nibble, _) in enumerate(layout.pieces):
        if nibble >= 2 * layout.first_pairs:
            continue
        table = symbol_levels[j, : 1 << int(layout.bits[j])].astype(np.float64)
        if j in seen:
            table -= table.mean()
        seen.add(j)
        values[n, : 1 << width] = table.reshape(-1, 1 << width, 1 << shift).mean((0, 2))
    return values


def _spread(layout: Layout, values: Floats, levels: Floats, trellis: bool) -> tuple[Floats, Floats]:
    """Return `Meaning.piece_spread` and `Meaning.unread`, all levels that share a piece counting alike."""
    spread = np.zeros((len(values), 3, 1 << NIBBLE), dtype=np.float32)
    unread = np.zeros((4, len(levels)), dtype=np.float32)
    read = layout.pieces[:, 3] < 2 * layout.first_pairs
    for j in np.flatnonzero(layout.bits):
        errors = levels[j, : 1 << int(layout.bits[j]) + trellis].astype(np.float64)
        symbols = np.arange(len(errors)) >> int(trellis)
        own = np.flatnonzero(read & (layout.pieces[:, 0] == j))
        for n in own:
            _, shift, width, _, _ = layout.pieces[n]
            errors -= values[n, (symbols >> shift) & ((1 << width) - 1)]
        if not len(own):
            mean = errors.mean()
            errors -= mean
            unread[:, j] = mean, np.mean(errors**2), errors.min(), errors.max()
            continue
        _, shift, width, _, _ = layout.pieces[own[0]]
        groups = (symbols >> shift) & ((1 << width) - 1)
        for value in range(1 << width):
            part = errors[groups == value]
            spread[own[0], :, value] = np.mean(part**2), part.min(), part.max()
    return spread, unread


def _steps(layout: Layout) -> Integers:
    _, shift, width, nibble, position = layout.pieces.T
    return np.ascontiguousarray(
        np.stack([nibble // 2, position + NIBBLE * (nibble % 2), (1 << width) - 1, shift], axis=1)
    )


def _active(layout: Layout, trellis: bool) -> Integers:
    dimensions = np.flatnonzero(layout.bits)
    first = np.searchsorted(layout.pieces[:, 0], dimensions, "left")
    last = np.searchsorted(layout.pieces[:, 0], dimensions, "right")
    levels = 1 << layout.bits[dimensions].astype(np.int64) + trellis
    active = np.stack([dimensions, first, last, levels], axis=1)
    fill = -len(active) % QUAD
    return np.concatenate([active, np.tile(np.array([-1, 0, 0, 1]), (fill, 1))])


def _rounded(levels: Floats, active: Integers) -> tuple[npt.NDArray[np.uint8], Floats]:
    size = max(64, int(active[:, 3].max(initial=0)))
    tables = np.zeros((len(active), size), dtype=np.uint8)
    grid = np.zeros((6, len(active)), dtype=np.float32)
    for i, (j, _, _, count) in enumerate(active):
        if j < 0:
            continue
        values = levels[j, :count].astype(np.float64)
        low, width = values.min(), (values.max() - values.min()) / TOP_LEVEL
        rounded = np.rint((values - low) / width) if width > 0 else np.zeros(count)
        error = values - low - width * rounded
        tables[i, :count] = rounded
        grid[:, i] = low, width, np.mean(error**2), np.abs(error).max(), rounded.mean(), rounded.var()
    return tables, grid
