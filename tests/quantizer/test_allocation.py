"""Bits per dimension against all possible allocations."""

from itertools import product

import numpy as np
import pytest

from ipaq_index.quantizer.allocation import allocate, packable


def all_allocations(d, budget):
    return [np.array(bits) for bits in product(range(9), repeat=d) if sum(bits) == budget]


def fills_nibbles(bits):
    """Try all ways to fill nibbles, piece by piece."""
    pieces = sorted((p for b in bits for p in (min(b, 4), max(b - 4, 0)) if p), reverse=True)

    def place(rest, free):
        if not rest:
            return not any(free)
        opened = place(rest[1:], [*free, 4 - rest[0]])
        return opened or any(
            place(rest[1:], [*free[:i], f - rest[0], *free[i + 1 :]]) for i, f in enumerate(free) if f >= rest[0]
        )

    return place(pieces, [])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_packable_means_that_nibbles_can_be_filled(d):
    for bits in product(range(9), repeat=d):
        if sum(bits) % 4 == 0:
            assert packable(np.array(bits)) == fills_nibbles(bits)


@pytest.mark.parametrize("seed", range(12))
def test_optimal_among_all_where_greedy_packs(seed):
    rng = np.random.default_rng(seed)
    d, budget = 3, int(rng.integers(1, 4)) * 8
    errors = rng.lognormal(0, 2, (d, 1)) * 4.0 ** -np.arange(9) * np.array([1.0] + [1.1] * 8)
    bits = allocate(errors, budget).astype(int)
    assert bits.sum() == budget
    assert packable(bits)
    cost = errors[np.arange(d), bits].sum()
    best = min(errors[np.arange(d), b].sum() for b in all_allocations(d, budget) if packable(b))
    free = min(errors[np.arange(d), b].sum() for b in all_allocations(d, budget))
    assert best <= cost
    if free == pytest.approx(best):
        assert cost == pytest.approx(best)


def test_every_budget_is_spent_and_packs():
    rng = np.random.default_rng(3)
    for d in (1, 2, 5, 16, 51):
        errors = rng.lognormal(0, 1, (d, 1)) * 4.0 ** -np.arange(9)
        for budget in range(8, 8 * d + 1, 8):
            bits = allocate(errors, budget).astype(int)
            assert bits.sum() == budget
            assert packable(bits)
    np.testing.assert_array_equal(allocate(np.zeros((3, 9)), 24), [8, 8, 8])
