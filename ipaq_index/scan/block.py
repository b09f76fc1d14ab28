"""Scoring blocks of 32 rows for a group of queries: vector code where there is any, its plain twin everywhere.

Tables lie as ``[query][quad][low, high nibble][pair of the quad][16]`` bytes. Sums are exact integers, the same on
every instruction set.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from ipaq_index.scan import emit
from ipaq_index.scan.emit import BLOCK, QUAD
from ipaq_index.scan.isa import Avx2, Avx512, Neon, Portable
from ipaq_index.scan.packed import Rows

TOP = 255  # largest sum of a pair's two look-ups: they are added as bytes

ScaleFormat = tuple[int, int, int]
Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Addresses(NamedTuple):
    """Where the arrays of rows and frame begin. Taking an address counts a reference in and out, so it is done once."""

    blocks: int
    side: int
    bias: int
    luts: int
    start: int
    floors: int
    inverse: int
    sums: int
    above: int


class Frame(NamedTuple):
    """What queries bring to a scan, and what comes out of it.

    A row's score is ``scale * sum + bias / step`` in units of the query's step, its offset left out; the sum begins at
    ``start`` and adds up look-ups.

    Attributes
    ----------
    luts : (nq, quads, 2, 4, 16) uint8
        Tables; the two look-ups of a pair add up to `TOP` at the most.
    start : (nq,) int32
        Where sums begin.
    floors : (nq,) float32
        Scores above its floor are what a query is interested in.
    inverse : (nq,) float32
        1 / step.
    sums : (queries, 32) int32
        Result: sums for the rows of a block.
    above : (queries,) uint32
        Result: bit i is set where row i's score is above the query's floor.
    bits : (1,) int32
        Room for `scale`.
    """

    luts: Bytes
    start: Integers
    floors: Floats
    inverse: Floats
    sums: Integers
    above: npt.NDArray[np.uint32]
    bits: Integers


def next_block(
    isa: Any,
    group: tuple[int, ...],
    rows: Rows,
    scale_format: ScaleFormat,
    span: tuple[int, int],
    first: int,
    frame: Frame,
    at: Addresses,
) -> int:
    """Return the next block with a score above a floor, its sums in ``frame``; the end if there is none.

    In a kernel this is vector code for ``isa`` (`emit_block`); the code below is its twin, and the portable form.

    Parameters
    ----------
    isa : Isa
        Instruction set, known by its type.
    group : tuple of int
        Its length is the number of queries that share the loads of codes.
    rows : Rows
        Packed codes.
    scale_format : (int, int, int)
        See `CodeBook`.
    span : (int, int)
        The block to begin with, and the end.
    first : int
        The first query of the group.
    frame : Frame
        Input and results.
    at : Addresses
        Of rows and frame; see `addresses`.
    """
    for block in range(span[0], span[1]):
        any_above = False
        for g in range(len(group)):
            frame.sums[g, :] = frame.start[first + g]
            for pair in range(rows.blocks.shape[1]):
                tables = frame.luts[first + g, pair // QUAD, :, pair % QUAD]
                for i in range(BLOCK):
                    code = rows.blocks[block, pair, i]
                    frame.sums[g, i] += np.int32(tables[0, code & 15]) + np.int32(tables[1, code >> 4])
            frame.above[g] = 0
            for i in range(BLOCK):
                row = block * BLOCK + i
                floor = frame.floors[first + g]
                if len(rows.bias):
                    floor -= rows.bias[row] * frame.inverse[first + g]
                if scale(rows.side[row], scale_format, frame.bits) * np.float32(frame.sums[g, i]) > floor:
                    frame.above[g] |= np.uint32(1) << np.uint32(i)
                    any_above = True
        if any_above:
            return block
    return span[1]


@njit(nogil=True, cache=True)
def scale(side: int, scale_format: ScaleFormat, bits: Integers) -> np.float32:
    """Return the scale of one row from its side code; ``bits`` is room for one int32."""
    state_bits, base, step = scale_format
    code = np.int64(side) >> state_bits
    bits[0] = base + step * code if code else 0
    return bits.view(np.float32)[0]


@njit(nogil=True, cache=True)
def addresses(rows: Rows, frame: Frame) -> Addresses:
    """Return where the arrays begin; good while ``rows`` and ``frame`` live."""
    return Addresses(
        rows.blocks.ctypes.data,
        rows.side.ctypes.data,
        rows.bias.ctypes.data,
        frame.luts.ctypes.data,
        frame.start.ctypes.data,
        frame.floors.ctypes.data,
        frame.inverse.ctypes.data,
        frame.sums.ctypes.data,
        frame.above.ctypes.data,
    )


@overload(next_block)
def _next_block(
    isa: Any,
    group: tuple[int, ...],
    rows: Rows,
    scale_format: ScaleFormat,
    span: tuple[int, int],
    first: int,
    frame: Frame,
    at: Addresses,
) -> Any:
    if isa.instance_class is Portable:
        return next_block

    def emitted(
        isa: Any,
        group: tuple[int, ...],
        rows: Rows,
        scale_format: ScaleFormat,
        span: tuple[int, int],
        first: int,
        frame: Frame,
        at: Addresses,
    ) -> int:
        blocks, side, bias, luts = rows.blocks, rows.side, rows.bias, frame.luts
        codes = at.blocks + span[0] * blocks.strides[0]
        tables = at.luts + first * luts.strides[0]
        shape = (luts.shape[1], blocks.shape[1])
        query = (at.start + 4 * first, at.floors + 4 * first, at.inverse + 4 * first)
        sides = at.side + span[0] * BLOCK * side.itemsize
        biases = at.bias + span[0] * BLOCK * bias.itemsize
        for block in range(span[0], span[1]):
            if emit_block(
                isa, group, side, bias, codes, tables, shape, query, (sides, biases), scale_format, (at.sums, at.above)
            ):
                return block
            codes += blocks.strides[0]
            sides += BLOCK * side.itemsize
            biases += BLOCK * bias.itemsize
        return span[1]

    return emitted


@intrinsic
def emit_block(
    _context: Any,
    isa: Any,
    group: Any,
    side: Any,
    bias: Any,
    codes: Any,
    luts: Any,
    shape: Any,
    query: Any,
    rows: Any,
    scale_format: Any,
    out: Any,
) -> Any:
    """One block of `next_block` in vector instructions, arrays as addresses; returns whether a score is above a floor.

    ``shape`` is (quads, pairs), ``query`` (start, floors, inverse), ``rows`` (side, bias), ``out`` (sums, above), which
    are written only if one score is above. ``side`` and ``bias`` are the arrays, known by their types.
    """
    one, two, three = types.intp, types.UniTuple(types.intp, 2), types.UniTuple(types.intp, 3)
    signature = types.boolean(isa, group, side, bias, one, one, two, three, two, three, two)
    sums: Callable[..., emit.Halves] = {Avx512: emit.avx512, Avx2: emit.avx2, Neon: emit.neon}[isa.instance_class]

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        codes_, luts_ = arguments[4:6]
        shape_, query_, rows_, format_, out_ = (cgutils.unpack_tuple(builder, t) for t in arguments[6:])
        start, floors, inverse = query_
        halves = sums(builder, group.count, codes_, luts_, *shape_, start)
        scales = emit.scales(builder, ir.VectorType(ir.IntType(side.dtype.bitwidth), 16), rows_[0], format_)
        offsets = (rows_[1], inverse) if bias.dtype == types.float32 else None
        return emit.compare(builder, halves, floors, scales, offsets, out_)

    return signature, generate
