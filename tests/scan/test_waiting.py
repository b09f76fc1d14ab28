"""Rows that wait: the best lower estimates in a heap or in order, full rooms, answers as if nothing had waited."""

import heapq

import numpy as np
import pytest
from numba import njit

from ipaq_index import interruptible
from ipaq_index.scan import score_rows, search, top_k
from ipaq_index.scan.lows import insert_low, make_lows
from ipaq_index.scan.reservoir import raise_least
from ipaq_index.scan.together import lowest_bit
from tests.compiled import compiled
from tests.scan.test_scan import case


def test_raise_least_is_a_heap():
    values = np.random.default_rng(0).integers(0, 50, 300).astype(np.float32)
    for function in (compiled(raise_least), raise_least):
        heaps, expected = np.full((2, 9), -np.inf, np.float32), [-np.inf] * 7
        heap = heaps[1, :7]
        for value in values:
            if value > heap[0]:
                function(heaps, 1, 7, value)
            heapq.heappushpop(expected, value)
            assert heap[0] == expected[0]
        assert sorted(heap) == sorted(values)[-7:]


@pytest.mark.parametrize("k", [1, 9, 16, 17, 100])
def test_lower_estimates_stay_in_order(k):
    @njit
    def emitted(lows, q, value):
        insert_low(lows, lows.ctypes.data, q, value)

    values = np.random.default_rng(0).integers(0, 50, 300).astype(np.float32)
    lows, twin = make_lows(3, k), make_lows(3, k)
    for n, value in enumerate(values):
        emitted(lows, 1, value)
        insert_low(twin, 0, 1, value)
        np.testing.assert_array_equal(lows, twin)
        best = np.sort(values[: n + 1])[-k:]
        np.testing.assert_array_equal(lows[1, :-1].ravel()[-len(best) :], best)
    assert np.isneginf(lows[::2, :-1]).all()
    assert np.isposinf(lows[:, -1]).all()


def test_lowest_bit():
    @njit
    def emitted(word):
        return lowest_bit(word)

    for bit in range(32):
        word = np.uint32((0xABCDEF01 << bit | 1 << bit) & 0xFFFFFFFF)
        assert emitted(word) == lowest_bit(int(word)) == bit


@pytest.mark.parametrize("k", [1, 5, 200, 400])
@pytest.mark.parametrize("alike", [1, 40])
def test_waiting_rows_are_scored_like_all(k, alike):
    """``alike`` rows of every kind: with 40, more rows are as good as the k-th than can wait."""
    packed, _, _ = case(1200, [4, 3, 1, 8, 0, 6, 2], with_bias=True, states=8)
    first = np.arange(1200) // 32 // alike * 32 * alike % 1200 + np.arange(1200) % (1 if alike > 1 else 32)
    packed.blocks[np.arange(1200) // 32, :, np.arange(1200) % 32] = packed.blocks[first // 32, :, first % 32]
    packed.side[:1200], packed.bias[:1200] = packed.side[first], packed.bias[first]
    p = np.random.default_rng(1).standard_normal((9, 7)).astype(np.float32)
    exact = score_rows(packed, p, np.arange(1200))
    scores, rows = top_k(packed, p, k, np.zeros(9, np.float32))
    order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(scores, np.take_along_axis(exact, order, 1))
    np.testing.assert_array_equal(rows, order)


@pytest.mark.parametrize("k", [5, 300])
def test_rows_wait_from_piece_to_piece(k, monkeypatch):
    packed, _, _ = case(1200, [4, 3, 1, 8, 0, 6, 2], with_bias=True, states=8)
    p = np.random.default_rng(1).standard_normal((9, 7)).astype(np.float32)
    whole = top_k(packed, p, k, np.zeros(9, np.float32))
    monkeypatch.setattr(search, "FIRST", 0)
    monkeypatch.setattr(interruptible, "FIRST", 7 * 9 * 32 * 3)
    for one, other in zip(top_k(packed, p, k, np.zeros(9, np.float32)), whole, strict=True):
        np.testing.assert_array_equal(one, other)
