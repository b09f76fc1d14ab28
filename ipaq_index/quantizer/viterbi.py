"""The best path through a trellis (Viterbi's algorithm), 32 vectors side by side.

Costs of paths are whole numbers of 16 bits: two bytes instead of four move twice as many states through a core, and
those of 256 states fit the first-level cache. What subsets cost beyond the nearest of them is counted in units of
1/`UNITS` of the squared distance between levels, `MOST` at most. On GloVe (50-d) and Debian (384-d) the paths leave the
error of float32 sums, to three digits.

Costs cannot overflow. Every state is reached from every other in log2(states) <= 8 dimensions, so costs differ by
8 * MOST at most; every 8 dimensions the least cost is taken off all; 16 * MOST + 7 < 2^16. Nothing is fused or
reassociated: codes are the same on every CPU.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import overload

from ipaq_index.quantizer.lanes import LANES, ROW, SHORT_ROW, SUBSETS, emit_extend, emit_lower, emit_steps

UNITS = 256  # of the mean squared distance between neighbouring levels; paths cost some 60 a dimension
MOST = 4_095  # of these units, that a dimension may cost beyond its nearest level
PERIOD = 8  # dimensions after which costs are lowered
LINE = 64  # bytes of a cache line
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
    step : (4, 32) uint16
        What each subset costs beyond the nearest of the four.
    least : (32,) uint16
        What was taken off the costs at last.
    rank : (d, 32) uint16
        How many middles lie below each coordinate. Middles of the four subsets take turns, so this tells the nearest
        level of each: `nearest_level`.
    cost : (2, states, 32) uint16
        Of the best path into each state, before and after a dimension.
    turns : (d, states) uint32
        Bit i: the branch bit by which lane i's best path comes into the state.
    """

    step: Shorts
    least: Shorts
    rank: Shorts
    cost: Shorts
    turns: npt.NDArray[np.uint32]


@njit(nogil=True, cache=True)
def aligned(rows: int) -> npt.NDArray[np.uint8]:
    """Return (rows, 64) bytes that begin where a cache line does: storing across two of them takes twice as long."""
    memory = np.zeros((rows + 1) * LINE, dtype=np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + rows * LINE].reshape(rows, LINE)


@njit(nogil=True, cache=True)
def make_room(d: int, states: int) -> Room:
    """Return working memory for `best_paths`."""
    return Room(
        aligned(SUBSETS).view(np.uint16),
        aligned(1).view(np.uint16)[0],
        aligned(d).view(np.uint16),
        aligned(2 * states).view(np.uint16).reshape(2, states, LANES),
        np.empty((d, states), dtype=np.uint32),
    )


@njit(nogil=True, cache=True)
def best_paths(
    unit: Floats, stretch: Floats, tables: Tables, room: Room, symbols: Symbols, starts: Symbols, sums: Floats
) -> None:
    """Find the codes of least squared error for multiples of 32 vectors.

    Parameters
    ----------
    unit : (d, 32) float32
        The vectors, one a column.
    stretch : (32,) float32
        The multiples.
    tables : Tables
    room : Room
        Overwritten.
    symbols : (d, 32) uint8
        Result: codes.
    starts : (32,) uint8
        Result: first states.
    sums : (2, 32) float32
        Result: <y, z> and <z, z>, y a column of ``unit`` and z what its codes stand for.
    """
    cost = room.cost[forward(unit, stretch, tables, room)]
    best = np.zeros(LANES, dtype=np.int64)
    for s in range(1, tables.states):
        for i in range(LANES):
            if cost[s, i] < cost[best[i], i]:
                best[i] = s
    back(unit, tables, room, best, symbols, sums)
    for i in range(LANES):
        starts[i] = best[i]


@njit(nogil=True, cache=True)
def back(
    unit: Floats, tables: Tables, room: Room, state: npt.NDArray[np.int64], symbols: Symbols, sums: Floats
) -> None:
    """Go back along the best paths, whose last states are given and become the first; all lanes step by step.

    A lane alone would wait for memory at each step: the turn taken tells where the next one is.
    """
    top = tables.states >> 1
    sums[:] = 0
    for j in range(len(tables.bits) - 1, -1, -1):
        if tables.bits[j] == 0:
            z = tables.levels[j, 0]
            for i in range(LANES):
                symbols[j, i] = 0
                sums[0, i] += unit[j, i] * z
                sums[1, i] += z * z
            continue
        for i in range(LANES):
            s = state[i]
            u = (np.int64(room.turns[j, s]) >> i) & 1
            low = 1 if s & top else 0
            subset = 2 * u + low
            inner = nearest_level(np.int64(room.rank[j, i]), subset)
            symbols[j, i] = 2 * inner + u
            state[i] = 2 * (s ^ low * tables.feedback ^ u * tables.tap) + low
            z = tables.levels[j, SUBSETS * inner + subset]
            sums[0, i] += unit[j, i] * z
            sums[1, i] += z * z


