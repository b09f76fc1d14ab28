"""Numbers of levels, of rows coded by a trellis, as bytes to look up: linear in codes and first states.

Which of a symbol's two levels a row has is the lowest bit of the trellis' state, known only to whoever walks there from
the first state. But the register adds bits without carry, so each such bit is a sum, modulo 2, of bits of the first
state and of symbols. So are numbers of levels, and bytes of them: a matrix of 8 x 8 bits times the state so far, and
one times each code byte that the dimensions lie in. AVX-512 has an instruction for that; elsewhere it is two look-ups
by nibble. Look-ups of these bytes leave nothing unknown, where at a bit a dimension the symbols leave a sixth.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.scan.layout import BLOCK, NIBBLE, Layout, Pieces

BYTE = 2 * NIBBLE
WORDS = 5  # of a map, int64: the matrix, then what it makes of each low nibble and of each high one, 16 bytes each
BYTE_COST, SOURCE_COST = 8, 5  # vector instructions for a byte that is made, and for each code byte it is made of
MOST_BITS = BYTE - 1  # of a symbol: a level's number has one more

Integers = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.uint8]  # of zeros and ones
Places = list[tuple[int, int, int]]  # shift within a number, width, and first bit of the byte


class Walk(NamedTuple):
    """How to make bytes of numbers of levels; of none, codes are looked up themselves.

    Attributes
    ----------
    made : (n, 6) int64
        Of each byte: how many sources it has; the map from the state, as it is before the first of them.
    sources : (m, 11) int64
        Where in a block the codes' pair begins, the map from its byte to the byte made, and that to what is added to
        the state.
    """

    made: Integers
    sources: Integers


class Numbers(NamedTuple):
    """Where numbers of levels lie in the bytes made, as `Layout` says it of symbols in codes."""

    bits: npt.NDArray[np.uint8]
    pieces: Pieces


NO_WALK = Walk(np.empty((0, 1 + WORDS), dtype=np.int64), np.empty((0, 1 + 2 * WORDS), dtype=np.int64))


def plan(layout: Layout, feedback: tuple[int, int, int], states: int) -> tuple[Walk, Numbers]:
    """Return how to make bytes, and what lies where in them.

    The state is kept as it would be, had the register not been shifted since the beginning: then nothing happens to it
    but that symbols are added.

    Parameters
    ----------
    layout : Layout
        Of symbols of at most `MOST_BITS`.
    feedback, states : (int, int, int), int
        Of the trellis; see `ipaq_index.scan.packed.CodeBook`. Each state follows on two others: A has the highest bit.
    """
    dimensions = np.flatnonzero(layout.bits)
    at = [_bits_of(layout.pieces[layout.pieces[:, 0] == j]) for j in dimensions]
    tap, forward, backward = _powers(feedback[:2], states, len(dimensions))
    lowest = [(power @ tap & 1)[0] for power in forward]  # of a state, so many steps after a bit came in
    made: list[list[int]] = []
    sources: list[list[int]] = []
    pieces: list[tuple[int, ...]] = []
    for first, last in _together(at):
        state = np.zeros((BYTE, BYTE), dtype=np.uint8)
        code = {pair: np.zeros((2, BYTE, BYTE), dtype=np.uint8) for pair in sorted(_pairs(at[first:last]))}
        placed = _placed([len(bits) + 1 for bits in at[first:last]])
        assert placed is not None
        for t, places in enumerate(placed, start=first):
            pair, bit = at[t][0]
            code[pair][1][:, bit] ^= backward[t + 1] @ tap & 1
            for shift, width, where in places:
                nibble, position = divmod(where, NIBBLE)
                pieces.append((dimensions[t], shift, width, 2 * len(made) + nibble, position))
                for n in range(max(shift, 1), shift + width):
                    pair, bit = at[t][n - 1]
                    code[pair][0][where + n - shift, bit] ^= 1
                if shift == 0:
                    state[where] = forward[t][0]
                    for before in range(first, t):
                        pair, bit = at[before][0]
                        code[pair][0][where, bit] ^= lowest[t - before - 1]
        sources += [[BLOCK * pair, *_map(new), *_map(added)] for pair, (new, added) in code.items()]
        made.append([len(code), *_map(state)])
    table = np.array(pieces, dtype=np.int64).reshape(-1, 5)
    numbers = Numbers(layout.bits + (layout.bits > 0).astype(np.uint8), table[np.lexsort((-table[:, 1], table[:, 0]))])
    shapes = zip(NO_WALK, (made, sources), strict=True)
    return Walk(*(np.array(rows, dtype=np.int64).reshape(-1, none.shape[1]) for none, rows in shapes)), numbers


def instructions(walk: Walk) -> int:
    """Return how many vector instructions it takes to make and look up all bytes."""
    return BYTE_COST * len(walk.made) + SOURCE_COST * len(walk.sources)


def applied(words: Integers, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return what a map of `WORDS` makes of bytes."""
    tables = np.ascontiguousarray(words[1:]).view(np.uint8).reshape(2, -1)
    found: npt.NDArray[np.uint8] = tables[0][codes & 15] ^ tables[1][codes >> NIBBLE]
    return found


