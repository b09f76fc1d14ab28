"""Functions compiled as parts of others, and the arrays that they make."""

import subprocess
import sys

import numpy as np
import pytest
from numba import njit, types
from numba.core.runtime import _nrt_python, rtsys

from ipaq_index import arrays
from ipaq_index.inner import emitted, inner, instructions


@inner
def deep(numbers, at):
    if at >= len(numbers):
        raise ValueError("behind the end")
    return numbers[at] + 1


@inner(forceinline=True)
def middle(numbers, at=0, twice=False):
    return 2 * deep(numbers, at) if twice else deep(numbers, at)


def kind(value):
    return "plain"


@emitted(kind)
def _kind(value):
    return (lambda value: "whole") if isinstance(value, types.Integer) else (lambda value: "broken")


def doubled(number):
    return 2 * number


@instructions(doubled)
def _doubled(context, number):
    return number(number), lambda _context, builder, _signature, arguments: builder.add(arguments[0], arguments[0])


@njit
def outer(numbers):
    return middle(numbers), middle(numbers, 1), middle(numbers, at=1, twice=True), kind(1), kind(1.5), doubled(4)


def test_inner_functions_are_compiled_into_their_callers():
    numbers = np.array([3.5, 4.5])
    assert outer(numbers) == (4.5, 5.5, 11, "whole", "broken", 8)
    assert outer(np.array([3, 4])) == (4, 5, 10, "whole", "broken", 8)
    assert outer.py_func(numbers) == (4.5, 5.5, 11, "plain", "plain", 8)
    with pytest.raises(ValueError, match="behind the end"):
        outer(numbers[:1])


def test_a_caller_is_cached_with_its_parts(tmp_path):
    (tmp_path / "held.py").write_text(
        "from numba import njit\nfrom ipaq_index.arrays import zeros\nfrom ipaq_index.inner import inner\n"
        "import numpy as np\n@inner\ndef part(x):\n    return zeros(3, np.int64) + x\n"
        "@njit(cache=True)\ndef whole(x):\n    return part(x) + part(1)\n"
    )
    code = "import held; print(held.whole(2), sum(held.whole.stats.cache_hits.values()))"
    for hits in "01":
        told = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert told.stdout.split() == ["[3", "3", "3]", hits]


@njit
def made(count, pattern):
    whole = arrays.zeros((2, count, 8), np.uint8)
    whole[1, 0, 4] = 1
    words = arrays.recast(whole, np.int32)
    words[0, 0, 1] = 7
    same = arrays.empty(count, pattern.dtype)
    same[:] = 2
    return whole, words, same, arrays.recast(same, np.uint8)


def test_arrays_are_numpys():
    for count in (1, 3):
        pattern = np.zeros(1, np.float32)
        for one, other in zip(made(count, pattern), made.py_func(count, pattern), strict=True):
            np.testing.assert_array_equal(one, other)
            assert (one.dtype, one.shape, one.strides) == (other.dtype, other.shape, other.strides)


def test_no_memory_is_lost():
    _nrt_python.memsys_enable_stats()
    kept = made(2, np.zeros(1))
    before = rtsys.get_allocation_stats()
    for _ in range(5):
        made(2, np.zeros(1))
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free
    np.testing.assert_array_equal(kept[1][1, 0], [0, 1])


@inner
def first_of(one, two):
    return one


@inner
def turned(one, two, turns):
    pair = one, two
    for n in range(turns):
        one, two = two, arrays.zeros(len(one), np.float64)
        two[0] = n
    return one, two, pair


@njit
def borrowed(turns):
    ones = first_of(arrays.zeros(50, np.float64), 0)
    ones[:] = 1
    one, two, pair = turned(ones, first_of(first_of(ones, 1) * 2, 2), turns)
    other = arrays.zeros(50, np.float64)  # takes the place of what was freed
    other[:] = 9
    return one, two, pair, first_of(other, 3)


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_arguments_are_borrowed(turns):
    _nrt_python.memsys_enable_stats()
    for expected, found in zip(borrowed.py_func(turns), borrowed(turns), strict=True):
        np.testing.assert_array_equal(found, expected)
    before = rtsys.get_allocation_stats()
    for _ in range(5):
        borrowed(turns)
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free > 0
