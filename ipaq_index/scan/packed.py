"""The arrays that a scan reads, and the tables that follow from them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.scan.layout import NIBBLE, Blocks, Layout, Pieces

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]


class Meaning(NamedTuple):
    """What bits mean, as kernels take it.

    Attributes
    ----------
    pieces : (n, 5) int64
        See `Layout`.
    piece_values : (n, 16) float32
        What the scan adds, times the query's coordinate, for each value of a piece.
    places : (d, 6) int64
        For each dimension: nibble, shift and mask of its high (or only) piece, and of its low piece (mask 0 if none).
    bits : (d,) uint8
    levels : (d, L) float32
    next_state : (S, 2) uint8
    scale_format : (int, int, int)
        state_bits, base, step; see `CodeBook`.
    """

    pieces: Pieces
    piece_values: Floats
    places: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint8]
    levels: Floats
    next_state: npt.NDArray[np.uint8]
    scale_format: tuple[int, int, int]


class Rows(NamedTuple):
    """Packed rows, as kernels take them: `PackedCodes` with an empty uint8 array for no bias, and which rows count.

    Empty ``words``: all do. Else it has bit i of word b set where row 32 b + i may be returned.
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
        follows. With one state, symbols are levels.
    scale_format : (int, int, int)
        ``state_bits, base, step``: a scale is the float32 whose bits are ``base + step * (side >> state_bits)``, and 0
        where ``side >> state_bits`` is 0. The low ``state_bits`` of side are the first state.
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
        self.meaning = Meaning(
            layout.pieces,
            _piece_values(layout, symbol_levels),
            _places(layout),
            layout.bits,
            np.ascontiguousarray(levels),
            np.ascontiguousarray(next_state),
            (int(scale_format[0]), int(scale_format[1]), int(scale_format[2])),
        )

    @property
    def trellis(self) -> bool:
        """Whether symbols stand for two levels each."""
        return len(self.meaning.next_state) > 1


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


def _piece_values(layout: Layout, symbol_levels: Floats) -> Floats:
    """Return the value of each piece's bits.

    A dimension of one piece has its levels. Of two, the high piece has the mean level of the symbols it begins, and the
    low piece the mean offset from that: the scan adds the two, exact scoring takes the level itself.
    """
    values = np.zeros((len(layout.pieces), 1 << NIBBLE), dtype=np.float32)
    for n, (j, shift, width, _, _) in enumerate(layout.pieces):
        low = int(layout.bits[j]) - NIBBLE
        table = symbol_levels[j, : 1 << int(layout.bits[j])].astype(np.float64)
        if low > 0:
            table = table.reshape(1 << NIBBLE, 1 << low)
            high = table.mean(1)
            table = high if shift else (table - high[:, None]).mean(0)
        values[n, : 1 << width] = table
    return values


def _places(layout: Layout) -> npt.NDArray[np.int64]:
    places = np.zeros((len(layout.bits), 6), dtype=np.int64)
    for j, shift, width, nibble, position in layout.pieces:
        is_low_of_two = layout.bits[j] > NIBBLE and not shift
        places[j, 3 * is_low_of_two : 3 * is_low_of_two + 3] = nibble, position, (1 << width) - 1
    return places
