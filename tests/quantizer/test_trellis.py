"""Trellis-coded level sets: the code, and the search for the best path against all paths."""

from itertools import product

import numpy as np
import pytest
from numba import njit

from ipaq_index.quantizer import codebook, search, viterbi
from ipaq_index.quantizer.codebook import LevelSets
from ipaq_index.quantizer.scale import scale_factors
from ipaq_index.quantizer.trellis import STATES, trellis, walk
from tests.compiled import compiled


@pytest.mark.parametrize("states", STATES)
def test_every_state_is_entered_twice_by_different_bits(states):
    t = trellis(states)
    for state in range(states):
        assert np.count_nonzero(t.next_state == state) == 2
        assert (t.next_state[:, 0] == state).sum() == (t.next_state[:, 1] == state).sum() == 1
    # the highest bit of a state tells the lowest of the one before it: what going back relies on
    assert (t.next_state >> (states.bit_length() - 2) == (np.arange(states) & 1)[:, None]).all()


def test_unknown_number_of_states():
    with pytest.raises(ValueError, match=r"states: expected one of 4, 8, .* got 12"):
        trellis(12)


def level_sets(bits, seed=0):
    rng = np.random.default_rng(seed)
    levels = np.zeros((len(bits), 512), dtype=np.float32)
    for j, b in enumerate(bits):
        count = 2 << b if b else 1
        levels[j, :count] = np.sort(rng.standard_normal(count))
        levels[j, count:] = levels[j, count - 1]
    return LevelSets(np.array(bits, dtype=np.uint8), levels)


def lengths(sets, y, tries):
    """Lengths whose first try is close to each vector as it is."""
    return codebook.lengths(sets, float(np.sqrt((y**2).sum(1).mean())), 1.0, tries)


def decode(symbols, start, sets, next_state):
    """Walk the trellis as its definition says."""
    state, out = start, []
    for symbol, b, levels in zip(symbols, sets.bits, sets.levels, strict=True):
        if b:
            out.append(levels[2 * symbol + (state & 1)])
            state = next_state[state, symbol & 1]
        else:
            out.append(levels[0])
    return np.array(out, dtype=np.float64)


def searched(y, sets, states, starts, python=False):
    """Return symbols, first states and sums of the best paths to 32 vectors as they are."""
    tables = codebook.trellis_tables(sets, trellis(states), starts)
    room = viterbi.make_room(tables)
    symbols, first = np.empty(y.T.shape, dtype=np.uint8), np.empty(len(y), dtype=np.uint8)
    sums, ones = np.empty((2, len(y)), dtype=np.float32), np.ones(len(y), dtype=np.float32)
    best_paths = viterbi.best_paths if python else compiled(viterbi.best_paths)
    best_paths(np.ascontiguousarray(y.T), ones, tables, room, symbols, first, sums)
    return symbols.T, first, sums, room.cost, tables.scale[0]


@pytest.mark.parametrize(("states", "starts"), [(4, 4), (8, 2), (256, 4)])
def test_best_path_is_the_best_of_all(states, starts):
    sets, t = level_sets([2, 0, 1, 3, 1]), trellis(states)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 1 << sets.bits, (viterbi.LANES, 5))
    y = np.array([decode(row, rng.integers(starts), sets, t.next_state) for row in codes])
    y = (y + 0.2 * rng.standard_normal(y.shape)).astype(np.float32)  # so that no cost reaches its limit
    symbols, first, sums, _, unit = searched(y, sets, states, starts)
    decoded = np.empty_like(y)
    walk(np.ascontiguousarray(symbols), first, sets.bits, sets.levels, t.next_state, decoded)
    paths = [
        decode(codes, start, sets, t.next_state)
        for start in range(starts)
        for codes in product(*(range(1 << b) for b in sets.bits))
    ]
    best = ((y[:, None, :] - np.array(paths)[None]) ** 2).sum(2).min(1)
    found = ((y - decoded) ** 2).sum(1)
    assert (found >= best * (1 - 1e-5)).all()
    np.testing.assert_allclose(found, best, atol=4 / unit)  # each coded dimension is off by half a unit
    assert (first < starts).all()
    for i in range(len(y)):
        np.testing.assert_array_equal(decoded[i], decode(symbols[i], first[i], sets, t.next_state).astype(np.float32))
    np.testing.assert_allclose(sums, [(y * decoded).sum(1), (decoded**2).sum(1)], rtol=1e-4, atol=1e-5)


def test_paths_begin_where_they_may():
    sets, t = level_sets([3] * 12), trellis(256)
    y = np.random.default_rng(5).standard_normal((viterbi.LANES, 12)).astype(np.float32)
    y[:, :6] *= np.linspace(1, 30, viterbi.LANES, dtype=np.float32)[:, None]  # far from all levels: costs reach 255
    tables = codebook.trellis_tables(sets, t, 2)
    room = viterbi.make_room(tables)
    symbols, first = np.empty(y.T.shape, dtype=np.uint8), np.empty(len(y), dtype=np.uint8)
    sums, ones = np.empty((2, len(y)), dtype=np.float32), np.ones(len(y), dtype=np.float32)
    compiled(viterbi.find)(np.ascontiguousarray(y.T), ones, tables, room, tables.scale[2], symbols, first, sums)
    unlimited = first.copy()
    assert (unlimited >= 2).any()
    found = searched(y, sets, 256, 2)
    assert (found[1] < 2).all()
    np.testing.assert_array_equal(found[0][unlimited < 2], symbols.T[unlimited < 2])


