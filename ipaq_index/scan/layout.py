"""Where each dimension's bits lie in a block of 32 vectors.

Byte ``blocks[b, p, i]`` holds nibbles 2p (low half) and 2p + 1 (high half) of row 32 b + i: one 32-byte load brings a
pair of nibbles of 32 rows. A dimension's symbol is cut into pieces of at most 4 bits (4 = 4, 5 = 4 + 1), and pieces
fill nibbles. Long codes stand in two parts, in arrays of their own: the high bits of all dimensions in ``blocks``,
which a search for few queries reads from end to end, the low bits in ``rest``, which it mostly reads of promising rows
only (`ipaq_index.scan.looked`).
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from ipaq_index.arrays import zeros

BLOCK = 32
NIBBLE = 4
VERSION = 2  # of this module's rules; an index file says which one its codes follow
SPLIT_PAIRS = 16  # from here on codes stand in two parts
SPLIT_SHARE = 0.75  # of the pairs may be in the first part: beyond, the second is not worth its while
FIRST_BITS = 2  # of each dimension, on average, stand in the first part
QUAD = 4  # pairs of nibbles that one instruction adds up: the first part fills whole ones
TILE = 16  # dimensions that are turned on their side at a time

Blocks = npt.NDArray[np.uint8]
Symbols = npt.NDArray[np.uint8]
Pieces = npt.NDArray[np.int64]
Widths = npt.NDArray[np.int64]


class Layout:
    """The layout of one allocation of bits.

    Parameters
    ----------
    bits : (d,) uint8
        Bits of each dimension, 0 to 8.
    shared : (d,) uint8, optional
        1 where a dimension's symbol is that of the one before it, which alone is stored.
    version : int
        1: as it was in files up to November 2026, whose ``blocks`` hold both parts.

    Attributes
    ----------
    bits : (d,) uint8
    pieces : (n, 5) int64
        One row a piece: dimension, shift within its symbol, width, nibble, position within the nibble; sorted by
        dimension, a dimension's high bits first. Nibbles from ``2 * first_pairs`` on are those of the second part.
    pairs : int
        Pairs of nibbles, which is also the bytes that a row's codes take: ``ceil(sum(bits) / 8)``, of bits stored.
    first_pairs : int
        Pairs of the first part, or all.
    """

    def __init__(
        self, bits: npt.NDArray[np.uint8], version: int = VERSION, shared: npt.NDArray[np.uint8] | None = None
    ) -> None:
        self.bits = bits
        widths = bits.astype(np.int64)
        if shared is not None:
            widths[shared > 0] = 0
        self.pairs = _pairs(widths)
        if shared is not None and (bits[shared > 0] > 1).any():
            high = widths  # half of a pattern's number tells little
        else:
            high = _high_bits(widths, self.pairs) if version == VERSION else _high_bits_1(widths, self.pairs)
        self.first_pairs = _pairs(high)
        self.pieces = _place(_cut(high, widths - high), _cut(widths - high, 0), 2 * self.first_pairs, 2 * self.pairs)
        if shared is not None:
            self.pieces = _with_shared(self.pieces, np.flatnonzero(shared))

    @property
    def code_bytes(self) -> int:
        """Bytes of codes a row takes."""
        return self.pairs

    def empty(self, blocks: int) -> tuple[Blocks, Blocks]:
        """Return room for blocks, all 0: (blocks, first_pairs, 32) and (blocks, pairs - first_pairs, 32) uint8."""
        first, second = self.first_pairs, self.pairs - self.first_pairs
        return np.zeros((blocks, first, BLOCK), dtype=np.uint8), np.zeros((blocks, second, BLOCK), dtype=np.uint8)

    def pack(self, symbols: Symbols, blocks: Blocks, rest: Blocks, row: int) -> None:
        """Write rows ``row`` to ``row + m - 1``; nothing else changes.

        Parameters
        ----------
        symbols : (m, d) uint8
            Codes below ``2**bits`` of their dimension.
        blocks, rest : (nb, first_pairs, 32), (nb, pairs - first_pairs, 32) uint8
            Written in place.
        row : int
            The first row.
        """
        pack(symbols, self.pieces, blocks, rest, row)

    def unpack(self, blocks: Blocks, rest: Blocks, rows: npt.NDArray[np.int64]) -> Symbols:
        """Return the symbols of ``rows`` (r,), (r, d) uint8."""
        symbols = np.zeros((len(rows), len(self.bits)), dtype=np.uint8)
        unpack(blocks, rest, self.pieces, rows, symbols)
        return symbols


def _pairs(widths: npt.NDArray[np.int64]) -> int:
    return -(-int(widths.sum()) // (2 * NIBBLE))


def _high_bits(widths: Widths, pairs: int) -> Widths:
    """Return how many high bits of each dimension stand in the first part, half of all or a little more.

    All dimensions have about the same error. A bit less makes it four times as large, so half of the bits at the least
    error are those that leave each dimension the same number of bits behind, give or take one (reverse water-filling);
    the early dimensions of as many bits vary more. Two bits a dimension at the least: they leave an eighth of the
    variance unknown, one bit a third, and then most rows would have to be scored exactly. Short codes are one part.
    """
    least = max(pairs / 2, FIRST_BITS * np.count_nonzero(widths) / (2 * NIBBLE))
    first = QUAD * math.ceil(least / QUAD)
    if pairs < SPLIT_PAIRS or first > SPLIT_SHARE * pairs:
        return widths
    budget = 2 * NIBBLE * first
    low = min(n for n in range(1, 9) if np.maximum(widths - n, 0).sum() <= budget)
    high = np.maximum(widths - low, 0)
    more = np.flatnonzero(widths >= low)[: budget - int(high.sum())]
    high[more] += 1
    return high


def _high_bits_1(widths: Widths, pairs: int) -> Widths:
    """Return the same for version 1: codes of 64 pairs and more, at least 45 % of the bits."""
    if pairs < 64:
        return widths
    least = 0.45 * widths.sum()
    low = max(n for n in range(NIBBLE + 1) if np.maximum(widths - n, 0).sum() >= least)
    return np.maximum(widths - low, 0)


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


def _with_shared(pieces: Pieces, dimensions: npt.NDArray[np.int64]) -> Pieces:
    """Return the pieces and, for some dimensions, those of the dimension before, once more."""
    table, waiting = pieces, dimensions
    while len(waiting):
        ready = waiting[~np.isin(waiting - 1, waiting)]
        more = table[np.isin(table[:, 0], ready - 1)]
        more[:, 0] += 1
        table, waiting = np.concatenate([table, more]), np.setdiff1d(waiting, ready)
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
def pack(symbols: Symbols, pieces: Pieces, blocks: Blocks, rest: Blocks, row: int) -> None:
    """Write symbols into blocks; see `Layout.pack`.

    A block at a time: with its symbols turned on their side, a piece of all its rows is one vector operation.
    """
    m, d = symbols.shape
    pairs = blocks.shape[1]
    turned = zeros((d, BLOCK), np.uint8)
    first = 0
    while first < m:
        block, lane = (row + first) // BLOCK, (row + first) % BLOCK
        count = min(BLOCK - lane, m - first)
        for begin in range(0, d, TILE):
            for i in range(count):
                for j in range(begin, min(begin + TILE, d)):
                    turned[j, lane + i] = symbols[first + i, j]
        blocks[block, :, lane : lane + count] = 0
        rest[block, :, lane : lane + count] = 0
        for n in range(pieces.shape[0]):
            j, shift, width, nibble, position = pieces[n]
            down, up = np.uint8(shift), np.uint8(position + NIBBLE * (nibble % 2))
            mask = np.uint8((1 << width) - 1)
            pair, source = nibble // 2, turned[j]
            target = blocks[block, pair] if pair < pairs else rest[block, pair - pairs]
            if count == BLOCK:  # a fixed number of steps becomes one vector
                for i in range(BLOCK):
                    target[i] |= np.uint8(np.uint8(np.uint8(source[i] >> down) & mask) << up)
            else:
                for i in range(lane, lane + count):
                    target[i] |= np.uint8(np.uint8(np.uint8(source[i] >> down) & mask) << up)
        first += count


@njit(nogil=True, cache=True)
def unpack(blocks: Blocks, rest: Blocks, pieces: Pieces, rows: npt.NDArray[np.int64], symbols: Symbols) -> None:
    """Read symbols (zeros on entry) of some rows; see `Layout.unpack`."""
    first = blocks.shape[1]
    for i in range(len(rows)):
        block, lane = rows[i] // BLOCK, rows[i] % BLOCK
        for n in range(pieces.shape[0]):
            j, shift, width, nibble, position = pieces[n]
            pair = nibble // 2
            code = np.int64(blocks[block, pair, lane] if pair < first else rest[block, pair - first, lane])
            value = code >> (position + NIBBLE * (nibble % 2))
            symbols[i, j] |= np.uint8((value & ((1 << width) - 1)) << shift)
