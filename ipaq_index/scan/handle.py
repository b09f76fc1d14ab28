"""What a kernel needs of an index, handed to it as numbers: where arrays lie and how large they are.

At every call, numba finds out the type of each argument and counts a reference to each array. It knows NumPy's arrays
and numbers at a glance; for a named tuple it asks Python. Where a scan has emptied the CPU's caches, that takes 16 us
for the 19 arrays of an index and 17 us for an instruction set; as an array of numbers and one number, 4 us.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import typeof
from numba.core import types
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype

from ipaq_index.inner import emitted, instructions
from ipaq_index.scan.isa import NAMES, Avx2, Avx512, Isa, Neon, Portable
from ipaq_index.scan.layout import Layout
from ipaq_index.scan.packed import CodeBook, Floats, Integers, Meaning, Rows

I64 = ir.IntType(64)
MARKS = {Portable: np.int8, Neon: np.int16, Avx2: np.int32, Avx512: np.int64}


class Parts(NamedTuple):
    """What a query needs of an index.

    Attributes
    ----------
    rows, meaning : Rows, Meaning
        Codes and what they mean.
    dual, mean : (d, d), (d,) float32
        Queries are projected with them.
    """

    rows: Rows
    meaning: Meaning
    dual: Floats
    mean: Floats


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


def handle(parts: Parts) -> Integers:
    """Return addresses and shapes of all arrays, and other numbers, in their order; good while the arrays live."""
    return np.array(list(_numbers(parts)), dtype=np.int64)


def _numbers(part: Any) -> Iterator[int]:
    if isinstance(part, np.ndarray):
        yield from (part.ctypes.data, *part.shape)
    elif isinstance(part, tuple):
        for one in part:
            yield from _numbers(one)
    else:
        yield part


def opened(numbers: Integers, side: Any, bias: Any) -> Parts:
    """Return what `handle` was made of; ``side`` and ``bias`` are numbers of the types of these arrays."""
    left = iter(numbers.tolist())
    return _opened(_type_of_parts(typeof(side), typeof(bias)), left)


def _opened(kind: Any, numbers: Iterator[int]) -> Any:
    if isinstance(kind, types.Array):
        address, shape = next(numbers), tuple(next(numbers) for _ in range(kind.ndim))
        dtype = np.dtype(kind.dtype.name)
        memory = (ctypes.c_char * (prod(shape) * dtype.itemsize)).from_address(address)
        array = np.frombuffer(memory, dtype=dtype).reshape(shape)
        array.flags.writeable = False
        return array
    if isinstance(kind, types.BaseTuple):
        values = [_opened(one, numbers) for one in kind]
        return kind.instance_class(*values) if isinstance(kind, types.BaseNamedTuple) else tuple(values)
    return next(numbers)


@instructions(opened)
def _emit_opened(_context: Any, numbers: Any, side: Any, bias: Any) -> Any:
    result = _type_of_parts(side, bias)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = make_array(numbers)(context, builder, arguments[0]).data
        place = 0

        def following() -> Any:
            nonlocal place
            place += 1
            return builder.load(builder.gep(first, [ir.Constant(I64, place - 1)]))

        def made(kind: Any) -> Any:
            if isinstance(kind, types.Array):
                array, size = (
                    make_array(kind)(context, builder),
                    context.get_abi_sizeof(context.get_data_type(kind.dtype)),
                )
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

    return result(numbers, side, bias), generate


def _type_of_parts(side: Any, bias: Any) -> Any:
    arrays = (_of(types.uint8, 3), _of(types.uint8, 3), _of(side), _of(bias), _of(types.uint32))
    rows = types.NamedTuple((*arrays, types.intp), Rows)
    return types.NamedTuple((rows, _type_of_meaning(), _of(types.float32, 2), _of(types.float32)), Parts)


def _of(dtype: Any, ndim: int = 1) -> Any:
    return types.Array(dtype, ndim, "C", readonly=True)


@cache
def _type_of_meaning() -> Any:
    bits, levels = np.ones(1, dtype=np.uint8), np.zeros((1, 2), dtype=np.float32)
    return typeof(CodeBook(Layout(bits), levels, np.zeros((1, 2), dtype=np.uint8), (0, 0, 1)).meaning)
