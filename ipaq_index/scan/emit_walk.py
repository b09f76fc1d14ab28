"""LLVM vector code that makes bytes of numbers of levels; see `ipaq_index.scan.walk`."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ipaq_index.scan.emit import BLOCK, I8, I16, I64, Builder, Value, call, load, shuffle, splat, spread
from ipaq_index.scan.emit_dense import Dense
from ipaq_index.scan.emit_lookups import Pairs
from ipaq_index.scan.known import ENTRIES
from ipaq_index.scan.walk import BYTE, WORDS

MADE_BYTES, SOURCE_BYTES = 8 * (1 + WORDS), 8 * (1 + 2 * WORDS)  # rows of `Walk`


def pairs(
    builder: Builder,
    dense: Dense,
    kind: ir.IntType,
    blocks: list[tuple[Value, Value]],
    state_bits: Value,
    made: tuple[Value, Value],
    sources: Value,
) -> Pairs:
    """Return bytes of two blocks that are made one after the other.

    Parameters
    ----------
    dense : Dense
        How many rows are taken together, and how bytes are looked up.
    kind : IntType
        Of the side codes.
    blocks : list of (codes, side)
        Addresses of the two.
    state_bits : int
        Bits of a side code that are the first state.
    made, sources : (address, int), address
        Of `Walk`, with the number of bytes.
    """
    bytes_, rows = ir.VectorType(I8, dense.decoded), min(dense.decoded, BLOCK)
    low = builder.sub(builder.shl(ir.Constant(I64, 1), state_bits), ir.Constant(I64, 1))
    low = spread(builder, bytes_, builder.trunc(low, I8))

    def vectors(of: Any, addresses: list[Value], size: int) -> list[Value]:
        each = [
            load(builder, ir.VectorType(of, rows), at, first * size)
            for at in addresses
            for first in range(0, BLOCK, rows)
        ]
        each = [builder.trunc(one, ir.VectorType(I8, rows)) if of.width > BYTE else one for one in each]
        return each if rows == dense.decoded else [shuffle(builder, each[0], each[1], list(range(2 * BLOCK)))]

    states = [
        cgutils.alloca_once_value(builder, builder.and_(side, low))
        for side in vectors(kind, [side for _, side in blocks], kind.width // BYTE)
    ]
    bytes_made = [cgutils.alloca_once(builder, bytes_) for _ in states]
    source = cgutils.alloca_once_value(builder, sources)

    def add(first: bool, record: Value) -> None:
        at = builder.load(source)
        offset = load(builder, I64, at)
        codes = vectors(I8, [builder.add(begin, offset) for begin, _ in blocks], 1)
        for state, byte, part in zip(states, bytes_made, codes, strict=True):
            before = builder.load(state)
            new = _applied(builder, dense, at, 8, part)
            old = _applied(builder, dense, record, 8, before) if first else builder.load(byte)
            builder.store(builder.xor(old, new), byte)
            builder.store(builder.xor(before, _applied(builder, dense, at, 8 * (1 + WORDS), part)), state)
        builder.store(builder.add(at, ir.Constant(I64, SOURCE_BYTES)), source)

    def read(number: Value) -> list[Value]:
        record = builder.add(made[0], builder.mul(number, ir.Constant(I64, MADE_BYTES)))
        add(True, record)
        with cgutils.for_range_slice(
            builder, ir.Constant(I64, 1), load(builder, I64, record), ir.Constant(I64, 1), intp=I64
        ):
            add(False, record)
        return [builder.load(byte) for byte in bytes_made]

    return Pairs(read, lambda number: [], made[1])


def _applied(builder: Builder, dense: Dense, record: Value, at: int, rows: Value) -> Value:
    """Return what the map in byte ``at`` of a record makes of bytes."""
    if dense.entries > ENTRIES:
        matrix = spread(builder, ir.VectorType(I64, 8), load(builder, I64, record, at))
        name, none = "llvm.x86.vgf2p8affineqb.512", ir.Constant(I8, 0)
        return call(builder, name, rows.type, rows, builder.bitcast(matrix, rows.type), none)
    words = ir.VectorType(I16, dense.decoded // 2)
    nibble, four = splat(rows.type, ENTRIES - 1), splat(words, 4)
    high = builder.bitcast(builder.lshr(builder.bitcast(rows, words), four), rows.type)
    found = [
        dense.lookup(
            builder, load(builder, ir.VectorType(I8, ENTRIES), record, at + 8 + ENTRIES * n), builder.and_(part, nibble)
        )
        for n, part in enumerate((rows, high))
    ]
    return builder.xor(*found)
