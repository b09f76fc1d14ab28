"""Where each dimension's bits lie in a block of 32 vectors.

A dimension's code of b <= 4 bits is one piece; of b > 4 bits two: the high 4 and the low b - 4. Pieces fill nibbles
(4 = 4, 3+1, 2+2, 2+1+1, 1+1+1+1). Byte ``blocks[b, p, i]`` holds nibbles 2p (low half) and 2p + 1 (high half) of row
32 b + i: one 32-byte load brings a pair of nibbles of 32 rows.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

BLOCK = 32
NIBBLE = 4

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
        One row a piece: dimension, shift within its symbol, width, nibble, position within the nibble.
    pairs : int
        Pairs of nibbles, which is also the bytes that a row's codes take.
    """

    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        self.bits = bits
        self.pieces, nibbles = _place(_cut(bits))
        self.pairs = -(-nibbles // 2)

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


def _cut(bits: npt.NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Return dimension, shift and width of each piece, widest first, then in the order of dimensions."""
    pieces = []
    for j, b in enumerate(int(b) for b in bits):
        if b > NIBBLE:
            pieces += [(j, b - NIBBLE, NIBBLE), (j, 0, b - NIBBLE)]
        elif b:
            pieces.append((j, 0, b))
    return sorted(pieces, key=lambda piece: -piece[2])


def _place(pieces: list[tuple[int, int, int]]) -> tuple[Pieces, int]:
    """Put each piece into the fullest nibble that has room (best fit, widest first), else into a new one."""
    free: list[int] = []
    placed = np.zeros((len(pieces), 5), dtype=np.int64)
    for number, (j, shift, width) in enumerate(pieces):
        rooms = [(room, nibble) for nibble, room in enumerate(free) if room >= width]
        if rooms:
            room, nibble = min(rooms)
        else:
            room, nibble = NIBBLE, len(free)
            free.append(NIBBLE)
        placed[number] = j, shift, width, nibble, NIBBLE - room
        free[nibble] = room - width
    placed[:, 3] = _partnered(placed[:, 3], len(free))
    return placed, len(free)


def _partnered(nibbles: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Renumber nibbles so that the first shares a byte with the last, the second with the last but one, and so on.

    Early dimensions vary most. The scan's tables share one step, set by the byte whose two tables together span most:
    a wide table beside a narrow one makes that step almost half as large as two wide ones would.
    """
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
