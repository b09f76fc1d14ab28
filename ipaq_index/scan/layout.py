"""Where each dimension's bits lie in a block of 32 vectors.

Byte ``blocks[b, p, i]`` holds nibbles 2p (low half) and 2p + 1 (high half) of row 32 b + i: one 32-byte load brings a
pair of nibbles of 32 rows. A dimension's symbol is cut into pieces of at most 4 bits (4 = 4, 5 = 4 + 1), and pieces
fill nibbles. Long codes stand in two parts: first the high bits of all dimensions, which a search for few queries
reads of every row, then the low bits, which it reads of promising rows only.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

BLOCK = 32
NIBBLE = 4
SPLIT_PAIRS = 64  # from here on codes stand in two parts: shorter ones stay in the cache, and their runs are too short
SPLIT_SHARE = 0.45  # of the bits, at least, stand in the first part

Blocks = npt.NDArray[np.uint8]
Symbols = npt.NDArray[np.uint8]
Pieces = npt.NDArray[np.int64]


class Layout:
    """The layout of one allocation of bits.

    Parameters
    ----------
    bits : (d,) uint8
        Bits of each dimension, 0 to 8.

    Attributes
    ----------
    bits : (d,) uint8
    pieces : (n, 5) int64
        One row a piece: dimension, shift within its symbol, width, nibble, position within the nibble; sorted by
        dimension, a dimension's high bits first.
    pairs : int
        Pairs of nibbles, which is also the bytes that a row's codes take: ``ceil(sum(bits) / 8)``.
    first_pairs : int
        Pairs of the first part, or all.
    """

    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        self.bits = bits
        widths = bits.astype(np.int64)
        self.pairs = _pairs(widths)
        low = _low_bits(widths) if self.pairs >= SPLIT_PAIRS else 0
        high = np.maximum(widths - low, 0)
        self.first_pairs = _pairs(high) if low else self.pairs
        self.pieces = _place(_cut(high, widths - high), _cut(widths - high, 0), 2 * self.first_pairs, 2 * self.pairs)

    @property
    def code_bytes(self) -> int:
        """Bytes of codes a row takes."""
        return self.pairs

    def pack(self, symbols: Symbols, blocks: Blocks, row: int) -> None:
        """Write rows ``row`` to ``row + m - 1``; nothing else in ``blocks`` changes.

        Parameters
        ----------
        symbols : (m, d) uint8
            Codes below ``2**bits`` of their dimension.
        blocks : (nb, pairs, 32) uint8
            Written in place.
        row : int
            The first row.
        """
        pack(symbols, self.pieces, blocks, row)

    def unpack(self, blocks: Blocks, rows: npt.NDArray[np.int64]) -> Symbols:
        """Return the symbols of ``rows`` (r,), (r, d) uint8."""
        symbols = np.zeros((len(rows), len(self.bits)), dtype=np.uint8)
        unpack(blocks, self.pieces, rows, symbols)
        return symbols


def _pairs(widths: npt.NDArray[np.int64]) -> int:
    return -(-int(widths.sum()) // (2 * NIBBLE))


def _low_bits(widths: npt.NDArray[np.int64]) -> int:
    """Return how many low bits of every dimension stand in the second part.

    The same number everywhere, as all dimensions have about the same error: that halves the bits at the least error
    (reverse water-filling). At 384-d and 4 bits, with half of the bits, 22 to 25 rows held the ten best.
    """
    least = SPLIT_SHARE * widths.sum()
    return max(low for low in range(NIBBLE + 1) if np.maximum(widths - low, 0).sum() >= least)


def _cut(widths: npt.NDArray[np.int64], shifts: npt.NDArray[np.int64] | int) -> list[tuple[int, int, int]]:
    """Return dimension, shift and width of each piece, widest first, then in the order of dimensions."""
    pieces = []
    for j, (width, shift) in enumerate(
        zip(widths.tolist(), np.broadcast_to(shifts, widths.shape).tolist(), strict=True)
    ):
        if width > NIBBLE:
            pieces += [(j, shift + width - NIBBLE, NIBBLE), (j, shift, width - NIBBLE)]
        elif width:
            pieces.append((j, shift, width))
    return sorted(pieces, key=lambda piece: -piece[2])


def _place(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]], first_nibbles: int, nibbles: int
) -> Pieces:
    """Put each piece into the fullest nibble that has room (best fit, widest first), cutting it where none has.

    Nothing is wasted: what the first part leaves free, the second fills.
    """
    free = np.zeros(nibbles, dtype=np.int64)
    free[:first_nibbles] = NIBBLE
    order = np.concatenate([_partnered(first_nibbles), first_nibbles + _partnered(nibbles - first_nibbles)])
    placed = []
    for part in (first, second):
        waiting = part[::-1]
        while waiting:
            j, shift, width = waiting.pop()
            fits = np.flatnonzero(free >= width)
            nibble = fits[np.argmin(free[fits])] if len(fits) else np.argmax(free)
            taken = min(width, int(free[nibble]))
            if taken < width:
                waiting.append((j, shift, width - taken))
            placed.append((j, shift + width - taken, taken, order[nibble], NIBBLE - free[nibble]))
            free[nibble] -= taken
        free[first_nibbles:] = NIBBLE
    table = np.array(placed, dtype=np.int64).reshape(-1, 5)
    return table[np.lexsort((-table[:, 1], table[:, 0]))]


def _partnered(count: int) -> npt.NDArray[np.int64]:
    """Return numbers of nibbles such that the first shares a byte with the last, the second with the last but one, ….

    Early dimensions vary most. The scan's tables share one step, set by the byte whose two tables together span most:
    a wide table beside a narrow one makes that step almost half as large as two wide ones would.
    """
    nibbles = np.arange(count)
    last = count - 1 - nibbles
    return np.where(nibbles <= last, 2 * nibbles, 2 * last + 1)


@njit(nogil=True, cache=True)
def pack(symbols: Symbols, pieces: Pieces, blocks: Blocks, row: int) -> None:
    """Write symbols into blocks; see `Layout.pack`."""
    for i in range(symbols.shape[0]):
        block, lane = (row + i) // BLOCK, (row + i) % BLOCK
        blocks[block, :, lane] = 0
        for n in range(pieces.shape[0]):
            j, shift, width, nibble, position = pieces[n]
            value = (np.int64(symbols[i, j]) >> shift) & ((1 << width) - 1)
            blocks[block, nibble // 2, lane] |= np.uint8(value << (position + NIBBLE * (nibble % 2)))


@njit(nogil=True, cache=True)
def unpack(blocks: Blocks, pieces: Pieces, rows: npt.NDArray[np.int64], symbols: Symbols) -> None:
    """Read symbols (zeros on entry) of some rows; see `Layout.unpack`."""
    for i in range(len(rows)):
        block, lane = rows[i] // BLOCK, rows[i] % BLOCK
        for n in range(pieces.shape[0]):
            j, shift, width, nibble, position = pieces[n]
            value = np.int64(blocks[block, nibble // 2, lane]) >> (position + NIBBLE * (nibble % 2))
            symbols[i, j] |= np.uint8((value & ((1 << width) - 1)) << shift)
