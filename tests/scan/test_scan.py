"""Packing and scanning against plain NumPy."""

import numpy as np
import pytest
from numba import njit

from ipaq_index.scan import CodeBook, Layout, PackedCodes, isa, kernel, layout, reservoir, top_k


def case(n, bits, seed=0, with_bias=False, states=1, side_dtype=np.uint16):
    """Return packed random codes, their symbols, and the values (n, d) they stand for, worked out row by row."""
    rng = np.random.default_rng(seed)
    bits = np.array(bits, dtype=np.uint8)
    d = len(bits)
    levels = np.sort(rng.standard_normal((d, 512)), axis=1).astype(np.float32)
    feedback, state = rng.integers(0, states, 2), np.arange(states)[:, None]
    next_state = ((state >> 1) ^ (state & 1) * feedback[0] ^ np.arange(2) * feedback[1]).astype(np.uint8)
    symbols = (rng.integers(0, 256, (n, d)) % (1 << bits.astype(int))).astype(np.uint8)
    state_bits = states.bit_length() - 1
    format_ = (state_bits, 119 << 23, 1 << 11 + state_bits)
    side = rng.integers(0, np.iinfo(side_dtype).max + 1, n).astype(side_dtype)
    side[: n // 10] &= states - 1
    values = np.zeros((n, d))
    for i in range(n):
        state, code = int(side[i]) & states - 1, int(side[i]) >> state_bits
        scale = np.array([format_[1] + format_[2] * code], dtype=np.int32).view(np.float32)[0] if code else 0.0
        for j in range(d):
            level = int(symbols[i, j])
            if states > 1 and bits[j]:
                level = 2 * level + (state & 1)
                state = int(next_state[state, int(symbols[i, j]) & 1])
            values[i, j] = float(scale) * levels[j, level]
    plan = Layout(bits)
    rows = 32 * (-(-n // 32) + 2)
    blocks = rng.integers(0, 256, (rows // 32, plan.pairs, 32)).astype(np.uint8)  # spare room holds anything
    plan.pack(symbols, blocks, 0)
    symbol_levels = levels[:, :256] if states == 1 else levels.reshape(d, 256, 2).mean(2)
    codebook = CodeBook(plan, levels, symbol_levels, next_state, format_)
    bias = rng.standard_normal(rows).astype(np.float32) if with_bias else None
    side = np.concatenate([side, rng.integers(0, 99, rows - n).astype(side_dtype)])
    return PackedCodes(codebook, blocks, side, bias, n), symbols, values


@pytest.mark.parametrize(
    "bits", [[4] * 50, [8], [1], [3, 1, 4, 0, 5, 2, 6, 7], [0, 0, 3], [8, 7, 6, 5, 4, 3, 2, 1, 0], [2, 1, 1] * 3]
)
@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_pack_and_unpack(bits, n):
    packed, symbols, _ = case(n, bits)
    rows = np.random.default_rng(1).permutation(n)
    np.testing.assert_array_equal(packed.codebook.layout.unpack(packed.blocks, rows), symbols[rows])
    assert packed.codebook.layout.pairs == packed.codebook.layout.code_bytes == pytest.approx(sum(bits) / 8, abs=1)


def test_packing_touches_only_its_rows():
    packed, symbols, _ = case(100, [4, 3, 1, 8])
    before = packed.blocks.copy()
    packed.codebook.layout.pack(symbols[5:40] ^ 1, packed.blocks, 37)
    changed = np.zeros(len(before) * 32, dtype=bool)
    changed[37:72] = True
    lanes = changed.reshape(-1, 1, 32)
    np.testing.assert_array_equal(np.where(lanes, 0, packed.blocks), np.where(lanes, 0, before))
    np.testing.assert_array_equal(packed.codebook.layout.unpack(packed.blocks, np.arange(37, 72)), symbols[5:40] ^ 1)


def test_full_nibbles_waste_nothing():
    for bits in ([3, 1] * 6, [2, 2, 4], [7, 1, 5, 3], [2, 1, 1, 4], [1] * 8):
        assert Layout(np.array(bits, dtype=np.uint8)).pairs == sum(bits) // 8


def test_layout_kernels_equal_their_twins():
    packed, symbols, _ = case(40, [3, 5, 1])
    pieces = packed.codebook.layout.pieces
    blocks = np.zeros_like(packed.blocks)
    layout.pack.py_func(symbols, pieces, blocks, 0)
    np.testing.assert_array_equal(packed.codebook.layout.unpack(blocks, np.arange(40)), symbols)
    twin = np.zeros_like(symbols)
    layout.unpack.py_func(blocks, pieces, np.arange(40), twin)
    np.testing.assert_array_equal(twin, symbols)


def test_wide_nibbles_share_bytes_with_narrow_ones():
    places = Layout(np.full(6, 4, np.uint8)).pieces
    np.testing.assert_array_equal(places[:, 3], [0, 2, 4, 5, 3, 1])


@pytest.mark.parametrize("seed", range(4))
def test_cut_keeps_the_best(seed):
    rng = np.random.default_rng(seed)
    for count in (1, 2, 3, 50):
        for best in range(1, count + 1):
            scores, rows = rng.integers(0, 5, count).astype(np.float32), rng.permutation(count)
            order = np.lexsort((rows, -scores))[:best]
            expected = set(zip(scores[order], rows[order], strict=True))
            twin = scores.copy(), rows.copy()
            reservoir.cut(scores, rows, count, best)
            assert set(zip(scores[:best], rows[:best], strict=True)) == expected
            reservoir.cut.py_func(*twin, count, best)
            np.testing.assert_array_equal(twin, (scores, rows))


def test_insert_sorts():
    scores, rows = np.full(5, -np.inf, np.float32), np.full(5, -1)
    for count, (row, score) in enumerate([(4, 1), (1, 3), (0, 2), (7, 3), (2, 0), (5, 5), (3, 3)]):
        reservoir.insert(np.float32(score), row, count, scores, rows)
    np.testing.assert_array_equal(rows, [5, 1, 3, 7, 0])
    np.testing.assert_array_equal(scores, [5, 3, 3, 3, 2])


@njit
def run_next_block(isa_, group, rows, scale_format, span, first, frame):
    return next_block(isa_, group, rows, scale_format, span, first, frame, addresses(rows, frame))


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize(("with_bias", "side_dtype"), [(False, np.uint16), (True, np.uint8)])
def test_blocks_score_alike_on_every_instruction_set(name, size, with_bias, side_dtype):
    rng = np.random.default_rng(0)
    for pairs in (1, 2, 3, 4, 5, 8, 300):  # 300: beyond what 16-bit sums hold
        packed, _, _ = case(96, [4] * (2 * pairs), with_bias=with_bias, side_dtype=side_dtype)
        rows, meaning = packed.rows(None), packed.codebook.meaning
        frame = kernel.make_frame(rng.standard_normal((size + 1, 2 * pairs)).astype(np.float32), meaning, pairs, size)
        floors = rng.standard_normal(len(frame.floors)) * 2000
        frame.floors[: size + 1] = floors[: size + 1]
        for first in range(0, size + 1, size):
            for begin, end in ((0, 3), (1, 3), (2, 2)):
                arguments = rows, meaning.scale_format, (begin, end), first
                found = run_next_block(isa.NAMES[name], (0,) * size, *arguments, frame)
                twin = frame._replace(sums=np.zeros_like(frame.sums), above=np.zeros_like(frame.above))
                expected = next_block(isa.NAMES[name], (0,) * size, *arguments, twin, addresses(rows, twin))
                assert found == expected
                if found < end:
                    np.testing.assert_array_equal(frame.sums, twin.sums)
                    np.testing.assert_array_equal(frame.above, twin.above)
                    assert frame.above.any()


def test_tables_fit_a_byte_and_say_what_they_stand_for():
    packed, symbols, _ = case(64, [4, 3, 1, 2, 2, 4], seed=3)
    meaning = packed.codebook.meaning
    p = np.random.default_rng(1).standard_normal(6).astype(np.float32)
    lut, twin = (np.zeros((1, 2, 4, 16), np.uint8) for _ in range(2))
    start, step = kernel.fill_lut(p, meaning, lut)
    assert kernel.fill_lut.py_func(p, meaning, twin) == (start, step)
    np.testing.assert_array_equal(lut, twin)
    assert (lut[:, 0].max(-1).astype(int) + lut[:, 1].max(-1)).max() <= 255
    levels = meaning.levels[np.arange(6), symbols].astype(np.float64) @ p
    code = packed.blocks[:2].transpose(0, 2, 1).reshape(64, packed.codebook.layout.pairs)
    sums = sum(lut[0, 0, t, code[:, t] & 15].astype(int) + lut[0, 1, t, code[:, t] >> 4] for t in range(code.shape[1]))
    np.testing.assert_allclose(step * (start + sums), levels, atol=step * (0.5 * 6 + 0.5))


@pytest.mark.parametrize("n", [1, 31, 32, 33, 700])
@pytest.mark.parametrize(("with_bias", "states"), [(False, 1), (True, 1), (False, 8)])
def test_top_k_is_exact_where_all_rows_are_candidates(n, with_bias, states):
    packed, _, values = case(n, [4, 3, 1, 8, 0, 6, 2], with_bias=with_bias, states=states)
    rng = np.random.default_rng(5)
    p, offset = rng.standard_normal((11, 7)).astype(np.float32), rng.standard_normal(11).astype(np.float32)
    exact = offset[:, None] + p.astype(np.float64) @ values.T + (packed.bias[:n].astype(np.float64) if with_bias else 0)
    k = max(10, n // 2)
    for allowed in (None, np.zeros(-(-n // 32), np.uint32), rng.integers(0, 2**32, -(-n // 32), dtype=np.uint32)):
        keep = np.ones(n, bool) if allowed is None else np.unpackbits(allowed.view(np.uint8), bitorder="little")[:n] > 0
        scores, rows = top_k(packed, p, k, offset, allowed=allowed)
        best = -np.sort(-np.where(keep, exact, -np.inf), axis=1)[:, :k]
        fill = np.full((11, k), -np.inf)
        fill[:, : best.shape[1]] = best
        np.testing.assert_allclose(scores, fill, rtol=1e-4, atol=1e-3)
        found = rows >= 0
        np.testing.assert_array_equal(found, np.isfinite(fill))
        assert keep[rows[found]].all()
        own = np.take_along_axis(exact, np.maximum(rows, 0), 1)
        np.testing.assert_allclose(scores[found], own[found], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", isa.available())
def test_answers_do_not_depend_on_isa_threads_or_company(name, monkeypatch):
    monkeypatch.setattr("ipaq_index.scan.search.SMALL", 0)
    packed, _, _ = case(3000, [4] * 10, states=4)
    p = np.random.default_rng(0).standard_normal((21, 10)).astype(np.float32)
    offset = np.zeros(21, np.float32)
    expected = top_k(packed, p, 5, offset, isa=isa.NAMES["portable"])
    for threads in (1, 3):
        np.testing.assert_array_equal(top_k(packed, p, 5, offset, threads=threads, isa=isa.NAMES[name]), expected)
    for i in range(21):
        one = top_k(packed, p[i : i + 1], 5, offset[i : i + 1], threads=2, isa=isa.NAMES[name])
        np.testing.assert_array_equal(one, [part[i : i + 1] for part in expected])


def test_ties_stand_in_the_order_of_rows():
    packed, _, _ = case(90, [0, 0, 1])
    packed.side[:] = 1
    packed.blocks[:] = 0
    rows = top_k(packed, np.ones((1, 3), np.float32), 5, np.zeros(1, np.float32))[1]
    np.testing.assert_array_equal(rows[0], np.arange(5))


def test_isa_is_chosen_by_the_environment(monkeypatch):
    assert isa.choose() == isa.NAMES[isa.available()[0]]
    monkeypatch.setenv("IPAQ_ISA", "portable")
    assert isa.choose() == isa.Portable()
    monkeypatch.setenv("IPAQ_ISA", "sse9")
    with pytest.raises(ValueError, match="IPAQ_ISA: expected one of avx512, avx2, neon, portable, got 'sse9'"):
        isa.choose()
    absent = next(name for name in isa.NAMES if name not in isa.available())
    with pytest.raises(ValueError, match=f"this machine does not run '{absent}'"):
        isa.choose(absent)
