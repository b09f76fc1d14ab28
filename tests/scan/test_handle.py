"""What a handle stands for is what it was made of."""

import numpy as np
import pytest
from numba import njit

from ipaq_index import Index
from ipaq_index.scan import handle, isa


@njit
def compiled(numbers, side, bias):
    return handle.opened(numbers, side, bias)


@njit
def kind_of(mark):
    return handle.marked(mark)


def assert_alike(found, expected):
    if isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


@pytest.mark.parametrize("one", isa.NAMES.values())
def test_a_mark_stands_for_an_instruction_set(one):
    assert handle.marked(handle.mark(one)) == one
    assert kind_of(handle.mark(one)) == one and type(kind_of(handle.mark(one))) is type(one)


@pytest.mark.parametrize("options", [{"bits": 8, "metric": "l2"}, {"bytes_per_vector": 3}])
def test_arrays_come_back(options):
    x = np.random.default_rng(0).standard_normal((100, 20), dtype=np.float32)
    index = Index(20, **options).build(x)
    index.remove([3])
    alone = index._content.alone
    assert len(alone.codes[0].words) > 0
    for found in (handle.opened, compiled):
        assert_alike(found(alone.handles[0], alone.side, alone.bias), alone.codes)
