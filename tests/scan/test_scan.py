"""Packing and scanning against plain NumPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from ipaq_index.scan import (
    CodeBook,
    Layout,
    PackedCodes,
    bars,
    block,
    exact,
    few,
    isa,
    layout,
    lookup,
    range_search,
    reservoir,
    score_rows,
    search,
    top_k,
    top_k_lists,
)
from ipaq_index.scan.frame import fill_lookups, fill_weights, make_frame, make_weights
from tests.compiled import compiled


def case(n, bits, seed=0, with_bias=False, states=1, side_dtype=np.uint16, feedback=None):
    """Return packed random codes, their symbols, and the values (n, d) they stand for, worked out row by row."""
    rng = np.random.default_rng(seed)
    bits = np.array(bits, dtype=np.uint8)
    d = len(bits)
    levels = np.sort(rng.standard_normal((d, 512)), axis=1).astype(np.float32)
    feedback, state = rng.integers(0, states, 2) if feedback is None else feedback, np.arange(states)[:, None]
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
    parts = plan.empty(rows // 32)
    for part in parts:
        part[:] = rng.integers(0, 256, part.shape)  # spare room holds anything
    plan.pack(symbols, *parts, 0)
    codebook = CodeBook(plan, levels, next_state, format_)
    bias = rng.standard_normal(rows).astype(np.float32) if with_bias else None
    side = np.concatenate([side, rng.integers(0, 99, rows - n).astype(side_dtype)])
    return PackedCodes(codebook, *parts, side, bias, n), symbols, values


@pytest.mark.parametrize(
    "bits", [[4] * 50, [8], [1], [3, 1, 4, 0, 5, 2, 6, 7], [0, 0, 3], [8, 7, 6, 5, 4, 3, 2, 1, 0], [2, 1, 1] * 3]
)
@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_pack_and_unpack(bits, n):
    packed, symbols, _ = case(n, bits)
    rows = np.random.default_rng(1).permutation(n)
    np.testing.assert_array_equal(packed.codebook.layout.unpack(packed.blocks, packed.rest, rows), symbols[rows])
    assert packed.codebook.layout.pairs == packed.codebook.layout.code_bytes == pytest.approx(sum(bits) / 8, abs=1)


def test_packing_touches_only_its_rows():
    packed, symbols, _ = case(100, [4, 3, 1, 8])
    before = packed.blocks.copy()
    packed.codebook.layout.pack(symbols[5:40] ^ 1, packed.blocks, packed.rest, 37)
    changed = np.zeros(len(before) * 32, dtype=bool)
    changed[37:72] = True
    lanes = changed.reshape(-1, 1, 32)
    np.testing.assert_array_equal(np.where(lanes, 0, packed.blocks), np.where(lanes, 0, before))
    np.testing.assert_array_equal(
        packed.codebook.layout.unpack(packed.blocks, packed.rest, np.arange(37, 72)), symbols[5:40] ^ 1
    )


def test_full_nibbles_waste_nothing():
    for bits in ([3, 1] * 6, [2, 2, 4], [7, 1, 5, 3], [2, 1, 1, 4], [1] * 8):
        assert Layout(np.array(bits, dtype=np.uint8)).pairs == sum(bits) // 8


def test_layout_kernels_equal_their_twins():
    packed, symbols, _ = case(40, [3, 5, 1] + [4] * 32)
    pieces = packed.codebook.layout.pieces
    parts = packed.codebook.layout.empty(len(packed.blocks))
    layout.pack.py_func(symbols, pieces, *parts, 0)
    np.testing.assert_array_equal(packed.codebook.layout.unpack(*parts, np.arange(40)), symbols)
    twin = np.zeros_like(symbols)
    layout.unpack.py_func(*parts, pieces, np.arange(40), twin)
    np.testing.assert_array_equal(twin, symbols)


@pytest.mark.parametrize("bits", [[6, 5, 5, 4, 4, 4, 4, 4] * 4, [4] * 50, [8, 7, 3, 3, 2, 1, 0, 4] * 9])
def test_the_first_part_has_the_high_bits_of_all_dimensions(bits):
    plan = Layout(np.array(bits, dtype=np.uint8))
    read = plan.pieces[:, 3] < 2 * plan.first_pairs
    held = np.bincount(plan.pieces[read, 0], plan.pieces[read, 2], minlength=len(bits)).astype(int)
    assert plan.first_pairs % 4 == 0
    assert plan.pairs / 2 <= plan.first_pairs <= 0.75 * plan.pairs
    assert held.sum() == 8 * plan.first_pairs >= 2 * np.count_nonzero(bits)
    left = bits - held
    assert left.max() <= left[held > 0].min() + 1
    for j, shift in zip(plan.pieces[read, 0], plan.pieces[read, 1], strict=True):
        assert shift >= left[j]


@pytest.mark.parametrize("bits", [[2] * 384, [4] * 24, [1] * 300])
def test_codes_in_one_part(bits):
    plan = Layout(np.array(bits, dtype=np.uint8))
    assert plan.first_pairs == plan.pairs


def test_wide_nibbles_share_bytes_with_narrow_ones():
    places = Layout(np.full(6, 4, np.uint8)).pieces
    np.testing.assert_array_equal(places[:, 3], [0, 2, 4, 5, 3, 1])


@pytest.mark.parametrize("seed", range(4))
def test_the_heap_keeps_the_best(seed):
    rng = np.random.default_rng(seed)
    compiled_push, compiled_order = compiled(reservoir.push), compiled(reservoir.order)
    for count in (1, 2, 3, 50):
        for k in (1, 2, 10, 60):
            keys, rows = rng.integers(0, 5, count).astype(np.float32), rng.permutation(count)
            best = np.lexsort((rows, -keys))[:k]
            scores = keys + 1
            for push, order in ((compiled_push, compiled_order), (reservoir.push, reservoir.order)):
                heap = np.zeros(k, np.float32), np.zeros(k, np.int64), np.zeros(k, np.float32)
                held = 0
                for i in range(count):
                    held = push(*heap, held, keys[i], rows[i], scores[i])
                assert held == len(best)
                order(*heap, held)
                np.testing.assert_array_equal(heap[1][:held], rows[best])
                np.testing.assert_array_equal(heap[2][:held], scores[best])


@njit
def run_collect(isa_, rows, meaning, span, frame, candidates, count):
    at = lookup.places(rows, meaning, frame, candidates)
    return lookup.collect(isa_, rows, meaning, span, frame, at, candidates, count)


@njit
def run_product(isa_, bias, tile, span, frame, queries):
    return block.next_product(isa_, bias, tile, span, frame, block.addresses(frame, tile), queries)


@njit
def run_decode(isa_, rows, meaning, tile, count):
    block.decode(isa_, rows, meaning, tile, count)


def assert_alike(found, expected, end, used, twin, whole=False):
    assert found == expected
    if (found[0] if isinstance(found, tuple) else found) < end:
        np.testing.assert_array_equal(used.above, twin.above)
        assert used.above.any()
        rows = (used.above[:, None] >> np.arange(32, dtype=np.uint32)) & 1 > 0
        np.testing.assert_array_equal(used.sums[rows], twin.sums[rows])
    used.above[:] = 0
    twin.above[:] = 0


def candidates_of(size, pairs):
    keys, rows, shifts = (np.zeros(size, kind) for kind in (np.float32, np.int32, np.float32))
    words, places = np.zeros(lookup.CHUNK // 2, np.uint64), np.zeros(lookup.CHUNK // 2, np.int64)
    sums = np.zeros((lookup.CHUNK // 2, 64), np.uint16)
    made = np.zeros((pairs, 32), np.uint8)
    return lookup.Candidates(keys, rows, shifts, words, places, sums, made)


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize(("with_bias", "side_dtype"), [(False, np.uint16), (True, np.uint8), (False, np.uint8)])
def test_lookups_are_alike_on_every_instruction_set(name, with_bias, side_dtype):
    rng, compiled_fill = np.random.default_rng(0), compiled(fill_lookups)
    for pairs in (1, 2, 3, 4, 5, 8, 600, 2400):  # the first parts of the last two take sums of bytes to their limits
        packed, _, _ = case(160, [4] * (2 * pairs), with_bias=with_bias, side_dtype=side_dtype)
        rows, meaning = packed.rows(None), packed.codebook.meaning
        tables = np.zeros((meaning.looked, 2, 64), np.uint8)
        frame = make_frame(tables, 1)
        p = rng.standard_normal(2 * pairs).astype(np.float32)
        frame.start[0], step, _ = compiled_fill(p, meaning, 3.0, 0.0, tables)
        curve = bars.make_curve(rows, meaning)
        words = rng.integers(0, 1 << 32, 5).astype(np.uint32)
        words[rng.integers(5)] = 0
        for counted in (rows._replace(size=139), rows._replace(words=words)):
            for span, part in itertools.product(((0, 5), (1, 5), (2, 3), (2, 2)), (-np.inf, -0.5, 0, 0.5, np.inf)):
                scores = packed.codebook.meaning.levels.std() * np.sqrt(2 * pairs) * part
                frame.bars[:, 0] = 1 / step, 3, max(scores / step, -1e30)
                bars.bend(rows, search._best(1, 1), 0, curve)
                bars.fill_bars(frame, curve)
                used, twin = (candidates_of(300, meaning.looked) for _ in range(2))
                found = run_collect(isa.NAMES[name], counted, meaning, span, frame, used, 3)
                expected = lookup.collect(isa.NAMES[name], counted, meaning, span, frame, None, twin, 3)
                assert found == expected
                for one, other in zip(used[:2], twin[:2], strict=True):
                    np.testing.assert_array_equal(one[3:found], other[3:found])


compiled_curve, compiled_bend, compiled_bars = compiled(bars.make_curve), compiled(bars.bend), compiled(bars.fill_bars)


@settings(deadline=None, max_examples=50)  # the first example compiles
@given(
    bits=st.integers(0, 11),
    octaves=st.integers(0, 200),
    start=st.integers(-60_000, 2_000),
    floor=st.floats(-3e4, 3e4, width=32),
    seed=st.integers(0, 1000),
)
def test_rows_that_do_not_pass_are_below_the_floor(bits, octaves, start, floor, seed):
    rng = np.random.default_rng(seed)
    scale_format = (bits, 100 << 23, max(1, (octaves << 23) >> (16 - bits + 2)))
    packed, _, _ = case(64, [4] * 4)
    meaning = packed.codebook.meaning._replace(scale_format=scale_format)
    side = rng.integers(0, 1 << 16, 4000).astype(np.uint16)
    rows = packed.rows(None)._replace(side=side)
    frame, curve = make_frame(np.zeros((1, 2, 64), np.uint8), 1), bars.make_curve(rows, meaning)
    frame.start[0], frame.bars[:, 0] = start, (1, rng.standard_normal(), floor)
    best = search._best(1, 3)
    best.rows[0, :2], best.counts[0] = (5, 6), 2
    bars.bend(rows, best, 0, curve)
    bars.fill_bars(frame, curve)
    plain, curve = frame.passing.copy(), compiled_curve(rows, meaning)
    compiled_bend(rows, best, 0, curve)
    compiled_bars(frame, curve)
    np.testing.assert_array_equal(frame.passing, plain)
    scales = np.array([block.scale(value, scale_format) for value in side], dtype=np.float64)
    with np.errstate(all="ignore"):
        least = np.clip((np.float64(floor) - frame.bars[1, 0]) / scales - start, 0, 65535)
    sums = np.minimum(np.ceil(least) + rng.integers(0, 2, len(side)), 65535).astype(np.int64)
    reach = scales * (sums + start) + frame.bars[1, 0] >= floor
    falls = side.astype(np.int64) * int(frame.passing[32]) >> 16
    passes = np.minimum(sums + falls, 65535) >= frame.passing[side >> 11]
    assert passes[reach].all()


@pytest.mark.parametrize("count", [0, 1, 5, 40, 700])
@pytest.mark.parametrize("distinct", [1, 3, 1000])
def test_the_best_candidates_are_chosen(count, distinct):
    keys = np.random.default_rng(count).integers(0, distinct, 800).astype(np.float32)
    chosen = np.full(800, -1)
    held = few.choose(keys, count, 8, chosen.copy())
    assert held == compiled(few.choose)(keys, count, 8, chosen)
    assert min(count, 8) <= held <= 16
    assert len(np.unique(chosen[:held])) == held
    others = np.delete(keys[:count], chosen[:held])
    if held and len(others) and distinct == 1000:
        assert keys[chosen[:held]].min() >= others.max()


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize(("with_bias", "side_dtype"), [(False, np.uint16), (True, np.uint8)])
@pytest.mark.parametrize("states", [1, 8, 256])
def test_products_are_alike_on_every_instruction_set(name, with_bias, side_dtype, states):
    if states == 256 and side_dtype == np.uint8:
        return  # no bits are left for the scale
    rng = np.random.default_rng(1)
    bits = [4, 3, 1, 8, 0, 7, 2, 5, 6] * 4  # 18 pairs: two parts
    packed, _, _ = case(130, bits, with_bias=with_bias, states=states, side_dtype=side_dtype)
    rows, meaning = packed.rows(None), packed.codebook.meaning
    quads = len(meaning.active) // 4

    def empty():
        levels = np.zeros((6, quads, 32, 4), np.uint8)
        return block.Tile(
            np.array([3, 0, 2, 1, 4]), levels, np.zeros((6, 32), np.float32), np.zeros((6, 32), np.float32)
        )

    tile, twin_tile = empty(), empty()
    run_decode(isa.NAMES[name], rows, meaning, tile, 5)
    block.decode(isa.NAMES[name], rows, meaning, twin_tile, 5)
    for one, other in zip(tile, twin_tile, strict=True):
        np.testing.assert_array_equal(one[:5], other[:5])
    weights = make_weights(12, meaning)
    compiled(fill_weights)(rng.standard_normal((12, len(bits))).astype(np.float32), meaning, False, weights)
    tables = np.ascontiguousarray(weights.values.view(np.uint8).reshape(12, quads, 4).transpose(1, 0, 2))
    used = make_frame(tables, 12)
    used.start[:], used.bars[0] = weights.start, weights.inverse
    used.bars[1], floors = rng.standard_normal(12), 1e4 * rng.standard_normal(12)
    twin = used._replace(sums=np.zeros_like(used.sums), above=np.zeros_like(used.above))
    for span, queries in itertools.product(((0, 5), (1, 3), (4, 4)), (1, 4, 5, 8, 9, 12)):
        used.bars[2] = np.where(np.arange(12) < queries, floors, np.inf)
        found = run_product(isa.NAMES[name], rows.bias, tile, span, used, queries)
        expected = block.next_product(isa.NAMES[name], rows.bias, tile, span, twin, None, queries)
        assert_alike(found, expected, span[1], used, twin)


def test_row_totals_equal_their_twin():
    for states in (1, 8):
        packed, _, values = case(64, [4, 3, 1, 8, 0, 7, 2, 5, 6] * 4, states=states)
        p = np.random.default_rng(1).standard_normal((1, 36)).astype(np.float32)
        rows, meaning = packed.rows(None), packed.codebook.meaning
        scores = np.zeros((1, 64), np.float32)
        exact.score_rows(rows, meaning, p, np.arange(64), scores)
        scales = [block.scale(side, meaning.scale_format) for side in packed.side[:64]]
        totals = np.array([block.row_total(rows, meaning, p[0], row) for row in range(64)])
        known = compiled(exact.known_parts)(p, meaning)[0]
        np.testing.assert_array_equal(scores[0], scales * (totals + known))
        np.testing.assert_allclose(scores[0], values @ p[0].astype(np.float64), rtol=1e-5, atol=1e-4)


def test_tables_fit_a_byte_and_say_what_they_stand_for():
    packed, symbols, _ = case(64, [4, 3, 1, 2, 2, 4], seed=3)
    meaning = packed.codebook.meaning
    p = np.random.default_rng(1).standard_normal(6).astype(np.float32)
    lut, twin = (np.zeros((2, 2, 64), np.uint8) for _ in range(2))
    start, step, raised = compiled(fill_lookups)(p, meaning, 3.0, 0.0, lut)
    assert fill_lookups(p, meaning, 3.0, 0.0, twin) == pytest.approx((start, step, 0.0))
    assert raised == 0
    np.testing.assert_array_equal(lut, twin)
    np.testing.assert_array_equal(lut.reshape(2, 2, 4, 16), np.broadcast_to(lut[:, :, None, :16], (2, 2, 4, 16)))
    assert lut.max(-1).astype(int).sum() <= 255
    levels = meaning.levels[meaning.active[:6, 4] + symbols].astype(np.float64) @ p
    code = packed.blocks[:2].transpose(0, 2, 1).reshape(64, packed.codebook.layout.pairs)
    sums = sum(lut[t, 0, code[:, t] & 15].astype(int) + lut[t, 1, code[:, t] >> 4] for t in range(code.shape[1]))
    margin = step * 4 / 2  # codes are read whole, and so few nibbles' roundings are taken at their worst
    np.testing.assert_allclose(step * (start + sums), levels + margin, atol=step * (0.5 * 6 + 1))


@pytest.mark.parametrize("size", [0, 1e-44, 1e-38, 1e-20, 1e15])
def test_tables_of_tiny_and_large_queries(size):
    packed, _, _ = case(64, [4, 3, 1, 8, 0, 2] * 8, seed=3)  # two parts
    meaning = packed.codebook.meaning
    p = (np.random.default_rng(1).standard_normal(48) * size).astype(np.float32)
    lut, twin = np.zeros((2, meaning.looked, 2, 64), np.uint8)
    start, step, _ = compiled(fill_lookups)(p, meaning, 3.0, 0.0, lut)
    assert fill_lookups(p, meaning, 3.0, 0.0, twin) == (start, step, 0.0)
    assert 0 < step < np.inf
    np.testing.assert_array_equal(lut, twin)
    assert lut.any() == (size > 1e-22)


@pytest.mark.parametrize("bits", [[4] * 6, [4, 3, 1, 8, 0, 2] * 8])
def test_lifted_tables_begin_higher(bits):
    packed, _, _ = case(64, bits, seed=3)
    meaning = packed.codebook.meaning
    p = np.random.default_rng(1).standard_normal(len(bits)).astype(np.float32)
    lut, lifted = np.zeros((2, meaning.looked, 2, 64), np.uint8)
    start, step, _ = fill_lookups(p, meaning, 3.0, 0.0, lut)
    above, same, raised = compiled(fill_lookups)(p, meaning, 3.0, 2.0, lifted)
    assert same == pytest.approx(step)
    np.testing.assert_array_equal(lut, lifted)
    assert 0 < raised * step <= 2.001
    assert above == pytest.approx(start + raised, abs=1.01)


def test_certain_weights_bound_every_score():
    packed, _, _ = case(400, [4, 3, 1, 8, 0, 2], states=4)
    meaning = packed.codebook.meaning
    packed.side[:] = packed.side & 3 | (1 << 2)
    p = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
    weights, twin = make_weights(3, meaning), make_weights(3, meaning)
    compiled(fill_weights)(p, meaning, True, weights)
    fill_weights(p, meaning, True, twin)
    for a, b in zip(weights, twin, strict=True):
        np.testing.assert_array_equal(a, b)
    tile = block.Tile(np.arange(13), np.zeros((14, 2, 32, 4), np.uint8), *np.zeros((2, 14, 32), np.float32))
    block.decode(isa.Portable(), packed.rows(None), meaning, tile, 13)
    levels = tile.levels[:13].transpose(0, 2, 1, 3).reshape(-1, 8)[:400].astype(int)
    sums = levels @ weights.values.T.astype(int) + weights.start
    scales = tile.scales[:13].reshape(-1)[:400]
    numbers = np.arange(400)
    scores = score_rows(packed, p, numbers).T
    assert (sums / weights.inverse * scales[:, None] >= scores - 1e-6 * abs(scores)).all()


def as_lists(packed):
    """Return a few lists over the blocks of ``packed``, and their rows."""
    blocks = -(-packed.count // 32)
    cuts = np.unique([0, 1, blocks // 3, blocks // 2, blocks])
    spans = np.array([*itertools.pairwise(cuts), (0, 0)])
    return spans, [np.arange(32 * a, min(32 * b, packed.count)) for a, b in spans]


@pytest.mark.parametrize("queries", [1, 40])
@pytest.mark.parametrize("threads", [1, 3])
def test_lists_give_their_rows_alone(queries, threads, monkeypatch):
    monkeypatch.setattr("ipaq_index.scan.search.SMALL", 0)
    packed, _, values = case(700, [4, 3, 1, 8, 0, 6, 2], states=8)
    spans, members = as_lists(packed)
    rng = np.random.default_rng(3)
    p = rng.standard_normal((queries, 7)).astype(np.float32)
    probes = np.array([rng.permutation(len(spans))[:3] for _ in range(queries)])
    probes[0, 1] = -1
    shifts, offset = (300 * rng.standard_normal(s).astype(np.float32) for s in (probes.shape, queries))
    allowed = rng.integers(0, 2**32, -(-packed.count // 32), dtype=np.uint32)
    keep = np.unpackbits(allowed.view(np.uint8), bitorder="little") > 0
    for words in (None, allowed):
        scores, rows = top_k_lists(packed, p, 20, offset, spans, probes, shifts, words, threads)
        for q in range(queries):
            pool = {}
            for probe, shift in zip(probes[q], shifts[q], strict=True):
                if probe >= 0:
                    pool |= {
                        r: values[r] @ p[q] + shift + offset[q] for r in members[probe] if words is None or keep[r]
                    }
            best = sorted(pool.values(), reverse=True)[:20]
            np.testing.assert_allclose(scores[q, : len(best)], best, rtol=1e-4, atol=1e-2)
            assert set(rows[q, : len(best)]) <= set(pool)
            assert (rows[q, len(best) :] == -1).all() and np.isneginf(scores[q, len(best) :]).all()


@pytest.mark.parametrize(("with_bias", "states"), [(True, 1), (False, 8)])
def test_range_search_finds_all(with_bias, states, monkeypatch):
    monkeypatch.setattr("ipaq_index.scan.search.RANGE_BLOCKS", 7)
    packed, _, _ = case(500, [4, 3, 1, 8, 0, 6, 2], with_bias=with_bias, states=states)
    rng = np.random.default_rng(3)
    p, offset = rng.standard_normal((15, 7)).astype(np.float32), rng.standard_normal(15).astype(np.float32)
    exact = score_rows(packed, p, np.arange(500)) + offset[:, None]
    threshold = np.quantile(exact, rng.random(15), axis=1).diagonal().astype(np.float32)
    allowed = rng.integers(0, 2**32, 16, dtype=np.uint32)
    for words in (None, allowed):
        keep = np.ones(500, bool) if words is None else np.unpackbits(words.view(np.uint8), bitorder="little")[:500] > 0
        begins, scores, rows = range_search(packed, p, threshold, offset, words, threads=2)
        for q in range(15):
            expected = np.flatnonzero(keep & (exact[q] >= threshold[q]))
            order = expected[np.lexsort((expected, -exact[q, expected]))]
            np.testing.assert_array_equal(rows[begins[q] : begins[q + 1]], order)
            np.testing.assert_array_equal(scores[begins[q] : begins[q + 1]], exact[q, order])


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
