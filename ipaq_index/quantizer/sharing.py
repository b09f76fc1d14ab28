"""Symbols that several dimensions share.

Below one bit a dimension, dimensions without any leave all of their variance. Of white vectors at half a bit, one bit
for every second dimension leaves 0.64 of it; what theory allows is 0.5 (Shannon). So two neighbours may share a bit:
both have four levels, and the bit takes the register of the trellis (`ipaq_index.quantizer.trellis`) a step for each,
so that either's low bit of the level number is another one. That leaves 0.54 (256 states).

Sparse vectors have symbols of four bits for patterns of up to eight neighbours: `ipaq_index.quantizer.patterns`.
"""

import numpy as np
import numpy.typing as npt

from ipaq_index.quantizer.allocation import NIBBLE
from ipaq_index.quantizer.joint import MOST_TOGETHER
from ipaq_index.quantizer.trellis import Trellis

LEAST_STATES = 8  # two steps with the same bit reach every other state of these, not of 4
# In units of its own levels, the order in which the second of the two has them. The bit tells the sign of the first; of
# the 24 orders the best four leave the same error of white vectors, the first's own, (0, 1, 2, 3), 3 % more.
ORDER = np.array([2, 0, 3, 1])
SHRUNK = 0.75  # levels to begin with, as a share of those for a bit alone: more is left, so less is told
# Error of two that share: the geometric mean of what is left with a bit and without, times this (white vectors).
SHARED_ERROR = 1.02

Flags = npt.NDArray[np.uint8]


def share(bits: npt.NDArray[np.uint8], errors: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.uint8], Flags]:
    """Share out anew the bits of dimensions that have one or none, to one dimension or to two neighbours each.

    The sum of errors is the least there is (dynamic programming over dimensions and bits).

    Parameters
    ----------
    bits : (d,) uint8
        Bits of each dimension.
    errors : (d, 9) float64
        Error of each dimension at 0 to 8 bits.

    Returns
    -------
    bits : (d,) uint8
        The sum over dimensions that do not share another's bit is that of before.
    shared : (d,) uint8
        1 where a dimension has the bit of the one before it.
    """
    together = SHARED_ERROR * np.sqrt(errors[:, 0] * errors[:, 1])
    few = bits <= 1
    budget = int(bits[few].sum())
    best = np.full((len(bits) + 1, budget + 1), np.inf)  # error of the first j dimensions by bits they have
    way = np.zeros(best.shape, dtype=np.uint8)  # 0, 1: bits of the last one; 2: it shares
    best[0, 0] = 0
    for j, possible in enumerate(few):
        if not possible:
            best[j + 1] = best[j]
            continue
        best[j + 1] = best[j] + errors[j, 0]
        choices = [best[j, :-1] + errors[j, 1]]
        if j and few[j - 1]:
            choices.append(best[j - 1, :-1] + together[j - 1] + together[j])
        for number, errors_so in enumerate(choices, start=1):
            less = errors_so < best[j + 1, 1:]
            best[j + 1, 1:][less] = errors_so[less]
            way[j + 1, 1:][less] = number
    bits, shared = bits.copy(), np.zeros(len(bits), dtype=np.uint8)
    j, left = len(bits), budget
    while j:
        chosen = int(way[j, left])
        if few[j - 1]:
            bits[j - 1] = min(chosen, 1)
            left -= min(chosen, 1)
        if chosen == 2:
            shared[j - 1], bits[j - 2] = 1, 1
            j -= 1
        j -= 1
    return bits, shared


def groups(shared: Flags) -> list[tuple[int, int]]:
    """Return the first and how many there are of dimensions that share a symbol, for each symbol that is shared."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], shared > 0, [0]])))
    return [(int(begin) - 1, int(end - begin) + 1) for begin, end in zip(ends[::2], ends[1::2], strict=True)]


def can_share(bits: npt.NDArray[np.uint8], shared: Flags) -> bool:
    """Return whether dimensions that share have the bits of a symbol that may be: one of two, four of some."""
    if not np.isin(shared, (0, 1)).all() or shared[0]:
        return False
    for first, size in groups(shared):
        own = bits[first : first + size]
        known = size == 2 if own[0] == 1 else own[0] == NIBBLE and size <= MOST_TOGETHER
        if not known or (own != own[0]).any():
            return False
    return True


def steps_together(trellis: Trellis, size: int) -> npt.NDArray[np.int64]:
    """Return where a state comes from by some steps with the same bit.

    Returns
    -------
    (states, 2, 2) int64
        By state after them and bit u: the state before them, and their kind: u and, bit by bit, the lowest bits of the
        states that the steps begin with.
    """
    found = np.empty((trellis.states, 2, 2), dtype=np.int64)
    for u in range(2):
        before = np.arange(trellis.states)
        state, kind = before, np.full(trellis.states, u)
        for _ in range(size):
            kind = 2 * kind + (state & 1)
            state = trellis.next_state[state, u]
        found[state, u] = np.stack([before, kind], axis=1)
    return found


def all_ways(trellis: Trellis, shared: Flags) -> npt.NDArray[np.int64]:
    """Return `steps_together` by size, those that there are."""
    sizes = {size for _, size in groups(shared)}
    ways = np.zeros((max(sizes, default=-1) + 1, trellis.states, 2, 2), dtype=np.int64)
    for size in sizes:
        ways[size] = steps_together(trellis, size)
    return ways
