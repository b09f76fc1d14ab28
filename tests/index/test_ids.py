"""The id map against a plain dictionary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipaq_index.index.ids import IdMap


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.lists(st.integers(0, 2**63 - 2), min_size=1, max_size=5, unique=True)), max_size=6)
)
def test_map_agrees_with_a_dictionary(pieces):
    ids, rows = IdMap(), {}
    for piece in pieces:
        fresh = list(range(max(rows, default=-1) + 1, max(rows, default=-1) + 4)) if piece is None else piece
        if max(fresh) >= 2**63:
            continue
        if set(fresh) & set(rows):
            before = len(ids)
            with pytest.raises(ValueError, match="does not hold yet"):
                ids.extended(np.array(fresh), len(fresh))
            assert len(ids) == before
            continue
        ids = ids.extended(None if piece is None else np.array(fresh), len(fresh))
        rows |= {id_: len(rows) + i for i, id_ in enumerate(fresh)}
    assert len(ids) == len(rows)
    known = np.array(list(rows), dtype=np.int64)
    np.testing.assert_array_equal(ids.rows_of(known), list(rows.values()))
    np.testing.assert_array_equal(ids.of_rows(np.arange(len(rows))), known)
    strangers = np.array([i for i in (0, 1, 7, 2**62, -1) if i not in rows], dtype=np.int64)
    assert (ids.rows_of(strangers) == -1).all()


def test_empty_places_keep_their_mark():
    named = IdMap(np.array([10, 20]))
    np.testing.assert_array_equal(named.of_rows(np.array([[1, -1]])), [[20, -1]])
    np.testing.assert_array_equal(IdMap(np.array([], dtype=np.int64)).of_rows(np.array([[-1]])), [[-1]])
    np.testing.assert_array_equal(IdMap(count=3).of_rows(np.array([[2, -1]])), [[2, -1]])
