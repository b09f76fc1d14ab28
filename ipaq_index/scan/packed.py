"""The arrays that a scan reads."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ipaq_index.scan.layout import Layout


@dataclass(frozen=True)
class CodeBook:
    """What the symbols mean.

    Attributes
    ----------
    levels : (d, L) float32
        Level sets.
    symbol_levels : (d, 256) float32
        The value a scan takes for a symbol before exact scoring.
    next_state : (S, 2) uint8
        Shift register of trellis-coded level sets; one state where codes are plain levels.
    scale_format : (int, int, int)
        ``state_bits, base, step``: a scale is the float32 whose bits are ``base + step * (side >> state_bits)``, and 0
        where ``side >> state_bits`` is 0.
    """

    levels: npt.NDArray[np.float32]
    symbol_levels: npt.NDArray[np.float32]
    next_state: npt.NDArray[np.uint8]
    scale_format: tuple[int, int, int]


@dataclass(frozen=True)
class PackedCodes:
    """Rows 0 to ``count`` - 1 of packed codes; the arrays may have spare room behind them.

    Attributes
    ----------
    layout : Layout
        Where each dimension's bits lie.
    codebook : CodeBook
        What they mean.
    blocks : (nb, pairs, 32) uint8
        Codes of 32 rows a block.
    side : (m,) uint8 or uint16
        Scale and start state of each row.
    bias : (m,) float32 or None
        Added to each row's score.
    count : int
        Rows in use.
    """

    layout: Layout
    codebook: CodeBook
    blocks: npt.NDArray[np.uint8]
    side: np.ndarray
    bias: npt.NDArray[np.float32] | None
    count: int
