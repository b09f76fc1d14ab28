"""The best path through a trellis (Viterbi's algorithm), 32 vectors side by side.

Costs of paths are whole numbers of 8 bits: one byte instead of four moves four times as many states through a core, and
those of 256 states fit the first-level cache. What subsets cost beyond the nearest of them is counted in units of
1/`UNITS` of the squared distance between levels, `MOST` at most. Against units of 1/256 in 16 bits, that adds 0.1 % to
the error of clustered, Gaussian and heavy-tailed vectors, 0.3 % to that of sparse ones (4 bits, 48 to 384 dimensions).

Sums stop at 255, and the least cost is taken off all every few dimensions: a path that costs so much more than the best
is not going to win. States in which no path may begin cost 255 at first. Every state is reached from every other in
log2(states) <= 8 dimensions; where all paths into a state have come to 255 by then, one from such a beginning can win.
Those vectors are searched again, with costs in the first so many dimensions that keep below 255. Codes are the same on
every CPU.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipaq_index.arrays import empty, lines, zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.quantizer.joint import Joint, joint_costs, make_joint
from ipaq_index.quantizer.lanes import (
    LANES,
    ROW,
    SHORT_ROW,
    SUBSETS,
    emit_extend,
    emit_extend_joint,
    emit_lower,
    emit_read,
    emit_steps,
)

# Of the mean squared distance between neighbouring levels; paths cost some 2 a dimension. With 16, sums reach 255 too
# often (sparse vectors: 0.4 % more error), 6 are too coarse (Gaussian: 0.1 %).
UNITS = 10
MOST = 127  # of these units, that a dimension may cost beyond its nearest level
PERIOD = 4  # dimensions after which costs are lowered
FAR = 255  # cost of a state in which no path begins

Floats = npt.NDArray[np.float32]
Symbols = npt.NDArray[np.uint8]
Costs = npt.NDArray[np.uint8]
Turns = npt.NDArray[np.uint32]


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
    scale : (3,) float32
        Units of cost in a squared distance of 1, the most that one of the first dimensions may cost for paths to stay
        below `FAR`, and the most that a dimension may cost.
    shared : (d,) uint8
        1 where a dimension has the symbol of the one before it; see `ipaq_index.quantizer.sharing`.
    ways : (sizes, states, 2, 2) int64
        By number of dimensions that share, `ipaq_index.quantizer.sharing.steps_together`; empty where none does.
    """

    bits: npt.NDArray[np.uint8]
    levels: Floats
    middles: Floats
    states: int
    feedback: int
    tap: int
    starts: int
    scale: Floats
    shared: npt.NDArray[np.uint8]
    ways: npt.NDArray[np.int64]


class Room(NamedTuple):
    """Working memory of a search.

    Attributes
    ----------
    step : (4, 32) uint8
        What each subset costs beyond the nearest of the four.
    joint : Joint
        The same of dimensions that share a symbol.
    least : (32,) uint8
        What was taken off the costs at last.
    rank : (d, 32) uint16
        How many middles lie below each coordinate. Middles of the four subsets take turns, so this tells the nearest
        level of each: `nearest_level`.
    cost : (2, states, 32) uint8
        Of the best path into each state, before and after a dimension.
    turns : (d, states) uint32
        Bit i: the branch bit by which lane i's best path comes into the state.
    """

    step: Costs
    joint: Joint
    least: Costs
    rank: npt.NDArray[np.uint16]
    cost: Costs
    turns: Turns


@inner
def make_room(tables: Tables) -> Room:
    """Return working memory for `best_paths`."""
    d = len(tables.bits)
    return Room(
        empty((SUBSETS, LANES), np.uint8),
        make_joint(tables.shared),
        empty(LANES, np.uint8),
        empty((d, LANES), np.uint16),
        lines((2, tables.states, LANES), np.uint8),
        empty((d, tables.states), np.uint32),
    )


@inner
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
    find(unit, stretch, tables, room, tables.scale[2], symbols, starts, sums)
    beyond = False
    for i in range(LANES):
        beyond |= starts[i] >= tables.starts
    if beyond:
        others, firsts, theirs = empty(symbols.shape, np.uint8), empty(LANES, np.uint8), empty((2, LANES), np.float32)
        find(unit, stretch, tables, room, tables.scale[1], others, firsts, theirs)
        for i in range(LANES):
            if starts[i] >= tables.starts:
                starts[i], sums[0, i], sums[1, i] = firsts[i], theirs[0, i], theirs[1, i]
                for j in range(len(symbols)):
                    symbols[j, i] = others[j, i]


@inner
def find(
    unit: Floats,
    stretch: Floats,
    tables: Tables,
    room: Room,
    early: np.float32,
    symbols: Symbols,
    starts: Symbols,
    sums: Floats,
) -> None:
    """Do what `best_paths` does, the first dimensions costing ``early`` at most."""
    cost = room.cost[forward(unit, stretch, tables, room, early)]
    state, least = zeros(LANES, np.uint32), empty(LANES, np.uint8)
    for i in range(LANES):
        least[i] = cost[0, i]
    for s in range(1, tables.states):
        for i in range(LANES):
            if cost[s, i] < least[i]:
                least[i], state[i] = cost[s, i], s
    back(unit, tables, room, state, symbols, sums)
    for i in range(LANES):
        starts[i] = state[i]


