"""Bits per dimension for a budget."""

import heapq

import numpy as np
import numpy.typing as npt

MAX_BITS = 8
NIBBLE = 4


def allocate(errors: npt.NDArray[np.float64], budget: int) -> npt.NDArray[np.uint8]:
    """Share ``budget`` bits among dimensions so that the sum of errors is least, and whole nibbles are filled.

    Bits are given one at a time to the dimension whose error falls most (marginal analysis; Fox, 1966), which is
    optimal where errors are convex in the bits. A dimension's bits become pieces of at most 4 (b <= 4: one; b > 4: 4
    and b - 4) that must fill nibbles exactly. Only pieces of 3 without a piece of 1 can leave room; where they do,
    bits move between dimensions at the least loss until none does.

    Parameters
    ----------
    errors : (d, 9) float64
        Error of each dimension at 0 to 8 bits.
    budget : int
        Bits in all, a multiple of 4.

    Returns
    -------
    (d,) uint8
        Bits of each dimension, 0 to 8; the sum is ``budget`` or, where all dimensions are full, ``8 d``.
    """
    bits = np.zeros(len(errors), dtype=np.int64)
    gains = [(errors[j, 1] - errors[j, 0], j) for j in range(len(errors))]
    heapq.heapify(gains)
    for _ in range(min(budget, MAX_BITS * len(errors))):
        _, j = heapq.heappop(gains)
        bits[j] += 1
        if bits[j] < MAX_BITS:
            heapq.heappush(gains, (errors[j, bits[j] + 1] - errors[j, bits[j]], j))
    while not packable(bits):
        _move_one(errors, bits)
    return bits.astype(np.uint8)


def packable(bits: npt.NDArray[np.int64]) -> bool:
    """Return whether the pieces fill nibbles: each 3 needs a 1; the others then fit, as the sum is a multiple of 4."""
    pieces = _pieces(bits)
    return int(np.count_nonzero(pieces == 3)) <= int(np.count_nonzero(pieces == 1))


def _pieces(bits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.minimum(bits, NIBBLE), np.maximum(bits - NIBBLE, 0)])


def _move_one(errors: npt.NDArray[np.float64], bits: npt.NDArray[np.int64]) -> None:
    """Move a bit between two dimensions with a piece of 3 at the least loss.

    There are two: the sum is even, so pieces of 3 and of 1 differ by an even number, and there are more of 3.
    """
    threes = np.flatnonzero(bits % NIBBLE == 3)
    gain = errors[threes, bits[threes]] - errors[threes, bits[threes] + 1]
    loss = errors[threes, bits[threes] - 1] - errors[threes, bits[threes]]
    winner = threes[gain.argmax()]
    loss[threes == winner] = np.inf
    bits[winner] += 1
    bits[threes[loss.argmin()]] -= 1
