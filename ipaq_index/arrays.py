"""Arrays that compiled functions take and make, without the functions that numba compiles for each of NumPy's names.

`np.zeros` is three functions for each type of array, a slice that is set to another array brings texts of errors in
Unicode. In a first search these took a third of the time.
"""

import contextlib
import math
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed, impl_ret_new_ref
from numba.np.arrayobj import _empty_nd_impl, make_array, populate_array

from ipaq_index.inner import instructions

LINE = 64  # bytes of a cache line
HUGE_PAGE = LARGE = 1 << 21  # bytes


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array that cannot be written, in the same memory.

    To numba it is of another type: kernels that take arrays of an index, in memory or of a mapped file, would be
    compiled for each.
    """
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def empty(shape: Any, dtype: Any) -> npt.NDArray[Any]:
    """Return an array; ``shape`` is a number or some in a tuple."""
    return np.empty(shape, dtype=dtype)


def zeros(shape: Any, dtype: Any) -> npt.NDArray[Any]:
    """Return an array of zeros."""
    return np.zeros(shape, dtype=dtype)


def lines(shape: Any, dtype: Any) -> npt.NDArray[Any]:
    """Return an array of zeros, ``shape`` a tuple, that begins with a cache line.

    Vectors that lie across two take twice as long: a scan of codes, as NumPy places them, is 4 % slower. Large arrays
    get pages of their own, and huge ones where the system has them: memory that was used before keeps its small pages.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        pages = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):  # a kernel without huge pages
            pages.madvise(mmap.MADV_HUGEPAGE)
        room, step = np.frombuffer(pages, dtype=np.uint8), HUGE_PAGE
    else:
        room, step = np.zeros(size + LINE, dtype=np.uint8), LINE
    begin = -room.ctypes.data % step
    return room[begin : begin + size].view(dtype).reshape(shape)


def recast(array: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """Return the memory of a contiguous array as another type, whose size divides that of the last dimension."""
    return array.view(dtype)


def fill(array: npt.NDArray[Any], value: Any) -> None:
    """Set all elements of a contiguous array to one value."""
    array[...] = value


def in_rows(array: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Return the memory of a contiguous array as rows of so many elements."""
    return array.reshape(-1, width)


@instructions(empty)
def _empty(context: Any, shape: Any, dtype: Any) -> Any:
    return _made(shape, dtype, zero=False)


@instructions(zeros)
def _zeros(context: Any, shape: Any, dtype: Any) -> Any:
    return _made(shape, dtype, zero=True)


@instructions(lines)
def _lines(context: Any, shape: Any, dtype: Any) -> Any:
    result = types.Array(_element(dtype), len(shape), "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = cgutils.unpack_tuple(builder, arguments[0])
        lengths = [context.cast(builder, number, kind, types.intp) for number, kind in zip(numbers, shape, strict=True)]
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(result.dtype)))
        strides = [size]
        for length in lengths[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
        total = builder.mul(strides[0], lengths[0])
        line = ir.Constant(size.type, LINE)
        room = _empty_nd_impl(context, builder, types.Array(types.uint8, 1, "C"), [builder.add(total, line)])
        begin = builder.add(builder.ptrtoint(room.data, size.type), ir.Constant(size.type, LINE - 1))
        begin = builder.and_(begin, ir.Constant(size.type, -LINE))
        array = make_array(result)(context, builder)
        whole = ir.ArrayType(size.type, len(lengths))
        populate_array(
            array,
            data=builder.inttoptr(begin, context.get_data_type(result.dtype).as_pointer()),
            shape=_packed(builder, whole, lengths),
            strides=_packed(builder, whole, strides),
            itemsize=size,
            meminfo=room.meminfo,
        )
        cgutils.memset(builder, array.data, total, 0)
        return impl_ret_new_ref(context, builder, result, array._getvalue())

    return result(shape, dtype), generate


def _made(shape: Any, dtype: Any, zero: bool) -> Any:
    sizes = list(shape) if isinstance(shape, types.BaseTuple) else [shape]
    result = types.Array(_element(dtype), len(sizes), "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = cgutils.unpack_tuple(builder, arguments[0]) if isinstance(shape, types.BaseTuple) else [arguments[0]]
        lengths = [context.cast(builder, number, kind, types.intp) for number, kind in zip(numbers, sizes, strict=True)]
        array = _empty_nd_impl(context, builder, result, lengths)
        if zero:
            cgutils.memset(builder, array.data, builder.mul(array.itemsize, array.nitems), 0)
        return impl_ret_new_ref(context, builder, result, array._getvalue())

    return result(shape, dtype), generate


@instructions(recast)
def _recast(context: Any, array: Any, dtype: Any) -> Any:
    result = types.Array(_element(dtype), array.ndim, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        old = make_array(array)(context, builder, arguments[0])
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(result.dtype)))
        shape, strides = (cgutils.unpack_tuple(builder, part) for part in (old.shape, old.strides))
        shape[-1] = builder.udiv(builder.mul(shape[-1], old.itemsize), size)
        strides[-1] = size
        return _seen(context, builder, old, result, shape, strides)

    return result(array, dtype), generate


@instructions(fill)
def _fill(context: Any, array: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = make_array(array)(context, builder, arguments[0])
        element = context.cast(builder, arguments[1], value, array.dtype)
        with cgutils.for_range(builder, whole.nitems) as loop:
            builder.store(element, builder.gep(whole.data, [loop.index]))
        return context.get_dummy_value()

    return types.void(array, value), generate


@instructions(in_rows)
def _in_rows(context: Any, array: Any, width: Any) -> Any:
    result = array.copy(ndim=2)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        old = make_array(array)(context, builder, arguments[0])
        columns, size = context.cast(builder, arguments[1], width, types.intp), old.itemsize
        shape, strides = [builder.udiv(old.nitems, columns), columns], [builder.mul(columns, size), size]
        return _seen(context, builder, old, result, shape, strides)

    return result(array, width), generate


def _seen(context: Any, builder: Any, old: Any, result: Any, shape: list[Any], strides: list[Any]) -> Any:
    """Return the memory of an array as one of another type."""
    new, whole = make_array(result)(context, builder), ir.ArrayType(old.itemsize.type, result.ndim)
    populate_array(
        new,
        data=builder.bitcast(old.data, context.get_data_type(result.dtype).as_pointer()),
        shape=_packed(builder, whole, shape),
        strides=_packed(builder, whole, strides),
        itemsize=strides[-1],
        meminfo=old.meminfo,
        parent=old.parent,
    )
    return impl_ret_borrowed(context, builder, result, new._getvalue())


def _packed(builder: Any, kind: Any, numbers: list[Any]) -> Any:
    packed = ir.Constant(kind, ir.Undefined)
    for place, number in enumerate(numbers):
        packed = builder.insert_value(packed, number, place)
    return packed


def _element(dtype: Any) -> Any:
    return dtype.dtype if isinstance(dtype, types.DType) else dtype.instance_type