@inner
def back(unit: Floats, tables: Tables, room: Room, state: Turns, symbols: Symbols, sums: Floats) -> None:
    """Go back along the best paths, whose last states are given and become the first; all lanes step by step.

    A lane alone would wait for memory at each step: the turn taken tells where the next one is.
    """
    top = tables.states >> 1
    before = empty(2 * tables.states, np.uint32)  # by state and branch bit
    for s in range(tables.states):
        low = 1 if s & top else 0
        for u in range(2):
            before[2 * s + u] = 2 * (s ^ low * tables.feedback ^ u * tables.tap) + low
    subset, kind = zeros(LANES, np.uint32), zeros(LANES, np.uint32)
    one = np.uint32(1)  # without a sign, indices need not be looked at for being negative
    sums[:] = 0
    begin, size = len(room.joint.picks), 0
    for j in range(len(tables.bits) - 1, -1, -1):
        if tables.shared[j] and size == 0:  # the last of some that share: they are one step
            size = 2
            while tables.shared[j - size + 1]:
                size += 1
            begin -= 2 << size
            turns, member = room.turns[j], size
            for i in range(LANES):
                u = (turns[state[i]] >> np.uint32(i)) & one
                came = tables.ways[size, state[i], u]
                state[i], kind[i] = came[0], np.uint32(came[1])
        if size:
            member -= 1
            for i in range(LANES):
                symbol = np.uint32(room.joint.picks[begin + kind[i], i])
                parity = (kind[i] >> np.uint32(size - 1 - member)) & one
                subset[i] = ((symbol & one) << one) + parity
                room.rank[j, i] = SUBSETS * (symbol >> one) + subset[i]  # what `nearest_level` reads right
            size = size if member else 0
        elif tables.bits[j]:
            turns = room.turns[j]
            for i in range(LANES):
                u = (turns[state[i]] >> np.uint32(i)) & one
                state[i] = before[(state[i] << one) + u]
                subset[i] = (u << one) + (state[i] & one)
        else:
            room.rank[j] = 0
            subset[:] = 0
        read(unit[j], tables.levels[j], room.rank[j], subset, symbols[j], sums)


def read(
    unit: Floats, levels: Floats, rank: npt.NDArray[np.uint16], subset: Turns, symbols: Symbols, sums: Floats
) -> None:
    """Set ``symbols`` to what stands for each lane's subset; add its level's products to ``sums``.

    In a kernel this is vector code.
    """
    within = nearest_level(rank.astype(np.int64), subset.astype(np.int64))
    symbols[:] = 2 * within + (subset >> 1)
    z = levels[SUBSETS * within + subset]
    sums += np.stack([unit * z, z * z])


@emitted(read)
def _read(
    unit: Floats, levels: Floats, rank: npt.NDArray[np.uint16], subset: Turns, symbols: Symbols, sums: Floats
) -> Any:
    def emitted(
        unit: Floats, levels: Floats, rank: npt.NDArray[np.uint16], subset: Turns, symbols: Symbols, sums: Floats
    ) -> None:
        emit_read(
            unit.ctypes.data,
            levels.ctypes.data,
            rank.ctypes.data,
            subset.ctypes.data,
            symbols.ctypes.data,
            sums.ctypes.data,
        )

    return emitted


@inner
def nearest_level(rank: int, subset: int) -> int:
    """Return which level of a subset is nearest to a coordinate with ``rank`` middles below it."""
    return (rank + SUBSETS - 1 - subset) >> 2


