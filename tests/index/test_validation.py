"""Bad input gets an error that names argument, expected and got."""

import numpy as np
import pytest

from ipaq_index.index import validation


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((3, 5)), ValueError, r"x: expected dimension 4, got 5"),
        (np.zeros(4), ValueError, r"x: expected a table of shape \(n, 4\), got shape \(4,\)"),
        (np.zeros((2, 2, 4)), ValueError, r"got shape \(2, 2, 4\)"),
        (np.zeros((0, 4)), ValueError, r"x: expected at least one vector, got none"),
        ([], ValueError, r"x: expected a table of shape \(n, 4\)"),
        ([[1, 2, 3, 4], [1, 2]], ValueError, r"x: .*rows of different lengths"),
        ([["a", "b", "c", "d"]], TypeError, r"x: expected real numbers .*, got dtype <U1"),
        (np.zeros((2, 4), dtype=complex), TypeError, r"got dtype complex128"),
        (np.zeros((2, 4), dtype=object), TypeError, r"got dtype object"),
        (np.zeros((2, 4), dtype=bool), TypeError, r"got dtype bool"),
        (None, TypeError, r"x: expected real numbers"),
        ([[0, 1, np.nan, 3]], ValueError, r"x: expected finite float32 values, got nan at row 0, column 2"),
        ([[0, 0, 0, 0], [0, -np.inf, 0, 0]], ValueError, r"got -inf at row 1, column 1"),
        ([[0, 1e39, 0, 0]], ValueError, r"got 1e\+39 at row 0, column 1"),
        (np.ma.masked_equal([[0, 1, 2, 3]], 2), ValueError, r"x: .*masked array"),
    ],
)
def test_vectors_refused(x, error, message):
    with pytest.raises(error, match=message):
        validation.as_vectors(x, 4, "x")


def test_nan_is_found_behind_the_first_chunk():
    x = np.zeros((validation.CHUNK_ROWS + 7, 1), dtype=np.float32)
    x[-1] = np.nan
    with pytest.raises(ValueError, match=f"row {len(x) - 1}, column 0"):
        validation.as_vectors(x, 1, "x")


@pytest.mark.parametrize(
    "x",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=np.float16),
        np.array([[1, 2], [3, 4]], dtype=">f8"),
        np.array([[1, 2], [3, 4]], dtype=np.int8),
        np.asfortranarray(np.array([[1, 2], [3, 4]], dtype=np.float32)),
        np.repeat(np.array([[1, 2], [3, 4]], dtype=np.float64), 2, axis=1)[:, ::2],
        np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_real_tables_of_any_kind_accepted(x):
    table = validation.as_vectors(x, 2, "x")
    ((first, chunk),) = validation.chunks(table)
    assert first == 0
    assert chunk.dtype == np.float32
    assert chunk.flags.c_contiguous
    np.testing.assert_array_equal(chunk, [[1, 2], [3, 4]])


def test_single_query():
    assert validation.as_vectors([1.0, 2.0], 2, "q", single=True).shape == (1, 2)


@pytest.mark.parametrize(
    ("ids", "count", "error", "message"),
    [
        ([1, 2], 3, ValueError, "ids: expected 3 ids, one for each vector, got 2"),
        ([1, 2, 1, 2, 3], 5, ValueError, "repeated ones: 1, 2"),
        ([1, -5], 2, ValueError, "got -5"),
        ([0.5, 1], 2, TypeError, "ids: expected integers that fit int64, got dtype float64"),
        ([2**63], 1, ValueError, "fit int64, got 9223372036854775808"),
        ([2**70], 1, TypeError, "fit int64, got dtype object"),
        ([[1, 2]], 2, ValueError, r"flat list of ids, got shape \(1, 2\)"),
        (np.array([True]), 1, TypeError, "got dtype bool"),
    ],
)
def test_ids_refused(ids, count, error, message):
    with pytest.raises(error, match=message):
        validation.as_ids(ids, count)


def test_many_repeated_ids_are_counted():
    with pytest.raises(ValueError, match=r"0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … \(20 in all\)"):
        validation.as_ids(np.repeat(np.arange(20), 2), 40)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), ("3", TypeError), (True, TypeError)]
)
def test_counts_refused(value, error):
    with pytest.raises(error, match="k: expected"):
        validation.as_count(value, "k")


def test_counts_of_numpy_accepted():
    assert validation.as_count(np.int32(3), "k") == 3
