"""Packing and scanning against plain NumPy."""

import numpy as np
import pytest

from ipaq_index.scan import CodeBook, Layout, PackedCodes, layout, search, top_k

FORMAT = (0, 119 << 23, 1 << 11)


def case(n, bits, seed=0, with_bias=False):
    """Return packed random codes and the exact values they stand for, (n, d) float64."""
    rng = np.random.default_rng(seed)
    bits = np.array(bits, dtype=np.uint8)
    d = len(bits)
    levels = np.sort(rng.standard_normal((d, 256)), axis=1).astype(np.float32)
    symbols = (rng.integers(0, 256, (n, d)) % (1 << bits.astype(int))).astype(np.uint8)
    side = rng.integers(0, 2**16, n).astype(np.uint16)
    side[: n // 10] = 0
    bias = rng.standard_normal(n).astype(np.float32) if with_bias else None
    plan = Layout(bits)
    blocks = rng.integers(0, 256, (-(-n // 32) + 2, plan.pairs, 32)).astype(np.uint8)  # spare room holds anything
    plan.pack(symbols, blocks, 0)
    codebook = CodeBook(levels, levels, np.zeros((1, 2), np.uint8), FORMAT)
    scales = (FORMAT[1] + FORMAT[2] * side.astype(np.int32)).view(np.float32).astype(np.float64) * (side > 0)
    values = levels[np.arange(d), symbols].astype(np.float64) * scales[:, None]
    return PackedCodes(plan, codebook, blocks, side, bias, n), symbols, values


@pytest.mark.parametrize(
    "bits", [[4] * 50, [8], [1], [3, 1, 4, 0, 5, 2, 6, 7], [0, 0, 3], [8, 7, 6, 5, 4, 3, 2, 1, 0], [2, 1, 1] * 3]
)
@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_pack_and_unpack(bits, n):
    packed, symbols, _ = case(n, bits)
    rows = np.random.default_rng(1).permutation(n)
    np.testing.assert_array_equal(packed.layout.unpack(packed.blocks, rows), symbols[rows])
    assert packed.layout.pairs == packed.layout.code_bytes == pytest.approx(sum(bits) / 8, abs=1)


def test_packing_touches_only_its_rows():
    packed, symbols, _ = case(100, [4, 3, 1, 8])
    before = packed.blocks.copy()
    packed.layout.pack(symbols[5:40] ^ 1, packed.blocks, 37)
    changed = np.zeros(len(before) * 32, dtype=bool)
    changed[37:72] = True
    lanes = changed.reshape(-1, 1, 32)
    np.testing.assert_array_equal(np.where(lanes, 0, packed.blocks), np.where(lanes, 0, before))
    np.testing.assert_array_equal(packed.layout.unpack(packed.blocks, np.arange(37, 72)), symbols[5:40] ^ 1)


def test_full_nibbles_waste_nothing():
    for bits in ([3, 1] * 6, [2, 2, 4], [7, 1, 5, 3], [2, 1, 1, 4], [1] * 8):
        assert Layout(np.array(bits, dtype=np.uint8)).pairs == sum(bits) // 8


def test_kernels_equal_their_twins():
    packed, symbols, _ = case(40, [3, 5, 1])
    pieces = packed.layout.pieces
    blocks = np.zeros_like(packed.blocks)
    layout.pack.py_func(symbols, pieces, blocks, 0)
    np.testing.assert_array_equal(packed.layout.unpack(blocks, np.arange(40)), symbols)
    twin = np.zeros_like(symbols)
    layout.unpack.py_func(blocks, pieces, np.arange(40), twin)
    np.testing.assert_array_equal(twin, symbols)
    scores, rows = np.full(5, -np.inf, np.float32), np.full(5, -1)
    for row, score in enumerate([1, 3, 2, 3, 0, 5, 3]):
        search.keep.py_func(np.float32(score), row, scores, rows)
    np.testing.assert_array_equal(rows, [5, 1, 3, 6, 2])
    np.testing.assert_array_equal(scores, [5, 3, 3, 3, 2])


@pytest.mark.parametrize("n", [1, 31, 32, 33, 500])
@pytest.mark.parametrize("with_bias", [False, True])
def test_top_k_is_exact(n, with_bias):
    packed, _, values = case(n, [4, 3, 1, 8, 0, 6, 2], with_bias=with_bias)
    rng = np.random.default_rng(5)
    p, offset = rng.standard_normal((4, 7)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    exact = offset[:, None] + p.astype(np.float64) @ values.T + (packed.bias.astype(np.float64) if with_bias else 0)
    for allowed in (None, np.zeros(-(-n // 32), np.uint32), rng.integers(0, 2**32, -(-n // 32), dtype=np.uint32)):
        keep = np.ones(n, bool) if allowed is None else np.unpackbits(allowed.view(np.uint8), bitorder="little")[:n] > 0
        scores, rows = top_k(packed, p, 10, offset, allowed=allowed, threads=2)
        best = -np.sort(-np.where(keep, exact, -np.inf), axis=1)[:, :10]
        fill = np.full((4, 10), -np.inf)
        fill[:, : best.shape[1]] = best
        np.testing.assert_allclose(scores, fill, rtol=1e-4, atol=1e-3)
        found = rows >= 0
        np.testing.assert_array_equal(found, np.isfinite(fill))
        assert keep[rows[found]].all()
        np.testing.assert_allclose(
            scores[found], np.take_along_axis(exact, np.maximum(rows, 0), 1)[found], rtol=1e-4, atol=1e-3
        )


def test_ties_stand_in_the_order_of_rows():
    packed, _, _ = case(90, [0, 0])
    packed.side[:] = 1
    rows = top_k(packed, np.ones((1, 2), np.float32), 90, np.zeros(1, np.float32))[1]
    np.testing.assert_array_equal(rows[0], np.arange(90))
