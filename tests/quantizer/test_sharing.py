"""One bit for two dimensions: how bits are shared out, and what the trellis does with them."""

from itertools import product

import numpy as np
import pytest

import ipaq_index as iq
from ipaq_index.quantizer import Quantizer, QuantizerSpec, codebook, patterns, sharing
from ipaq_index.quantizer.joint import MOST_TOGETHER
from ipaq_index.quantizer.trellis import STATES, trellis, walk
from ipaq_index.scan.layout import BLOCK, Layout
from tests.quantizer.test_trellis import level_sets, searched

D, N = 24, 600


def pairings(count):
    """All ways to give dimensions 0 ("0"), 1 ("1") or half a bit ("h" twice)."""
    if count <= 0:
        return [""] if count == 0 else []
    return [a + rest for a in ("0", "1") for rest in pairings(count - 1)] + [
        "hh" + rest for rest in pairings(count - 2)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_bits_are_shared_where_that_leaves_least(seed):
    rng = np.random.default_rng(seed)
    errors = np.cumprod(np.concatenate([rng.uniform(0.5, 2, (8, 1)), rng.uniform(0.2, 0.6, (8, 8))], 1), axis=1)
    bits = np.array([1, 0, 3, 1, 0, 0, 1, 0], dtype=np.uint8)
    found, shared = sharing.share(bits, errors)
    both = sharing.SHARED_ERROR * np.sqrt(errors[:, 0] * errors[:, 1])

    def error(way):
        return sum({"0": errors[j, 0], "1": errors[j, 1], "h": both[j]}[kind] for j, kind in way)

    ways = [
        [*zip((0, 1), first, strict=True), *zip(range(3, 8), last, strict=True)]
        for first, last in product(pairings(2), pairings(5))
        if (first + last).count("1") + (first + last).count("h") / 2 == 3
    ]
    second = shared > 0
    half = second | np.append(second[1:], False)
    ours = [(j, "h" if half[j] else str(found[j])) for j in range(8) if j != 2]
    assert error(ours) == pytest.approx(min(map(error, ways)))
    assert found[2] == 3
    assert found[~second].sum() == bits.sum()
    assert sharing.can_share(found, shared)


def test_what_cannot_be_shared():
    bits = np.array([1, 1, 1, 2, 0], dtype=np.uint8)
    for second, fits in (([1], True), ([2], True), ([0], False), ([1, 2], False), ([3], False), ([4], False)):
        shared = np.zeros(5, dtype=np.uint8)
        shared[second] = 1
        assert sharing.can_share(bits, shared) == fits
    for bits, shared, fits in (
        ([4] * 5, [0, 1, 1, 1, 1], True),
        ([4] * 9, [0, *[1] * 8], False),
        ([4, 4, 3, 0, 0], [0, 1, 1, 0, 0], False),
        ([5, 5, 0, 0, 0], [0, 1, 0, 0, 0], False),
        ([4, 4, 1, 1, 0], [0, 1, 0, 1, 0], True),
    ):
        assert sharing.can_share(np.array(bits, dtype=np.uint8), np.array(shared, dtype=np.uint8)) == fits
    bits = np.array([1, 1, 1, 2, 0], dtype=np.uint8)
    assert not sharing.can_share(bits, np.array([0, 2, 0, 0, 0], dtype=np.uint8))


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize("size", range(2, MOST_TOGETHER + 1))
def test_steps_with_one_bit(states, size):
    next_state = trellis(states).next_state
    ways = sharing.steps_together(trellis(states), size)
    for state, u in product(range(states), (0, 1)):
        before, kind = ways[state, u]
        s, parities = before, []
        for _ in range(size):
            parities.append(s & 1)
            s = next_state[s, u]
        assert s == state
        assert kind == int("".join(map(str, [u, *parities])), 2)
    reached = {0}
    for _ in range(8):
        reached = {int(after) for after in range(states) for u in (0, 1) if ways[after, u, 0] in reached}
    if states >= (sharing.LEAST_STATES if size == 2 else patterns.LEAST_STATES):
        assert len(reached) == states


def shared_sets(seed):
    sets = level_sets([1, 1, 2, 1, 1, 0, 1, 1, 1], seed)
    sets.levels[[1, 4, 8], :4] = sets.levels[[1, 4, 8], :4][:, sharing.ORDER]
    return sets._replace(shared=np.array([0, 1, 0, 0, 1, 0, 0, 0, 1], dtype=np.uint8))


@pytest.mark.parametrize(("states", "starts"), [(8, 8), (256, 2)])
def test_best_path_is_the_best_of_all(states, starts):
    sets, next_state = shared_sets(3), trellis(states).next_state
    y = (0.7 * np.random.default_rng(1).standard_normal((32, 9))).astype(np.float32)
    symbols, first, sums, _, unit = searched(y, sets, states, starts)
    np.testing.assert_array_equal(symbols[:, sets.shared > 0], symbols[:, np.flatnonzero(sets.shared) - 1])

    def decode(codes, state):
        out = []
        for symbol, b, levels in zip(codes, sets.bits, sets.levels, strict=True):
            out.append(levels[2 * symbol + (state & 1)] if b else levels[0])
            state = next_state[state, symbol & 1] if b else state
        return out

    paths = np.array(
        [
            decode((a, a, b, c, c, 0, e, f, f), start)
            for a, c, e, f in product((0, 1), repeat=4)
            for b in range(4)
            for start in range(starts)
        ]
    )
    best = ((y[:, None, :].astype(np.float64) - paths) ** 2).sum(2).min(1)
    decoded = np.array([decode(row, start) for row, start in zip(symbols, first, strict=True)])
    found = ((y - decoded) ** 2).sum(1)
    assert (first < starts).all()
    np.testing.assert_allclose(found, best, atol=8 / unit)  # each coded dimension is off by half a unit
    np.testing.assert_allclose(sums, [(y * decoded).sum(1), (decoded**2).sum(1)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("states", [8, 256])
def test_vector_code_is_its_twin(states):
    sets = shared_sets(4)
    y = np.random.default_rng(2).standard_normal((32, 9)).astype(np.float32)
    for ours, twin in zip(searched(y, sets, states, 4), searched(y, sets, states, 4, python=True), strict=True):
        np.testing.assert_array_equal(ours, twin)


@pytest.mark.parametrize("states", [32, 256])
def test_vector_code_of_patterns_is_its_twin(states):
    sets = pattern_sets([4, 1, 8, 2], states)
    y = np.random.default_rng(2).standard_normal((32, 15)).astype(np.float32)
    for ours, twin in zip(searched(y, sets, states, 4), searched(y, sets, states, 4, python=True), strict=True):
        np.testing.assert_array_equal(ours, twin)


def pattern_sets(sizes, seed):
    """Return sets of groups of these sizes."""
    rng = np.random.default_rng(seed)
    shared = np.concatenate([[0] + [1] * (size - 1) for size in sizes])
    levels = np.zeros((len(shared), 512), dtype=np.float32)
    levels[:, :32] = rng.standard_normal((len(shared), 32))
    alone = np.flatnonzero((shared == 0) & np.append(shared[1:] == 0, True))
    levels[alone, :32] = np.sort(levels[alone, :32], axis=1)
    return codebook.LevelSets(np.full(len(shared), 4, dtype=np.uint8), levels, shared.astype(np.uint8))


@pytest.mark.parametrize(("states", "starts"), [(32, 32), (256, 2)])
def test_best_path_through_patterns_is_the_best_of_all(states, starts):
    sets, next_state = pattern_sets([3, 1, 2], 3), trellis(states).next_state
    y = (0.5 * np.random.default_rng(1).standard_normal((32, 6))).astype(np.float32)  # no cost reaches its limit
    symbols, first, sums, _, unit = searched(y, sets, states, starts)
    assert (symbols[:, [0, 1, 4]] == symbols[:, [1, 2, 5]]).all()
    best = np.full(32, np.inf)
    for start, a, b, c in product(range(starts), *[range(16)] * 3):
        state, error = start, np.zeros(32)
        for j, symbol in enumerate((a, a, a, b, c, c)):
            error += (y[:, j] - sets.levels[j, 2 * symbol + (state & 1)]) ** 2
            state = next_state[state, symbol & 1]
        best = np.minimum(best, error)
    decoded = np.empty_like(y)
    walk(np.ascontiguousarray(symbols), first, sets.bits, sets.levels, next_state, decoded)
    assert (first < starts).all()
    np.testing.assert_allclose(((y - decoded) ** 2).sum(1), best, atol=3 / unit)  # each step is off by half a unit
    np.testing.assert_allclose(sums, [(y * decoded).sum(1), (decoded**2).sum(1)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("bits", "shared"),
    [([3, 1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 1, 0, 0, 0]), ([4, 4, 4, 0, 4, 4, 4, 4], [0, 1, 1, 0, 0, 1, 1, 1])],
)
def test_layout_stores_a_shared_symbol_once(bits, shared):
    bits, shared = np.array(bits, dtype=np.uint8), np.array(shared, dtype=np.uint8)
    layout = Layout(bits, shared=shared)
    assert layout.code_bytes == 1
    symbols = np.random.default_rng(0).integers(0, 1 << bits, (BLOCK + 3, 8)).astype(np.uint8)
    for j in np.flatnonzero(shared):
        symbols[:, j] = symbols[:, j - 1]
    blocks, rest = layout.empty(2)
    layout.pack(symbols, blocks, rest, 0)
    np.testing.assert_array_equal(layout.unpack(blocks, rest, np.arange(len(symbols))), symbols)


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(5).standard_normal((N, D), dtype=np.float32)


def test_half_a_bit_leaves_less_than_a_bit_for_every_second_dimension():
    rng = np.random.default_rng(7)
    x, later = (rng.standard_normal((4_000, 64), dtype=np.float32) for _ in range(2))
    quantizer = Quantizer.fit(x, QuantizerSpec(64, 32, transform="none"), threads=1)
    assert quantizer.rates == [0.5] * 64
    decoded = quantizer.decode(quantizer.encode(later))
    cosine = (later * decoded).sum(1) / np.sqrt(np.square(later).sum(1) * np.square(decoded).sum(1))
    assert 1 - np.square(cosine).mean() < 0.54  # 0.5 in theory, 0.64 with a bit for every second


@pytest.mark.parametrize("queries", [1, 7])
@pytest.mark.parametrize("nlist", [None, 3])
def test_search_is_exact_from_codes(table, queries, nlist):
    index = iq.Index(D, bytes_per_vector=3, nlist=nlist, threads=1).build(table)
    assert 0.5 in index.info()["bits_by_dimension"]
    q = np.random.default_rng(6).standard_normal((queries, D), dtype=np.float32)
    scores, ids = index.search(q, k=10, **({"nprobe": 3} if nlist else {}))
    exact = q.astype(np.float64) @ index.reconstruct(np.arange(N)).T
    np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :10], atol=2e-4)
    np.testing.assert_allclose(np.take_along_axis(exact, ids, 1), scores, atol=2e-4)


def test_file_keeps_it_and_refuses_what_cannot_be(table, tmp_path):
    index = iq.Index(D, bytes_per_vector=3, threads=1).build(table)
    iq.save(index, tmp_path / "half.ipaq")
    loaded = iq.load(tmp_path / "half.ipaq")
    for ours, theirs in zip(loaded.search(table[:5]), index.search(table[:5]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    quantizer = Quantizer.fit(table, QuantizerSpec(D, 16), threads=1)
    meta, arrays = quantizer.to_arrays()
    assert Quantizer.from_arrays(meta, arrays).rates == quantizer.rates
    with pytest.raises(ValueError, match=r"quantizer\.shared"):
        Quantizer.from_arrays(meta, arrays | {"shared": np.ones(D, dtype=np.uint8)})
    with pytest.raises(ValueError, match=r"quantizer\.bits"):
        Quantizer.from_arrays(meta, {name: array for name, array in arrays.items() if name != "shared"})


def test_levels_are_fitted_where_a_bit_is_shared(table):
    sets, _ = codebook.fit_trellis(table, 16, trellis(64), 1)
    second = np.flatnonzero(sets.shared)
    assert len(second) >= 6
    for j in second:
        assert len(np.unique(sets.levels[j, :4])) == 4
        assert (sets.levels[j, 4:] == sets.levels[j, 3]).all()
    assert (np.diff(sets.levels[second - 1, :4]) >= 0).all()
