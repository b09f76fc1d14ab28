"""Trellis-coded level sets: the code, and the search for the best path against all paths."""

from itertools import product

import numpy as np
import pytest
from numba import njit

from ipaq_index.quantizer import codebook, search, viterbi
from ipaq_index.quantizer.codebook import LevelSets
from ipaq_index.quantizer.trellis import STATES, trellis, walk


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


@pytest.mark.parametrize(("states", "starts"), [(4, 4), (8, 2), (256, 4)])
def test_best_path_is_the_best_of_all(states, starts):
    sets, t = level_sets([2, 0, 1, 3, 1]), trellis(states)
    y = np.random.default_rng(1).standard_normal((viterbi.LANES, 5)).astype(np.float32)
    symbols, first = np.empty(y.shape, dtype=np.uint8), np.empty(len(y), dtype=np.uint8)
    errors, room = np.empty(len(y), dtype=np.float32), viterbi.make_room(5, states)
    tables = codebook.trellis_tables(sets, t, starts)
    viterbi.best_paths(np.ascontiguousarray(y.T), tables, room, symbols, first, errors)
    decoded = np.empty_like(y)
    walk(symbols, first, sets.bits, sets.levels, t.next_state, decoded)
    paths = [
        decode(codes, start, sets, t.next_state)
        for start in range(starts)
        for codes in product(*(range(1 << b) for b in sets.bits))
    ]
    best = ((y[:, None, :] - np.array(paths)[None]) ** 2).sum(2).min(1)
    found = ((y - decoded) ** 2).sum(1)
    assert (found >= best * (1 - 1e-5)).all()
    np.testing.assert_allclose(found, best, atol=4 / tables.scale[0])
    coded = sets.bits > 0
    left = ((y - decoded)[:, coded] ** 2).sum(1)
    np.testing.assert_allclose(errors, left, atol=4 / tables.scale[0])  # each coded dimension is off by half a unit
    assert (first < starts).all()
    for i in range(len(y)):
        np.testing.assert_array_equal(decoded[i], decode(symbols[i], first[i], sets, t.next_state).astype(np.float32))


def test_vector_code_is_its_twin():
    for states in (4, 64):
        bits = [3, 1, 0, 6, 2, 8]
        sets, t = level_sets(bits, seed=states), trellis(states)
        tables = codebook.trellis_tables(sets, t, states)
        target = np.random.default_rng(2).standard_normal((len(bits), viterbi.LANES)).astype(np.float32)
        results = []
        for best_paths in (viterbi.best_paths, viterbi.best_paths.py_func):
            room = viterbi.make_room(len(bits), states)
            symbols = np.empty((viterbi.LANES, len(bits)), dtype=np.uint8)
            first = np.empty(viterbi.LANES, dtype=np.uint8)
            errors = np.empty(viterbi.LANES, dtype=np.float32)
            best_paths(target, tables, room, symbols, first, errors)
            results.append((symbols, first, errors, room.cost))
        for ours, twin in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, twin)


def test_lengths_are_vector_code_too():
    y = np.random.default_rng(4).standard_normal((7, viterbi.LANES)).astype(np.float32)
    low, high = np.full(7, -1, dtype=np.float32), np.linspace(0.5, 2, 7, dtype=np.float32)
    low[2], high[2] = -np.inf, np.inf
    twin = np.empty((len(search.STRETCHES), viterbi.LANES), dtype=np.float32)
    ours = np.empty_like(twin)
    search.beyond(y, low, high, search.STRETCHES, twin)
    beyond(y, low, high, search.STRETCHES, ours)
    np.testing.assert_array_equal(ours, twin)


@njit
def beyond(unit, low, high, stretches, outside):
    search.beyond(unit, low, high, stretches, outside)


def encoded(y, sets, t, chosen):
    symbols, first = np.empty(y.shape, dtype=np.uint8), np.empty(len(y), dtype=np.uint8)
    search.encode_trellis(y, codebook.trellis_tables(sets, t, 8), t.next_state, chosen, symbols, first)
    z = np.empty_like(y)
    walk(symbols, first, sets.bits, sets.levels, t.next_state, z)
    return symbols, (y * z).sum(1) / np.linalg.norm(z, axis=1) / np.linalg.norm(y, axis=1)


def test_more_lengths_point_better_and_rows_stand_alone():
    sets, t = level_sets([3] * 12), trellis(8)
    y = np.random.default_rng(3).standard_normal((40, 12)).astype(np.float32)
    symbols, once = encoded(y, sets, t, lengths(sets, y, 1))
    _, often = encoded(y, sets, t, lengths(sets, y, 5))
    assert often.mean() > once.mean()
    assert (often > 0.9).all()
    for part in (slice(0, 1), slice(5, 23)):
        np.testing.assert_array_equal(encoded(y[part], sets, t, lengths(sets, y, 1))[0], symbols[part])
    zeros = np.zeros((3, 12), dtype=np.float32)
    assert encoded(zeros, sets, t, lengths(sets, y, 3))[0].shape == (3, 12)
