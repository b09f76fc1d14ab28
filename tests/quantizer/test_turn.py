"""Rows to columns and back."""

import numpy as np
import pytest
from numba import njit

from ipaq_index.quantizer import turn
from ipaq_index.quantizer.lanes import LANES


@njit
def to_columns(rows, columns):
    turn.to_columns(rows, columns)


@njit
def to_rows(columns, rows):
    turn.to_rows(columns, rows)


@pytest.mark.parametrize("d", [1, 16, 37])
@pytest.mark.parametrize("m", [1, LANES - 1, LANES])
def test_both_ways(d, m):
    rng = np.random.default_rng(d)
    rows = rng.standard_normal((m, d)).astype(np.float32)
    ours, twin = np.zeros((d, LANES), dtype=np.float32), np.zeros((d, LANES), dtype=np.float32)
    to_columns(rows, ours)
    turn.to_columns(rows, twin)
    np.testing.assert_array_equal(ours, twin)
    columns = rng.integers(0, 256, (d, LANES), dtype=np.uint8)
    ours, twin = np.zeros((m, d), dtype=np.uint8), np.zeros((m, d), dtype=np.uint8)
    to_rows(columns, ours)
    turn.to_rows(columns, twin)
    np.testing.assert_array_equal(ours, twin)
    np.testing.assert_array_equal(ours, columns.T[:m])