@pytest.mark.parametrize("states", [4, 64])
def test_vector_code_is_its_twin(states):
    sets = level_sets([3, 1, 0, 6, 2, 8, 4, 1, 2, 3, 5], seed=states)
    y = np.random.default_rng(2).standard_normal((viterbi.LANES, len(sets.bits))).astype(np.float32)
    for ours, twin in zip(searched(y, sets, states, 4), searched(y, sets, states, 4, python=True), strict=True):
        np.testing.assert_array_equal(ours, twin)


def test_lengths_are_vector_code_too():
    y = np.random.default_rng(4).standard_normal((7, viterbi.LANES)).astype(np.float32)
    low, high = np.full(7, -1, dtype=np.float32), np.linspace(0.5, 2, 7, dtype=np.float32)
    low[2], high[2] = -np.inf, np.inf
    inverse = np.linspace(0.2, 2, viterbi.LANES, dtype=np.float32)
    twin, ours = np.empty(viterbi.LANES, dtype=np.float32), np.empty(viterbi.LANES, dtype=np.float32)
    search.beyond(y, low, high, inverse, twin)
    beyond(y, low, high, inverse, ours)
    np.testing.assert_array_equal(ours, twin)


@njit
def beyond(unit, low, high, inverse, pull):
    search.beyond(unit, low, high, inverse, pull)


def test_length_of_least_error():
    y = np.random.default_rng(4).standard_normal((7, viterbi.LANES)).astype(np.float32)
    bound = np.full(7, 1.5, dtype=np.float32)
    for floor in (0.01, 0.3):
        found = np.empty(viterbi.LANES, dtype=np.float32)
        compiled(search.choose)(y, search.Lengths(-bound, bound, 1.0, floor, 1, 0.0, np.inf, 1.0), found)
        targets = search.STRETCHES[:, None, None] * y
        error = floor + (np.maximum(np.abs(targets) - 1.5, 0) ** 2).sum(1)
        best = (error / search.STRETCHES[:, None] ** 2).argmin(0)
        step = np.log(search.STRETCHES[1] / search.STRETCHES[0])
        assert np.abs(np.log(found / search.STRETCHES[best])).max() < 1.01 * step


def encoded(y, tables, chosen, next_state):
    codes = search.choose_codes(y, tables, chosen)
    z = np.empty_like(y)
    walk(codes.symbols, codes.starts, tables.bits, tables.levels, next_state, z)
    np.testing.assert_allclose(codes.sums[:, 0], (y.astype(np.float64) ** 2).sum(1))
    np.testing.assert_allclose(codes.sums[:, 1:], np.stack([(y * z).sum(1), (z * z).sum(1)], 1), rtol=1e-4)
    return codes.symbols, (y * z).sum(1) / np.linalg.norm(z, axis=1) / np.linalg.norm(y, axis=1)


@pytest.mark.parametrize("scalar", [False, True])
def test_more_lengths_point_better_and_rows_stand_alone(scalar):
    sets, t = level_sets([3] * 12), trellis(8)
    tables = codebook.trellis_tables(sets, t, 8)
    if scalar:  # the same 16 levels
        tables = codebook.scalar_tables(sets._replace(bits=sets.bits + np.uint8(1)))
    next_state = np.zeros((1, 2), dtype=np.uint8) if scalar else t.next_state
    y = np.random.default_rng(3).standard_normal((70, 12)).astype(np.float32)
    symbols, once = encoded(y, tables, lengths(sets, y, 1), next_state)
    _, often = encoded(y, tables, lengths(sets, y, 5), next_state)
    assert often.mean() > once.mean()
    assert (often >= once - 1e-6).all()
    assert (often > 0.9).all()
    for part in (slice(0, 1), slice(5, 43)):
        np.testing.assert_array_equal(search.choose_codes(y[part], tables, lengths(sets, y, 1)).symbols, symbols[part])
    zeros = search.choose_codes(np.zeros((3, 12), dtype=np.float32), tables, lengths(sets, y, 3))
    assert not zeros.sums[:, :2].any()


def test_scales_stay_in_range_at_the_cost_of_direction():
    sets, t = level_sets([6] * 12), trellis(8)
    tables = codebook.trellis_tables(sets, t, 8)
    y = np.random.default_rng(3).standard_normal((64, 12)).astype(np.float32)
    free = search.choose_codes(y, tables, lengths(sets, y, 5))
    scales = scale_factors(free.sums)
    least, most = np.quantile(scales, (0.05, 0.95))
    held = search.choose_codes(y, tables, lengths(sets, y, 5)._replace(least=least, most=most))

    def errors(sums):
        told = np.clip(scale_factors(sums), least, most)
        return sums[:, 0] - 2 * told * sums[:, 1] + told**2 * sums[:, 2]

    inside = (scales > 1.3 * least) & (scales < most / 1.3)
    assert inside.sum() > 16
    np.testing.assert_array_equal(held.symbols[inside], free.symbols[inside])
    outside = (scales < least) | (scales > most)
    assert errors(held.sums)[outside].sum() < 0.7 * errors(free.sums)[outside].sum()
