"""The best path through a trellis (Viterbi's algorithm), 16 vectors side by side.

Costs of paths are whole numbers of 16 bits: two bytes instead of four move twice as many states through a core, and
those of 256 states fit the first-level cache. What subsets cost beyond the nearest of them is counted in units of
1/`UNITS` of the squared distance between levels, `MOST` at most; the nearest distances themselves are summed apart, in
float32. On GloVe (50-d) and Debian (384-d) the paths leave the error of float32 sums, to three digits.

Costs cannot overflow. Every state is reached from every other in log2(states) <= 8 dimensions, so costs differ by
8 * MOST at most; every 8 dimensions the least cost is taken off all; 16 * MOST + 7 < 2^16. Nothing is fused or
reassociated: codes are the same on every CPU.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import overload

from ipaq_index.quantizer.lanes import LANES, ROW, SUBSETS, emit_extend, emit_lower, emit_nearest, emit_steps

UNITS = 256  # of the mean squared distance between neighbouring levels; paths cost some 60 a dimension
MOST = 4_095  # of these units, that a dimension may cost beyond its nearest level
PERIOD = 8  # dimensions after which costs are lowered
FAR = 8 * MOST + 7  # cost of a state in which no path begins: more than any path that does has cost when it gets there

Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.uint16]
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
    scale : (2,) float32
        Units of cost in a squared distance of 1, and `MOST`.
    """

    bits: npt.NDArray[np.uint8]
    levels: Floats
    middles: Floats
    states: int
    feedback: int
    tap: int
    starts: int
    scale: Floats


class Room(NamedTuple):
    """Working memory of a search.

    Attributes
    ----------
    distance : (4, 16) float32
        Squared distance of each lane to the nearest level of each subset.
    base : (16,) float32
        Sum of the least of the four distances.
    step : (4, 16) uint16
        What each subset costs beyond that.
    least : (16,) uint16
        What was taken off the costs at last.
    near : (d, 4, 16) uint8
        Which level of the subset that is.
    cost : (2, states, 16) uint16
        Of the best path into each state, before and after a dimension.
    turns : (d, states) uint16
        Bit i: the branch bit by which lane i's best path comes into the state.
    """

    distance: Floats
    base: Floats
    step: Shorts
    least: Shorts
    near: Symbols
    cost: Shorts
    turns: npt.NDArray[np.uint16]


@njit(nogil=True, cache=True)
def make_room(d: int, states: int) -> Room:
    """Return working memory for `best_paths`."""
    return Room(
        np.empty((SUBSETS, LANES), dtype=np.float32),
        np.empty(LANES, dtype=np.float32),
        np.empty((SUBSETS, LANES), dtype=np.uint16),
        np.empty(LANES, dtype=np.uint16),
        np.empty((d, SUBSETS, LANES), dtype=np.uint8),
        np.empty((2, states, LANES), dtype=np.uint16),
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
        Result: squared errors, but for the rounding of costs.
    """
    cost = room.cost[forward(target, tables, room)]
    best = np.zeros(LANES, dtype=np.int64)
    for s in range(1, tables.states):
        for i in range(LANES):
            if cost[s, i] < cost[best[i], i]:
                best[i] = s
    for i in range(LANES):
        errors[i] = room.base[i] + np.float32(cost[best[i], i]) / tables.scale[0]
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
    room.cost[0, :] = FAR
    room.cost[0, : tables.starts] = 0
    room.base[:] = 0
    half, count = 0, 0
    for j in range(len(tables.bits)):
        if tables.bits[j]:
            nearest(
                target[j], tables.levels[j], tables.middles[j], 2 << int(tables.bits[j]), room.distance, room.near[j]
            )
            steps(room.distance, tables.scale, room.step, room.base)
            extend(room.cost[half], room.cost[1 - half], room.step, room.turns[j], tables.feedback, tables.tap)
            half, count = 1 - half, count + 1
            if count % PERIOD == 0:
                lower(room.cost[half], room.least)
                room.base[:] += room.least.astype(np.float32) / tables.scale[0]
    return half


def steps(distance: Floats, scale: Floats, step: Shorts, base: Floats) -> None:
    """Add the least of the four distances to ``base``; set ``step`` to what each is beyond it, in units of cost."""
    least = distance.min(0)
    base += least
    step[:] = np.minimum((distance - least) * scale[0] + np.float32(0.5), scale[1]).astype(np.uint16)


def lower(cost: Shorts, least: Shorts) -> None:
    """Take the least cost of each lane, which goes to ``least``, off the costs of all states."""
    least[:] = cost.min(0)
    cost -= least


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


def extend(cost: Shorts, after: Shorts, step: Shorts, turns: npt.NDArray[np.uint16], feedback: int, tap: int) -> None:
    """Set ``after`` to the costs behind this dimension and ``turns`` to the branches taken, from ``cost`` before it."""
    turns[:] = 0
    for a in range(len(cost) // 2):
        for z in range(2):
            state = a ^ z * feedback
            for i in range(LANES):
                by0 = cost[2 * a + z, i] + step[z, i]
                by1 = cost[2 * (a ^ tap) + z, i] + step[2 + z, i]
                after[state, i] = min(by0, by1)
                turns[state] |= np.uint16((by1 < by0) << i)


@overload(forward)
def _forward(target: Floats, tables: Tables, room: Room) -> Any:
    def emitted(target: Floats, tables: Tables, room: Room) -> int:
        room.cost[0, :] = FAR
        room.cost[0, : tables.starts] = 0
        room.base[:] = 0
        split = 1
        while 2 * split <= tables.tap:
            split *= 2
        # Taking an array's address counts a reference in and out, so it is done once.
        y, levels, middles = target.ctypes.data, tables.levels.ctypes.data, tables.middles.ctypes.data
        distance, near, turns = room.distance.ctypes.data, room.near.ctypes.data, room.turns.ctypes.data
        cost, step, base, least = (
            room.cost.ctypes.data,
            room.step.ctypes.data,
            room.base.ctypes.data,
            room.least.ctypes.data,
        )
        unit = tables.scale.ctypes.data
        width, size = 4 * tables.levels.shape[1], 2 * LANES * tables.states
        half, count = 0, 0
        for j in range(len(tables.bits)):
            if tables.bits[j]:
                middle_count = (1 << (np.int64(tables.bits[j]) - 1)) - 1
                here = near + j * SUBSETS * LANES
                emit_nearest(y + j * ROW, levels + j * width, middles + j * width, middle_count, distance, here)
                emit_steps(distance, unit, unit + 4, step, base)
                before, after = cost + half * size, cost + (1 - half) * size
                turn = turns + 2 * j * tables.states
                emit_extend(before, after, step, turn, tables.states, tables.feedback, tables.tap, split)
                half, count = 1 - half, count + 1
                if count % PERIOD == 0:
                    emit_lower(after, tables.states, least)
                    for i in range(LANES):
                        room.base[i] += np.float32(room.least[i]) / tables.scale[0]
        return half

    return emitted
