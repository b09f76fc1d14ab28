"""The best path through a trellis (Viterbi's algorithm), 16 vectors side by side.

All sums are float32 in a fixed order, nothing is fused or reassociated: codes are the same on every CPU.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import overload

from ipaq_index.quantizer.lanes import LANES, ROW, SUBSETS, emit_extend, emit_nearest

Floats = npt.NDArray[np.float32]
Symbols = npt.NDArray[np.uint8]


class Tables(NamedTuple):
    """Levels and trellis, as kernels take them.

    Attributes
    ----------
    bits : (d,) uint8
    levels : (d, L) float32
        ``2 << bits[j]`` levels of a dimension with bits, one of a dimension without.
    middles : (d, L) float32
        ``middles[j, i]`` lies between levels i and i + 4, which are neighbours in their subset.
    states, feedback, tap : int
        See `Trellis`.
    starts : int
        Paths begin in one of the states 0 to ``starts - 1``.
    """

    bits: npt.NDArray[np.uint8]
    levels: Floats
    middles: Floats
    states: int
    feedback: int
    tap: int
    starts: int


class Room(NamedTuple):
    """Working memory of a search.

    Attributes
    ----------
    distance : (4, 16) float32
        Squared distance of each lane to the nearest level of each subset.
    near : (d, 4, 16) uint8
        Which level of the subset that is.
    cost : (2, states, 16) float32
        Of the best path into each state, before and after a dimension.
    turns : (d, states) uint16
        Bit i: the branch bit by which lane i's best path comes into the state.
    """

    distance: Floats
    near: Symbols
    cost: Floats
    turns: npt.NDArray[np.uint16]


@njit(nogil=True, cache=True)
def make_room(d: int, states: int) -> Room:
    """Return working memory for `best_paths`."""
    return Room(
        np.empty((SUBSETS, LANES), dtype=np.float32),
        np.empty((d, SUBSETS, LANES), dtype=np.uint8),
        np.empty((2, states, LANES), dtype=np.float32),
        np.empty((d, states), dtype=np.uint16),
    )


@njit(nogil=True, cache=True)
def best_paths(target: Floats, tables: Tables, room: Room, symbols: Symbols, starts: Symbols, errors: Floats) -> None:
    """Find the codes of least squared error for 16 vectors.

    Parameters
    ----------
    target : (d, 16) float32
        The vectors, one a column.
    tables : Tables
    room : Room
        Overwritten.
    symbols : (16, d) uint8
        Result: codes.
    starts : (16,) uint8
        Result: first states.
    errors : (16,) float32
        Result: squared errors.
    """
    cost = room.cost[forward(target, tables, room)]
    best = np.zeros(LANES, dtype=np.int64)
    errors[:] = cost[0]
    for s in range(1, tables.states):
        for i in range(LANES):
            if cost[s, i] < errors[i]:
                errors[i], best[i] = cost[s, i], s
    top = tables.states >> 1
    for i in range(LANES):
        state = best[i]
        for j in range(len(tables.bits) - 1, -1, -1):
            if tables.bits[j] == 0:
                symbols[i, j] = 0
                continue
            u = (np.int64(room.turns[j, state]) >> i) & 1
            low = 1 if state & top else 0
            symbols[i, j] = 2 * np.int64(room.near[j, 2 * u + low, i]) + u
            state = 2 * (state ^ low * tables.feedback ^ u * tables.tap) + low
        starts[i] = state


def forward(target: Floats, tables: Tables, room: Room) -> int:
    """Fill ``room`` with the best path into every state; return which half of ``room.cost`` has the final costs.

    In a kernel the loops over lanes are vector code (`lanes`); the code below is its twin.
    """
    room.cost[0, :] = np.inf
    room.cost[0, : tables.starts] = 0
    half = 0
    for j in range(len(tables.bits)):
        if tables.bits[j]:
            nearest(
                target[j], tables.levels[j], tables.middles[j], 2 << int(tables.bits[j]), room.distance, room.near[j]
            )
            extend(room.cost[half], room.cost[1 - half], room.distance, room.turns[j], tables.feedback, tables.tap)
            half = 1 - half
    return half


def nearest(target: Floats, levels: Floats, middles: Floats, count: int, distance: Floats, near: Symbols) -> None:
    """Set ``near`` (4, 16) to the nearest of ``count`` levels in each subset, ``distance`` to its squared distance."""
    for q in range(SUBSETS):
        for i in range(LANES):
            near[q, i] = 0
            for n in range(count // SUBSETS - 1):
                if target[i] > middles[SUBSETS * n + q]:
                    near[q, i] = n + 1
            error = target[i] - levels[SUBSETS * int(near[q, i]) + q]
            distance[q, i] = error * error


def extend(
    cost: Floats, after: Floats, distance: Floats, turns: npt.NDArray[np.uint16], feedback: int, tap: int
) -> None:
    """Set ``after`` to the costs behind this dimension and ``turns`` to the branches taken, from ``cost`` before it."""
    turns[:] = 0
    for a in range(len(cost) // 2):
        for z in range(2):
            state = a ^ z * feedback
            for i in range(LANES):
                by0 = cost[2 * a + z, i] + distance[z, i]
                by1 = cost[2 * (a ^ tap) + z, i] + distance[2 + z, i]
                after[state, i] = min(by0, by1)
                turns[state] |= np.uint16((by1 < by0) << i)


@overload(forward)
def _forward(target: Floats, tables: Tables, room: Room) -> Any:
    def emitted(target: Floats, tables: Tables, room: Room) -> int:
        room.cost[0, :] = np.inf
        room.cost[0, : tables.starts] = 0
        split = 1
        while 2 * split <= tables.tap:
            split *= 2
        # Taking an array's address counts a reference in and out, so it is done once.
        y, levels, middles = target.ctypes.data, tables.levels.ctypes.data, tables.middles.ctypes.data
        distance, near, turns = room.distance.ctypes.data, room.near.ctypes.data, room.turns.ctypes.data
        cost = room.cost.ctypes.data
        width, size = 4 * tables.levels.shape[1], ROW * tables.states
        half = 0
        for j in range(len(tables.bits)):
            if tables.bits[j]:
                steps = (1 << (np.int64(tables.bits[j]) - 1)) - 1
                here = near + j * SUBSETS * LANES
                emit_nearest(y + j * ROW, levels + j * width, middles + j * width, steps, distance, here)
                before, after = cost + half * size, cost + (1 - half) * size
                turn = turns + 2 * j * tables.states
                emit_extend(before, after, distance, turn, tables.states, tables.feedback, tables.tap, split)
                half = 1 - half
        return half

    return emitted
