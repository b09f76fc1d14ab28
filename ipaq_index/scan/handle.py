"""What a kernel needs of an index, handed to it as numbers: where arrays lie and how large they are.

At every call, numba finds out the type of each argument and counts a reference to each array. It knows NumPy's arrays
and numbers at a glance; for a named tuple it asks Python. Where a scan has emptied the CPU's caches, that takes 16 us
for the 19 arrays of an index and 17 us for an instruction set; as an array of numbers and one number, 4 us.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from math import prod
from typing import Any

import numpy as np
from llvmlite import ir
from numba import typeof
from numba.core import types
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype

from ipaq_index.inner import emitted, instructions
from ipaq_index.scan.isa import NAMES, Avx2, Avx512, Isa, Neon, Portable
from ipaq_index.scan.layout import Layout
from ipaq_index.scan.packed import CodeBook, Integers, Meaning, Rows

I64 = ir.IntType(64)
MARKS = {Portable: np.int8, Neon: np.int16, Avx2: np.int32, Avx512: np.int64}


def mark(isa: Isa) -> Any:
    """Return a number whose type stands for an instruction set."""
    return MARKS[type(isa)](isa.code)


def marked(number: Any) -> Isa:
    """Return the instruction set that `mark` was given."""
    return next(isa for isa in NAMES.values() if isinstance(number, MARKS[type(isa)]))


@emitted(marked)
def _marked(number: Any) -> Any:
    isa = next(isa for isa in NAMES.values() if number == from_dtype(np.dtype(MARKS[type(isa)])))

    def emitted(number: Any) -> Isa:
        return isa

    return emitted


def handle(parts: Any) -> Integers:
    """Return addresses and shapes of the arrays of some tuples, and their numbers, in their order.

    It is good while the arrays live.
    """
    return np.array(list(_numbers(parts)), dtype=np.int64)


def _numbers(part: Any) -> Iterator[int]:
    if isinstance(part, np.ndarray):
        yield from (part.ctypes.data, *part.shape)
    elif isinstance(part, tuple):
        for one in part:
            yield from _numbers(one)
    else:
        yield part


def opened(numbers: Integers, side: Any, bias: Any) -> tuple[Rows, Meaning]:
    """Return the codes that `handle` was made of; ``side`` and ``bias`` are numbers of the types of these arrays."""
    found: tuple[Rows, Meaning] = from_numbers(codes_type(typeof(side), typeof(bias)), numbers)
    return found


def from_numbers(kind: Any, numbers: Integers) -> Any:
    """Return what `handle` was made of, a tuple of a type of numba's."""
    return _made(kind, iter(numbers.tolist()))


def _made(kind: Any, numbers: Iterator[int]) -> Any:
    if isinstance(kind, types.Array):
        address, shape = next(numbers), tuple(next(numbers) for _ in range(kind.ndim))
        dtype = np.dtype(kind.dtype.name)
        memory = (ctypes.c_char * (prod(shape) * dtype.itemsize)).from_address(address)
        array = np.frombuffer(memory, dtype=dtype).reshape(shape)
        array.flags.writeable = False
        return array
    if isinstance(kind, types.BaseTuple):
        values = [_made(one, numbers) for one in kind]
        return kind.instance_class(*values) if isinstance(kind, types.BaseNamedTuple) else tuple(values)
    return next(numbers)


@instructions(opened)
def _emit_opened(_context: Any, numbers: Any, side: Any, bias: Any) -> Any:
    result = codes_type(side, bias)
    return result(numbers, side, bias), emit_from_numbers(result)


def emit_from_numbers(result: Any) -> Any:
    """Return the generator of LLVM code for `from_numbers`; the numbers, a contiguous array, are its first argument."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = make_array(signature.args[0])(context, builder, arguments[0]).data
        place = 0

        def following() -> Any:
            nonlocal place
            place += 1
            return builder.load(builder.gep(first, [ir.Constant(I64, place - 1)]))

        def made(kind: Any) -> Any:
            if isinstance(kind, types.Array):
                array = make_array(kind)(context, builder)
                size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
                address = following()
                shape = [following() for _ in range(kind.ndim)]
                strides = [ir.Constant(I64, size)]
                for length in shape[:0:-1]:
                    strides.insert(0, builder.mul(strides[0], length))
                data = builder.inttoptr(address, array.data.type)
                populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
                return array._getvalue()
            if isinstance(kind, types.BaseTuple):
                return context.make_tuple(builder, kind, [made(one) for one in kind])
            return following()

        return made(result)

    return generate


def codes_type(side: Any, bias: Any) -> Any:
    """Return the type of (rows, meaning) whose side and bias are arrays of some types."""
    arrays = (array_type(types.uint8, 3), array_type(types.uint8, 3), array_type(side), array_type(bias))
    rows = types.NamedTuple((*arrays, array_type(types.uint32), types.intp), Rows)
    return types.Tuple((rows, _meaning_type()))


def array_type(dtype: Any, ndim: int = 1) -> Any:
    """Return the type of contiguous arrays that are read only."""
    return types.Array(dtype, ndim, "C", readonly=True)


@cache
def _meaning_type() -> Any:
    bits, levels = np.ones(1, dtype=np.uint8), np.zeros((1, 2), dtype=np.float32)
    return typeof(CodeBook(Layout(bits), levels, np.zeros((1, 2), dtype=np.uint8), (0, 0, 1)).meaning)