def forward(unit: Floats, stretch: Floats, tables: Tables, room: Room, early: np.float32) -> int:
    """Fill ``room`` with the best path into every state; return which half of ``room.cost`` has the final costs.

    In a kernel the loops over lanes are vector code (`lanes`); the code below is its twin.
    """
    room.cost[0, :] = FAR
    room.cost[0, : tables.starts] = 0
    half, count, memory, begin = 0, 0, tables.states.bit_length() - 1, 0
    for j in range(len(tables.bits)):
        if tables.bits[j] and not tables.shared[j]:
            middles = (2 << int(tables.bits[j])) - SUBSETS
            most = early if count < memory else tables.scale[2]
            before, after = room.cost[half], room.cost[1 - half]
            size = 1
            while j + size < len(tables.bits) and tables.shared[j + size]:
                size += 1
            if size > 1:
                limits = np.array([tables.scale[0], 2 * most], dtype=np.float32)
                joint_costs(unit, stretch, tables.levels, j, size, int(tables.bits[j]), limits, room.joint, begin)
                extend_joint(before, after, room.joint.costs, room.turns[j + size - 1], tables.ways[size])
                begin += 2 << size
            else:
                target, levels = stretch * unit[j], tables.levels[j]
                steps(target, levels, tables.middles[j, :middles], tables.scale[0], most, room.step, room.rank[j])
                extend(before, after, room.step, room.turns[j], tables.feedback, tables.tap)
            half, count = 1 - half, count + 1
            if count >= memory and count % (PERIOD if size == 1 else PERIOD // 2) == 0:
                lower(after, room.least)
    return half


def steps(
    target: Floats,
    levels: Floats,
    middles: Floats,
    unit_cost: np.float32,
    most: np.float32,
    step: Costs,
    rank: npt.NDArray[np.uint16],
) -> None:
    """Set ``rank`` to the number of middles below, ``step`` to what the nearest level of each subset costs.

    Costs are squared distances beyond the least of the four, in units.
    """
    rank[:] = (target[:, None] > middles).sum(1)
    distance = np.empty((SUBSETS, LANES), dtype=np.float32)
    for q in range(SUBSETS):
        distance[q] = np.square(target - levels[SUBSETS * nearest_level(rank.astype(np.int64), q) + q])
    step[:] = np.minimum((distance - distance.min(0)) * unit_cost + np.float32(0.5), most).astype(np.uint8)


def lower(cost: Costs, least: Costs) -> None:
    """Take the least cost of each lane, which goes to ``least``, off the costs of all states."""
    least[:] = cost.min(0)
    cost -= least


def extend(cost: Costs, after: Costs, step: Costs, turns: Turns, feedback: int, tap: int) -> None:
    """Set ``after`` to the costs behind this dimension and ``turns`` to the branches taken, from ``cost`` before it."""
    turns[:] = 0
    for a in range(len(cost) // 2):
        for z in range(2):
            state = a ^ z * feedback
            for i in range(LANES):
                by0 = min(int(cost[2 * a + z, i]) + int(step[z, i]), FAR)
                by1 = min(int(cost[2 * (a ^ tap) + z, i]) + int(step[2 + z, i]), FAR)
                after[state, i] = min(by0, by1)
                turns[state] |= np.uint32(by1 < by0) << np.uint32(i)


def extend_joint(cost: Costs, after: Costs, joint: Costs, turns: Turns, ways: npt.NDArray[np.int64]) -> None:
    """Do what `extend` does for dimensions that share a symbol, whose costs together are ``joint``."""
    turns[:] = 0
    for state in range(len(cost)):
        (s0, kind0), (s1, kind1) = ways[state]
        for i in range(LANES):
            by0 = min(int(cost[s0, i]) + int(joint[kind0, i]), FAR)
            by1 = min(int(cost[s1, i]) + int(joint[kind1, i]), FAR)
            after[state, i] = min(by0, by1)
            turns[state] |= np.uint32(by1 < by0) << np.uint32(i)


@emitted(forward)
def _forward(unit: Floats, stretch: Floats, tables: Tables, room: Room, early: np.float32) -> Any:
    def emitted(unit: Floats, stretch: Floats, tables: Tables, room: Room, early: np.float32) -> int:
        room.cost[0, :] = FAR
        room.cost[0, : tables.starts] = 0
        limits, together = empty(2, np.float32), empty(2, np.float32)
        limits[0], limits[1] = early, tables.scale[2]
        together[0] = tables.scale[0]
        split = 1
        while 2 * split <= tables.tap:
            split *= 2
        # Taking an array's address counts a reference in and out, so it is done once.
        y, multiple = unit.ctypes.data, stretch.ctypes.data
        levels, middles, scale = tables.levels.ctypes.data, tables.middles.ctypes.data, tables.scale.ctypes.data
        step, rank, cost = room.step.ctypes.data, room.rank.ctypes.data, room.cost.ctypes.data
        turns, least, most = room.turns.ctypes.data, room.least.ctypes.data, limits.ctypes.data
        joint, ways, way_bytes = room.joint.costs.ctypes.data, tables.ways.ctypes.data, 32 * tables.states
        width, size = 4 * tables.levels.shape[1], LANES * tables.states
        half, count, memory, begin = 0, 0, 0, 0
        while 1 << memory < tables.states:
            memory += 1
        for j in range(len(tables.bits)):
            if tables.bits[j] and not tables.shared[j]:
                quads = (1 << (np.int64(tables.bits[j]) - 1)) - 1
                row, here, limit = y + j * ROW, rank + j * SHORT_ROW, most + (0 if count < memory else 4)
                before, after = cost + half * size, cost + (1 - half) * size
                members = 1
                while j + members < len(tables.bits) and tables.shared[j + members]:
                    members += 1
                turn = turns + LANES // 8 * (j + members - 1) * tables.states
                if members > 1:
                    together[1] = 2 * (early if count < memory else tables.scale[2])
                    own = int(tables.bits[j])
                    joint_costs(unit, stretch, tables.levels, j, members, own, together, room.joint, begin)
                    emit_extend_joint(before, after, joint, turn, tables.states, ways + members * way_bytes)
                    begin += 2 << members
                else:
                    emit_steps(row, multiple, levels + j * width, middles + j * width, quads, scale, limit, here, step)
                    emit_extend(before, after, step, turn, tables.states, tables.feedback, tables.tap, split)
                half, count = 1 - half, count + 1
                if count >= memory and count % (PERIOD if members == 1 else PERIOD // 2) == 0:
                    emit_lower(after, tables.states, least)
        return half

    return emitted
