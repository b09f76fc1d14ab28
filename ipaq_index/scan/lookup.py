"""Scoring blocks of 32 rows for one query: tables looked up by nibble; rows whose scores reach the floor are collected.

Sums are exact integers, and scores follow from them by the same float operations, on every instruction set.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ipaq_index.arrays import empty, lines, zeros
from ipaq_index.inner import emitted, inner
from ipaq_index.scan import emit, emit_lookups, emit_walk
from ipaq_index.scan.block import DENSE, address_types, counted, scale
from ipaq_index.scan.emit_dense import Dense
from ipaq_index.scan.frame import Frame
from ipaq_index.scan.isa import Avx2, Avx512, Neon, Portable
from ipaq_index.scan.layout import BLOCK, QUAD
from ipaq_index.scan.packed import Floats, Integers, Meaning, Rows
from ipaq_index.scan.together import lowest_bit
from ipaq_index.scan.walk import WORDS

LOOKUPS = {Avx512: emit_lookups.avx512, Avx2: emit_lookups.avx2, Neon: emit_lookups.neon}
CHUNK = 64
EVERY = list(range(2 * BLOCK))


class Candidates(NamedTuple):
    """Rows of one query that wait for their exact scores.

    Attributes
    ----------
    keys : (size,) float32
        Upper estimates.
    rows : (size,) int32
    shifts : (size,) float32
        Added to their exact scores.
    words : (CHUNK // 2,) uint64
        Room: which rows of two blocks, half a chunk apart, may reach the floor. They are looked at when a chunk is
        through. A branch that is taken now and then, and which no CPU foresees, would cost as much as the look-ups.
    places : (CHUNK // 2,) int64
        Room: which of these words name any. A branch for each word would be foreseen as little.
    sums : (CHUNK // 2, 64) uint16
        Room: all sums of look-ups.
    made : (pairs, 32) uint8
        Room for the plain twin: bytes that are made of a block.
    """

    keys: Floats
    rows: npt.NDArray[np.int32]
    shifts: Floats
    words: npt.NDArray[np.uint64]
    places: Integers
    sums: npt.NDArray[np.uint16]
    made: npt.NDArray[np.uint8]


class Places(NamedTuple):
    """Where the arrays begin. Taking an address counts a reference in and out: it is done once.

    Attributes
    ----------
    strides : (int, int, int, int)
        Bytes from one block's codes, in both parts, side and bias to the next one's.
    side_zero, bias_zero
        Zeros of the types of side and bias.
    rest : int
        Address from which pairs of the second part are counted, with those of the first before them.
    others : int
        Addresses.
    """

    strides: tuple[int, int, int, int]
    side_zero: Any
    bias_zero: Any
    blocks: int
    rest: int
    side: int
    bias: int
    tables: int
    start: int
    bars: int
    passing: int
    sums: int
    walk: tuple[int, int]


@inner
def make_candidates(size: int, pairs: int) -> Candidates:
    """Return room for so many rows, of which so many pairs of nibbles are looked up."""
    return Candidates(
        empty(size, np.float32),
        empty(size, np.int32),
        empty(size, np.float32),
        empty(CHUNK // 2, np.uint64),
        empty(CHUNK // 2, np.int64),
        lines((CHUNK // 2, 2 * BLOCK), np.uint16),
        empty((pairs, BLOCK), np.uint8),
    )


@inner
def places(rows: Rows, meaning: Meaning, frame: Frame, candidates: Candidates) -> Places:
    """Return where the arrays begin; good while they live."""
    return Places(
        (rows.blocks.strides[0], rows.rest.strides[0], BLOCK * rows.side.itemsize, BLOCK * rows.bias.itemsize),
        zeros(1, rows.side.dtype)[0],
        zeros(1, rows.bias.dtype)[0],
        rows.blocks.ctypes.data,
        rows.rest.ctypes.data - rows.blocks.shape[1] * BLOCK,
        rows.side.ctypes.data,
        rows.bias.ctypes.data,
        frame.tables.ctypes.data,
        frame.start.ctypes.data,
        frame.bars.ctypes.data,
        frame.passing.ctypes.data,
        candidates.sums.ctypes.data,
        (meaning.walk.made.ctypes.data, meaning.walk.sources.ctypes.data),
    )


def collect(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    span: tuple[int, int],
    frame: Frame,
    at: Places,
    candidates: Candidates,
    count: int,
) -> int:
    """Append rows whose scores are not below the floor; return how many candidates there are then.

    Compiled, it is vector code for ``isa``; the code below is its twin, and the portable form.

    Parameters
    ----------
    isa : Isa
        Instruction set, known by its type.
    rows, meaning : Rows, Meaning
        Packed codes, and what they mean.
    span : (int, int)
        The block to begin with, and the end; `CHUNK` blocks at the most.
    frame : Frame
        Of one query.
    at : Places
        Of the arrays.
    candidates : Candidates
        Its keys and rows are written, from the one numbered ``count`` on.
    count : int
        How many there are.
    """
    inverse, shift, floor = frame.bars
    half, walked = (span[1] - span[0] + 1) // 2, len(meaning.walk.made) > 0
    # Two by two, half a chunk apart: CPUs fetch two streams ahead, but not two that leap by turns.
    for n in range(span[1] - span[0]):
        block = span[0] + n // 2 + n % 2 * half
        word = counted(rows.words, rows.size, block)
        frame.sums[0, :] = frame.start[0]
        if walked:
            make(rows, meaning, block, candidates.made)
        for pair in range(meaning.looked):
            if walked:
                add_up(candidates.made[pair], frame.tables[pair], frame.sums)
            else:
                own = rows.blocks.shape[1]
                codes = rows.blocks[block, pair] if pair < own else rows.rest[block, pair - own]
                add_up(codes, frame.tables[pair], frame.sums)
        for i in range(BLOCK):
            row = block * BLOCK + i
            score = scale(rows.side[row], meaning.scale_format) * np.float32(frame.sums[0, i])
            if len(rows.bias):
                score += rows.bias[row] * inverse[0]
            score += shift[0]
            if score >= floor[0] and (word >> np.uint32(i)) & np.uint32(1):
                candidates.keys[count], candidates.rows[count] = score, row
                count += 1
    return count


@inner
def make(rows: Rows, meaning: Meaning, block: int, made: npt.NDArray[np.uint8]) -> None:
    """Write the bytes that are made of a block; see `Walk`."""
    walk, low = meaning.walk, (1 << meaning.scale_format[0]) - 1
    for i in range(BLOCK):
        state, n = np.int64(rows.side[block * BLOCK + i]) & low, 0
        for place in range(meaning.looked):
            byte = mapped(walk.made[place], 1, state)
            for _ in range(walk.made[place, 0]):
                source = walk.sources[n]
                code = np.int64(rows.blocks[block, source[0] // BLOCK, i])
                byte ^= mapped(source, 1, code)
                state ^= mapped(source, 1 + WORDS, code)
                n += 1
            made[place, i] = byte


@inner
def add_up(codes: npt.NDArray[np.uint8], tables: npt.NDArray[np.uint8], sums: npt.NDArray[np.int32]) -> None:
    """Add what a pair's tables have for its codes, those of a block, to its sums."""
    for i in range(BLOCK):
        code = codes[i]
        sums[0, i] += np.int32(tables[0, code & 15]) + np.int32(tables[1, code >> 4])


@inner
def mapped(words: Integers, first: int, byte: int) -> int:
    """Return what a map makes of a byte: the one whose `WORDS` begin with the one numbered ``first``."""
    low, high = byte & 15, byte >> 4
    one, other = words[first + 1 + low // 8] >> low % 8 * 8, words[first + 3 + high // 8] >> high % 8 * 8
    return (one ^ other) & 255


@inner(forceinline=True)
def keep(rows: Rows, meaning: Meaning, span: tuple[int, int], frame: Frame, candidates: Candidates, count: int) -> int:
    """Append rows named by ``candidates.words`` whose scores are not below the floor; return how many there are."""
    inverse, shift, floor, start = frame.bars[0, 0], frame.bars[1, 0], frame.bars[2, 0], frame.start[0]
    half, hopeful = (span[1] - span[0] + 1) // 2, 0
    words, places, sums = candidates.words, candidates.places, candidates.sums
    keys, numbers, side, bias = candidates.keys, candidates.rows, rows.side, rows.bias
    for n in range(half):
        places[hopeful] = n
        hopeful += words[n] > 0
    for place in range(hopeful):
        n = places[place]
        word = words[n]
        while True:  # most words name one row
            i = lowest_bit(word)
            word &= word - np.uint64(1)
            row = (span[0] + n + i // BLOCK * half) * BLOCK + i % BLOCK
            score = scale(side[row], meaning.scale_format) * np.float32(start + sums[n, i])
            if len(bias):
                score += bias[row] * inverse
            score += shift
            keys[count], numbers[count] = score, row
            count += score >= floor
            if not word:
                break
    return count


@emitted(collect, forceinline=True)
def _collect(
    isa: Any,
    rows: Rows,
    meaning: Meaning,
    span: tuple[int, int],
    frame: Frame,
    at: Places,
    candidates: Candidates,
    count: int,
) -> Any:
    if isa.instance_class is Portable:
        return collect

    def emitted(
        isa: Any,
        rows: Rows,
        meaning: Meaning,
        span: tuple[int, int],
        frame: Frame,
        at: Places,
        candidates: Candidates,
        count: int,
    ) -> int:
        block_bytes, rest_bytes, side_bytes, bias_bytes = at.strides
        query, words, size = (at.tables, at.start, at.bars, at.passing), rows.words, rows.size
        half, own, made = (span[1] - span[0] + 1) // 2, rows.blocks.shape[1], len(meaning.walk.made)
        for n in range(half):
            first, second = span[0] + n, span[0] + n + half
            step = half if second < span[1] else 0
            codes, after = (at.blocks + first * block_bytes, at.rest + first * rest_bytes), (block_bytes, rest_bytes)
            sides = at.side + first * side_bytes, side_bytes * step
            hopeful = emit_lookup(
                isa,
                at.side_zero,
                at.bias_zero,
                (*codes, sides[0], at.bias + first * bias_bytes),
                (after[0] * step, after[1] * step, sides[1], bias_bytes * step),
                (meaning.looked, own),
                (*at.walk, made),
                query,
                meaning.scale_format,
                at.sums + n * (4 * BLOCK),
            )
            word = counted(words, size, second) if step else np.uint32(0)
            hopeful &= np.uint64(counted(words, size, first)) | np.uint64(word) << np.uint64(BLOCK)
            candidates.words[n] = hopeful
        return keep(rows, meaning, span, frame, candidates, count)

    return emitted


@intrinsic
def emit_lookup(
    _context: Any,
    isa: Any,
    side: Any,
    bias: Any,
    rows: Any,
    next_: Any,
    pairs: Any,
    walk: Any,
    query: Any,
    scale_format: Any,
    out: Any,
) -> Any:
    """Look at two blocks of `collect`; return a bit for each row that may reach the floor.

    ``rows`` is (codes, rest, side, bias) and ``query`` (tables, start, bars, passing), all addresses; ``next_`` the
    bytes from ``rows`` to the second block's; ``pairs`` is how many are looked up, and the pairs of the first part;
    ``walk`` has the addresses of `Walk`'s arrays and how many bytes are made; ``side`` and ``bias`` are zeros of their
    types. Sums are written to ``out``.
    """
    two, three, four = (address_types(count) for count in (2, 3, 4))
    signature = types.uint64(isa, side, bias, four, four, two, three, four, three, types.intp)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind, isa_class, out = ir.IntType(side.bitwidth), isa.instance_class, arguments[9]
        first, steps = (cgutils.unpack_tuple(builder, t) for t in arguments[3:5])
        count, own = cgutils.unpack_tuple(builder, arguments[5])
        made, sources, bytes_made = cgutils.unpack_tuple(builder, arguments[6])
        (tables, start, bars, passing), format_ = (cgutils.unpack_tuple(builder, t) for t in arguments[7:9])
        second = [builder.add(begin, step) for begin, step in zip(first, steps, strict=True)]
        blocks, dense, words = (first, second), DENSE[isa_class], []
        walked = builder.icmp_signed("!=", bytes_made, ir.Constant(emit.I64, 0))
        both = [cgutils.alloca_once(builder, emit_lookups.ROWS) for _ in blocks]
        with builder.if_else(walked) as branches:
            for branch, by_walk in zip(branches, (True, False), strict=True):
                with branch:
                    if by_walk:
                        of_blocks = [(block[0], block[2]) for block in blocks]
                        walk = (made, bytes_made), sources
                        pairs = emit_walk.pairs(builder, dense, kind, of_blocks, format_[0], *walk)
                    else:
                        pairs = _coded(builder, dense, blocks, own, count)
                    for slot, sums in zip(both, LOOKUPS[isa_class](builder, pairs, tables), strict=True):
                        builder.store(sums, slot)
        for number, (slot, (_, _, sides, biases)) in enumerate(zip(both, blocks, strict=True)):
            sums = builder.load(slot)
            emit.store(builder, sums, out, number * 2 * BLOCK)
            if isa_class is Avx512 and bias != types.float32:
                above = emit_lookups.reached(builder, sums, kind, sides, passing)
            else:
                added = biases if bias == types.float32 else None
                above = _above(builder, sums, kind, sides, start, bars, format_, added)
            words.append(builder.zext(builder.bitcast(above, emit.I32), emit.I64))
        return builder.or_(words[0], builder.shl(words[1], ir.Constant(emit.I64, BLOCK)))

    return signature, generate


def _coded(
    builder: emit.Builder,
    dense: Dense,
    blocks: tuple[list[emit.Value], list[emit.Value]],
    own: emit.Value,
    count: emit.Value,
) -> emit_lookups.Pairs:
    """Return codes of two blocks, whose first two addresses are those of their parts.

    Where both are looked up, the first fills whole quads: which part it is, is decided once for a quad.
    """
    rows, quad = min(dense.decoded, BLOCK), ir.Constant(emit.I64, 2)
    quads = builder.lshr(builder.add(own, ir.Constant(emit.I64, QUAD - 1)), quad)

    def ahead(pair: emit.Value) -> list[emit.Value]:
        here = builder.icmp_unsigned("<", builder.lshr(pair, quad), quads)
        offset = builder.mul(pair, ir.Constant(emit.I64, BLOCK))
        return [builder.add(builder.select(here, *block[:2]), offset) for block in blocks]

    def read(pair: emit.Value) -> list[emit.Value]:
        kind, firsts = ir.VectorType(emit.I8, rows), range(0, BLOCK, rows)
        each = [emit.load(builder, kind, address, first) for address in ahead(pair) for first in firsts]
        return each if rows == dense.decoded else [emit.shuffle(builder, each[0], each[1], EVERY)]

    return emit_lookups.Pairs(read, ahead, count)


def _above(
    builder: emit.Builder,
    sums: emit.Value,
    kind: ir.IntType,
    sides: emit.Value,
    start: emit.Value,
    bars: emit.Value,
    scale_format: list[emit.Value],
    biases: emit.Value | None,
) -> emit.Value:
    """Return <32 x i1>: whose scores are not below the floor."""
    halves, of_rows, added = [], [], []
    begin = emit.broadcast(builder, emit.ints(16), start, 0)
    for first in (0, 16):
        half = emit.shuffle(builder, sums, sums, list(range(first, first + 16)))
        halves.append(builder.add(builder.zext(half, emit.ints(16)), begin))
        of_rows.append(emit.scales(builder, kind, sides, 16, scale_format, first))
        if biases is not None:
            added.append(emit.load(builder, emit.floats(16), biases, 4 * first))
    places = emit.Bars(*(builder.add(bars, ir.Constant(emit.I64, 4 * n)) for n in range(3)))
    above = emit.scored(builder, 0, halves, of_rows, added or None, places)
    return emit.shuffle(builder, above[0], above[1], list(range(BLOCK)))