def _bits_of(pieces: Pieces) -> list[tuple[int, int]]:
    """Return pair, and bit of the byte, of each bit of a symbol, the lowest first."""
    found = [
        (shift + n, int(nibble) // 2, int(position + NIBBLE * (nibble % 2) + n))
        for _, shift, width, nibble, position in pieces
        for n in range(width)
    ]
    return [(pair, bit) for _, pair, bit in sorted(found)]


def _pairs(at: list[list[tuple[int, int]]]) -> set[int]:
    return {pair for bits in at for pair, _ in bits}


def _powers(feedback: tuple[int, int], states: int, count: int) -> tuple[Matrix, list[Matrix], list[Matrix]]:
    """Return what a bit adds to the state, and powers of the matrix of a step without it, and of its inverse."""
    a, b = feedback
    every = 1 << np.arange(states.bit_length() - 1)
    step = _columns((every >> 1) ^ np.where(every == 1, a, 0))
    back = _columns(np.where(every == states >> 1, ((every ^ a) << 1) | 1, every << 1))
    powers: list[list[Matrix]] = [[np.eye(BYTE, dtype=np.uint8)] for _ in range(2)]
    for matrix, of_matrix in zip((step, back), powers, strict=True):
        for _ in range(count):
            of_matrix.append((matrix @ of_matrix[-1] & 1).astype(np.uint8))
    return _columns(np.array([b]))[:, 0], powers[0], powers[1]


def _columns(values: Integers) -> Matrix:
    matrix = np.zeros((BYTE, BYTE), dtype=np.uint8)
    matrix[:, : len(values)] = values >> np.arange(BYTE)[:, None] & 1
    return matrix


def _map(matrix: Matrix) -> list[int]:
    every = np.arange(1 << BYTE) >> np.arange(BYTE)[:, None] & 1
    made = np.packbits(matrix @ every.astype(np.uint8) & 1, axis=0, bitorder="little")[0]
    tables = np.concatenate([made[: 1 << NIBBLE], made[:: 1 << NIBBLE]])
    rows = np.packbits(matrix, axis=1, bitorder="little")[::-1, 0]  # the instruction takes the last one first
    words: list[int] = np.concatenate([rows, tables]).view(np.int64).tolist()
    return words


def _together(at: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Cut dimensions, in their order, into those that are made bytes of together: at the least cost."""
    costs, begins = [0], [0]
    for last in range(1, len(at) + 1):
        cost, begin = min(
            (costs[first] + BYTE_COST + SOURCE_COST * len(_pairs(at[first:last])), first)
            for first in range(max(0, last - NIBBLE), last)  # numbers have two bits at the least
            if _placed([len(bits) + 1 for bits in at[first:last]]) is not None
        )
        costs.append(cost)
        begins.append(begin)
    cuts, last = [], len(at)
    while last:
        cuts.append((begins[last], last))
        last = begins[last]
    return cuts[::-1]


def _placed(widths: list[int]) -> list[Places] | None:
    """Place numbers in the two nibbles of a byte, the widest first; None if there is no room.

    More than a nibble is cut: high bits first, so that the first piece tells the most.
    """
    free, found = [NIBBLE, NIBBLE], [list[tuple[int, int, int]]() for _ in widths]
    for n in sorted(range(len(widths)), key=lambda n: -widths[n]):
        left = widths[n]
        while left:
            width = min(left, NIBBLE)
            fits = [nibble for nibble in range(2) if free[nibble] >= width]
            if not fits:
                return None
            left -= width
            found[n].append((left, width, fits[0] * NIBBLE + NIBBLE - free[fits[0]]))
            free[fits[0]] -= width
    return found
