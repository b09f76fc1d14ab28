"""Level sets of lines against the optimum that the levels room proves."""

import numpy as np
import pytest

from ipaq_index import levels
from ipaq_index.quantizer import lines


def kinds(n, seed=0):
    rng = np.random.default_rng(seed)
    columns = [
        rng.standard_normal(n),
        rng.standard_t(3, n),
        rng.standard_cauchy(n),
        rng.lognormal(0, 2, n),
        rng.choice(7, n) ** 1.5 + 0.03 * rng.standard_normal(n),
        rng.standard_exponential(n) * (rng.random(n) < 0.1),
        1000 + rng.standard_normal(n),
    ]
    return np.stack(columns, 1).astype(np.float32)


def test_close_to_the_optimum():
    y = kinds(2000)
    table = lines.fit_lines(y, 2)
    sizes = [1 << b for b in range(6)]
    best = levels.solve_many(y, sizes, "mse", method="exact", threads=2)
    excess = table.costs[:, : len(sizes)] / best.costs
    assert excess.min() > 1 - 1e-6
    assert excess[:, :5].max() < 1.01  # up to 16 levels
    assert excess.max() < 1.15
    assert (np.diff(table.costs, axis=1) <= 0).all()
    for line in range(y.shape[1]):
        for b in range(9):
            chosen = table.set(line, b).astype(np.float64)
            assert (np.diff(chosen) >= 0).all()
            true = levels.cost(y[:, line], chosen, "mse")
            assert true <= table.costs[line, b] * 1.001 + 1e-10 * (y[:, line].astype(np.float64) ** 2).sum()


@pytest.mark.parametrize("values", [[3.0], [3.0] * 9, [0.0, 1.0] * 8, list(range(100)), [-1e30, 0.0, 1e30]])
def test_few_different_values_cost_nothing(values):
    y = np.array(values, dtype=np.float32)[:, None]
    table = lines.fit_lines(y, 1)
    for b in range(9):
        if 1 << b >= len(set(values)):
            np.testing.assert_allclose(np.unique(table.set(0, b)), np.unique(y), rtol=1e-6, atol=1e-6)
            assert table.costs[0, b] <= 1e-9 * (y.astype(np.float64) ** 2).sum()


def test_twin_and_threads():
    y = kinds(60)
    ours, other = lines.fit_lines(y, 1), lines.fit_lines(y, 3)
    for a, b in zip(ours, other, strict=True):
        np.testing.assert_array_equal(a, b)
    costs, sets = np.empty((7, 9)), np.empty((7, lines.LEVELS), dtype=np.float32)
    lines.fit_sorted.py_func(np.sort(y.T, axis=1), costs, sets)
    np.testing.assert_allclose(costs, ours.costs, rtol=1e-9, atol=1e-12 * ours.costs.max(1, keepdims=True).max())
    np.testing.assert_allclose(sets, ours.levels, rtol=1e-5, atol=1e-5)
