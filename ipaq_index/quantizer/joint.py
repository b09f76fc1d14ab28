"""What dimensions cost that share a symbol.

Each takes the register of the trellis a step, so the state and the symbol's low bit tell which of two levels of the
symbol counts in each. Paths only ask what the best symbol costs for each low bit and each way the parities can be.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import empty, lines
from ipaq_index.inner import emitted, inner
from ipaq_index.quantizer.lanes import CHOICES, LANES, WIDTH, emit_joint

MOST_TOGETHER = 8  # dimensions: 2^8 ways that the parities can be

Floats = npt.NDArray[np.float32]
Costs = npt.NDArray[np.uint8]


class Joint(NamedTuple):
    """Working memory. A kind is a low bit and, behind it, parities, the first dimension's first.

    Attributes
    ----------
    sums : (512, 16) float32
        Squared distances to each symbol, by parities, over some of the dimensions.
    best : (kinds, 32) int32
        The bits of the least sum, but that the lowest three tell the symbol.
    costs : (kinds, 32) uint8
        What each kind costs beyond the least of all.
    picks : (all kinds, 32) uint8
        Symbols of all groups, one behind the other.
    """

    sums: Floats
    best: npt.NDArray[np.int32]
    costs: Costs
    picks: Costs


@inner
def make_joint(shared: Costs) -> Joint:
    """Return working memory for dimensions of which ``shared`` have the symbol of the one before."""
    total, size, most = 0, 1, 1
    for j in range(len(shared)):
        size = size + 1 if shared[j] else 1
        most = max(most, size)
        if shared[j] and (j + 1 == len(shared) or not shared[j + 1]):
            total += 2 << size
    kinds = 2 << most
    return Joint(
        lines((2 * CHOICES * 2 << MOST_TOGETHER // 2, WIDTH), np.float32),
        empty((kinds, LANES), np.int32),
        empty((kinds, LANES), np.uint8),
        empty((total, LANES), np.uint8),
    )


def joint_costs(
    unit: Floats,
    stretch: Floats,
    levels: Floats,
    first: int,
    size: int,
    bits: int,
    limits: Floats,
    room: Joint,
    begin: int,
) -> None:
    """Fill ``room.costs``, and ``room.picks`` from ``begin`` on; in a kernel this is vector code.

    Parameters
    ----------
    unit : (d, 32) float32
        Vectors, one a column.
    stretch : (32,) float32
        What they are multiplied by.
    levels : (d, L) float32
    first, size : int
        The first dimension of those that share, and how many do.
    bits : int
        Of their symbol, 4 at most.
    limits : (2,) float32
        Units of cost in a squared distance of 1; the most that a step may cost.
    room : Joint
        Written.
    begin : int
        Kinds of the groups before.
    """
    ways, middle = 1 << size, first + size - size // 2
    best, mask = room.best[: 2 * ways], np.int32(-CHOICES)
    best[:] = np.iinfo(np.int32).max
    for symbol in range(1 << bits):
        halves = []
        for start, end in ((first, middle), (middle, first + size)):
            sums = np.zeros((1, LANES), dtype=np.float32)
            for j in range(start, end):
                square = [np.square(stretch * unit[j] - levels[j, 2 * symbol + parity]) for parity in (0, 1)]
                sums = np.stack([sums + square[0], sums + square[1]], axis=1).reshape(-1, LANES)
            halves.append(sums)
        sums = (halves[0][:, None] + halves[1]).reshape(-1, LANES)
        own = best[ways:] if symbol & 1 else best[:ways]
        own[:] = np.minimum(own, sums.view(np.int32) & mask | np.int32(symbol >> 1))
    error = (best & mask).view(np.float32)
    cost = (error - error.min(0)) * limits[0] + np.float32(0.5)
    room.costs[: 2 * ways] = np.minimum(cost, limits[1]).astype(np.uint8)
    room.picks[begin : begin + 2 * ways] = 2 * (best & ~mask) + np.repeat([0, 1], ways)[:, None]


@emitted(joint_costs)
def _joint_costs(
    unit: Floats,
    stretch: Floats,
    levels: Floats,
    first: int,
    size: int,
    bits: int,
    limits: Floats,
    room: Joint,
    begin: int,
) -> Any:
    def emitted(
        unit: Floats,
        stretch: Floats,
        levels: Floats,
        first: int,
        size: int,
        bits: int,
        limits: Floats,
        room: Joint,
        begin: int,
    ) -> None:
        emit_joint(
            unit.ctypes.data + 4 * LANES * first,
            stretch.ctypes.data,
            levels.ctypes.data + 4 * levels.shape[1] * first,
            4 * levels.shape[1],
            size,
            bits,
            limits.ctypes.data,
            room.sums.ctypes.data,
            room.best.ctypes.data,
            room.costs.ctypes.data,
            room.picks.ctypes.data + LANES * begin,
        )

    return emitted