@njit(nogil=True, cache=True)
def nearest_level(rank: int, subset: int) -> int:
    """Return which level of a subset is nearest to a coordinate with ``rank`` middles below it."""
    return (rank + SUBSETS - 1 - subset) // SUBSETS


def forward(unit: Floats, stretch: Floats, tables: Tables, room: Room) -> int:
    """Fill ``room`` with the best path into every state; return which half of ``room.cost`` has the final costs.

    In a kernel the loops over lanes are vector code (`lanes`); the code below is its twin.
    """
    room.cost[0, :] = FAR
    room.cost[0, : tables.starts] = 0
    half, count = 0, 0
    for j in range(len(tables.bits)):
        if tables.bits[j]:
            target, middles = stretch * unit[j], (2 << int(tables.bits[j])) - SUBSETS
            steps(target, tables.levels[j], tables.middles[j, :middles], tables.scale, room.step, room.rank[j])
            extend(room.cost[half], room.cost[1 - half], room.step, room.turns[j], tables.feedback, tables.tap)
            half, count = 1 - half, count + 1
            if count % PERIOD == 0:
                lower(room.cost[half], room.least)
    return half


def steps(target: Floats, levels: Floats, middles: Floats, scale: Floats, step: Shorts, rank: Shorts) -> None:
    """Set ``rank`` to the number of middles below, ``step`` to what the nearest level of each subset costs.

    Costs are squared distances beyond the least of the four, in units.
    """
    rank[:] = (target[:, None] > middles).sum(1)
    distance = np.empty((SUBSETS, LANES), dtype=np.float32)
    for q in range(SUBSETS):
        distance[q] = np.square(target - levels[SUBSETS * nearest_level(rank.astype(np.int64), q) + q])
    step[:] = np.minimum((distance - distance.min(0)) * scale[0] + np.float32(0.5), scale[1]).astype(np.uint16)


def lower(cost: Shorts, least: Shorts) -> None:
    """Take the least cost of each lane, which goes to ``least``, off the costs of all states."""
    least[:] = cost.min(0)
    cost -= least


def extend(cost: Shorts, after: Shorts, step: Shorts, turns: npt.NDArray[np.uint32], feedback: int, tap: int) -> None:
    """Set ``after`` to the costs behind this dimension and ``turns`` to the branches taken, from ``cost`` before it."""
    turns[:] = 0
    for a in range(len(cost) // 2):
        for z in range(2):
            state = a ^ z * feedback
            for i in range(LANES):
                by0 = cost[2 * a + z, i] + step[z, i]
                by1 = cost[2 * (a ^ tap) + z, i] + step[2 + z, i]
                after[state, i] = min(by0, by1)
                turns[state] |= np.uint32(by1 < by0) << np.uint32(i)


@overload(forward)
def _forward(unit: Floats, stretch: Floats, tables: Tables, room: Room) -> Any:
    def emitted(unit: Floats, stretch: Floats, tables: Tables, room: Room) -> int:
        room.cost[0, :] = FAR
        room.cost[0, : tables.starts] = 0
        split = 1
        while 2 * split <= tables.tap:
            split *= 2
        # Taking an array's address counts a reference in and out, so it is done once.
        y, multiple = unit.ctypes.data, stretch.ctypes.data
        levels, middles, scale = tables.levels.ctypes.data, tables.middles.ctypes.data, tables.scale.ctypes.data
        step, rank, cost = room.step.ctypes.data, room.rank.ctypes.data, room.cost.ctypes.data
        turns, least = room.turns.ctypes.data, room.least.ctypes.data
        width, size = 4 * tables.levels.shape[1], SHORT_ROW * tables.states
        half, count = 0, 0
        for j in range(len(tables.bits)):
            if tables.bits[j]:
                quads = (1 << (np.int64(tables.bits[j]) - 1)) - 1
                row, here = y + j * ROW, rank + j * SHORT_ROW
                emit_steps(row, multiple, levels + j * width, middles + j * width, quads, scale, here, step)
                before, after = cost + half * size, cost + (1 - half) * size
                turn = turns + 4 * j * tables.states
                emit_extend(before, after, step, turn, tables.states, tables.feedback, tables.tap, split)
                half, count = 1 - half, count + 1
                if count % PERIOD == 0:
                    emit_lower(after, tables.states, least)
        return half

    return emitted
